"""The provider behind everything that is measured: `python -m bench.speed.upstream`.

One process, one thread, `epoll`, and answers that were put together beforehand: it must be cheap
enough never to be what is measured. Each event is written by itself, as a provider's are, and goes
through a socket of its own accord: a reader that is slow finds several at once. It prints its port.
"""

import heapq
import select
import socket
import sys
import time
from collections import deque
from collections.abc import Iterator

from bench.speed.shapes import PLAN, Shape

READ_BYTES = 65_536
BACKLOG = 4096
# How many events of a hurried stream go out before the other streams have their turn.
TURN = 8
STREAMED = (b'"stream":true', b'"stream": true')
REFUSAL = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n"


class Line:
    """One connection, and the answer that is on its way over it."""

    __slots__ = ("buffer", "every_s", "fd", "is_hurried", "left", "pending", "rest", "socket")

    def __init__(self, found: socket.socket) -> None:
        self.socket, self.fd = found, found.fileno()
        self.buffer = b""
        # What the socket did not take, what is still to be written, how many pieces that is.
        self.rest = b""
        self.pending: Iterator[bytes] | None = None
        self.left = 0
        self.every_s = 0.0
        self.is_hurried = True


class Upstream:
    """The server and its connections."""

    def __init__(self) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=BACKLOG)
        self.listener.setblocking(False)
        self.epoll = select.epoll()
        self.epoll.register(self.listener.fileno(), select.EPOLLIN)
        self.lines: dict[int, Line] = {}
        self.hurried: deque[Line] = deque()
        self.timed: list[tuple[float, int, Line]] = []
        self.ticket = 0
        self.wholes: dict[bytes, bytes] = {}
        self.streams: dict[bytes, list[bytes]] = {}
        self.shapes: dict[bytes, Shape] = {}

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.listener.getsockname()[1])

    def serve(self) -> None:
        """Answers until our parent has gone: then standard input ends."""
        parent = sys.stdin.fileno()
        self.epoll.register(parent, select.EPOLLIN)
        while True:
            for fd, event in self.epoll.poll(self._patience()):
                if fd == self.listener.fileno():
                    self._accept()
                elif fd == parent:
                    return
                elif (line := self.lines.get(fd)) is None:
                    continue
                elif event & ~(select.EPOLLIN | select.EPOLLOUT):
                    self._close(line)
                elif event & select.EPOLLOUT:
                    self._resume(line)
                else:
                    self._read(line)
            self._send_due()
            for _ in range(len(self.hurried)):
                self._go_on(self.hurried.popleft())

    def _patience(self) -> float:
        if self.hurried:
            return 0.0
        if not self.timed:
            return -1.0
        return max(self.timed[0][0] - time.monotonic(), 0.0)

    def _accept(self) -> None:
        while True:
            try:
                found, _ = self.listener.accept()
            except BlockingIOError:
                return
            found.setblocking(False)
            found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = Line(found)
            self.lines[line.fd] = line
            self.epoll.register(line.fd, select.EPOLLIN)

    def _read(self, line: Line) -> None:
        try:
            data = line.socket.recv(READ_BYTES)
        except OSError:
            data = b""
        if not data:
            self._close(line)
            return
        line.buffer += data
        head_end = line.buffer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        body_starts = head_end + 4
        length = _content_length(line.buffer[:head_end].lower())
        if len(line.buffer) < body_starts + length:
            return
        body = line.buffer[body_starts : body_starts + length]
        line.buffer = line.buffer[body_starts + length :]
        self._answer(line, body)

    def _answer(self, line: Line, body: bytes) -> None:
        found = PLAN.search(body)
        if found is None:
            self._write(line, REFUSAL)
            return
        name = found.group(1)
        if name not in self.shapes:
            self._prepare(name)
        shape = self.shapes[name]
        is_streamed = any(word in body for word in STREAMED)
        if not is_streamed and not shape.first_ms:
            self._write(line, self.wholes[name])
            return
        pieces = self.streams[name] if is_streamed else [self.wholes[name]]
        line.pending, line.left = iter(pieces), len(pieces)
        line.every_s = shape.every_ms / 1000
        line.is_hurried = not (shape.first_ms or shape.every_ms)
        if not line.is_hurried:
            self._set_due(line, time.monotonic() + shape.first_ms / 1000)
        else:
            self.hurried.append(line)

    def _prepare(self, name: bytes) -> None:
        shape = Shape.named(name.decode())
        head, pieces, end = shape.pieces()
        pieces[0] = head + pieces[0]
        pieces[-1] += end
        self.shapes[name] = shape
        self.wholes[name] = shape.whole()
        self.streams[name] = pieces

    def _set_due(self, line: Line, due_s: float) -> None:
        self.ticket += 1
        heapq.heappush(self.timed, (due_s, self.ticket, line))

    def _send_due(self) -> None:
        now_s = time.monotonic()
        while self.timed and self.timed[0][0] <= now_s:
            due_s, _, line = heapq.heappop(self.timed)
            if line.pending is None:
                continue
            line.left -= 1
            self._write(line, next(line.pending))
            if line.left:
                self._set_due(line, due_s + line.every_s)

    def _go_on(self, line: Line) -> None:
        """Some more of a hurried stream, until its turn is over or the socket takes no more."""
        if line.pending is None:
            return
        for _ in range(min(TURN, line.left)):
            line.left -= 1
            if not self._write(line, next(line.pending)):
                return
        if line.left:
            self.hurried.append(line)

    def _write(self, line: Line, data: bytes) -> bool:
        """Whether the socket took all of it; what it did not take follows when it can."""
        if line.rest:
            line.rest += data
            return False
        try:
            sent = line.socket.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._close(line)
            return False
        if sent == len(data):
            return True
        line.rest = data[sent:]
        self.epoll.modify(line.fd, select.EPOLLIN | select.EPOLLOUT)
        return False

    def _resume(self, line: Line) -> None:
        rest, line.rest = line.rest, b""
        if not self._write(line, rest):
            return
        self.epoll.modify(line.fd, select.EPOLLIN)
        if line.left and line.is_hurried:
            self.hurried.append(line)

    def _close(self, line: Line) -> None:
        if self.lines.pop(line.fd, None) is not None:
            line.pending, line.left = None, 0
            self.epoll.unregister(line.fd)
            line.socket.close()


def _content_length(head: bytes) -> int:
    start = head.find(b"content-length:")
    if start < 0:
        return 0
    return int(head[start + 15 :].split(b"\r\n", 1)[0])


def main() -> None:
    """Says where it listens, and serves."""
    upstream = Upstream()
    sys.stdout.write(f"{upstream.port}\n")
    sys.stdout.flush()
    upstream.serve()


if __name__ == "__main__":
    main()
