"""A server whose every byte the test writes itself, for what no honest HTTP server would send."""

import socket
import ssl
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Self

Handler = Callable[[socket.socket, int], None]


def read_request(sock: socket.socket) -> bytes:
    """One request, head and body; b"" when the client has closed."""
    received = b""
    while b"\r\n\r\n" not in received:
        piece = sock.recv(65_536)
        if not piece:
            return b""
        received += piece
    head, _, body = received.partition(b"\r\n\r\n")
    lengths = [line for line in head.split(b"\r\n") if line.lower().startswith(b"content-length")]
    while len(body) < int(lengths[0].split(b":")[1]):
        body += sock.recv(65_536)
    return head + b"\r\n\r\n" + body


def answering(*answers: bytes) -> Handler:
    """Answers each request of a connection with the next of these bytes, then closes."""

    def handle(sock: socket.socket, number: int) -> None:
        for answer in answers:
            if not read_request(sock):
                return
            sock.sendall(answer)

    return handle


class RawServer:
    """Listens on 127.0.0.1; each connection is given to the handler with its number, from 1."""

    def __init__(
        self, handler: Handler, *, tls: ssl.SSLContext | None = None, address: str = "127.0.0.1"
    ) -> None:
        self.accepted = 0
        self._handler = handler
        self._tls = tls
        self._sockets: list[socket.socket] = []
        self.address = address
        self._listener = socket.create_server((address, 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"{'https' if self._tls else 'http'}://{self.address}:{self.port}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            with suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(2)

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._sockets.append(sock)
            thread = threading.Thread(target=self._serve, args=(sock, self.accepted), daemon=True)
            self._threads.append(thread)
            thread.start()

    def _serve(self, sock: socket.socket, number: int) -> None:
        with suppress(OSError):
            if self._tls is not None:
                sock = self._tls.wrap_socket(sock, server_side=True)
            self._handler(sock, number)
        with suppress(OSError):
            sock.shutdown(socket.SHUT_RDWR)
        sock.close()
