"""Cost as work grows: the plain load with more workers, more history, more customers.

One thing grows at a time; the others stay at one worker, no history and a hundred customers. One
customer is the hot account, many are cold ones. On PostgreSQL history is measured by month, as a
server that has grown has it, and in one piece, as it would be without. With more than one worker
nothing is kept on one core, so compare those with one another only.
"""

import os
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import psycopg
from psycopg import sql
from sqlalchemy.exc import IntegrityError

from bench.faults.databases import POSTGRESQL, SQLITE, Databases
from bench.speed import machine
from bench.speed.crowd import Crowd
from bench.speed.measuring import Sample, measure, say
from bench.speed.scenarios import Scenario
from bench.speed.targets.base import Surroundings
from bench.speed.targets.solrouter import SolRouter
from solrouter import clock, create_app, database
from solrouter.services import key_usage, ledger_days, partitions, usage_days

SPREAD = timedelta(days=360)
TABLES = ("completions", "transfers")
BATCH = 20_000
CUSTOMERS = 100
# Commits need not be flushed while thousands of customers are made.
UNFLUSHED = {"PGOPTIONS": "-c synchronous_commit=off"}


@dataclass(frozen=True)
class Step:
    """One size of everything."""

    kind: str
    workers: int = 1
    completions: int = 0
    customers: int = CUSTOMERS
    is_by_month: bool = True

    @property
    def facts(self) -> Sample:
        """For the table."""
        return {
            "database": self.kind,
            "workers": self.workers,
            "completions": self.completions,
            "is_by_month": self.is_by_month and self.kind == POSTGRESQL,
            "customers": self.customers,
        }


def steps(kinds: tuple[str, ...], *, full: bool) -> Iterator[Step]:
    """What is measured, one axis after the other."""
    for kind in kinds:
        for customers in (1, CUSTOMERS, 10_000) if full else (1, CUSTOMERS, 1_000):
            yield Step(kind, customers=customers)
        yield Step(kind, completions=100_000)
        if kind == POSTGRESQL:
            yield Step(kind, completions=100_000, is_by_month=False)
        if full:
            yield Step(kind, completions=5_000_000)
            if kind == POSTGRESQL:
                yield Step(kind, completions=5_000_000, is_by_month=False)
        if kind == POSTGRESQL:
            yield Step(kind, workers=2)
            yield Step(kind, workers=4)


def run(
    around: Surroundings,
    databases: Databases,
    scenario: Scenario,
    upstream_pid: int,
    found: Iterator[Step],
) -> Iterator[Sample]:
    """Measures each step on a database of its own."""
    for step in found:
        target = SolRouter(
            around, databases, step.kind, customers=step.customers, workers=step.workers
        )
        if reason := target.missing():
            say(f"growth: {step.kind} is missing: {reason}")
            continue
        if step.workers > 1:
            target.cores = frozenset({around.core, *machine.cores()})
        sample = _measured(target, step, scenario, upstream_pid)
        say(f"growth: {sample}")
        yield sample


def _measured(target: SolRouter, step: Step, scenario: Scenario, upstream_pid: int) -> Sample:
    os.environ |= UNFLUSHED
    try:
        target.prepare()
    finally:
        for name in UNFLUSHED:
            del os.environ[name]
    if step.is_by_month:
        _use(target, _make_past_months)
    try:
        target.start()
        if step.completions:
            # The rows that are multiplied: one answer's.
            Crowd(scenario.load(target), target.port).run()
            fill(target.url, step.completions)
            # Else the server would sum up the history while it is measured.
            _use(target, _sum_up)
        sample = measure(target, scenario, upstream_pid, 1)
    finally:
        target.stop()
    wanted = ("requests_per_s", "cpu_us", "database_cpu_us", "p50_ms", "p99_ms", "errors")
    return {**step.facts, **{name: sample[name] for name in (*wanted, "others_cores")}}


def _use(target: SolRouter, work: Callable[[], object]) -> None:
    """Does something with a target's database, through the services."""
    app = create_app(target.settings)
    with app.app_context():
        work()
        database.current().close()


