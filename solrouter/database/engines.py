"""How each database is opened: what every connection to it is told first."""

import os
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any

from psycopg import Connection as PostgresqlConnection
from psycopg.types.numeric import Int8Dumper
from sqlalchemy import Connection, Engine, NullPool, StaticPool, create_engine, event, make_url

SQLITE_BUSY_S = 5.0
# So long a machine's migrations wait for another's.
MIGRATION_WAIT_S = 900.0
SQLITE_READERS_MAX = 32
# Connections beyond those of the line: one to say that the process lives, one for late settlements.
PLACES_AHEAD = 2
IDLE_IN_TRANSACTION_MS = 10_000
# Else a database in SQL_ASCII answers in bytes, and nobody could say what is wrong with it.
AS_TEXT = {"client_encoding": "utf8"}
# A lane runs the same few statements for ever: planned once, not for each value.
PLANNED_ONCE = "-c plan_cache_mode=force_generic_plan"
UNFLUSHED = "-c synchronous_commit=off"
# Compiling a query takes longer than any of ours runs, the more so the more months a table has.
NOT_COMPILED = "-c jit=off"
# So does starting helpers for it, which the planner wants where it cannot know how little is read:
# from a watermark on that the statement itself looks up.
WITHOUT_HELPERS = "-c max_parallel_workers_per_gather=0"


def sqlite_engine(
    url: str, *, writes: bool, is_command: bool, wait_s: float = SQLITE_BUSY_S
) -> Engine:
    """Opens the file, which must be there: to read in any greenlet, or to write in one thread."""
    arguments: dict[str, Any] = {"check_same_thread": False, "timeout": wait_s}
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

    @event.listens_for(engine, "do_connect")
    def before_connect(*_: Any) -> None:
        # SQLite would make it, empty and everybody's to read, for whoever only wants to look.
        if not Path(str(engine.url.database)).exists():
            raise sqlite3.OperationalError(f"there is no file at {engine.url.database}")

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


def make_file(url: str) -> None:
    """Makes an SQLite file for its owner alone, and its companions are like it; if there is none.

    Where it cannot be made, whoever opens it hears why.
    """
    with suppress(OSError):
        os.close(os.open(str(make_url(url).database), os.O_CREAT | os.O_EXCL, 0o600))


def postgresql_engine(url: str, *, pool_size: int, timeout_s: float) -> Engine:
    """A pool of connections for verbs and pages."""
    return create_engine(
        url,
        pool_size=pool_size + PLACES_AHEAD,
        max_overflow=0,
        pool_timeout=timeout_s,
        pool_pre_ping=True,
        hide_parameters=True,
        connect_args=_postgresql_arguments(timeout_s),
    )


def lane_engine(url: str, *, timeout_s: float, durable: bool) -> Engine:
    """Opens the one connection of a lane."""
    options = PLANNED_ONCE if durable else f"{PLANNED_ONCE} {UNFLUSHED}"
    engine = create_engine(
        url,
        poolclass=NullPool,
        hide_parameters=True,
        connect_args=_postgresql_arguments(timeout_s, options),
    )

    @event.listens_for(engine, "connect")
    def on_connect(connection: PostgresqlConnection[Any], _record: Any) -> None:
        connection.autocommit = True
        # Else a small number and a large one would be two statements to prepare.
        connection.adapters.register_dumper(int, Int8Dumper)

    return engine


def migration_engine(url: str) -> Engine:
    """A plain engine for the migrations, which run in a process of their own."""
    if not url.startswith("sqlite:"):
        return create_engine(url, poolclass=NullPool, hide_parameters=True, connect_args=AS_TEXT)
    return sqlite_engine(url, writes=True, is_command=True, wait_s=MIGRATION_WAIT_S)


def _postgresql_arguments(timeout_s: float, options: str = "") -> dict[str, Any]:
    statement_ms = int(timeout_s * 10_000)
    return {
        **AS_TEXT,
        "connect_timeout": max(1, int(timeout_s)),
        "options": (
            f"-c timezone=UTC -c statement_timeout={statement_ms} "
            f"-c idle_in_transaction_session_timeout={IDLE_IN_TRANSACTION_MS} "
            f"{NOT_COMPILED} {WITHOUT_HELPERS} {options}"
        ),
        # A server that vanishes without a word is noticed in seconds, not in TCP's minutes.
        "keepalives_idle": 5,
        "keepalives_interval": 2,
        "keepalives_count": 3,
        "tcp_user_timeout": int(timeout_s * 5_000),
    }
