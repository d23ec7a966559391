"""The state of periodic jobs: due when, running, how it went. `jobs` says which there are.

A job is taken by one process, however many look: who makes it due later has it. One whose process
dies amidst it is due again at its usual time.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.errors import NotFound
from solrouter.models import Job
from solrouter.models.columns import db_now

TEXT_CHARACTERS_MAX = 500


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


def due(names: Iterable[str]) -> list[str]:
    """Which of these are due, those that wait longest first."""
    query = select(Job.name).where(Job.name.in_(list(names)), Job.due_at <= db_now())
    with database.read() as connection:
        return list(connection.execute(query.order_by(Job.due_at)).scalars())


def take(name: str, *, every_s: int, worker_id: str) -> bool:
    """Takes a job that is due; False where another process has."""
    taken = update(Job).where(Job.name == name, Job.due_at <= db_now())
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
