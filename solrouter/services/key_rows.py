"""A key as rows tell it: its owner's view of it, whether it lives, what a name and a limit may be.

Below `keys`, whose verbs these words are for.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Row,
    Select,
    String,
    cast,
    literal,
    null,
    select,
    update,
)

from solrouter import database, redaction
from solrouter.clock import utcnow
from solrouter.errors import Forbidden, KeyExpired, KeyRevoked, NotFound, Refused
from solrouter.models import Account, ApiKey, Budget, FormerSecret
from solrouter.models.columns import db_now
from solrouter.services import audit, budgets, key_rules
from solrouter.services.budgets import LIFETIME, Limit
from solrouter.services.key_rules import Rules

NAME_CHARACTERS_MAX = 100
IS_REVOKED = "This key is revoked. Create a new one instead."
MAKER_LEFT = (
    "This key was stopped when its maker left or got another role. An owner of the account can "
    "enable it."
)


ACTIVE, DISABLED, EXPIRED, FROZEN, REVOKED = "active", "disabled", "expired", "frozen", "revoked"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its owner sees it. `hint` is all of its text that is ever shown again, and the user
    is who made it; `maker_left_at` says that it was disabled as they left or got a role that may
    not have it, and not enabled since.

    `spent_nanos` is what its requests of the limit's current period were charged and hold. `id` is
    for services alone. `is_disabled` is its own switch; `status` also knows what else stops it.
    """

    id: int
    public_id: str
    user_id: int
    name: str
    hint: str
    created_at: datetime
    updated_at: datetime
    last_used_at: datetime | None
    last_used_address: str | None
    status: str
    is_disabled: bool
    limit_nanos: int | None
    spent_nanos: int
    resets: str
    resets_at: datetime | None
    rules: Rules
    maker_left_at: datetime | None = None

    @property
    def left_nanos(self) -> int | None:
        """What is left of the limit; None without one."""
        return None if self.limit_nanos is None else max(self.limit_nanos - self.spent_nanos, 0)

    @property
    def version(self) -> str:
        """Another text whenever the key was changed, for who decides by what they have seen."""
        return self.updated_at.isoformat()


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the one moment when its text, or its new text, is known."""

    key: Key
    text: str


@dataclass(frozen=True, slots=True)
class Former:
    """A former secret of a key that still speaks for it."""

    hint: str
    replaced_at: datetime
    ends_at: datetime
    last_used_at: datetime | None


def find(account_id: int, public_id: str) -> Row[*tuple[Any, ...]]:
    """The row of `owner_view` of one key of the account. Raises NotFound."""
    with database.read() as connection:
        return find_in(connection, account_id, public_id)


def find_in(connection: Connection, account_id: int, public_id: str) -> Row[*tuple[Any, ...]]:
    """`find`, in the caller's transaction."""
    statement = owner_view().where(ApiKey.account_id == account_id, ApiKey.public_id == public_id)
    row = None
    # No other text is an id, and not every one could even be looked for.
    if public_id.isascii() and public_id.isprintable():
        row = connection.execute(statement).one_or_none()
    if row is None:
        raise NotFound("There is no such key.")
    return row


def formers(key_id: int) -> list[Former]:
    """The former secrets that still speak for the key, the newest first."""
    columns = (
        FormerSecret.hint,
        FormerSecret.replaced_at,
        FormerSecret.ends_at,
        FormerSecret.last_used_at,
    )
    query = select(*columns).where(FormerSecret.key_id == key_id, FormerSecret.ends_at > db_now())
    with database.read() as connection:
        return [Former(*row) for row in connection.execute(query.order_by(FormerSecret.id.desc()))]


def is_for_the_api() -> ColumnElement[bool]:
    """Whether a key has a text. What stands for members in the playground is nobody's to manage."""
    return ApiKey.purpose == key_rules.API


def owner_view() -> Select[*tuple[Any, ...]]:
    """The query for what owners see of keys, with the limit's current period."""
    subject = literal("key:") + cast(ApiKey.id, String)
    return (
        select(
            ApiKey.id,
            ApiKey.public_id,
            ApiKey.user_id,
            ApiKey.maker_left_at,
            ApiKey.name,
            ApiKey.hint,
            ApiKey.created_at,
            ApiKey.updated_at,
            ApiKey.last_used_at,
            ApiKey.last_used_address,
            ApiKey.scopes,
            ApiKey.models_allowed,
            ApiKey.networks_allowed,
            ApiKey.requests_per_minute,
            ApiKey.tokens_per_minute,
            ApiKey.concurrency,
            ApiKey.expires_at,
            *state_columns(),
            Budget.limit_nanos,
            Budget.period,
            budgets.spent_now().label("spent_nanos"),
            budgets.period_start().label("period_start"),
        )
        .join(Account, Account.id == ApiKey.account_id)
        .outerjoin(Budget, Budget.subject == subject)
        .where(is_for_the_api())
    )


