"""Connections kept for reuse, per origin. Knows sockets and TLS, and nothing of HTTP.

geventhttpclient's pool resolves, connects, verifies certificates and counts; what is ours is the
list of idle connections, with a liveness check that works beyond 1 024 file descriptors and an age
limit, and that a host's addresses are asked for once by those who connect at the same time. Pools
belong to a thread, since a gevent socket cannot leave the hub that it was born in.
"""

import socket
import ssl
from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple
from weakref import WeakSet

import gevent
from gevent import monkey
from gevent import ssl as gevent_ssl
from gevent.lock import Semaphore
from geventhttpclient.connectionpool import ConnectionPool, SSLConnectionPool

from solrouter.clock import monotonic_s
from solrouter.transport.errors import ConnectFailed, ReadTimedOut, TransportError, Unsendable

CONNECTIONS_PER_ORIGIN_MAX = 1000
# Below the idle limit of common load balancers (60 s): rather connect anew than race their close.
IDLE_S_MAX = 50.0
# Names are looked up by other threads, and each waits for the interpreter twice: under load longer
# than the name server takes.
ADDRESSES_S_MAX = 10.0
# One address of a host with several; all of them together have the request's `connect_s`.
ADDRESS_CONNECT_S = 10.0


class Origin(NamedTuple):
    """Whom a connection speaks to."""

    scheme: str
    host: str
    port: int


class _LookedUp(NamedTuple):
    """What a look at the name server told, and when; a failure's code and words."""

    at_s: float = float("-inf")
    addresses: Sequence[Any] = ()
    failure: tuple[Any, ...] = ()


class _Tuned(ConnectionPool):
    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        # The library's own queue stays empty: ours remembers when each was returned.
        self._idle: deque[tuple[Any, float]] = deque()
        self._looked_up = _LookedUp()
        self._looking_up = Semaphore()

    def _resolve(self) -> list[Any]:
        """The host's addresses, looked up a moment ago or now. Raises socket.gaierror."""
        came_s = monotonic_s()
        with self._looking_up:
            known = self._looked_up
            # Whoever waited for a look that failed has looked, too.
            if known.at_s < came_s - (0.0 if known.failure else ADDRESSES_S_MAX):
                known = self._looked_up = self._look_up()
        if known.failure:
            raise socket.gaierror(*known.failure)
        return list(known.addresses)

    def _look_up(self) -> "_LookedUp":
        try:
            return _LookedUp(monotonic_s(), super()._resolve())
        except socket.gaierror as error:
            return _LookedUp(monotonic_s(), failure=error.args)

    def after_connect(self, sock: Any) -> None:
        # A small request must not wait for the other side's delayed acknowledgement.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def take_idle(self) -> Any:
        """A connection that served before and is fit to serve again, or None. Never waits."""
        if self._closed:
            return None
        while self._idle:
            sock, returned_s = self._idle.pop()
            if _is_fit(sock, returned_s) and self._semaphore.acquire(blocking=False):
                return sock
            _close(sock)
        return None

    def take(self) -> Any:
        """A new connection, once there is a place for it."""
        try:
            sock = self.get_socket()
        except (OSError, TransportError) as error:
            if not isinstance(error, socket.gaierror):
                # Maybe the host has moved.
                self._looked_up = _LookedUp()
            raise
        # How long to wait is for each exchange to say.
        sock.settimeout(None)
        return sock

    def return_socket(self, sock: Any) -> None:
        if self._closed:
            _close(sock)
            return
        self._idle.append((sock, monotonic_s()))
        self._semaphore.release()

    def discard(self, sock: Any) -> None:
        """Closes a connection for good and frees its place."""
        _close(sock)
        if not self._closed:
            self._semaphore.release()

    def drop_idle(self) -> None:
        """Closes what lies idle: when one connection was stale, its neighbours are too."""
        while self._idle:
            _close(self._idle.pop()[0])

    def drop_old(self) -> None:
        """Closes what has lain idle too long to serve again: the oldest lie at the front."""
        while self._idle and _is_old(self._idle[0][1]):
            _close(self._idle.popleft()[0])

    def close(self) -> None:
        """Closes what lies idle, for good."""
        self._closed = True
        self.drop_idle()

    def __del__(self) -> None:
        # A thread has ended, and its event loop with it: only the bare descriptors are left.
        for sock, _ in self._idle:
            sock._sock.close()


def _is_old(returned_s: float) -> bool:
    return monotonic_s() - returned_s > IDLE_S_MAX


def _is_fit(sock: Any, returned_s: float) -> bool:
    if _is_old(returned_s):
        return False
    try:
        sock._sock.recv(1, socket.MSG_PEEK)
    except BlockingIOError:
        return True
    except OSError:
        return False
    # Either the other side has closed, or it speaks unasked: neither is fit for use.
    return False


