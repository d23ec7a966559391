"""The state of periodic jobs: due when, running, how it went. `jobs` says which there are.

A job is taken by one process, however many look: who makes it due later has it. One whose process
dies amidst it is due again at its usual time. One that is due later than after two of its times has
seen the database's clock set back, and is due at once.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, and_, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.database import prepared
from solrouter.errors import NotFound
from solrouter.models import Job
from solrouter.models.columns import db_now

TEXT_CHARACTERS_MAX = 500
TIMES_MAX = 2


@dataclass(frozen=True, slots=True)
class State:
    """How a job stands."""

    name: str
    due_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    succeeded_at: datetime | None
    duration_ms: int | None
    result: str
    problem: str
    worker_id: str

    @property
    def has_not_ended(self) -> bool:
        """It runs now, or its process died amidst it."""
        return self.started_at is not None and self.ended_at is None


def add(names: Iterable[str]) -> None:
    """Makes rows for jobs that have none yet; those are due now."""
    rows = [{"name": name, "due_at": db_now()} for name in names]

    def verb(connection: Connection) -> None:
        known = set(connection.execute(select(Job.name)).scalars())
        new = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        for row in rows:
            if row["name"] not in known:
                connection.execute(new(Job).values(**row).on_conflict_do_nothing())

    database.transact(verb, durable=False)


def due(every_s: Mapping[str, int]) -> list[str]:
    """Which of these are due, each so often, those that wait longest first."""
    with database.read() as connection:
        rows = _times.rows(connection)
    # Judged here, and not by a condition for each: this is asked twice a second.
    return [row.name for row in rows if row.name in every_s and _is_time(row, every_s[row.name])]


@prepared
def _times(_dialect: str) -> Select[*tuple[Any, ...]]:
    """When each job is due, and what time it is."""
    return select(Job.name, Job.due_at, db_now().label("now")).order_by(Job.due_at)


def _is_time(row: Any, every_s: int) -> bool:
    """As `_is_due`, of a row that was read."""
    return not row.now < row.due_at <= row.now + TIMES_MAX * timedelta(seconds=every_s)


def take(name: str, *, every_s: int, worker_id: str) -> bool:
    """Takes a job that is due; False where another process has."""
    taken = update(Job).where(_is_due(name, every_s))
    taken = taken.values(
        due_at=db_now(every_s), started_at=db_now(), ended_at=None, worker_id=worker_id
    )
    rowcount: int = database.transact(
        lambda connection: connection.execute(taken).rowcount, durable=False
    )
    return rowcount == 1


def succeeded(name: str, result: str, *, took_ms: int) -> None:
    """It ended well."""
    values = {"result": result[:TEXT_CHARACTERS_MAX], "problem": "", "succeeded_at": db_now()}
    _end(name, took_ms, values)


def failed(name: str, problem: str, *, took_ms: int) -> None:
    """It ended with an error."""
    _end(name, took_ms, {"problem": problem[:TEXT_CHARACTERS_MAX]})


def ask(name: str) -> None:
    """Makes it due now. Raises NotFound."""
    asked = update(Job).where(Job.name == name).values(due_at=db_now())
    if not database.transact(lambda connection: connection.execute(asked).rowcount):
        raise NotFound("There is no such job.")


def all_of_them() -> dict[str, State]:
    """The state of every job, by its name."""
    with database.read() as connection:
        return {row[0]: State(*row) for row in connection.execute(select(*_COLUMNS))}


def _is_due(name: str, every_s: int) -> ColumnElement[bool]:
    is_time = or_(Job.due_at <= db_now(), Job.due_at > db_now(TIMES_MAX * every_s))
    return and_(Job.name == name, is_time)


def _end(name: str, took_ms: int, values: Mapping[str, Any]) -> None:
    ended = update(Job).where(Job.name == name)
    ended = ended.values(ended_at=db_now(), duration_ms=took_ms, **values)
    database.transact(lambda connection: connection.execute(ended), durable=False)


_COLUMNS = (
    Job.name,
    Job.due_at,
    Job.started_at,
    Job.ended_at,
    Job.succeeded_at,
    Job.duration_ms,
    Job.result,
    Job.problem,
    Job.worker_id,
)
