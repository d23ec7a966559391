"""The one door to the database: `transact` for writes, `read` for reads. Nothing else opens a
connection.

Every writing verb is a function of a connection. On PostgreSQL it runs in the calling greenlet. On
SQLite it runs in the one writer thread, which owns the only connection of the process that writes:
writers queue in order, those that wait together share one commit, and no greenlet ever waits for
SQLite's lock inside C. See docs/adr/0006-one-door-for-writes.md.
"""

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from flask import Flask, current_app
from sqlalchemy import Connection, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.pool import NullPool, StaticPool

from solrouter import native_threads
from solrouter.clock import monotonic_s
from solrouter.errors import DatabaseUnavailable

T = TypeVar("T")
log = logging.getLogger(__name__)

EXTENSION = "solrouter.database"
BATCH_MAX = 256
SQLITE_BUSY_S = 5.0
SQLITE_READERS_MAX = 32
SLOW_READERS_MAX = 4
DEADLOCK_TRIES_MAX = 5
# How long a request may stand in line for a connection while the database answers others.
LINE_S_MAX = 15.0
# Connections beyond those of the line: one to say that the process lives, one for late settlements.
PLACES_AHEAD = 2
IDLE_IN_TRANSACTION_MS = 10_000
# PostgreSQL: connection exception, invalid transaction state (read-only, timed out), insufficient
# resources, operator intervention.
ABSENT_SQLSTATE_CLASSES = frozenset(("08", "25", "53", "57"))
# PostgreSQL: deadlock_detected, serialization_failure. Nothing was changed, so trying again is
# sane.
TRANSIENT_SQLSTATES = frozenset(("40P01", "40001"))


@dataclass(slots=True)
class _Write:
    """One verb that waits for the writer thread, and later its outcome."""

    verb: Callable[[Connection], Any]
    durable: bool
    done: bool = False
    value: Any = None
    error: BaseException | None = field(default=None)


