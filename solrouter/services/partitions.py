"""The months of completions and transfers on PostgreSQL: made ahead of time, and told of.

    completions_before_2026_12   all that came before that month
    completions_2026_12          the requests that began in it, by the time in their ids
    completions_from_2027_02     whatever comes later; the last one is open to the end of time

The last partition is closed at the end of a month and the next one opened behind it, long before
that month begins. If nobody does so in time, the open one takes what comes, and is closed later, at
the end of the month that then is: it holds several months, and no row is ever moved.

One that is in use already is told its end first, by a check that PostgreSQL proves beside the
running work; to close it then is a moment's lock, whatever it holds. SQLite has none of this.
"""

import logging
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError

from solrouter import database
from solrouter.clock import first_id_at, months_later, start_of_month, time_of, utcnow
from solrouter.database.faults import sqlstate
from solrouter.errors import SolRouterError

log = logging.getLogger(__name__)

TABLES = ("completions", "transfers")
APPEND_ONLY = ("transfers",)
# Whole months that are ready beyond the current one; with fewer than the alarm something is wrong.
MONTHS_AHEAD, MONTHS_AHEAD_ALARM = 3, 1
# An end that is told to a partition in use refuses later ids until the next is open, so it is never
# near; and if it came near all the same, it is taken back.
END_IS_NEAR = timedelta(days=3)
# Ids come from the machines' clocks. One beyond this is of a clock that is wrong.
NEWEST_AFTER_MAX = timedelta(days=400)
# All who write a receipt wait behind a try to lock, so it is short; and longer than PostgreSQL
# lets its own vacuum stand in the way (deadlock_timeout, one second).
LOCK_WAIT = "1500ms"
LOCK_NOT_AVAILABLE = "55P03"
# Any number, but this one everywhere, and one more for each table: whoever else changes a table's
# partitions at the same time steps back.
ADVISORY_LOCK = 7_105_202_618
SOMEBODY_ELSE = "Another process is changing the table's months."
BOUNDS = re.compile(
    r"FROM \((?:MINVALUE|'([0-9a-f-]{36})')\) TO \((?:MAXVALUE|'([0-9a-f-]{36})')\)"
)


class TableBusy(SolRouterError):
    """Somebody reads or changes the table for so long that it is left for the next time."""


class ClockIsWrong(SolRouterError):
    """The newest row is from far in the future: some machine's clock was wrong."""


@dataclass(frozen=True, slots=True)
class Partition:
    """A part of a table, from an instant to another; None: open. Rows are PostgreSQL's estimate."""

    table: str
    name: str
    begins_at: datetime | None
    ends_at: datetime | None
    rows: int = field(compare=False)
    size_bytes: int = field(compare=False)

    def holds(self, moment: datetime) -> bool:
        """Whether a request that began then is in it."""
        is_after = self.begins_at is None or self.begins_at <= moment
        return is_after and (self.ends_at is None or moment < self.ends_at)

    def is_over(self, moment: datetime) -> bool:
        """Whether all that can be in it is from before."""
        return self.ends_at is not None and self.ends_at <= moment


def overview() -> list[Partition]:
    """All partitions, table by table, in the order of time; none on SQLite."""
    if database.current().is_sqlite:
        return []
    with database.read() as connection:
        return [each for table in TABLES for each in parts(connection, table)]


def problem(now: datetime | None = None) -> str | None:
    """What an operator must know: that the months ahead run out. None when all is well."""
    alarm_at = months_later(start_of_month(now or utcnow()), MONTHS_AHEAD_ALARM)
    for last in overview():
        if last.ends_at is None and (last.begins_at is None or last.begins_at <= alarm_at):
            return (
                f"the table {last.table} has no months ready ahead of time; it works, and grows in "
                "one piece"
            )
    return None


def keep_up(now: datetime | None = None) -> int:
    """Makes the months that are missing; says how many that were.

    Raises TableBusy and ClockIsWrong; what is missing then is made the next time.
    """
    if database.current().is_sqlite:
        return 0
    cuts = 0
    for table in TABLES:
        while _go_on(table, now or utcnow()):
            cuts += 1
    if cuts:
        log.info("made %d months ready for what is to come", cuts)
        database.transact(_analyze)
    return cuts


