"""Alerts of operators: opened once when a condition begins, resolved once when it is over.

Whoever sees a condition says so as often as they like; the table has one open alert at most for
each kind and subject, and only who opens or resolves it orders the mails and webhooks, in the same
transaction.
"""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database, redaction
from solrouter.clock import utcnow
from solrouter.models import Alert, User
from solrouter.models.columns import db_now
from solrouter.services import letters, notices, outbox, webhook_queue

LEDGER_DRIFT, STUCK_HOLDS, PROVIDER_DOWN = "ledger_drift", "stuck_holds", "provider_down"
ERROR_RATE, WRITE_OFFS = "error_rate", "write_offs"
BEYOND_ALLOWANCE = "beyond_allowance"
QUEUE_LATE, MAIL_FAILING, JOB_FAILED = "queue_late", "mail_failing", "job_failed"
# Each stands in docs/operating.md, with what to do about it.
KINDS = (
    LEDGER_DRIFT,
    STUCK_HOLDS,
    PROVIDER_DOWN,
    ERROR_RATE,
    WRITE_OFFS,
    BEYOND_ALLOWANCE,
    QUEUE_LATE,
    MAIL_FAILING,
    JOB_FAILED,
)
ID_BYTES = 8
KEPT_DAYS = 90
SUBJECT_CHARACTERS_MAX = 120
TEXT_CHARACTERS_MAX = 500
LISTED_MAX = 50


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that may be the matter. `is_on` None: nobody can tell, so all stays as it is."""

    kind: str
    is_on: bool | None
    subject: str = ""
    title: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Told:
    """An alert as operators see it."""

    public_id: str
    kind: str
    subject: str
    facts: Mapping[str, Any]
    opened_at: datetime
    resolved_at: datetime | None


def settle(condition: Condition) -> bool:
    """Opens or resolves the condition's alert, if it is not so already; says whether it was not."""
    if condition.is_on is None:
        return False
    verb = begin if condition.is_on else _resolve
    changed = database.transact(lambda connection: verb(connection, condition))
    if changed:
        outbox.ring()
        webhook_queue.ring()
    return changed


def begin(connection: Connection, condition: Condition) -> bool:
    """Opens the condition's alert in the caller's transaction; says whether it was not open yet."""
    new = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    facts = {
        "title": redaction.redacted(condition.title)[:TEXT_CHARACTERS_MAX],
        "text": redaction.redacted(condition.text)[:TEXT_CHARACTERS_MAX],
    }
    values = {
        "public_id": f"alert_{secrets.token_hex(ID_BYTES)}",
        "kind": condition.kind,
        "subject": condition.subject[:SUBJECT_CHARACTERS_MAX],
        "facts": facts,
    }
    statement = new(Alert).values(**values, opened_at=db_now()).on_conflict_do_nothing()
    row = connection.execute(statement.returning(*_COLUMNS)).one_or_none()
    if row is None:
        return False
    _tell(connection, Told(*row))
    return True


def open_subjects(kind: str, *, since: datetime | None = None) -> list[str]:
    """The subjects of the open alerts of a kind, or of those opened since then."""
    query = select(Alert.subject).where(Alert.kind == kind, Alert.resolved_at.is_(None))
    if since is not None:
        query = query.where(Alert.opened_at >= since)
    with database.read() as connection:
        return list(connection.execute(query).scalars())


def open_counts() -> dict[str, int]:
    """How many alerts are open, by kind; none of a kind is 0."""
    query = select(Alert.kind, func.count()).where(Alert.resolved_at.is_(None))
    with database.read() as connection:
        found = {row[0]: row[1] for row in connection.execute(query.group_by(Alert.kind))}
    return dict.fromkeys(KINDS, 0) | found


def recent() -> list[Told]:
    """The newest alerts, open ones first."""
    query = select(*_COLUMNS).order_by(
        Alert.resolved_at.is_not(None), Alert.opened_at.desc(), Alert.id.desc()
    )
    with database.read() as connection:
        return [Told(*row) for row in connection.execute(query.limit(LISTED_MAX))]


def forget_old() -> int:
    """Deletes alerts that were over long ago; says how many."""
    old = delete(Alert).where(Alert.resolved_at < db_now(-KEPT_DAYS * 86_400))
    return database.transact(lambda connection: connection.execute(old).rowcount)


def _resolve(connection: Connection, condition: Condition) -> bool:
    over = (
        update(Alert)
        .where(
            Alert.kind == condition.kind,
            Alert.subject == condition.subject[:SUBJECT_CHARACTERS_MAX],
            Alert.resolved_at.is_(None),
        )
        .values(resolved_at=db_now())
        .returning(*_COLUMNS)
    )
    row = connection.execute(over).one_or_none()
    if row is None:
        return False
    _tell(connection, Told(*row))
    return True


def _tell(connection: Connection, told: Told) -> None:
    is_over = told.resolved_at is not None
    kind = webhook_queue.ALERT_RESOLVED if is_over else webhook_queue.ALERT_OPENED
    data = {
        "alert": told.public_id,
        "kind": told.kind,
        "subject": told.subject,
        **told.facts,
        "opened_at": told.opened_at.isoformat(),
        "resolved_at": (told.resolved_at or utcnow()).isoformat() if is_over else None,
    }
    webhook_queue.put(connection, kind, data, account_id=None)
    facts = {
        "title": told.facts["title"],
        "text": told.facts["text"],
        "began": letters.moment(told.opened_at),
    }
    operators = select(User.id).where(User.is_operator, User.disabled_at.is_(None))
    for user_id in connection.execute(operators).scalars().all():
        notices.put(connection, "alert_resolved" if is_over else "alert_opened", user_id, **facts)


_COLUMNS = (
    Alert.public_id,
    Alert.kind,
    Alert.subject,
    Alert.facts,
    Alert.opened_at,
    Alert.resolved_at,
)
