"""API keys: made, shown once, found by digest, changed, revoked. Of money they know their limit."""

import secrets as random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select, tuple_, update

from solrouter import config, database, secrets
from solrouter.clock import utcnow
from solrouter.errors import Forbidden, KeyExpired, KeyInvalid, KeyRevoked, Refused
from solrouter.models import Account, ApiKey, User
from solrouter.models.columns import db_now
from solrouter.services import budgets, key_rows
from solrouter.services.budgets import Limit
from solrouter.services.key_text import hint, is_well_formed, make_text

LAST_USED_EVERY_S = 60
SCOPE_INFERENCE = "inference"
INVALID = "Invalid API key provided."
LIFETIME = budgets.LIFETIME
# A request older than its deadline and this has been settled: what it cost changes no more.
SETTLED_AFTER = timedelta(hours=1)

Key = key_rows.Key
# What `require_live` looks at; the admission selects the same.
state_columns = key_rows.state_columns
budget_subject = budgets.subject
# How often a limit may begin anew.
RESETS = tuple(budgets.PERIODS)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key at the one moment when its text is known."""

    key: Key
    text: str


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request speaks for."""

    key_id: int
    key_public_id: str
    account_id: int
    user_id: int
    scopes: frozenset[str]
    models_allowed: tuple[str, ...] | None

    def require(self, scope: str) -> None:
        """Raises Forbidden when the key lacks the scope."""
        if scope not in self.scopes:
            raise Forbidden(f"This API key lacks the scope “{scope}”.", metadata={"scope": scope})


def create(
    account_id: int,
    *,
    user_id: int,
    name: str,
    limit_nanos: int | None = None,
    resets: str = budgets.NEVER,
    actor: str | None = None,
) -> NewKey:
    """Makes a key and returns it with its text, for the only time. Raises Refused.

    The actor is who stands in the audit trail, if not the user.
    """
    name, limit = key_rows.named(name), key_rows.limited(limit_nanos, resets)
    text = make_text()
    root = secrets.current().newest
    values = {
        "public_id": "key_" + random.token_hex(12),
        "account_id": account_id,
        "user_id": user_id,
        "name": name,
        "hint": hint(text),
        "digest": root.digest(text),
        "digest_version": root.fingerprint,
        "scopes": SCOPE_INFERENCE,
        "created_at": utcnow(),
    }
    most = config.current()["SOLROUTER_KEYS_PER_ACCOUNT_MAX"]

    def verb(connection: Connection) -> None:
        if _count_active(connection, account_id) >= most:
            raise Refused(f"An account has at most {most} keys. Revoke one first.", param="name")
        key_id = connection.execute(
            insert(ApiKey).values(**values).returning(ApiKey.id)
        ).scalar_one()
        if limit is not None:
            start = budgets.calendar(connection).start(limit.period)
            budgets.put(connection, key_id, limit, start=start, spent=0)
        facts = {"name": name, "limit_nanos": limit_nanos, "resets": resets}
        connection.execute(
            key_rows.event("created", account_id, key_id, actor or f"user:{user_id}", facts)
        )

    database.transact(verb)
    return NewKey(find(account_id, str(values["public_id"])), text)


def list_of(account_id: int) -> list[Key]:
    """The account's keys, those in use first, then the newest."""
    with database.read() as connection:
        rows = connection.execute(
            key_rows.owner_view().where(ApiKey.account_id == account_id)
        ).all()
    found = [key_rows.as_key(row) for row in rows]
    return sorted(found, key=lambda key: (key.status != "active", -key.created_at.timestamp()))


def find(account_id: int, public_id: str) -> Key:
    """One key of the account. Raises NotFound, also for somebody else's."""
    return key_rows.as_key(key_rows.find(account_id, public_id))


def change(
    account_id: int,
    public_id: str,
    *,
    actor: str,
    name: str,
    limit_nanos: int | None,
    resets: str = budgets.NEVER,
) -> Key:
    """Gives a key this name and limit, from the next request on, and returns it.

    What is spent stays true: another amount leaves it, and for another period it is what the key's
    requests of that period were charged and hold. Raises Refused and NotFound.
    """
    name, limit = key_rows.named(name), key_rows.limited(limit_nanos, resets)
    row = key_rows.find(account_id, public_id)
    changes = _changes(row, name, limit)
    past = _past(row.id, limit) if limit is not None and limit.period != row.period else None

    def verb(connection: Connection) -> None:
        # Admissions and settlements of the account wait here, so that none is counted half.
        connection.execute(select(Account.id).where(Account.id == account_id).with_for_update())
        named = update(ApiKey).where(ApiKey.id == row.id, ApiKey.revoked_at.is_(None))
        if connection.execute(named.values(name=name)).rowcount != 1:
            raise Refused("This key is revoked. Create a new one instead.", param="name")
        if limit is None:
            budgets.remove(connection, row.id)
        elif past is not None:
            start, settled, until = past
            recent = connection.execute(budgets.charged(row.id, since=until)).scalar_one()
            held = connection.execute(budgets.held(account_id, row.id, since=start)).scalar_one()
            spent = settled + int(recent) + int(held)
            budgets.put(connection, row.id, limit, start=start, spent=spent)
        elif not budgets.change_amount(connection, row.id, limit):
            raise Refused("The limit was changed meanwhile. Please try again.", param="limit")
        connection.execute(key_rows.event("changed", account_id, row.id, actor, changes))

    if changes:
        database.transact(verb)
    return find(account_id, public_id)


