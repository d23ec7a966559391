"""The one thread that writes to SQLite: it owns the connection, and commits together what waits.

Callers wait in their greenlet. The thread is woken by whoever comes while it rests, takes all that
waits, and tells each event loop once for a whole batch; a pool's futures would cost as much for
each write as the write itself.
"""

import sqlite3
import threading
from collections import defaultdict, deque
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass, field
from typing import Any, cast

from gevent import get_hub, monkey
from gevent.hub import Waiter
from sqlalchemy import Connection, Engine

from solrouter import native_threads
from solrouter.clock import monotonic_s
from solrouter.database.faults import as_ours

BATCH_MAX = 256
# How long those whose writes are done may have the event loop, one after the other, for themselves.
TURN_S = 0.005
# What waits for the thread, natively: a greenlet that blocked here would stop all others.
_Inbox: Any = monkey.get_original("queue", "SimpleQueue")


@dataclass(slots=True)
class Write:
    """One verb that waits for the thread, and later its outcome."""

    verb: Callable[[Connection], Any]
    durable: bool
    # The caller's, so that a verb knows in the thread too for whom it runs.
    context: Context = field(default_factory=copy_context)
    value: Any = None
    error: BaseException | None = None
    # How its caller is woken: a greenlet by its loop's bell, a thread by an event.
    bell: "_Bell | None" = None
    waiter: Any = None

    def outcome(self) -> Any:
        """Waits for it; returns what the verb returned, or raises what it raised."""
        if self.bell is None:
            self.waiter.wait()
        else:
            self.waiter.get()
        if self.error is not None:
            raise self.error
        return self.value


class _Bell:
    """Tells the greenlets of one event loop from another thread that what they wait for is done."""

    def __init__(self, hub: Any) -> None:
        self._done: deque[Any] = deque()
        self._loop = hub.loop
        self._watcher = self._loop.async_()
        self._watcher.start(self._tell)

    def ring(self, waiters: list[Any]) -> None:
        """Wakes these, soon. From any thread."""
        self._done.extend(waiters)
        self._watcher.send()

    def close(self) -> None:
        """Lets go of the loop, in its own thread, and leaves nobody waiting."""
        self._watcher.stop()
        self._watcher.close()
        while self._done:
            self._loop.run_callback(self._done.popleft().switch, None)

    def _tell(self) -> None:
        until_s = monotonic_s() + TURN_S
        while self._done:
            self._done.popleft().switch(None)
            if monotonic_s() >= until_s:
                # The rest have their turn once the loop has looked at what else has come.
                self._watcher.send()
                return


class _End:
    """The last thing that the thread is given."""

    is_over = False


class Writer:
    """The thread, begun by the first write."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._inbox = _Inbox()
        self._flushes: bool | None = None
        self._is_begun = self._is_closed = False
        self._bells: dict[Any, _Bell] = {}
        self._lock = threading.Lock()

    def run(self, verb: Callable[[Connection], Any], *, durable: bool) -> Any:
        """Runs the verb in a transaction, with whatever waits beside it; returns its value."""
        write = Write(verb, durable)
        if native_threads.is_patched():
            hub = get_hub()
            write.bell = self._bells.get(hub) or self._bells.setdefault(hub, _Bell(hub))
            write.waiter = Waiter(hub)
        else:
            write.waiter = threading.Event()
        if not self._is_begun:
            self._begin()
        self._inbox.put(write)
        return write.outcome()

    def close(self) -> None:
        """Finishes what waits, then lets go of the connection and ends the thread."""
        with self._lock:
            self._is_closed = True
            if not self._is_begun:
                return
            self._is_begun = False
            end = _End()
            self._inbox.put(end)
        native_threads.wait_until(lambda: end.is_over)
        for bell in self._bells.values():
            bell.close()

    def _begin(self) -> None:
        with self._lock:
            if self._is_closed:
                raise RuntimeError("this database has been closed")
            if not self._is_begun:
                native_threads.start(self._work)
                self._is_begun = True

    def _work(self) -> None:
        """The thread: batches until it is told to end."""
        end: _End | None = None
        while end is None:
            batch, end = self._batch()
            if batch:
                self._commit_whole(batch)
                _wake(batch)
        self._engine.dispose()
        end.is_over = True

    def _batch(self) -> tuple[list[Write], _End | None]:
        """All that waits, and the end if it has come."""
        batch: list[Write] = []
        one = self._inbox.get()
        while isinstance(one, Write):
            batch.append(one)
            if len(batch) == BATCH_MAX or self._inbox.empty():
                return batch, None
            one = self._inbox.get()
        return batch, one

    def _commit_whole(self, batch: list[Write]) -> None:
        try:
            self._commit(batch)
        except BaseException as error:
            mine = as_ours(error) if isinstance(error, Exception) else error
            for write in batch:
                write.error = write.error or mine

    def _commit(self, batch: list[Write]) -> None:
        """One transaction for them all, each verb behind a savepoint."""
        durable = any(write.durable for write in batch)
        with self._engine.connect() as connection:
            raw = cast(sqlite3.Connection, connection.connection.dbapi_connection)
            if self._flushes != durable:
                raw.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
                self._flushes = durable
            with connection.begin():
                for write in batch:
                    _run(connection, raw, write)


def _run(connection: Connection, raw: sqlite3.Connection, write: Write) -> None:
    """Runs one verb behind a savepoint, so that its failure does not undo its neighbours."""
    raw.execute("SAVEPOINT member")
    try:
        write.value = write.context.run(write.verb, connection)
    except BaseException as error:
        write.error = as_ours(error) if isinstance(error, Exception) else error
        if not raw.in_transaction:
            # A full disk and its like undo the whole transaction, the neighbours' writes too.
            raise write.error from error
        raw.execute("ROLLBACK TO member")
    raw.execute("RELEASE member")


def _wake(batch: list[Write]) -> None:
    """Tells the callers, those of one event loop at once."""
    waiters: dict[_Bell, list[Any]] = defaultdict(list)
    for write in batch:
        if write.bell is None:
            write.waiter.set()
        else:
            waiters[write.bell].append(write.waiter)
    for bell, of_bell in waiters.items():
        bell.ring(of_bell)
