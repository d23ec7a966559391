"""Somebody's HTTP server that takes what is posted to it: a webhook's receiver, a collector.

It is told how to answer (`statuses`, the last one for ever) and remembers what came. Address and
port can be chosen, since the SSRF guard looks at both.
"""

import gzip
import threading
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

import brotli

WAIT_S = 20.0


@dataclass(frozen=True)
class Taken:
    """One request as it came, its body unpacked; header names in lower case."""

    path: str
    headers: Mapping[str, str]
    body: bytes


class Receiver:
    """The server, running within its `with`."""

    def __init__(self, address: str = "127.0.0.1") -> None:
        self.statuses = [204]
        self.location = ""
        self.taken: list[Taken] = []
        # Whoever holds it keeps every answer back.
        self.gate = threading.Event()
        self.gate.set()
        self._came = threading.Condition()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, *_: Any) -> None:
                pass

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        self.port = self._server.server_port
        self.url = f"http://{address}:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.gate.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def wait_for(self, count: int, *, within_s: float = WAIT_S) -> list[Taken]:
        """What came, once it is so many or more."""
        with self._came:
            enough = self._came.wait_for(lambda: len(self.taken) >= count, within_s)
            assert enough, f"{len(self.taken)} of {count} requests came within {within_s} s"
            return list(self.taken)

    def _take(self, handler: BaseHTTPRequestHandler) -> None:
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = _unpacked(_body(handler, headers), headers.get("content-encoding", ""))
        with self._came:
            self.taken.append(Taken(handler.path, headers, body))
            status = self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0]
            self._came.notify_all()
        self.gate.wait(WAIT_S)
        handler.send_response(status)
        if self.location:
            handler.send_header("Location", self.location)
        handler.send_header("Content-Length", "0")
        handler.end_headers()


def _body(handler: BaseHTTPRequestHandler, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return handler.rfile.read(int(headers.get("content-length", 0)))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body


def _unpacked(body: bytes, encoding: str) -> bytes:
    if encoding == "gzip":
        return gzip.decompress(body)
    if encoding == "br":
        unpacked: bytes = brotli.decompress(body)
        return unpacked
    return zlib.decompress(body) if encoding == "deflate" else body
