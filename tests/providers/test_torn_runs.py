"""An event that comes in pieces among like ones: each run says what the chunk before it says."""

import socket
import time
from dataclasses import replace
from functools import partial

import pytest

from solrouter.chat import Chunk
from solrouter.providers import ADAPTERS
from tests.providers.calls import make_call
from tests.providers.raw_server import RawServer, read_request

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
# Long enough for what was sent to be read by itself.
PAUSE_S = 0.05


def event(text: str) -> bytes:
    delta = b'{"index":0,"delta":{"content":"%b"},"finish_reason":null}' % text.encode()
    return b'data: {"choices":[%b]}' % delta


def tear(sock: socket.socket, _number: int, *, gap: bytes, at: int) -> None:
    """Two like events, one of them torn so many bytes before its end, two more, the finish."""
    read_request(sock)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    sock.sendall(HEAD + event("a") + gap + event("b") + gap)
    torn = event("c") + gap
    for piece in (torn[:-at], torn[-at:], event("d") + gap + event("e") + gap):
        time.sleep(PAUSE_S)
        sock.sendall(piece)
    sock.sendall(FINISH + gap + b"data: [DONE]" + gap)


@pytest.mark.parametrize("gap", [b"\n\n", b"\r\n\r\n", b"\r\r"], ids=["lf", "crlf", "cr"])
@pytest.mark.parametrize("at", [1, 2, 3, 4, 5, 30])
def test_a_torn_event_among_like_ones(gap: bytes, at: int) -> None:
    with RawServer(partial(tear, gap=gap, at=at)) as server:
        call = replace(make_call(server.url), allows_runs=True)
        last, said = Chunk({}), ""
        for chunk in ADAPTERS["openai"].open(call):
            if chunk.literals is not None:
                assert last.text_field == "content", "there is no chunk to say again"
                said += b"".join(chunk.literals).decode().replace('"', "")
            elif chunk.payload["choices"]:
                last = chunk
                said += chunk.payload["choices"][0]["delta"].get("content", "")
    assert said == "abcde"
