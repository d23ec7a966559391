"""API keys: made, shown once, found by digest, changed, revoked. Of money they know their limit."""

import secrets as random
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from sqlalchemy import Connection, Executable, Row, bindparam, func, insert, select, update

from solrouter import config, database, secrets
from solrouter.clock import utcnow
from solrouter.errors import Forbidden, KeyExpired, KeyInvalid, KeyRevoked, Refused
from solrouter.models import Account, ApiKey, Plan, User
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


class Limits(NamedTuple):
    """What an account's plan and a key allow; None is no limit."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    free_requests_per_day: int | None
    free_concurrency: int | None
    key_requests_per_minute: int | None
    key_tokens_per_minute: int | None
    key_concurrency: int | None


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request speaks for, and the limits that it had when that was asked."""

    key_id: int
    key_public_id: str
    account_id: int
    user_id: int
    scopes: frozenset[str]
    models_allowed: tuple[str, ...] | None
    limits: Limits

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
    newest = secrets.current().newest
    # Most keys are of the newest root secret, and then one look is enough.
    for root in secrets.current().roots:
        version, digest = root.fingerprint, root.digest(text)
        row = database.look_up(_find_by_digest, digest_version=version, digest=digest)
        if row is not None:
            break
    else:
        raise KeyInvalid(INVALID)
    require_live(row)
    if row.user_disabled_at is not None:
        raise KeyRevoked("The user who made this API key has been disabled.")
    if version != newest.fingerprint:
        _rewrite_digest(row.id, version=newest.fingerprint, digest=newest.digest(text))
    return Principal(
        key_id=row.id,
        key_public_id=row.public_id,
        account_id=row.account_id,
        user_id=row.user_id,
        scopes=frozenset(row.scopes.split()),
        models_allowed=None if row.models_allowed is None else tuple(row.models_allowed),
        limits=limits_in(row),
    )


@database.prepared
def _find_by_digest(_dialect: str) -> Executable:
    statement = select(
        ApiKey.id,
        ApiKey.public_id,
        ApiKey.account_id,
        ApiKey.user_id,
        ApiKey.scopes,
        ApiKey.models_allowed,
        *state_columns(),
        *limit_columns(),
        User.disabled_at.label("user_disabled_at"),
    )
    statement = statement.join(User, User.id == ApiKey.user_id)
    statement = statement.join(Account, Account.id == ApiKey.account_id)
    statement = statement.join(Plan, Plan.slug == Account.plan_slug)
    return statement.where(
        ApiKey.digest == bindparam("digest"),
        ApiKey.digest_version == bindparam("digest_version"),
    )


def limit_columns() -> tuple[Any, ...]:
    """What `limits_in` reads; the admission selects the same."""
    return (
        Plan.requests_per_minute,
        Plan.tokens_per_minute,
        Plan.concurrency,
        Plan.free_requests_per_day,
        Plan.free_concurrency,
        ApiKey.requests_per_minute.label("key_requests_per_minute"),
        ApiKey.tokens_per_minute.label("key_tokens_per_minute"),
        ApiKey.concurrency.label("key_concurrency"),
    )


def limits_in(row: Any) -> Limits:
    """The limits in a row that has the columns of `limit_columns`."""
    return Limits._make([getattr(row, name) for name in Limits._fields])


def require_live(row: Any) -> None:
    """Raises KeyRevoked or KeyExpired by the columns of `state_columns`."""
    if row.revoked_at is not None:
        raise KeyRevoked(
            "This API key has been revoked. Create a new one under Account → API Keys."
        )
    if row.disabled_at is not None:
        raise KeyRevoked("This API key is disabled. Enable it under Account → API Keys.")
    if row.is_expired:
        raise KeyExpired("This API key has expired. Create a new one under Account → API Keys.")


def touch(connection: Connection, key_id: int) -> None:
    """Notes a key's use, at most once a minute; for the settlement."""
    _touch.changes(connection, key_id=key_id)


@database.prepared
def _touch(_dialect: str) -> Executable:
    stale = ApiKey.last_used_at.is_(None) | (ApiKey.last_used_at < db_now(-LAST_USED_EVERY_S))
    of_key = update(ApiKey).where(ApiKey.id == bindparam("key_id"), stale)
    return of_key.values(last_used_at=db_now())


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
