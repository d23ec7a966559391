"""A key as rows tell it: its owner's view of it, whether it lives, what a name and a limit may be.

Below `keys`, whose verbs these words are for.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Insert, Row, Select, String, cast, literal, select

from solrouter import database, redaction
from solrouter.errors import NotFound, Refused
from solrouter.models import ApiKey, Budget
from solrouter.models.columns import db_now
from solrouter.services import audit, budgets
from solrouter.services.budgets import LIFETIME, Limit

NAME_CHARACTERS_MAX = 100


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its owner sees it. `hint` is all of its text that is ever shown again, and the user
    is who made it.

    `spent_nanos` is what its requests of the limit's current period were charged and hold.
    """

    public_id: str
    user_id: int
    name: str
    hint: str
    created_at: datetime
    last_used_at: datetime | None
    status: str
    limit_nanos: int | None
    spent_nanos: int
    resets: str
    resets_at: datetime | None


def find(account_id: int, public_id: str) -> Row[*tuple[Any, ...]]:
    """The row of `owner_view` of one key of the account. Raises NotFound."""
    statement = owner_view().where(ApiKey.account_id == account_id, ApiKey.public_id == public_id)
    with database.read() as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        raise NotFound("There is no such key.")
    return row


def owner_view() -> Select[*tuple[Any, ...]]:
    """The query for what owners see of keys, with the limit's current period."""
    subject = literal("key:") + cast(ApiKey.id, String)
    return select(
        ApiKey.id,
        ApiKey.public_id,
        ApiKey.user_id,
        ApiKey.name,
        ApiKey.hint,
        ApiKey.created_at,
        ApiKey.last_used_at,
        *state_columns(),
        Budget.limit_nanos,
        Budget.period,
        budgets.spent_now().label("spent_nanos"),
        budgets.period_start().label("period_start"),
    ).outerjoin(Budget, Budget.subject == subject)


def as_key(row: Row[*tuple[Any, ...]]) -> Key:
    """The key of a row of `owner_view`."""
    return Key(
        public_id=row.public_id,
        user_id=row.user_id,
        name=row.name,
        hint=row.hint,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        status=_status(row),
        limit_nanos=row.limit_nanos,
        spent_nanos=row.spent_nanos or 0,
        resets=budgets.RESETS[row.period or LIFETIME],
        resets_at=budgets.period_end(row.period, row.period_start),
    )


def state_columns() -> tuple[Any, ...]:
    """What says whether a key lives."""
    return (
        ApiKey.revoked_at,
        ApiKey.disabled_at,
        (ApiKey.expires_at <= db_now()).label("is_expired"),
    )


def named(name: str) -> str:
    """The name as it is kept. Raises Refused."""
    name = name.strip()
    if not name:
        raise Refused("Give the key a name, so that you know later what uses it.", param="name")
    if len(name) > NAME_CHARACTERS_MAX:
        raise Refused(f"A name has at most {NAME_CHARACTERS_MAX} characters.", param="name")
    if redaction.redacted(name) != name:
        raise Refused(
            "That looks like a secret, and a name is shown to others. Say what the key is for.",
            param="name",
        )
    return name


def limited(limit_nanos: int | None, resets: str) -> Limit | None:
    """The limit that is meant. Raises Refused."""
    if resets not in budgets.PERIODS:
        words = ", ".join(budgets.PERIODS)
        raise Refused(f"A limit resets at one of: {words}.", param="resets")
    if limit_nanos is None:
        return None
    if limit_nanos < 0:
        raise Refused("A limit cannot be negative.", param="limit")
    return Limit(limit_nanos, budgets.PERIODS[resets])


def event(
    act: str, account_id: int, key_id: int, actor: str, details: Mapping[str, Any] | None = None
) -> Insert:
    """The audit row of an act on a key."""
    return audit.event(
        actor=actor,
        action=f"key.{act}",
        subject=budgets.subject(key_id),
        account_id=account_id,
        details=details,
    )


def _status(row: Row[*tuple[Any, ...]]) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.disabled_at is not None:
        return "disabled"
    return "expired" if row.is_expired else "active"