def as_key(row: Row[*tuple[Any, ...]]) -> Key:
    """The key of a row of `owner_view`."""
    return Key(
        id=row.id,
        public_id=row.public_id,
        user_id=row.user_id,
        maker_left_at=row.maker_left_at,
        name=row.name,
        hint=row.hint,
        created_at=row.created_at,
        updated_at=row.updated_at or row.created_at,
        last_used_at=row.last_used_at,
        last_used_address=row.last_used_address,
        status=_status(row),
        is_disabled=row.disabled_at is not None,
        limit_nanos=row.limit_nanos,
        spent_nanos=row.spent_nanos or 0,
        resets=budgets.RESETS[row.period or LIFETIME],
        resets_at=budgets.period_end(row.period, row.period_start),
        rules=as_rules(row),
    )


def as_rules(row: Row[*tuple[Any, ...]]) -> Rules:
    """The rules of a row that has their columns."""
    return Rules(
        scopes=tuple(row.scopes.split()),
        models_allowed=_tuple(row.models_allowed),
        networks_allowed=_tuple(row.networks_allowed),
        requests_per_minute=row.requests_per_minute,
        tokens_per_minute=row.tokens_per_minute,
        concurrency=row.concurrency,
        expires_at=row.expires_at,
    )


def rule_columns(rules: Rules) -> dict[str, Any]:
    """The columns of a key that hold its rules."""
    return {
        "scopes": " ".join(rules.scopes),
        "models_allowed": _json(rules.models_allowed),
        "networks_allowed": _json(rules.networks_allowed),
        "requests_per_minute": rules.requests_per_minute,
        "tokens_per_minute": rules.tokens_per_minute,
        "concurrency": rules.concurrency,
        "expires_at": rules.expires_at,
    }


def told(rules: Rules) -> dict[str, Any]:
    """The rules as the audit trail tells them."""
    ends = rules.expires_at
    return {**asdict(rules), "expires_at": None if ends is None else ends.isoformat()}


def state_columns() -> tuple[Any, ...]:
    """What says whether a key lives, of the key and its account."""
    return (
        ApiKey.revoked_at,
        ApiKey.disabled_at,
        (ApiKey.expires_at <= db_now()).label("is_expired"),
        Account.keys_frozen_at,
    )


def require_live(row: Any) -> None:
    """Raises KeyRevoked or KeyExpired by the columns of `state_columns`."""
    if row.revoked_at is not None:
        raise KeyRevoked(
            "This API key has been revoked. Create a new one under Account → API Keys."
        )
    if row.keys_frozen_at is not None:
        raise KeyRevoked("All API keys of this account are frozen, under Account → API Keys.")
    if row.disabled_at is not None:
        raise KeyRevoked("This API key is disabled. Enable it under Account → API Keys.")
    if row.is_expired:
        raise KeyExpired("This API key has expired. Create a new one under Account → API Keys.")


def named(name: str) -> str:
    """The name as it is kept. Raises Refused."""
    name = name.strip()
    if not name:
        raise Refused("Give the key a name, so that you know later what uses it.", param="name")
    if not name.isprintable():
        raise Refused("A name is one line of printable characters.", param="name")
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


def require_future(expires_at: datetime | None) -> None:
    """Raises Refused for an end that has passed."""
    if expires_at is not None and expires_at <= utcnow():
        raise Refused("The key would have expired already. Name a later time.", param="expires_at")


def require_owner(rules: Rules, *, is_owner: bool) -> None:
    """Raises Forbidden when a key with these rules is not for this actor to make or touch."""
    if rules.may_manage and not is_owner:
        raise Forbidden(
            "A management key is made and changed by the account's owner, under Account → API "
            "Keys, and by no other key.",
            code="owner_required",
        )


def lock_account(connection: Connection, account_id: int) -> None:
    """Makes whoever admits, settles or changes for this account wait until the commit."""
    connection.execute(select(Account.id).where(Account.id == account_id).with_for_update())


def switch(
    connection: Connection,
    account_id: int,
    row: Row[*tuple[Any, ...]],
    flag: bool,
    *,
    actor: str,
    is_owner: bool,
) -> None:
    """Stops the key of a row of `owner_view`, or lets it go again; again does nothing.

    For who has the account's lock and has read the row behind it. Raises Refused for a revoked
    key, and for one that is an owner's alone to let go again.
    """
    if row.revoked_at is not None:
        raise Refused(IS_REVOKED, param="disabled")
    if row.maker_left_at is not None and not flag and not is_owner:
        raise Refused(MAKER_LEFT, param="disabled")
    is_other = ApiKey.disabled_at.is_(None) if flag else ApiKey.disabled_at.is_not(None)
    switched = update(ApiKey).where(ApiKey.id == row.id, ApiKey.revoked_at.is_(None), is_other)
    disabled_at = db_now() if flag else None
    switched = switched.values(disabled_at=disabled_at, maker_left_at=None, updated_at=utcnow())
    if connection.execute(switched).rowcount:
        act = "disabled" if flag else "enabled"
        connection.execute(event(act, account_id, row.id, actor))


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
        return REVOKED
    if row.keys_frozen_at is not None:
        return FROZEN
    if row.disabled_at is not None:
        return DISABLED
    return EXPIRED if row.is_expired else ACTIVE


def _json(texts: tuple[str, ...] | None) -> Any:
    """A list, or the database's own NULL: None alone would be written as JSON's."""
    return null() if texts is None else list(texts)


def _tuple(texts: list[str] | None) -> tuple[str, ...] | None:
    return None if texts is None else tuple(texts)