def _make_past_months() -> None:
    """As a server has them that has run for so long."""
    month, now = clock.start_of_month(clock.utcnow() - SPREAD), clock.utcnow()
    while month <= now:
        partitions.keep_up(month)
        month = clock.months_later(month, 1)


def _sum_up() -> None:
    is_left = True
    while is_left:
        # The server does so, too, and may have been the first.
        with suppress(IntegrityError):
            is_left = bool(usage_days.roll_up() or key_usage.roll_up() or ledger_days.roll_up())


def fill(url: str, rows: int) -> None:
    """Adds so many rows of history, copies of one that is there, spread over the past."""
    if url.startswith("sqlite"):
        with closing(sqlite3.connect(url.removeprefix("sqlite:///"), timeout=60)) as connection:
            for table in TABLES:
                _fill_sqlite(connection, table, rows)
        return
    with psycopg.connect(url, autocommit=True) as connection:
        for table in TABLES:
            _fill_postgresql(connection, table, rows)
            connection.execute(sql.SQL("VACUUM ANALYZE {}").format(sql.Identifier(table)))


def _fill_postgresql(connection: "psycopg.Connection[Any]", table: str, rows: int) -> None:
    """In the server itself: nothing else is fast enough for millions."""
    query = "SELECT column_name FROM information_schema.columns WHERE table_name = %s"
    columns = [str(row[0]) for row in connection.execute(query, [table]).fetchall()]
    # Time-ordered ids: 48 bits of milliseconds, then chance.
    made = {
        "id": sql.SQL(
            "(lpad(to_hex((extract(epoch FROM moment) * 1000)::bigint), 12, '0') || '7'"
            " || substr(md5(random()::text), 1, 3) || '8' || substr(md5(random()::text), 1, 15)"
            ")::uuid"
        ),
        "created_at": sql.SQL("moment"),
        "ended_at": sql.SQL("moment"),
        "account_id": sql.SQL(
            "1 + (n % (SELECT count(*) FROM accounts)) + (SELECT min(id) - 1 FROM accounts)"
        ),
    }
    chosen = sql.SQL(", ").join(made.get(name, sql.Identifier(name)) for name in columns)
    connection.execute(
        sql.SQL(
            "INSERT INTO {table} ({columns}) SELECT {chosen} FROM (SELECT t.*, n,"
            " now() - {spread} * (1 - n / {rows}::float) AS moment FROM generate_series(1, {rows})"
            " AS n, (SELECT * FROM {table} ORDER BY id DESC LIMIT 1) AS t) AS past"
        ).format(
            table=sql.Identifier(table),
            columns=sql.SQL(", ").join(map(sql.Identifier, columns)),
            chosen=chosen,
            spread=sql.Literal(SPREAD),
            rows=sql.Literal(rows),
        )
    )


def _fill_sqlite(connection: sqlite3.Connection, table: str, rows: int) -> None:
    cursor = connection.execute(f"SELECT * FROM {table} ORDER BY id DESC LIMIT 1")
    columns = [str(column[0]) for column in cursor.description]
    model = dict(zip(columns, cursor.fetchone(), strict=True))
    accounts = [row[0] for row in connection.execute("SELECT id FROM accounts")]
    places = ", ".join("?" for _ in columns)
    query = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"
    now = datetime.now(UTC)
    for start in range(0, rows, BATCH):
        many = []
        for number in range(start, min(start + BATCH, rows)):
            moment = now - SPREAD * (1 - number / rows)
            text = moment.strftime("%Y-%m-%d %H:%M:%S.%f")
            made = {"id": _time_ordered(moment), "created_at": text, "ended_at": text}
            made["account_id"] = accounts[number % len(accounts)]
            many.append([made.get(name, model[name]) for name in columns])
        # The server waits for its turn no longer than for its own batches.
        with connection:
            connection.executemany(query, many)


def _time_ordered(moment: datetime) -> bytes:
    milliseconds = int(moment.timestamp() * 1000).to_bytes(6, "big")
    chance = bytearray(uuid.uuid4().bytes[6:])
    chance[0] = chance[0] & 0x0F | 0x70
    return milliseconds + bytes(chance)


def kinds_of(database: str) -> tuple[str, ...]:
    """Both, or the one that was asked for."""
    return (SQLITE, POSTGRESQL) if database == "both" else (database,)
