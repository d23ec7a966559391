"""API keys: made, shown once, found by digest, revoked. Knows nothing of money beyond a limit's
number.

A key is `sr_` + 38 random base62 characters + 6 of checksum (CRC-32 of what precedes them, base62),
so that a mistyped or invented key is refused without asking the database, and secret scanners can
tell a real one: `sr_[0-9A-Za-z]{44}`.
"""

import secrets as random
import string
import zlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    String,
    cast,
    func,
    insert,
    literal,
    select,
    tuple_,
    update,
)

from solrouter import config, database, secrets
from solrouter.clock import utcnow
from solrouter.errors import Forbidden, KeyExpired, KeyInvalid, KeyRevoked, NotFound, Refused
from solrouter.models import ApiKey, Budget, User
from solrouter.models.columns import db_now

PREFIX = "sr_"
RANDOM_CHARACTERS = 38
CHECKSUM_CHARACTERS = 6
KEY_LENGTH = len(PREFIX) + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
NAME_CHARACTERS_MAX = 100
LAST_USED_EVERY_S = 60
SCOPE_INFERENCE = "inference"
INVALID = "Invalid API key provided."
LIFETIME = "lifetime"


@dataclass(frozen=True, slots=True)
class Key:
    """A key as its owner sees it. `hint` is all of its text that is ever shown again."""

    public_id: str
    name: str
    hint: str
    created_at: datetime
    last_used_at: datetime | None
    status: str
    limit_nanos: int | None
    spent_nanos: int


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


def checksum(body: str) -> str:
    """Six base62 characters of CRC-32 over the text before them."""
    value = zlib.crc32(body.encode())
    characters = []
    for _ in range(CHECKSUM_CHARACTERS):
        value, digit = divmod(value, len(ALPHABET))
        characters.append(ALPHABET[digit])
    return "".join(reversed(characters))


def make_text() -> str:
    """A fresh key text."""
    body = PREFIX + "".join(random.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return body + checksum(body)


def is_well_formed(text: str) -> bool:
    """Whether the text could be a key of ours, by its shape and checksum alone."""
    if len(text) != KEY_LENGTH or not text.startswith(PREFIX) or not text.isascii():
        return False
    return checksum(text[:-CHECKSUM_CHARACTERS]) == text[-CHECKSUM_CHARACTERS:]


def hint(text: str) -> str:
    """What may be shown of a key: its first seven and last four characters."""
    return f"{text[:7]}…{text[-4:]}"


def create(account_id: int, *, user_id: int, name: str, limit_nanos: int | None = None) -> NewKey:
    """Makes a key and returns it with its text, for the only time. Raises Refused."""
    name = name.strip()
    if not name:
        raise Refused("Give the key a name, so that you know later what uses it.", param="name")
    if len(name) > NAME_CHARACTERS_MAX:
        raise Refused(f"A name has at most {NAME_CHARACTERS_MAX} characters.", param="name")
    if limit_nanos is not None and limit_nanos < 0:
        raise Refused("A limit cannot be negative.", param="limit")
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
        if limit_nanos is not None:
            connection.execute(insert(Budget).values(**_lifetime_budget(key_id, limit_nanos)))

    database.transact(verb)
    return NewKey(find(account_id, str(values["public_id"])), text)


def list_of(account_id: int) -> list[Key]:
    """The account's keys, those in use first, then the newest."""
    with database.read() as connection:
        rows = connection.execute(_view().where(ApiKey.account_id == account_id)).all()
    found = [_key(row) for row in rows]
    return sorted(found, key=lambda key: (key.status != "active", -key.created_at.timestamp()))


def find(account_id: int, public_id: str) -> Key:
    """One key of the account. Raises NotFound, also for somebody else's."""
    statement = _view().where(ApiKey.account_id == account_id, ApiKey.public_id == public_id)
    with database.read() as connection:
        row = connection.execute(statement).one_or_none()
    if row is None:
        raise NotFound("There is no such key.")
    return _key(row)


def revoke(account_id: int, public_id: str) -> Key:
    """Ends a key, from the next request on; again does nothing. Raises NotFound."""
    statement = (
        update(ApiKey)
        .where(ApiKey.account_id == account_id, ApiKey.public_id == public_id)
        .where(ApiKey.revoked_at.is_(None))
        .values(revoked_at=db_now())
    )
    database.transact(lambda connection: connection.execute(statement).rowcount)
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


def state_columns() -> tuple[Any, ...]:
    """What `require_live` looks at; the admission selects the same."""
    return (
        ApiKey.revoked_at,
        ApiKey.disabled_at,
        (ApiKey.expires_at <= db_now()).label("is_expired"),
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


def _lifetime_budget(key_id: int, limit_nanos: int) -> dict[str, Any]:
    return {
        "subject": budget_subject(key_id),
        "period": LIFETIME,
        "limit_nanos": limit_nanos,
        "spent_nanos": 0,
        "period_start": utcnow(),
    }


def budget_subject(key_id: int) -> str:
    """The name of a key in the budgets table."""
    return f"key:{key_id}"


def _view() -> Select[*tuple[Any, ...]]:
    subject = literal("key:") + cast(ApiKey.id, String)
    return select(
        ApiKey.public_id,
        ApiKey.name,
        ApiKey.hint,
        ApiKey.created_at,
        ApiKey.last_used_at,
        *state_columns(),
        Budget.limit_nanos,
        Budget.spent_nanos,
    ).outerjoin(Budget, (Budget.subject == subject) & (Budget.period == LIFETIME))


def _key(row: Row[*tuple[Any, ...]]) -> Key:
    return Key(
        public_id=row.public_id,
        name=row.name,
        hint=row.hint,
        created_at=row.created_at,
        last_used_at=row.last_used_at,
        status=_status(row),
        limit_nanos=row.limit_nanos,
        spent_nanos=row.spent_nanos or 0,
    )


def _status(row: Row[*tuple[Any, ...]]) -> str:
    if row.revoked_at is not None:
        return "revoked"
    if row.disabled_at is not None:
        return "disabled"
    return "expired" if row.is_expired else "active"