def drop_until(table: str, end: datetime) -> int:
    """Drops the parts of a table that are over by then, with all rows; says how many.

    An empty part takes their place, so that no id is without a home, however wrong a clock is.
    Raises TableBusy. Only for completions: transfers are never dropped.
    """
    assert table not in APPEND_ONLY
    with database.read() as connection:
        old = [part for part in parts(connection, table) if part.is_over(end)]
        is_done = len(old) == 1 and old[0].begins_at is None and _is_empty(connection, old[0])
    if not old or is_done:
        return 0
    _transact(partial(_drop, old=old))
    log.info("dropped %s", ", ".join(part.name for part in old))
    return len(old)


def _drop(connection: Connection, old: list[Partition]) -> None:
    table, end = old[0].table, old[-1].ends_at
    assert end is not None
    _claim(connection, table)
    _run(connection, f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE")
    if parts(connection, table)[: len(old)] != old:
        raise TableBusy(SOMEBODY_ELSE)
    for part in old:
        _run(connection, f"ALTER TABLE {table} DETACH PARTITION {part.name}")
        _run(connection, f"DROP TABLE {part.name}")
    name = f"{table}_before_{end:%Y_%m}"
    _run(connection, f"CREATE TABLE {name} (LIKE {table} INCLUDING ALL)")
    _attach(connection, table, name, "MINVALUE", f"'{first_id_at(end)}'")


def _is_empty(connection: Connection, part: Partition) -> bool:
    return connection.execute(text(f"SELECT FROM {part.name} LIMIT 1")).first() is None


def parts(connection: Connection, table: str) -> list[Partition]:
    """The partitions of one table in the order of time."""
    rows = connection.execute(_PARTS, {"table": table})
    found = [_partition(table, *row) for row in rows]
    return sorted(found, key=lambda each: (each.begins_at is not None, each.begins_at))


_PARTS = text(
    "SELECT relname, pg_get_expr(relpartbound, pg_class.oid), greatest(reltuples, 0)::bigint, "
    "pg_total_relation_size(pg_class.oid) FROM pg_inherits "
    "JOIN pg_class ON pg_class.oid = inhrelid WHERE inhparent = CAST(:table AS regclass)"
)


def _partition(table: str, name: str, bounds: str, rows: int, size_bytes: int) -> Partition:
    found = BOUNDS.search(bounds)
    assert found is not None, bounds
    begins_at, ends_at = (
        None if each is None else time_of(uuid.UUID(each)) for each in found.groups()
    )
    return Partition(table, name, begins_at, ends_at, rows, size_bytes)


def _go_on(table: str, now: datetime) -> bool:
    """Closes a table's open partition, if months are missing."""
    with database.read() as connection:
        [*_, last] = parts(connection, table)
        end = _end_of(connection, last, now)
    if end is None:
        return False
    if last.holds(now):
        _close_in_use(last, end)
    else:
        _transact(partial(_close, last=last, end=end))
    return True


def _end_of(connection: Connection, last: Partition, now: datetime) -> datetime | None:
    """Where the open partition is to end; None: it begins late enough to stay open."""
    begins_at = last.begins_at
    if begins_at is not None and begins_at > months_later(start_of_month(now), MONTHS_AHEAD):
        return None
    before_end = now + END_IS_NEAR if begins_at is None or begins_at <= now else begins_at
    # Asked of the whole table: another process may give the part another name meanwhile.
    newest = connection.execute(text(f"SELECT id FROM {last.table} ORDER BY id DESC LIMIT 1"))
    newest_id = newest.scalar()
    if newest_id is not None:
        before_end = max(before_end, time_of(newest_id))
    if before_end > now + NEWEST_AFTER_MAX:
        raise ClockIsWrong(f"The newest row of {last.table} is of {before_end:%Y-%m-%d}.")
    return months_later(start_of_month(before_end), 1)


def _close_in_use(last: Partition, end: datetime) -> None:
    """Closes a partition that takes rows at this moment and may hold very many."""
    _transact(partial(_tell_end, last=last, end=end))
    try:
        _transact(partial(_prove_end, last=last))
        _transact(partial(_close, last=last, end=end, proven=True))
    except Exception:
        # What was told would refuse the rows of later months.
        _transact(partial(_take_end_back, last=last))
        raise


def _tell_end(connection: Connection, last: Partition, end: datetime) -> None:
    _take_end_back(connection, last)
    first_id = first_id_at(end)
    _run(
        connection,
        f"ALTER TABLE {last.name} ADD CONSTRAINT its_end CHECK (id < '{first_id}') NOT VALID",
    )


def _prove_end(connection: Connection, last: Partition) -> None:
    """Reads the whole partition, beside those who use it."""
    _run(connection, "SET LOCAL statement_timeout = 0")
    _run(connection, f"ALTER TABLE {last.name} VALIDATE CONSTRAINT its_end")


def _take_end_back(connection: Connection, last: Partition) -> None:
    _claim_last(connection, last)
    _run(connection, f"ALTER TABLE {last.name} DROP CONSTRAINT IF EXISTS its_end")


def _close(connection: Connection, last: Partition, end: datetime, *, proven: bool = False) -> None:
    """Gives the open partition its end and its name, and opens the next behind it."""
    table, first_id = last.table, first_id_at(end)
    month = end if last.begins_at is None else last.begins_at
    name = f"{table}_{'before_' if last.begins_at is None else ''}{month:%Y_%m}"
    following = f"{table}_from_{end:%Y_%m}"
    begins = "MINVALUE" if last.begins_at is None else f"'{first_id_at(last.begins_at)}'"
    _claim_last(connection, last)
    # Whoever waits for a row of the table waits for this, so it is asked for as a whole.
    _run(connection, f"LOCK TABLE ONLY {table} IN ACCESS EXCLUSIVE MODE")
    if proven and not connection.execute(_IS_PROVEN, {"name": last.name}).scalar():
        raise TableBusy(SOMEBODY_ELSE)
    _run(connection, f"ALTER TABLE {table} DETACH PARTITION {last.name}")
    _run(connection, f"ALTER TABLE {last.name} RENAME TO {name}")
    _attach(connection, table, name, begins, f"'{first_id}'")
    _run(connection, f"ALTER TABLE {name} DROP CONSTRAINT IF EXISTS its_end")
    _run(connection, f"CREATE TABLE {following} (LIKE {table} INCLUDING ALL)")
    if table in APPEND_ONLY:
        # The trigger of the whole table does not see who writes here directly.
        _run(
            connection,
            f"CREATE TRIGGER {following}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
            f"ON {following} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()",
        )
    _attach(connection, table, following, f"'{first_id}'", "MAXVALUE")


_IS_PROVEN = text(
    "SELECT convalidated FROM pg_constraint WHERE conrelid = CAST(:name AS regclass) "
    "AND conname = 'its_end'"
)


def _attach(connection: Connection, table: str, name: str, begins: str, ends: str) -> None:
    _run(
        connection,
        f"ALTER TABLE {table} ATTACH PARTITION {name} FOR VALUES FROM ({begins}) TO ({ends})",
    )


def _claim_last(connection: Connection, last: Partition) -> None:
    """As `_claim`, for the open partition, if it still is that."""
    _claim(connection, last.table)
    if parts(connection, last.table)[-1].name != last.name:
        raise TableBusy(SOMEBODY_ELSE)


def _claim(connection: Connection, table: str) -> None:
    """From now on waits for locks for a moment only. Raises TableBusy if others change a table."""
    _run(connection, f"SET LOCAL lock_timeout = '{LOCK_WAIT}'")
    number = ADVISORY_LOCK + TABLES.index(table)
    if not connection.execute(text(f"SELECT pg_try_advisory_xact_lock({number})")).scalar():
        raise TableBusy(SOMEBODY_ELSE)


def _transact(verb: Callable[[Connection], None]) -> None:
    """One step. Raises TableBusy when its locks are not to be had in time."""

    def step(connection: Connection) -> None:
        try:
            verb(connection)
        except DBAPIError as error:
            if sqlstate(error) == LOCK_NOT_AVAILABLE:
                raise TableBusy("Others use the table; the next look tries again.") from error
            raise

    database.transact(step)


def _analyze(connection: Connection) -> None:
    """PostgreSQL keeps the statistics of each part by itself, and those of the whole never."""
    _run(connection, "SET LOCAL statement_timeout = 0")
    for table in TABLES:
        _run(connection, f"ANALYZE {table}")


def _run(connection: Connection, statement: str) -> None:
    connection.exec_driver_sql(statement)
