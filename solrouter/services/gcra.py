"""GCRA, the generic cell rate algorithm (ITU-T I.371): a rate limit in one number and statement.

A row of `buckets` holds the theoretical arrival time of a subject, in µs of the database's
clock. Taking moves it by a step, if it then stays within a window of now; one conditional upsert
decides and counts, so the limit is exact for any number of workers. What is refused takes nothing.
"""

from typing import Any

from sqlalchemy import Connection, case, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter.models import Bucket
from solrouter.models.columns import db_now_us


def take(
    connection: Connection, *, subject: str, kind: str, step_us: int, window_us: int
) -> int | None:
    """Moves the arrival time a step; returns how far ahead of now it is, in µs. None: refused."""
    if step_us > window_us:
        return None
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    now = db_now_us()
    start = case((Bucket.tat_us > now, Bucket.tat_us), else_=now)
    statement = insert(Bucket).values(subject=subject, kind=kind, tat_us=now + step_us)
    statement = statement.on_conflict_do_update(
        index_elements=[Bucket.subject, Bucket.kind],
        set_={"tat_us": start + step_us},
        where=start + step_us <= now + window_us,
    )
    row = connection.execute(statement.returning(Bucket.tat_us - db_now_us())).first()
    return None if row is None else int(row[0])


def ahead_us(connection: Connection, *, subject: str, kind: str) -> int:
    """How far ahead of now the arrival time is, in µs; negative or 0 when nothing is taken."""
    query = select(Bucket.tat_us - db_now_us()).where(
        Bucket.subject == subject, Bucket.kind == kind
    )
    return int(connection.execute(query).scalar() or 0)


def shift(*, subject: str, kind: str, by_us: int, window_us: int | None = None) -> Any:
    """The statement that moves the arrival time, back for what is returned.

    With a window never further ahead than that, so that nobody waits longer than one.
    """
    moved: Any = Bucket.tat_us + by_us
    if window_us is not None:
        latest = db_now_us() + window_us
        moved = case((moved > latest, latest), else_=moved)
    return update(Bucket).where(Bucket.subject == subject, Bucket.kind == kind).values(tat_us=moved)
