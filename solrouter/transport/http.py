"""One HTTP/1.1 request to another server, its answer read as it comes. Knows no dialect.

`open_stream` is the whole door. Whatever one receive brings is handed on at once. There are four
deadlines: until connected, until the status line (both counted from the opening), between two
receives, and in total. No redirect is followed and no request is sent twice, but for one case: a
kept connection that turns out to be dead before one byte of the answer came.
"""

import socket
from collections.abc import Iterator, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from solrouter.clock import monotonic_s
from solrouter.transport.alarm import Alarm
from solrouter.transport.answer import Answer, HTTPParseError
from solrouter.transport.errors import BrokenStream, ReadTimedOut, TooLarge
from solrouter.transport.pool import Pool, close_all, connect, pool_for
from solrouter.transport.request import HttpRequest, written

__all__ = ["HttpRequest", "HttpStream", "close_all", "open_stream"]

RECEIVE_BYTES = 64 * 1024
HEAD_BYTES_MAX = 256 * 1024
# Up to here head and body leave in one write; a larger body is not worth a copy.
ONE_WRITE_BYTES_MAX = 256 * 1024
LINGER_BYTES_MAX = 64 * 1024
NOTHING = (b"", b"")


class HttpStream:
    """A request that is sent and its answer as it comes: first `wait_for_head`, then the body.

    Read it in one greenlet; `close` it from any, at any time. Always close it. `status` is 0 and
    `headers` are empty until the head has come.
    """

    def __init__(self, pool: Pool, head: bytes, request: HttpRequest, *, started_s: float) -> None:
        self.status = 0
        self._pool = pool
        # What is sent, until an answer shows that it need not be sent again.
        self._to_send = head, request.body
        self._sock: Any = None
        self._was_used = False
        self._answer = Answer(request.method)
        self._alarm = Alarm()
        self._between_s = request.between_s
        self._connect_by_s = started_s + min(request.connect_s, request.total_s)
        self._first_byte_by_s = started_s + request.first_byte_s
        self._total_by_s = started_s + request.total_s
        self._waiting_since_s = started_s
        self._is_quiet = False
        self._received_bytes = 0
        self._is_busy = False
        self._is_closed = False

    @property
    def headers(self) -> Mapping[str, str]:
        """The answer's headers by lower-case name, made anew at each call; none before the head."""
        return self._answer.lower_headers() if self.status else {}

    @property
    def is_untouched(self) -> bool:
        """Whether not one byte of an answer has come."""
        return self._received_bytes == 0

    def set_between_s(self, seconds: float) -> None:
        """Changes how long the answer may be silent, from now on."""
        self._between_s = seconds
        self._is_quiet = False

    def wait_for_head(self, quiet_s: float | None = None) -> bool:
        """Waits for status and headers; False if nothing has come for `quiet_s`, to wait again.

        Raises ReadTimedOut, BrokenStream or TooLarge, and has closed the stream then.
        """
        try:
            return self._has_head(quiet_s)
        except BrokenStream:
            if not self._is_worth_another_try():
                raise
            self._send_again()
            return self._has_head(quiet_s)

    def read_some(self, quiet_s: float | None = None) -> bytes | None:
        """Returns the next bytes of the body as soon as there are any; b"" is its complete end.

        None says that nothing has come for `quiet_s`: read again. Raises ReadTimedOut or
        BrokenStream.
        """
        if not self._is_quiet:
            # Only waiting counts: whoever reads us may have been busy elsewhere meanwhile.
            self._waiting_since_s = monotonic_s()
        self._is_quiet = False
        while True:
            if self._is_closed:
                raise BrokenStream("the stream was closed on our side")
            if body := self._answer.take_body():
                return body
            if self._answer.message_complete:
                self._let_go()
                return b""
            by_s = self._waiting_since_s + self._between_s
            if not self._receive(by_s, phase="between", quiet_s=quiet_s):
                self._is_quiet = True
                return None
            self._waiting_since_s = monotonic_s()

    def read_all(self, limit_bytes: int) -> bytes:
        """Returns the whole body. Raises TooLarge past the limit, and what read_some raises."""
        parts: list[bytes] = []
        size = 0
        for part in self:
            size += len(part)
            if size > limit_bytes:
                self.close()
                message = f"the answer has passed {limit_bytes} bytes"
                raise TooLarge(message, limit_bytes=limit_bytes)
            parts.append(part)
        return b"".join(parts)

    def finish(self, *, linger_s: float) -> None:
        """Closes, after waiting a moment for the message's last bytes to keep the connection."""
        self.set_between_s(linger_s)
        self._total_by_s = min(self._total_by_s, monotonic_s() + linger_s)
        size = 0
        with suppress(ReadTimedOut, BrokenStream):
            while size < LINGER_BYTES_MAX and (part := self.read_some()):
                size += len(part)
        self.close()

    def close(self) -> None:
        """Ends it now. A reader elsewhere gets BrokenStream; the connection is not used again."""
        if self._sock is None:
            return
        self._is_closed = True
        if self._is_busy:
            # Closing a descriptor under a waiting reader is unsafe; a shutdown wakes it, also
            # from another thread, and the reader cleans up. `_sock` is the socket below TLS.
            with suppress(OSError):
                self._sock._sock.shutdown(socket.SHUT_RDWR)
        else:
            self._discard()

    def __iter__(self) -> Iterator[bytes]:
        while part := self.read_some():
            yield part

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        # A forgotten stream must not keep its place in the pool for ever.
        if getattr(self, "_sock", None) is not None:
            self._discard()

    def send(self) -> None:
        """Connects and sends the request."""
        try:
            self._send()
        except BrokenStream:
            if not self._is_worth_another_try():
                raise
            self._send_again()

    def _send_again(self) -> None:
        """Once more, on a new connection: the other side closed an idle one just as we took it."""
        self._discard()
        self._pool.drop_idle()
        self._send()

    def _send(self) -> None:
        left_s = self._connect_by_s - monotonic_s()
        if left_s <= 0:
            raise ReadTimedOut("no time is left to connect", phase="connect")
        self._sock, self._was_used = connect(self._pool, timeout_s=left_s)
        try:
            self._write(*self._to_send)
        except BaseException:
            # Also when the waiting greenlet is killed: the upstream must notice at once.
            self._discard()
            raise

    def _is_worth_another_try(self) -> bool:
        return self._was_used and self.is_untouched and not self._is_closed

    def _has_head(self, quiet_s: float | None) -> bool:
        try:
            while not self._answer.has_head:
                if self._received_bytes > HEAD_BYTES_MAX:
                    message = f"the headers have passed {HEAD_BYTES_MAX} bytes"
                    raise TooLarge(message, limit_bytes=HEAD_BYTES_MAX)
                if not self._receive(self._first_byte_by_s, phase="first_byte", quiet_s=quiet_s):
                    return False
        except BrokenStream:
            if not self._is_worth_another_try():
                self.close()
            raise
        except BaseException:
            self.close()
            raise
        self.status = self._answer.get_code()
        self._to_send = NOTHING
        return True

    def _write(self, head: bytes, body: bytes) -> None:
        now_s = monotonic_s()
        left_s = self._patience(self._first_byte_by_s - now_s, "first_byte", now_s)
        self._alarm.set(now_s + left_s)
        try:
            if len(body) <= ONE_WRITE_BYTES_MAX:
                # Mostly one call takes it all, and then nothing more has to be looked after.
                data = head + body
                if (sent := self._sock.send(data)) < len(data):
                    self._sock.sendall(data[sent:])
            else:
                self._sock.sendall(head)
                self._sock.sendall(body)
        except TimeoutError as exc:
            raise ReadTimedOut("the request was not taken in time", phase="first_byte") from exc
        except ConnectionError:
            # It may have refused a large body early and told us why before it hung up.
            pass
        except (OSError, ValueError) as exc:
            raise BrokenStream("the line broke while the request was sent") from exc
        finally:
            self._alarm.clear()

    def _patience(self, seconds: float, phase: str, now_s: float) -> float:
        """How long to wait now, within the total deadline. Raises ReadTimedOut at once."""
        left_s = self._total_by_s - now_s
        if left_s <= seconds:
            seconds, phase = left_s, "total"
        if seconds <= 0:
            raise ReadTimedOut(f"the deadline {phase} has passed", phase=phase)
        return seconds

    def _receive(self, by_s: float, *, phase: str, quiet_s: float | None = None) -> bool:
        """Waits for one receive and parses it; False if nothing came for `quiet_s`.

        Raises ReadTimedOut when nothing has come by then.
        """
        now_s, sock = monotonic_s(), self._sock
        left_s = self._patience(by_s - now_s, phase, now_s)
        if sock is None:
            raise BrokenStream("the stream was closed on our side")
        wait_s = left_s if quiet_s is None else min(left_s, quiet_s)
        self._is_busy = True
        self._alarm.set(now_s + wait_s)
        try:
            data = sock.recv(RECEIVE_BYTES)
        except TimeoutError as exc:
            if wait_s < left_s:
                return False
            if self._total_by_s <= by_s:
                phase = "total"
            raise ReadTimedOut(f"no byte came within {wait_s:.3g} s", phase=phase) from exc
        except (OSError, ValueError) as exc:
            raise BrokenStream(self._cut_message("the line broke")) from exc
        finally:
            self._alarm.clear()
            self._is_busy = False
            if self._is_closed:
                self._discard()
        self._parse(data)
        return True

    def _parse(self, data: bytes) -> None:
        self._received_bytes += len(data)
        if self._is_closed:
            raise BrokenStream("the stream was closed on our side")
        if not data and not self._answer.has_head:
            raise BrokenStream("the line was closed before the answer", clean_end=True)
        try:
            self._answer.take(data)
        except HTTPParseError as exc:
            if not data:
                raise BrokenStream("the answer ended too early", clean_end=True) from exc
            raise BrokenStream("the answer is not HTTP") from exc

    def _cut_message(self, otherwise: str) -> str:
        return "the stream was closed on our side" if self._is_closed else otherwise

    def _let_go(self) -> None:
        """Gives the connection back after a complete message, if it can serve another."""
        if self._sock is None:
            return
        self._alarm.close()
        if self._answer.should_close() or self._answer.has_trailing_bytes:
            self._discard()
            return
        sock, self._sock = self._sock, None
        self._pool.return_socket(sock)

    def _discard(self) -> None:
        sock, self._sock = self._sock, None
        if sock is not None:
            self._alarm.close()
            self._pool.discard(sock)


# What `open_stream` opens; `tracing` sets another.
stream_class: type[HttpStream] = HttpStream


def open_stream(request: HttpRequest) -> HttpStream:
    """Sends a request and returns its answer, of which nothing has been read yet.

    Raises TransportError: Unsendable, ConnectFailed, ReadTimedOut or BrokenStream.
    """
    started_s = monotonic_s()
    origin, head = written(request)
    stream = stream_class(pool_for(origin), head, request, started_s=started_s)
    stream.send()
    return stream
