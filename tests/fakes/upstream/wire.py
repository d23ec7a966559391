"""Playing a reply on a socket, with all the pauses, cuts and framings that a script asks for."""

import json
import math
import select
import socket
import struct
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from typing import BinaryIO, Protocol

from tests.fakes.upstream.replies import Reply, counts
from tests.fakes.upstream.script import Json
from tests.fakes.upstream.seen import Seen

ENDLESS_PAUSE_S = 0.001
LINE_BYTES_MAX = 65_536


class ClientLeft(Exception):
    """The client closed or reset its side before the answer was complete."""


class CutHere(Exception):
    """The script says that the connection ends now."""


class Wire:
    """The sending side of one socket; notices at once when the other side leaves.

    A client that closes only its sending side counts as gone: so do real servers count it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._poll = select.poll()
        self._left = getattr(select, "POLLRDHUP", 0)
        self._poll.register(sock, select.POLLIN | self._left)
        self._left |= select.POLLHUP | select.POLLERR | select.POLLNVAL

    def send(self, payload: bytes) -> None:
        """Sends all of it; raises ClientLeft."""
        try:
            self._sock.sendall(payload)
        except OSError as error:
            raise ClientLeft from error

    def wait(self, seconds: float) -> None:
        """Waits, watching the client; raises ClientLeft as soon as it is gone."""
        deadline = time.monotonic() + seconds
        while True:
            left_ms = math.ceil(max(deadline - time.monotonic(), 0) * 1000)
            flags = self._poll.poll(left_ms)
            if not flags:
                return
            if flags[0][1] & self._left or not self._peeked():
                raise ClientLeft
            # A pipelined request is waiting: from here on watch only for the end.
            self._poll.modify(self._sock, getattr(select, "POLLRDHUP", 0))

    def _peeked(self) -> bytes:
        try:
            return self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError as error:
            raise ClientLeft from error


class Player:
    """Plays one reply on a wire, with the script's pauses, cuts and framing."""

    def __init__(self, wire: Wire, reply: Reply) -> None:
        self.events_sent = 0
        self._wire = wire
        self._reply = reply
        self._script = reply.script
        self._counted = 0
        self._has_stalled = False

    def play(self) -> None:
        """Sends the reply; raises ClientLeft, or CutHere where the script says so."""
        script = self._script
        self._wire.wait(script.stall_before_s)
        if script.cut_before_status:
            raise CutHere
        self._wire.send(self._reply.head())
        self._pause(script.stall_after_headers_s)
        for item in self._reply.items:
            self._stall_or_cut(item.payload)
            self._write(item.payload)
            self.events_sent += 1
            self._counted += counts(script, item.kind)
        self._stall_or_cut(b"")
        if self._reply.is_chunked:
            self._wire.send(b"0\r\n\r\n")

    def _stall_or_cut(self, coming: bytes) -> None:
        script = self._script
        if self.events_sent and coming:
            self._pause(max(script.stall_between_s, ENDLESS_PAUSE_S * script.endless))
        if script.stall_after and self._counted >= script.stall_after[0] and not self._has_stalled:
            self._has_stalled = True
            self._pause(script.stall_after[1])
        cut_after = script.cut_after_events
        if cut_after is None and script.cut_mid_event:
            cut_after = 0
        if cut_after is None or self._counted < cut_after:
            return
        if script.cut_mid_event:
            self._write(coming[: len(coming) // 2])
        raise CutHere

    def _pause(self, seconds: float) -> None:
        """Waits, with keep-alives in between where the script wants them."""
        every_s = self._script.ping_every_s
        while every_s and self._reply.ping and seconds > every_s:
            self._wire.wait(every_s)
            self._write(self._reply.ping)
            seconds -= every_s
        self._wire.wait(seconds)

    def _write(self, payload: bytes) -> None:
        step = self._script.split_bytes or len(payload) or 1
        for start in range(0, len(payload), step):
            piece = payload[start : start + step]
            if self._reply.is_chunked:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            self._wire.send(piece)
            if self._script.split_pause_s:
                self._wire.wait(self._script.split_pause_s)


class Listens(Protocol):
    """What a connection tells the program."""

    def busy(self) -> AbstractContextManager[None]: ...

    def note_abort(self, seen: Seen, events_sent: int) -> None: ...

    def forget(self, connection: "Connection") -> None: ...


class Connection:
    """One TCP connection: reads requests, plays replies, ends as the script says."""

    def __init__(
        self, sock: socket.socket, memory: Listens, reply_to: Callable[[Seen], Reply]
    ) -> None:
        self._sock = sock
        self._memory = memory
        self._reply_to = reply_to
        self._incoming = sock.makefile("rb")

    def serve(self) -> None:
        """Answers requests until either side has had enough."""
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (seen := self._read()) is not None and self._answer(seen):
                pass
        except OSError:
            pass  # The client left between requests.
        finally:
            self._incoming.close()
            self._sock.close()
            self._memory.forget(self)

    def hang_up(self) -> None:
        """Wakes whoever reads from or writes to this connection."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _read(self) -> Seen | None:
        """The next request, or None when the client is done or speaks something else."""
        line = self._incoming.readline(LINE_BYTES_MAX).decode("latin-1").split()
        if len(line) != 3:
            return None
        headers = {}
        while text := self._incoming.readline(LINE_BYTES_MAX).decode("latin-1").strip():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            raw = read_body(self._incoming, headers)
        except ValueError:
            return None
        path, _, query = line[1].partition("?")
        return Seen(line[0], path, query, headers, object_in(raw), raw, time.monotonic())

    def _answer(self, seen: Seen) -> bool:
        """Answers one request; says whether the connection can take another."""
        with self._memory.busy():
            reply = self._reply_to(seen)
            player = Player(Wire(self._sock), reply)
            try:
                player.play()
            except ClientLeft:
                self._memory.note_abort(seen, player.events_sent)
                return False
            except CutHere:
                if not reply.script.cut_with_fin:
                    reset = struct.pack("ii", 1, 0)
                    self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                return False
        wants_close = seen.headers.get("connection", "").lower() == "close"
        return not (wants_close or reply.script.close_delimited)


def read_body(incoming: BinaryIO, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return incoming.read(int(headers.get("content-length", "0")))
    body = b""
    while size := int(incoming.readline(LINE_BYTES_MAX).split(b";")[0], 16):
        body += incoming.read(size)
        incoming.readline(LINE_BYTES_MAX)
    incoming.readline(LINE_BYTES_MAX)
    return body


def object_in(raw: bytes) -> Json | None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None