class _Line:
    """Lets in so many at once, the others in the order they came.

    The pool's own queue is not fair: whoever gives a connection back takes it again at once for its
    next step, while others wait until they time out.
    """

    def __init__(self, places: int) -> None:
        self._free = places
        self._waiting: deque[threading.Lock] = deque()
        self._mutex = threading.Lock()

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place for as long as it is needed. Raises PoolTimeout."""
        self._take()
        try:
            yield
        finally:
            self._pass_on()

    def _take(self) -> None:
        with self._mutex:
            if self._free > 0:
                self._free -= 1
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        if turn.acquire(timeout=LINE_S_MAX):
            return
        with self._mutex:
            if turn in self._waiting:
                self._waiting.remove(turn)
                raise PoolTimeout(f"no connection was free for {LINE_S_MAX:.0f} s")

    def _pass_on(self) -> None:
        with self._mutex:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._free += 1


class Database:
    """One database, two doors. Made once for each app; `close()` lets go of every connection."""

    def __init__(self, url: str, *, pool_size: int, timeout_s: float, is_command: bool) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite:")
        self._waiting: deque[_Write] = deque()
        if self.is_sqlite:
            self.reader = _sqlite_engine(url, writes=False, is_command=is_command)
            self._writer = _sqlite_engine(url, writes=True, is_command=is_command)
            self._writer_thread = native_threads.executor(1)
            self._slow_readers = native_threads.executor(SLOW_READERS_MAX)
        else:
            self.reader = _postgresql_engine(url, pool_size=pool_size, timeout_s=timeout_s)
        self._line = _Line(pool_size)
        self._unreachable_at_s = 0.0

    def transact(
        self, verb: Callable[[Connection], T], *, durable: bool = True, ahead: bool = False
    ) -> T:
        """Runs the verb in one transaction and returns what it returns; any exception undoes it.

        With `durable=False` the commit need not reach the disk before this returns (an admission).
        With `ahead` it passes those who stand in line for a connection: a process that could not
        say that it lives, for being busy, would lose its holds.
        Raises DatabaseUnavailable when the database does not answer.
        """
        if self.is_sqlite:
            return self._queued(verb, durable=durable)
        return self._direct(verb, durable=durable, ahead=ahead)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading. Raises DatabaseUnavailable when there is none to be had."""
        with _translated(), self._connected() as connection:
            yield connection

    def read_apart(self, query: Callable[[Connection], T]) -> T:
        """Runs a query that may take more than a few milliseconds, and returns what it returns.

        On SQLite in a thread of its own, since it would stop every other request meanwhile.
        """
        if self.is_sqlite:
            return self._slow_readers.submit(self._read_whole, query).result()
        return self._read_whole(query)

    def _read_whole(self, query: Callable[[Connection], T]) -> T:
        with self.read() as connection:
            return query(connection)

    def close(self) -> None:
        """Finishes the writes that wait, then closes every connection."""
        if self.is_sqlite:
            self._writer_thread.submit(self._writer.dispose).result()
            self._writer_thread.shutdown()
            self._slow_readers.shutdown()
        self.reader.dispose()

    @contextmanager
    def _connected(self, *, ahead: bool = False) -> Iterator[Connection]:
        """A connection, in turn.

        Those who stood in line while the database could not be reached do not try it again one
        after another: they are told at once.
        """
        if self.is_sqlite or ahead:
            with self.reader.connect() as connection:
                yield connection
            return
        came_s = monotonic_s()
        with self._line.place():
            if self._unreachable_at_s > came_s:
                raise PoolTimeout("the database could not be reached")
            try:
                connection = self.reader.connect()
            except OperationalError:
                self._unreachable_at_s = monotonic_s()
                raise
            with connection:
                yield connection

    def _direct(self, verb: Callable[[Connection], T], *, durable: bool, ahead: bool) -> T:
        for tries_left in reversed(range(DEADLOCK_TRIES_MAX)):
            try:
                with (
                    _translated(),
                    self._connected(ahead=ahead) as connection,
                    connection.begin(),
                ):
                    if not durable:
                        connection.execute(text("SET LOCAL synchronous_commit = off"))
                    return verb(connection)
            except DBAPIError as error:
                if (
                    getattr(error.orig, "sqlstate", None) not in TRANSIENT_SQLSTATES
                    or not tries_left
                ):
                    raise
                time.sleep(0.005)
        raise AssertionError("the last try returns or raises")

    def _queued(self, verb: Callable[[Connection], T], *, durable: bool) -> T:
        write = _Write(verb, durable)
        self._waiting.append(write)
        # One hop for each write, but whichever hop comes first takes all that wait along.
        self._writer_thread.submit(self._write_until, write).result()
        if write.error is not None:
            raise write.error
        return cast(T, write.value)

    def _write_until(self, write: _Write) -> None:
        """In the writer thread: commits batches until this write is among them."""
        while not write.done:
            batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), BATCH_MAX))]
            try:
                with _translated():
                    self._commit_together(batch)
            except BaseException as error:
                for member in batch:
                    member.error = member.error or error
            for member in batch:
                member.done = True

    def _commit_together(self, batch: list[_Write]) -> None:
        durable = any(member.durable for member in batch)
        with self._writer.connect() as connection:
            raw = cast(sqlite3.Connection, connection.connection.dbapi_connection)
            raw.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
            with connection.begin():
                for member in batch:
                    _run_member(connection, member)


def _run_member(connection: Connection, member: _Write) -> None:
    """Runs one verb behind a savepoint, so that its failure does not undo its neighbours."""
    try:
        with connection.begin_nested():
            member.value = member.verb(connection)
    except BaseException as error:
        member.error = _as_ours(error) if isinstance(error, Exception) else error
        raw = cast(sqlite3.Connection, connection.connection.dbapi_connection)
        if not raw.in_transaction:
            # A full disk and its like undo the whole transaction, the neighbours' writes too.
            raise member.error from error


