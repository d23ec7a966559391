"""What all connections of the fake provider share."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.fakes.upstream.script import Rule, Script
from tests.fakes.upstream.seen import Abort, Seen
from tests.fakes.upstream.wire import Connection


class Memory:
    """What the connections' threads share: rules, requests, aborts and one condition."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.rules: list[Rule] = []
        self.seen: list[Seen] = []
        self.aborted: list[Abort] = []
        self.threads: dict[Connection, threading.Thread] = {}
        self.accepted_count = 0
        self.busy_count = 0
        self.is_closed = False

    def note(self, seen: Seen, *, is_completion: bool) -> tuple[Script, int]:
        """Remembers a request; returns the script for it, and its number."""
        with self.changed:
            self.seen.append(seen)
            self.changed.notify_all()
            queued = [rule for rule in self.rules if rule.times_left is not None]
            standing = [rule for rule in reversed(self.rules) if rule.times_left is None]
            for rule in (*queued, *standing):
                if rule.fits(seen.path, is_completion=is_completion):
                    if rule.times_left is not None:
                        rule.times_left -= 1
                    return rule.script, len(self.seen)
            return Script(), len(self.seen)

    def note_abort(self, seen: Seen, events_sent: int) -> None:
        """Remembers a client that left, unless it was us who hung up."""
        with self.changed:
            if not self.is_closed:
                self.aborted.append(Abort(time.monotonic(), events_sent, seen.path))
                self.changed.notify_all()

    def welcome(self, connection: Connection) -> None:
        """Starts a connection's thread."""
        with self.changed:
            self.accepted_count += 1
            thread = threading.Thread(target=connection.serve, daemon=True)
            self.threads[connection] = thread
            self.changed.notify_all()
            # Started inside the lock, so that nobody joins a thread that has not started.
            thread.start()
            if self.is_closed:
                connection.hang_up()

    def forget(self, connection: Connection) -> None:
        """Takes a closed connection off the list."""
        with self.changed:
            self.threads.pop(connection, None)
            self.changed.notify_all()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Counts a connection as busy while inside."""
        self._count_busy(1)
        try:
            yield
        finally:
            self._count_busy(-1)

    def _count_busy(self, change: int) -> None:
        with self.changed:
            self.busy_count += change
            self.changed.notify_all()
