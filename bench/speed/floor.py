"""The floor: the least that a Flask relay on gevent can do. No keys, no books, no checks.

A view, the request's JSON read and written anew, an upstream connection out of a pool over gevent's
bare sockets, and whatever one read brought passed on in one write. gunicorn serves it with the
settings that it serves SolRouter with. What SolRouter costs above this is what it does.
"""

import os
import re
from collections.abc import Iterator

import orjson
from flask import Flask, Response, request
from gevent import socket

READ_BYTES = 65_536
UPSTREAM = ("127.0.0.1", int(os.environ.get("FLOOR_UPSTREAM_PORT", "0")))
HEAD = (
    b"POST /v1/chat/completions HTTP/1.1\r\nHost: upstream\r\n"
    b"Authorization: Bearer upstream-key\r\n"
    b"Content-Type: application/json\r\nContent-Length: "
)
LENGTH = re.compile(rb"\r\nContent-Length: (\d+)")
HEAD_END = b"\r\n\r\n"
idle: list[socket.socket] = []
app = Flask(__name__)


@app.get("/healthz")
def health() -> str:
    """Answers, so that one knows that it runs."""
    return "ok"


@app.post("/v1/chat/completions")
def relay() -> Response:
    """Passes one request on, and its answer back."""
    payload = orjson.dumps(orjson.loads(request.get_data()))
    line = idle.pop() if idle else _connect()
    line.sendall(b"%b%d\r\n\r\n%b" % (HEAD, len(payload), payload))
    data = line.recv(READ_BYTES)
    while (head_end := data.find(HEAD_END)) < 0:
        data += _more(line)
    status = int(data[9:12])
    found = LENGTH.search(data, 0, head_end + 2)
    rest = data[head_end + 4 :]
    if found is None:
        return Response(_stream(line, rest), status, mimetype="text/event-stream")
    length = int(found.group(1))
    while len(rest) < length:
        rest += _more(line)
    idle.append(line)
    return Response(rest, status, mimetype="application/json")


def _connect() -> socket.socket:
    line = socket.create_connection(UPSTREAM)
    line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return line


def _more(line: socket.socket) -> bytes:
    data: bytes = line.recv(READ_BYTES)
    if not data:
        raise ConnectionError("the upstream has cut the answer")
    return data


def _stream(line: socket.socket, data: bytes) -> Iterator[bytes]:
    """The chunks that one read brought, together, until the last."""
    while True:
        parts, data, is_over = _unframed(data)
        if parts:
            yield b"".join(parts)
        if is_over:
            idle.append(line)
            return
        data += _more(line)


def _unframed(data: bytes) -> tuple[list[bytes], bytes, bool]:
    """The whole chunks at the start, what is left of it, and whether the last chunk was there."""
    parts: list[bytes] = []
    start = 0
    while (line_end := data.find(b"\r\n", start)) >= 0:
        size = int(data[start:line_end], 16)
        end = line_end + 2 + size
        if len(data) < end + 2:
            break
        if size == 0:
            return parts, b"", True
        parts.append(data[line_end + 2 : end])
        start = end + 2
    return parts, data[start:], False
