"""The callers: as many as wanted at once, in one thread, by `epoll`, with requests made before."""

import select
import socket
import time
from collections.abc import Callable

from bench.speed.answers import (
    CHUNKED,
    CLOSES,
    CONTENT_LENGTH,
    HEAD_END,
    LAST_CHUNK,
    any_ok,
)
from bench.speed.load import Load, Outcome
from bench.speed.shapes import MARK

READ_BYTES = 262_144
TICK_S = 0.2
# After so many faults nothing that is measured would mean anything.
FAULTS_MAX = 2_000
# The length of a body that ends with its connection.
OPEN_ENDED = 1 << 60


class Caller:
    """One connection with one request at a time."""

    __slots__ = ("buffer", "fd", "first_s", "head_end", "is_probe", "need", "sent_s", "socket")

    def __init__(self, found: socket.socket, *, is_probe: bool = False) -> None:
        self.socket, self.fd, self.is_probe = found, found.fileno(), is_probe
        self.buffer = bytearray()
        self.head_end = self.need = 0
        # Zero: nothing is on its way; nothing of the content has come.
        self.sent_s = self.first_s = 0.0


class Crowd:
    """One run of a load against a port."""

    def __init__(
        self,
        load: Load,
        port: int,
        *,
        on_window: Callable[[], None] = lambda: None,
        on_tick: Callable[[], None] = lambda: None,
    ) -> None:
        self.load, self.port, self.outcome = load, port, Outcome()
        self.on_window, self.on_tick = on_window, on_tick
        self.epoll = select.epoll()
        self.callers: dict[int, Caller] = {}
        self.scratch = bytearray(READ_BYTES)
        self.view = memoryview(self.scratch)
        self.turn = self.opened = self.busy = 0
        self.is_window = self.is_over = False
        self.probe_line: Caller | None = None

    def run(self) -> Outcome:
        """Sends and judges; `on_window` is called as the window opens and as it closes."""
        load = self.load
        began_s = time.perf_counter()
        opens_s = began_s + (0.0 if load.once else load.opening_s + load.warm_s)
        closes_s = opens_s + (load.opening_s + load.patience_s if load.once else load.measure_s)
        gives_up_s = closes_s + (0.0 if load.once else load.patience_s)
        ticks_s = probes_s = began_s
        while True:
            now_s = time.perf_counter()
            if now_s >= ticks_s:
                ticks_s = now_s + TICK_S
                self.on_tick()
            if not self.is_window and not self.is_over and now_s >= opens_s:
                self._open_window()
            if not self.is_over and (now_s >= closes_s or self._is_exhausted()):
                self._close_window()
            if self.is_over and (self.busy == 0 or now_s >= gives_up_s):
                break
            if not self.is_over:
                self._let_in(now_s - began_s)
                if load.probe and now_s >= probes_s:
                    probes_s = now_s + load.probe_every_s
                    self._probe()
            for fd, event in self.epoll.poll(0.001 if self._is_timed() else 0.02):
                if (caller := self.callers.get(fd)) is not None:
                    self._handle(caller, event)
        self._abandon()
        return self._finished()

    def _is_timed(self) -> bool:
        return bool(self.load.probe) or self.opened < self.load.at_once

    def _is_exhausted(self) -> bool:
        """Whether there is no more to come, or no sense in it."""
        all_sent = self.load.once and self.opened == self.load.at_once and self.busy == 0
        return all_sent or self.outcome.faults.total() > FAULTS_MAX

    def _open_window(self) -> None:
        self.is_window = True
        self.on_window()
        self.outcome.window_s = time.perf_counter()
        self.outcome.own_cpu_s = time.process_time()

    def _close_window(self) -> None:
        if not self.is_window:
            self._open_window()
        self.outcome.window_s = time.perf_counter() - self.outcome.window_s
        self.outcome.own_cpu_s = time.process_time() - self.outcome.own_cpu_s
        self.on_window()
        self.is_window, self.is_over = False, True

    def _let_in(self, passed_s: float) -> None:
        """Opens the callers whose time has come."""
        load = self.load
        share = 1.0 if not load.opening_s else min(passed_s / load.opening_s, 1.0)
        wanted = max(int(load.at_once * share), 1)
        while self.opened < wanted:
            self.opened += 1
            self._send(self._connect())

    def _connect(self, *, is_probe: bool = False) -> Caller:
        found = socket.socket()
        found.setblocking(False)
        found.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        found.connect_ex(("127.0.0.1", self.port))
        caller = Caller(found, is_probe=is_probe)
        self.callers[caller.fd] = caller
        self.epoll.register(caller.fd, select.EPOLLIN | select.EPOLLOUT)
        return caller

    def _send(self, caller: Caller) -> None:
        """Sends the next request; one whose connection is not up yet goes when it is."""
        caller.sent_s = time.perf_counter()
        caller.first_s = 0.0
        caller.head_end = caller.need = 0
        caller.buffer.clear()
        if caller.is_probe:
            request = self.load.probe
        else:
            self.busy += 1
            request = self.load.requests[self.turn % len(self.load.requests)]
            self.turn += 1
        try:
            caller.socket.send(request)
        except BlockingIOError:
            caller.buffer += request
            return
        except OSError as error:
            self._lose(caller, f"no connection ({error.strerror})")
            return
        self.epoll.modify(caller.fd, select.EPOLLIN)

    def _handle(self, caller: Caller, event: int) -> None:
        if event & select.EPOLLOUT and caller.buffer and not caller.need:
            self._send_kept(caller)
            return
        try:
            size = caller.socket.recv_into(self.scratch)
        except BlockingIOError:
            return
        except OSError as error:
            self._lose(caller, f"no answer ({error.strerror})")
            return
        if size == 0:
            self._lose(caller, "cut" if caller.buffer else "closed")
            return
        caller.buffer += self.view[:size]
        if self.is_window or not caller.first_s:
            self._count(caller, size)
        if not caller.need:
            self._read_head(caller)
        if self._is_whole(caller):
            self._take(caller)

    @staticmethod
    def _is_whole(caller: Caller) -> bool:
        if caller.need < 0:
            return caller.buffer.endswith(LAST_CHUNK)
        return 0 < caller.need <= len(caller.buffer)

    def _count(self, caller: Caller, size: int) -> None:
        """Events as they come. A read may cut one in two: what judges counts them all anew."""
        marks = self.scratch.count(MARK, 0, size)
        if marks and not caller.first_s:
            caller.first_s = time.perf_counter()
        if self.is_window:
            self.outcome.events += marks

    def _send_kept(self, caller: Caller) -> None:
        """The request of a connection that is up now."""
        self.epoll.modify(caller.fd, select.EPOLLIN)
        try:
            caller.socket.send(caller.buffer)
        except OSError as error:
            self._lose(caller, f"no connection ({error.strerror})")
            return
        caller.buffer.clear()

    @staticmethod
    def _read_head(caller: Caller) -> None:
        """Finds out where the answer will end: `need` bytes, or −1 for chunks."""
        head_end = caller.buffer.find(HEAD_END)
        if head_end < 0:
            return
        caller.head_end = head_end
        found = CONTENT_LENGTH.search(caller.buffer, 0, head_end + 2)
        if found is not None:
            caller.need = head_end + 4 + int(found.group(1))
        elif CHUNKED.search(caller.buffer, 0, head_end + 2):
            caller.need = -1
        else:
            # Ends with the connection.
            caller.need = OPEN_ENDED

    def _take(self, caller: Caller) -> None:
        """An answer has come in whole."""
        ended_s = time.perf_counter()
        took_s = ended_s - caller.sent_s
        if caller.is_probe:
            self.outcome.probes.append(took_s)
            if any_ok(caller.buffer, caller.head_end):
                self.outcome.faults["the probe was not answered with 200"] += 1
            caller.sent_s = 0.0
            return
        self.busy -= 1
        first_s = caller.first_s - caller.sent_s
        fault = self.load.judge(caller.buffer, caller.head_end)
        if fault:
            self.outcome.faults[fault] += 1
            self.outcome.unsure += not fault.startswith("status")
        else:
            self.outcome.right += 1
            if self.is_window:
                self.outcome.answers += 1
                self.outcome.latencies.append(took_s)
                self.outcome.first_contents.append(first_s)
        self._next(caller)

    def _next(self, caller: Caller) -> None:
        if self.is_over or self.load.once:
            self._drop(caller)
        elif CLOSES.search(caller.buffer, 0, caller.head_end + 2):
            self._drop(caller)
            self._send(self._connect())
        else:
            self._send(caller)

    def _lose(self, caller: Caller, fault: str) -> None:
        """The connection is gone, with or without an answer on it."""
        if caller.need == OPEN_ENDED and caller.buffer:
            self._take(caller)
            return
        if caller.is_probe:
            self.probe_line = None
        elif caller.sent_s:
            self.busy -= 1
            self.outcome.unsure += 1
            self.outcome.faults[fault] += 1
        self._drop(caller)
        if not caller.is_probe and not self.is_over and not self.load.once:
            self.opened -= 1

    def _drop(self, caller: Caller) -> None:
        if self.callers.pop(caller.fd, None) is not None:
            self.epoll.unregister(caller.fd)
            caller.socket.close()

    def _probe(self) -> None:
        """Asks again what should be answered at once, unless the last time is not over yet."""
        if self.probe_line is None:
            self.probe_line = self._connect(is_probe=True)
        elif self.probe_line.sent_s:
            return
        self._send(self.probe_line)

    def _abandon(self) -> None:
        for caller in list(self.callers.values()):
            if not caller.is_probe and caller.sent_s:
                self.outcome.faults["no end"] += 1
                self.outcome.unsure += 1
            self._drop(caller)
        self.epoll.close()

    def _finished(self) -> Outcome:
        found = self.outcome
        for times in (found.latencies, found.first_contents, found.probes):
            times.sort()
        return found