def _as_ours(error: Exception) -> Exception:
    """DatabaseUnavailable if the database does not answer; else the error itself."""
    if not _means_absent(error) or _transient(error):
        return error
    log.error("the database does not answer: %s", getattr(error, "orig", error))
    ours = DatabaseUnavailable("The database does not answer at the moment. Please try again.")
    ours.__cause__ = error
    return ours


def _means_absent(error: Exception) -> bool:
    """Whether the error says that there is no database to write to, rather than that we erred."""
    if isinstance(error, OperationalError | InterfaceError | PoolTimeout):
        return True
    sqlstate = getattr(getattr(error, "orig", None), "sqlstate", None) or ""
    return isinstance(error, DBAPIError) and (
        error.connection_invalidated or sqlstate[:2] in ABSENT_SQLSTATE_CLASSES
    )


def _transient(error: Exception) -> bool:
    return getattr(getattr(error, "orig", None), "sqlstate", None) in TRANSIENT_SQLSTATES


@contextmanager
def _translated() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeout) as error:
        ours = _as_ours(error)
        if ours is error:
            raise
        raise ours from error


def _sqlite_engine(url: str, *, writes: bool, is_command: bool) -> Engine:
    arguments: dict[str, Any] = {"check_same_thread": False, "timeout": SQLITE_BUSY_S}
    if writes:
        engine = create_engine(
            url, poolclass=StaticPool, connect_args=arguments, hide_parameters=True
        )
    else:
        engine = create_engine(
            url,
            pool_size=SQLITE_READERS_MAX,
            max_overflow=0,
            connect_args=arguments,
            hide_parameters=True,
        )

    @event.listens_for(engine, "connect")
    def on_connect(connection: sqlite3.Connection, _record: Any) -> None:
        # SQLAlchemy's own `begin` event below opens transactions; the driver must not.
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys = ON")
        if not writes:
            connection.execute("PRAGMA query_only = ON")
            return
        connection.execute("PRAGMA journal_mode = WAL")
        if is_command:
            # Before SQLite 3.51.3 two processes that checkpoint can corrupt the file; the server
            # does it.
            connection.execute("PRAGMA wal_autocheckpoint = 0")

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    return engine


def _postgresql_engine(url: str, *, pool_size: int, timeout_s: float) -> Engine:
    statement_ms = int(timeout_s * 10_000)
    options = (
        f"-c timezone=UTC -c statement_timeout={statement_ms} "
        f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS}"
    )
    return create_engine(
        url,
        pool_size=pool_size + PLACES_AHEAD,
        max_overflow=0,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args={
            "connect_timeout": max(1, int(timeout_s)),
            "options": options,
            # A server that vanishes without a word is noticed in seconds, not in TCP's minutes.
            "keepalives_idle": 5,
            "keepalives_interval": 2,
            "keepalives_count": 3,
            "tcp_user_timeout": int(timeout_s * 5_000),
        },
    )


def migration_engine(url: str) -> Engine:
    """A plain engine for the migrations, which run in a process of their own."""
    if not url.startswith("sqlite:"):
        return create_engine(url, poolclass=NullPool)
    return _sqlite_engine(url, writes=True, is_command=True)


def init_app(app: Flask, *, is_command: bool) -> Database:
    """Binds a Database to the app."""
    database = Database(
        app.config["DATABASE_URL"],
        pool_size=app.config["SOLROUTER_DB_POOL_SIZE"],
        timeout_s=app.config["SOLROUTER_DB_TIMEOUT_S"],
        is_command=is_command,
    )
    app.extensions[EXTENSION] = database
    return database


def current() -> Database:
    """The current app's database."""
    return cast(Database, current_app.extensions[EXTENSION])


def transact(verb: Callable[[Connection], T], *, durable: bool = True, ahead: bool = False) -> T:
    """`Database.transact` of the current app."""
    return current().transact(verb, durable=durable, ahead=ahead)


def read_apart(query: Callable[[Connection], T]) -> T:
    """`Database.read_apart` of the current app."""
    return current().read_apart(query)


@contextmanager
def read() -> Iterator[Connection]:
    """`Database.read` of the current app."""
    with current().read() as connection:
        yield connection