def revoke(account_id: int, public_id: str, *, actor: str | None = None) -> Key:
    """Ends a key, from the next request on; again does nothing. Raises NotFound.

    The actor is who stands in the audit trail, if not the account itself.
    """
    statement = (
        update(ApiKey)
        .where(ApiKey.account_id == account_id, ApiKey.public_id == public_id)
        .where(ApiKey.revoked_at.is_(None))
        .values(revoked_at=db_now())
        .returning(ApiKey.id)
    )

    def verb(connection: Connection) -> None:
        key_id = connection.execute(statement).scalar_one_or_none()
        if key_id is not None:
            who = actor or f"account:{account_id}"
            connection.execute(key_rows.event("revoked", account_id, key_id, who))

    database.transact(verb)
    return find(account_id, public_id)


def authenticate(text: str) -> Principal:
    """Who this key speaks for. Raises KeyInvalid, KeyRevoked, KeyExpired.

    The admission proves the key again in its own transaction; this answer only decides what a
    request may see before it.
    """
    if not is_well_formed(text):
        raise KeyInvalid(INVALID)
    pairs = [(root.fingerprint, root.digest(text)) for root in secrets.current().roots]
    statement = select(
        ApiKey.id,
        ApiKey.public_id,
        ApiKey.account_id,
        ApiKey.user_id,
        ApiKey.scopes,
        ApiKey.models_allowed,
        ApiKey.digest_version,
        *state_columns(),
        User.disabled_at.label("user_disabled_at"),
    )
    statement = statement.join(User, User.id == ApiKey.user_id).where(
        tuple_(ApiKey.digest_version, ApiKey.digest).in_(pairs)
    )
    with database.read() as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        raise KeyInvalid(INVALID)
    require_live(row)
    if row.user_disabled_at is not None:
        raise KeyRevoked("The user who made this API key has been disabled.")
    if row.digest_version != pairs[0][0]:
        _rewrite_digest(row.id, version=pairs[0][0], digest=pairs[0][1])
    return Principal(
        key_id=row.id,
        key_public_id=row.public_id,
        account_id=row.account_id,
        user_id=row.user_id,
        scopes=frozenset(row.scopes.split()),
        models_allowed=None if row.models_allowed is None else tuple(row.models_allowed),
    )


def require_live(row: Row[*tuple[Any, ...]]) -> None:
    """Raises KeyRevoked or KeyExpired by the columns of `state_columns`."""
    if row.revoked_at is not None:
        raise KeyRevoked(
            "This API key has been revoked. Create a new one under Account → API Keys."
        )
    if row.disabled_at is not None:
        raise KeyRevoked("This API key is disabled. Enable it under Account → API Keys.")
    if row.is_expired:
        raise KeyExpired("This API key has expired. Create a new one under Account → API Keys.")


def touch(key_id: int) -> Any:
    """The statement that notes a key's use, at most once a minute; for the settlement to run."""
    stale = ApiKey.last_used_at.is_(None) | (ApiKey.last_used_at < db_now(-LAST_USED_EVERY_S))
    return update(ApiKey).where(ApiKey.id == key_id, stale).values(last_used_at=db_now())


def _rewrite_digest(key_id: int, *, version: str, digest: bytes) -> None:
    """Moves a key from a former root secret to the newest, at its first use after the change."""
    statement = (
        update(ApiKey).where(ApiKey.id == key_id).values(digest=digest, digest_version=version)
    )
    database.transact(lambda connection: connection.execute(statement))


def _count_active(connection: Connection, account_id: int) -> int:
    statement = select(func.count()).where(
        ApiKey.account_id == account_id, ApiKey.revoked_at.is_(None)
    )
    return int(connection.execute(statement).scalar_one())


def _changes(row: Row[*tuple[Any, ...]], name: str, limit: Limit | None) -> dict[str, Any]:
    """What is not as it was, as [before, after]."""
    nanos, period = (limit.nanos, limit.period) if limit is not None else (None, None)
    pairs = {
        "name": [row.name, name],
        "limit_nanos": [row.limit_nanos, nanos],
        "period": [row.period, period],
    }
    return {what: pair for what, pair in pairs.items() if pair[0] != pair[1]}


def _past(key_id: int, limit: Limit) -> tuple[datetime, int, datetime]:
    """When the period began, what was charged in it for good, and until when that is counted.

    Summed outside of the transaction, which a long history would keep open for too long.
    """
    ages = SETTLED_AFTER + timedelta(seconds=config.current()["SOLROUTER_TOTAL_S"])

    def query(connection: Connection) -> tuple[datetime, int, datetime]:
        start = budgets.calendar(connection).start(limit.period)
        until = max(start, utcnow() - ages)
        charged = budgets.charged(key_id, since=start, before=until)
        return start, int(connection.execute(charged).scalar_one()), until

    return database.read_apart(query)
