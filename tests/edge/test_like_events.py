"""Events relayed as bytes say exactly what they would say if each had been read in full."""

import json
import socket
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.edge.test_chat import HELLO, chunks, newest
from tests.factories import Person, make_offer
from tests.providers.raw_server import RawServer, read_request

WORDS = ["", "Hi ", "你好", "👩‍👩‍👧 ", 'quo"te\\', "line\u2028end\n", "é", "a" * 300, "end"]
HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"


def events(*, field: str = "content", end: str = "\n", **more: Any) -> bytes:
    def event(delta: dict[str, Any], reason: str | None = None) -> str:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        body = {"id": "up-1", "created": 1, "model": "tiny-1", "choices": [choice], **more}
        return f"data: {json.dumps(body, ensure_ascii=False)}{end}{end}"

    said = [event({"role": "assistant", "content": ""})]
    said += [event({field: word}) for word in WORDS]
    said.append(event({}, "stop"))
    said.append(f"data: [DONE]{end}{end}")
    return "".join(said).encode()


def answered(
    app: Flask, client: FlaskClient, person: Person, stream: bytes, *, piece: int, **headers: str
) -> list[dict[str, Any]]:
    def handle(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.sendall(HEAD)
        for start in range(0, len(stream), piece):
            sock.sendall(stream[start : start + piece])

    with RawServer(handle) as server:
        model = f"acme/m{server.port}"
        make_offer(app, server.url, model=model, provider=f"p{server.port}")
        body = {"model": model, "messages": HELLO, "stream": True}
        said = chunks(
            client.post("/v1/chat/completions", json=body, headers={**person.bearer, **headers})
        )
    for chunk in said:
        for name in ("id", "created", "model"):
            del chunk[name]
    return said


@pytest.mark.parametrize("piece", [1, 7, 100, 1_000_000])
@pytest.mark.parametrize(
    "shape",
    [
        {},
        {"end": "\r\n"},
        {"field": "reasoning_content"},
        {"field": "reasoning"},
        {"system_fingerprint": "fp_1", "usage": None, "service_tier": "default"},
    ],
    ids=["plain", "crlf", "thinking", "reasoning", "more fields"],
)
def test_a_run_says_what_its_events_say(
    app: Flask, client: FlaskClient, alice: Person, shape: dict[str, Any], piece: int
) -> None:
    stream = events(**shape)
    # What is kept for a repetition is read in full, event by event.
    named = {"Idempotency-Key": f"in full {shape} {piece}"}
    in_full = answered(app, client, alice, stream, piece=piece, **named)
    counted = newest(app, alice).completion_tokens
    as_bytes = answered(app, client, alice, stream, piece=piece)
    assert [c["choices"] for c in as_bytes] == [c["choices"] for c in in_full]
    assert [set(c) for c in as_bytes] == [set(c) for c in in_full]
    # The upstream told no usage, so both were counted by us.
    assert newest(app, alice).completion_tokens == counted > 10
