"""Calls a request away while it waits for an upstream. Knows gevent, not what is waited for.

A request that waits cannot look around: the client may leave, or the server be told to stop.
Whoever learns of it throws into the waiting greenlet, at the place that is marked as a wait and
nowhere else: never into a transaction. Nothing is spent while all is quiet, no timer and no second
greenlet.
"""

import socket
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from types import TracebackType
from typing import Any
from weakref import WeakSet

import gevent
from gevent import getcurrent

PEEK = socket.MSG_PEEK | socket.MSG_DONTWAIT
READABLE = 1
SEND_S_MAX = 60.0


class Interruption(BaseException):
    """Why a wait ended early. No `except Exception` may swallow it on its way."""


class ClientLeft(Interruption):
    """The caller closed the connection."""


class ServerStopping(Interruption):
    """The server was told to stop and the time to finish is over."""


class Wait:
    """Marks where one request waits; `interrupt` ends that wait, or the next one to begin."""

    def __init__(self) -> None:
        # The connection to break where no interruption helps: see `cut_all`.
        self.client: Any = None
        self._greenlet: Any = None
        # Why the wait was ended, or the next one will be.
        self.reason: Interruption | None = None
        _all.add(self)

    def __enter__(self) -> None:
        self.check()
        self._greenlet = getcurrent()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._greenlet = None

    @property
    def has_left(self) -> bool:
        """Whether the client is known to have left."""
        return isinstance(self.reason, ClientLeft)

    @property
    def is_stopping(self) -> bool:
        """Whether the server ends, and the request with it."""
        return isinstance(self.reason, ServerStopping)

    def check(self) -> None:
        """Raises the reason why a wait would end at once, if there is one."""
        if self.reason is not None:
            raise self.reason

    @contextmanager
    def aside(self) -> Iterator[None]:
        """Within a wait, does what must not be cut short: a transaction.

        A reason that came meanwhile is raised at its end.
        """
        if self._greenlet is not getcurrent():
            # Nobody waits, or somebody else does.
            yield
            return
        self._greenlet = None
        try:
            yield
        finally:
            self._greenlet = getcurrent()
        self.check()

    def interrupt(self, reason: Interruption) -> None:
        """Ends the wait now. For the hub's own callbacks; others use `interrupt_soon`."""
        self.reason = self.reason or reason
        greenlet, self._greenlet = self._greenlet, None
        if greenlet is not None:
            greenlet.throw(self.reason)

    def interrupt_soon(self, reason: Interruption) -> None:
        """Ends the wait from any greenlet."""
        gevent.get_hub().loop.run_callback(self.interrupt, reason)


_all: WeakSet[Wait] = WeakSet()


def interrupt_all(reason: Callable[[], Interruption]) -> int:
    """Calls every request of this process away; says how many there were."""
    waits = list(_all)
    for wait in waits:
        wait.interrupt_soon(reason())
    return len(waits)


def cut_all() -> int:
    """Breaks the connections of all that still run; says how many there were.

    For clients that take nothing of their answer: what is being sent to them is no wait that could
    be interrupted.
    """
    clients = [wait.client for wait in list(_all) if wait.client is not None]
    for client in clients:
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)
    return len(clients)


class TooSlow(Exception):
    """Something was not done in its time."""


def deadline(seconds: float) -> AbstractContextManager[Any]:
    """Ends what waits within it once the time is over. Raises TooSlow. For sockets only."""
    return gevent.Timeout(seconds, TooSlow("the time is over"))  # type: ignore[no-any-return]


class ClientWatch:
    """Watches the client's socket while its request runs: when it closes, the wait is interrupted.

    The socket is readable when the client has left, and when it has sent the next request too
    early; a peek tells which. In the second case the watch ends: what follows is that request's.
    """

    def __init__(self, client: Any, wait: Wait) -> None:
        self._client = wait.client = client
        self._wait = wait
        # A client that takes nothing more of its answer must not keep it open for ever.
        client.settimeout(SEND_S_MAX)
        self._watcher = gevent.get_hub().loop.io(client.fileno(), READABLE)
        self._watcher.start(self._readable)
        # It may have left already, while its key and its body were being read.
        self._readable()

    def stop(self) -> None:
        """Looks no longer. Call it always, before the connection is used again."""
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None
            self._client.settimeout(None)

    def _readable(self) -> None:
        try:
            has_left = self._client._sock.recv(1, PEEK) == b""
        except BlockingIOError:
            return
        except OSError:
            has_left = True
        self.stop()
        if has_left:
            self._wait.interrupt(ClientLeft())


def watch(environ: dict[str, Any], wait: Wait) -> ClientWatch | None:
    """Watches the client of a WSGI request; None where the server does not show its socket."""
    client = environ.get("gunicorn.socket")
    return None if client is None else ClientWatch(client, wait)
