"""The one door to the database: `transact` for writes, `read` for reads. Nothing else opens a
connection.

Every writing verb is a function of a connection. On PostgreSQL it runs in the calling greenlet. On
SQLite it runs in the one writer thread, which owns the only connection of the process that writes:
writers queue in order, those that wait together share one commit, and no greenlet ever waits for
SQLite's lock inside C. See docs/adr/0006-one-door-for-writes.md.

The steps of a request have a faster door on PostgreSQL: `together` runs one statement in a batch
with all that wait. See docs/adr/0008-one-statement-a-step.md.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar, cast

from flask import Flask
from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from solrouter import apps, native_threads
from solrouter.clock import monotonic_s
from solrouter.database import copies
from solrouter.database.compiled import Numbered, Prepared, array, prepared
from solrouter.database.engines import (
    lane_engine,
    make_file,
    migration_engine,
    postgresql_engine,
    sqlite_engine,
)
from solrouter.database.faults import is_transient, translated
from solrouter.database.groups import DEADLOCK_TRIES_MAX, Lane, Step
from solrouter.database.line import Line
from solrouter.database.writer import Writer

T = TypeVar("T")

EXTENSION = "solrouter.database"
SLOW_READERS_MAX = 4

__all__ = [
    "Database",
    "Numbered",
    "Prepared",
    "Step",
    "array",
    "current",
    "init_app",
    "look_up",
    "migration_engine",
    "prepared",
    "read",
    "read_apart",
    "together",
    "transact",
]


class Database:
    """One database, two doors. Made once for each app; `close()` lets go of every connection."""

    def __init__(self, url: str, *, pool_size: int, timeout_s: float, is_command: bool) -> None:
        self.url = url
        self.is_sqlite = url.startswith("sqlite:")
        self._line = Line(pool_size)
        self._memories: dict[str, Any] = {}
        self._unreachable_at_s = 0.0
        if self.is_sqlite:
            self.reader = sqlite_engine(url, writes=False, is_command=is_command)
            self._writer = Writer(sqlite_engine(url, writes=True, is_command=is_command))
            self._slow_readers = native_threads.executor(SLOW_READERS_MAX)
        else:
            self.reader = postgresql_engine(url, pool_size=pool_size, timeout_s=timeout_s)
            # What need not be flushed does not wait for what must; nor does a look wait for locks.
            self._looks = Lane(lane_engine(url, timeout_s=timeout_s, durable=False))
            self._lanes = {
                durable: Lane(lane_engine(url, timeout_s=timeout_s, durable=durable))
                for durable in (False, True)
            }

    @property
    def has_no_file(self) -> bool:
        """Whether it is SQLite and nobody has made its file yet."""
        return self.is_sqlite and not copies.file_of(self.url).exists()

    def make_file(self) -> None:
        """Makes the file of SQLite if there is none. Nothing else does: who reads only looks."""
        if self.is_sqlite:
            make_file(self.url)

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
            return cast(T, self._writer.run(verb, durable=durable))
        return self._direct(verb, durable=durable, ahead=ahead)

    def together(self, step: Step, *, durable: bool) -> list[Any]:
        """Runs one statement in one transaction with all that wait, and returns its rows.

        Only on PostgreSQL. Raises DatabaseUnavailable; `step.was_sent` then says whether it may
        have happened all the same.
        """
        return self._lanes[durable].run(step)

    def look_up(self, statement: Prepared, **values: Any) -> Any | None:
        """The first row of a small query, as the hot path reads. Raises DatabaseUnavailable."""
        if self.is_sqlite:
            with self.read() as connection:
                return statement.first(connection, **values)
        compiled = statement.compiled(self.reader.dialect)
        assert compiled.numbered is not None
        found = self._looks.run(Step(compiled.numbered, compiled.parameters(values)))
        return compiled.rows(found[:1])[0] if found else None

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection for reading. Raises DatabaseUnavailable when there is none to be had."""
        with translated(), self._connected() as connection:
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

    def remembered(self, name: str, new: Callable[[], T]) -> T:
        """What a service of this process remembers of what is in here, under its name."""
        found = self._memories.get(name)
        if found is None:
            found = self._memories.setdefault(name, new())
        return cast(T, found)

    def close(self) -> None:
        """Finishes the writes that wait, then closes every connection."""
        if self.is_sqlite:
            self._writer.close()
            self._slow_readers.shutdown()
        else:
            for lane in (self._looks, *self._lanes.values()):
                lane.close()
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
                    translated(),
                    self._connected(ahead=ahead) as connection,
                    connection.begin(),
                ):
                    if not durable:
                        connection.execute(text("SET LOCAL synchronous_commit = off"))
                    return verb(connection)
            except DBAPIError as error:
                if not is_transient(error) or not tries_left:
                    raise
                time.sleep(0.005)
        raise AssertionError("the last try returns or raises")


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
    database: Database = apps.current().extensions[EXTENSION]
    return database


def transact(verb: Callable[[Connection], T], *, durable: bool = True, ahead: bool = False) -> T:
    """`Database.transact` of the current app."""
    return current().transact(verb, durable=durable, ahead=ahead)


def together(step: Step, *, durable: bool) -> list[Any]:
    """`Database.together` of the current app."""
    return current().together(step, durable=durable)


def look_up(statement: Prepared, **values: Any) -> Any | None:
    """`Database.look_up` of the current app."""
    return current().look_up(statement, **values)


def read_apart(query: Callable[[Connection], T]) -> T:
    """`Database.read_apart` of the current app."""
    return current().read_apart(query)


@contextmanager
def read() -> Iterator[Connection]:
    """`Database.read` of the current app."""
    with current().read() as connection:
        yield connection
