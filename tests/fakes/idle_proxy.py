"""A router of a platform as a program: it hangs up on whoever is silent for too long.

Like Heroku's: the first byte of an answer must come within `first_byte_s` of the request, and from
then on something must come every `idle_s`. It passes bytes on as they are, and knows nothing of
HTTP but that a request goes one way and an answer the other.
"""

import socket
import threading
import time
from contextlib import suppress
from typing import Self

PIECE_BYTES = 65_536
CLOSE_WAIT_S = 2.0


class IdleProxy:
    """A proxy on 127.0.0.1 in front of a port. `cuts` counts the connections it hung up on."""

    def __init__(self, port: int, *, idle_s: float, first_byte_s: float | None = None) -> None:
        self.cuts = 0
        self._behind = port
        self._idle_s = idle_s
        self._first_byte_s = idle_s if first_byte_s is None else first_byte_s
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self._accepting = threading.Thread(target=self._accept, daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    @property
    def url(self) -> str:
        """What stands before the path of an address."""
        return f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Stops listening and drops all connections."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            left = list(self._open)
        for sock in left:
            _hang_up(sock)
        self._accepting.join(CLOSE_WAIT_S)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._carry, args=(client,), daemon=True).start()

    def _carry(self, client: socket.socket) -> None:
        """One connection, until either side or our patience ends."""
        with client, socket.create_connection(("127.0.0.1", self._behind)) as server:
            with self._lock:
                self._open |= {client, server}
            line = _Line(client, server, idle_s=self._idle_s, first_byte_s=self._first_byte_s)
            there = threading.Thread(target=line.carry_requests, daemon=True)
            there.start()
            is_cut = line.carry_answers()
            _hang_up(client)
            _hang_up(server)
            there.join(CLOSE_WAIT_S)
            with self._lock:
                self.cuts += is_cut
                self._open -= {client, server}


class _Line:
    """The two ways of one connection. The clock runs from each request on."""

    def __init__(
        self, client: socket.socket, server: socket.socket, *, idle_s: float, first_byte_s: float
    ) -> None:
        self._client = client
        self._server = server
        self._idle_s = idle_s
        self._first_byte_s = first_byte_s
        self._by_s = float("inf")

    def carry_requests(self) -> None:
        """From the client to the server, until one of them ends it."""
        with suppress(OSError):
            while piece := self._client.recv(PIECE_BYTES):
                self._by_s = time.monotonic() + self._first_byte_s
                self._server.sendall(piece)
        _hang_up(self._server)

    def carry_answers(self) -> bool:
        """From the server to the client; whether it ended for want of patience."""
        self._server.settimeout(min(self._idle_s, self._first_byte_s) / 20)
        with suppress(OSError):
            while True:
                try:
                    piece = self._server.recv(PIECE_BYTES)
                except TimeoutError:
                    if time.monotonic() < self._by_s:
                        continue
                    return True
                if not piece:
                    return False
                self._by_s = time.monotonic() + self._idle_s
                self._client.sendall(piece)
        return False


def _hang_up(sock: socket.socket) -> None:
    with suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
