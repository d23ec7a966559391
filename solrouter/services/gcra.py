"""GCRA, the generic cell rate algorithm (ITU-T I.371): a rate limit in one number and statement.

A row of `buckets` holds the theoretical arrival time of a subject, in µs of the database's
clock. Taking moves it by a step, if it then stays within a window of now; one conditional upsert
decides and counts, so the limit is exact for any number of workers. What is refused takes nothing.

A time further ahead than two windows was written before the database's clock was set back: it
counts as nothing, or everybody would wait until the clock is there again.
"""

from sqlalchemy import (
    BigInteger,
    BindParameter,
    ColumnElement,
    Connection,
    Executable,
    bindparam,
    case,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from solrouter.database import prepared
from solrouter.models import Bucket
from solrouter.models.columns import db_now_us

# No time is ever written that is further ahead than one; transactions that wait see some seconds.
WINDOWS_MAX = 2


def take(
    connection: Connection, *, subject: str, kind: str, step_us: int, window_us: int
) -> int | None:
    """Moves the arrival time a step; returns how far ahead of now it is, in µs. None: refused."""
    if step_us > window_us:
        return None
    row = _take.first(connection, subject=subject, kind=kind, step_us=step_us, window_us=window_us)
    return None if row is None else int(row[0])


def ahead_us(connection: Connection, *, subject: str, kind: str) -> int:
    """How far ahead of now the arrival time is, in µs; negative or 0 when nothing is taken."""
    row = _ahead.first(connection, subject=subject, kind=kind)
    return 0 if row is None else int(row[0])


def shift(connection: Connection, *, subject: str, kind: str, by_us: int) -> None:
    """Moves the arrival time, back for what is returned."""
    _shift.changes(connection, subject=subject, kind=kind, by_us=by_us)


def shift_within(
    connection: Connection, *, subject: str, kind: str, by_us: int, window_us: int
) -> None:
    """`shift`, but never further ahead than a window, so that nobody waits longer than one."""
    _shift_within.changes(connection, subject=subject, kind=kind, by_us=by_us, window_us=window_us)


@prepared
def _take(dialect: str) -> Executable:
    insert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    now, step_us = db_now_us(), _microseconds("step_us")
    window_us = _microseconds("window_us")
    is_ahead = Bucket.tat_us.between(now, now + window_us * WINDOWS_MAX)
    start = case((is_ahead, Bucket.tat_us), else_=now)
    statement = insert(Bucket).values(
        subject=bindparam("subject"), kind=bindparam("kind"), tat_us=now + step_us
    )
    statement = statement.on_conflict_do_update(
        index_elements=[Bucket.subject, Bucket.kind],
        set_={"tat_us": start + step_us},
        where=start + step_us <= now + window_us,
    )
    return statement.returning((Bucket.tat_us - db_now_us()).label("ahead_us"))


@prepared
def _ahead(_dialect: str) -> Executable:
    return select((Bucket.tat_us - db_now_us()).label("ahead_us")).where(*_is_it())


@prepared
def _shift(_dialect: str) -> Executable:
    return update(Bucket).where(*_is_it()).values(tat_us=Bucket.tat_us + _microseconds("by_us"))


@prepared
def _shift_within(_dialect: str) -> Executable:
    moved = Bucket.tat_us + _microseconds("by_us")
    latest = db_now_us() + _microseconds("window_us")
    nearest = case((moved > latest, latest), else_=moved)
    return update(Bucket).where(*_is_it()).values(tat_us=nearest)


def _microseconds(name: str) -> BindParameter[int]:
    return bindparam(name, type_=BigInteger)


def _is_it() -> tuple[ColumnElement[bool], ...]:
    return Bucket.subject == bindparam("subject"), Bucket.kind == bindparam("kind")
