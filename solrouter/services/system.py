"""The server processes that share the database, and what waits in its queues: for operators."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from solrouter import database
from solrouter.models import Hold, Lease, OutgoingMail, WebhookMessage, Worker
from solrouter.models.columns import db_now

# Processes that were heard of within so many seconds.
ALIVE_S = 60


@dataclass(frozen=True, slots=True)
class Process:
    """A server process that reports; one of them leads."""

    name: str
    started_at: datetime
    seen_at: datetime
    requests: int
    is_leader: bool


@dataclass(frozen=True, slots=True)
class Queue:
    """Orders of one kind: how many wait, since when the oldest is due, how many were given up."""

    name: str
    waiting: int
    oldest_due_at: datetime | None
    given_up: int


def processes() -> list[Process]:
    """Those that report, oldest first."""
    leader = select(Lease.worker_id).where(Lease.expires_at > db_now()).scalar_subquery()
    holds = (
        select(func.count()).select_from(Hold).where(Hold.worker_id == Worker.id).scalar_subquery()
    )
    is_leader = func.coalesce(Worker.id == leader, False)
    query = select(Worker.id, Worker.started_at, Worker.seen_at, holds, is_leader)
    query = query.where(Worker.seen_at > db_now(-ALIVE_S)).order_by(Worker.started_at)
    with database.read() as connection:
        return [Process(*row) for row in connection.execute(query)]


def queues() -> list[Queue]:
    """The queues of mails and webhooks."""
    tables: dict[str, tuple[Any, Any]] = {
        "mail": (OutgoingMail, OutgoingMail.failed_at.is_not(None)),
        "webhook": (
            WebhookMessage,
            WebhookMessage.ended_at.is_not(None) & ~WebhookMessage.is_delivered,
        ),
    }
    found = []
    with database.read() as connection:
        for name, (table, is_given_up) in tables.items():
            # Apart, so that each goes by its own index; together, so that it is one question.
            failed = select(func.count()).select_from(table).where(is_given_up).scalar_subquery()
            query = select(func.count(), func.min(table.due_at), failed)
            waiting = query.select_from(table).where(table.due_at.is_not(None))
            found.append(Queue(name, *connection.execute(waiting).one()))
    return found