def _close(sock: Any) -> None:
    if sock.hub is gevent.get_hub():
        sock.close()
    else:
        # Another thread's event loop must not be touched from here: close the bare descriptor.
        sock._sock.close()


class _PlainPool(_Tuned):
    pass


class _TlsPool(_Tuned, SSLConnectionPool):
    def _connect_socket(self, sock: Any, address: Any) -> Any:
        sock.connect(address)
        secured = self.ssl_context.wrap_socket(
            sock, server_hostname=self._request_host, do_handshake_on_connect=False
        )
        try:
            secured.do_handshake()
        except BaseException:
            # Left to itself, a handshake that our deadline interrupts forgets its descriptor.
            secured.close()
            raise
        return secured


Pool = _PlainPool | _TlsPool

_CONNECT_FAULTS: tuple[tuple[type[Exception], str, str], ...] = (
    (ssl.SSLError, "tls", "TLS failed"),
    (socket.gaierror, "dns", "the host name has no address"),
    (ConnectionRefusedError, "refused", "the connection was refused"),
    # Most often a server that drops the line during the handshake.
    (ConnectionError, "refused", "the connection was dropped while being made"),
)

# Not `threading.local`: under gevent's patch that is local to a greenlet.
_of_thread: Any = monkey.get_original("threading", "local")()
_all_pools: WeakSet[Any] = WeakSet()


def pool_for(origin: Origin) -> Pool:
    """The pool of this thread for an origin."""
    pools = _pools()
    pool = pools.get(origin)
    if pool is None:
        pool = pools[origin] = _new_pool(origin)
        _all_pools.add(pool)
    return pool


def close_old() -> None:
    """Closes the connections of this thread that have lain idle too long.

    Else a burst's would stay until they are asked for, and the other side has long closed them.
    """
    for pool in _pools().values():
        pool.drop_old()


def _pools() -> dict[Origin, Pool]:
    pools: dict[Origin, Pool] = _of_thread.__dict__.setdefault("pools", {})
    return pools


def pinned_pool(origin: Origin, address: str) -> Pool:
    """A pool of its own for an origin, whose connections go to this IP address and no other.

    Over TLS the name is still the origin's.
    """
    return _new_pool(origin, address)


def _new_pool(origin: Origin, address: str | None = None) -> Pool:
    where = (address or origin.host, origin.port, origin.host, origin.port)
    settings: dict[str, Any] = {
        "size": CONNECTIONS_PER_ORIGIN_MAX,
        "connection_timeout": ADDRESS_CONNECT_S,
        "network_timeout": ADDRESS_CONNECT_S,
    }
    if origin.scheme == "https":
        return _TlsPool(*where, ssl_context_factory=_tls_context, **settings)
    return _PlainPool(*where, **settings)


def _tls_context(cafile: str | None) -> Any:
    """Verifies names and certificates. gevent's own class: the library's default is Python's,
    which blocks the whole thread wherever nobody has patched it."""
    context = gevent_ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(cafile=cafile)
    return context


def close_all() -> None:
    """Closes every idle connection of the process; running streams close theirs at their end."""
    for pool in list(_all_pools):
        pool.close()
    _all_pools.clear()
    _of_thread.__dict__.pop("pools", None)


def leave_thread() -> None:
    """Gives back what the calling thread holds, before it ends: idle connections, its event loop.

    Where gevent has patched threads there is one loop for them all, and nothing to give back.
    """
    if monkey.is_module_patched("threading"):
        return
    for pool in _of_thread.__dict__.pop("pools", {}).values():
        pool.close()
    gevent.get_hub().destroy(destroy_loop=True)


def connect(pool: Pool, *, timeout_s: float) -> tuple[Any, bool]:
    """Takes a connection within a time that covers the queue, DNS, TCP and TLS together.

    Returns it and whether it served an earlier request. Raises ConnectFailed or ReadTimedOut.
    """
    if (idle := pool.take_idle()) is not None:
        return idle, True
    late = ReadTimedOut(f"no connection within {timeout_s:g} s", phase="connect")
    try:
        with gevent.Timeout(timeout_s, late):
            return pool.take(), False
    except TransportError:
        raise
    except (OSError, RuntimeError, UnicodeError) as exc:
        raise _connect_error(exc) from exc


def _connect_error(exc: Exception) -> TransportError:
    # The order counts: most of these are kinds of OSError.
    if isinstance(exc, UnicodeError):
        return Unsendable("the host name cannot be written for DNS")
    if isinstance(exc, TimeoutError):
        return ReadTimedOut("the connection was not made in time", phase="connect")
    for kind, reason, message in _CONNECT_FAULTS:
        if isinstance(exc, kind):
            detail = f": {exc.reason or exc}" if isinstance(exc, ssl.SSLError) else ""
            return ConnectFailed(message + detail, reason=reason)
    return ConnectFailed(f"the host cannot be reached: {exc}", reason="unreachable")
