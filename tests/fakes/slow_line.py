"""The way to a machine far off: a line that takes its time to be made, or for whatever is sent."""

import socket
import threading
import time
from contextlib import suppress
from typing import Self

PIECE_BYTES = 65_536


class SlowLine:
    """A port on 127.0.0.1 that leads to another one.

    A connection takes `connect_s` longer, and each piece that its client sends `each_s`.
    """

    def __init__(self, behind: int, *, connect_s: float = 0.0, each_s: float = 0.0) -> None:
        self._behind = behind
        self._connect_s, self._each_s = connect_s, each_s
        self._open: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._open):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                time.sleep(self._connect_s)
                server = socket.create_connection(("127.0.0.1", self._behind))
                self._open += [client, server]
                for ends, delay_s in (((client, server), self._each_s), ((server, client), 0.0)):
                    threading.Thread(target=_pass_on, args=(*ends, delay_s), daemon=True).start()


def _pass_on(source: socket.socket, target: socket.socket, delay_s: float) -> None:
    with suppress(OSError):
        while piece := source.recv(PIECE_BYTES):
            time.sleep(delay_s)
            target.sendall(piece)
        target.shutdown(socket.SHUT_WR)
