"""A key's secret replaced by another: the key stays what it is, with its limits, usage and history.

The former secret speaks for the key until a named time, so that programs can be given the new one
meanwhile, or ends at once. A revoked, disabled or expired key has no secret that works.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, delete, func, insert, select, update

from solrouter import database, secrets
from solrouter.clock import utcnow
from solrouter.errors import Refused
from solrouter.models import ApiKey, FormerSecret
from solrouter.models.columns import db_now
from solrouter.services import key_rows
from solrouter.services.key_rows import Former, Key, NewKey
from solrouter.services.key_text import hint, make_text

OVERLAP_S = 24 * 60 * 60
OVERLAP_S_MAX = 30 * OVERLAP_S
FORMER_SECRETS_MAX = 3
# How long an ended secret is still known, so that its user is told what happened.
ENDED_KEPT_S = 90 * 24 * 60 * 60


def rotate(
    account_id: int,
    public_id: str,
    *,
    actor: str,
    overlap_s: int = OVERLAP_S,
    is_owner: bool = True,
    first: Callable[[Connection, str], None] | None = None,
) -> NewKey:
    """Gives a key a new secret and returns it, for the only time; the former one works so long.

    `first` begins the transaction, and is told the key's id and text.
    Raises NotFound, Forbidden, and Refused for a revoked key or too many secrets at once.
    """
    if not 0 <= overlap_s <= OVERLAP_S_MAX:
        days = OVERLAP_S_MAX // OVERLAP_S
        raise Refused(f"The old secret can work for at most {days} days more.", param="overlap_s")
    found = key_rows.find(account_id, public_id)
    key_rows.require_owner(key_rows.as_rules(found), is_owner=is_owner)
    text = make_text()
    new = _secret(text)

    def verb(connection: Connection) -> None:
        if first is not None:
            first(connection, f"{public_id} {text}")
        row = _locked(connection, found.id)
        now = utcnow()
        ends_at = now + timedelta(seconds=overlap_s)
        _put_aside(connection, row, now, ends_at)
        connection.execute(update(ApiKey).where(ApiKey.id == found.id).values(**new))
        facts = {"hint": [row.hint, new["hint"]], "former_ends_at": ends_at.isoformat()}
        connection.execute(key_rows.event("rotated", account_id, found.id, actor, facts))

    database.transact(verb)
    return NewKey(key_rows.as_key(key_rows.find(account_id, public_id)), text)


def end_formers(account_id: int, public_id: str, *, actor: str, is_owner: bool = True) -> Key:
    """Ends every former secret of a key at once; again does nothing.

    Raises NotFound and Forbidden.
    """
    row = key_rows.find(account_id, public_id)
    key_rows.require_owner(key_rows.as_rules(row), is_owner=is_owner)
    ended = (
        update(FormerSecret)
        .where(FormerSecret.key_id == row.id, FormerSecret.ends_at > db_now())
        .values(ends_at=db_now())
        .returning(FormerSecret.hint)
    )

    def verb(connection: Connection) -> None:
        hints = connection.execute(ended).scalars().all()
        if hints:
            facts = {"hints": list(hints)}
            connection.execute(key_rows.event("formers_ended", account_id, row.id, actor, facts))

    database.transact(verb)
    return key_rows.as_key(key_rows.find(account_id, public_id))


def formers_of(key: Key) -> list[Former]:
    """The former secrets that still speak for the key, the newest first."""
    return key_rows.formers(key.id)


def _locked(connection: Connection, key_id: int) -> Row[*tuple[Any, ...]]:
    """The key's present secret, which nobody else can replace until the commit."""
    columns = (ApiKey.id, ApiKey.hint, ApiKey.digest, ApiKey.digest_version, ApiKey.revoked_at)
    row = connection.execute(select(*columns).where(ApiKey.id == key_id).with_for_update()).one()
    if row.revoked_at is not None:
        raise Refused(key_rows.IS_REVOKED)
    return row


def _put_aside(
    connection: Connection, row: Row[*tuple[Any, ...]], now: datetime, ends_at: datetime
) -> None:
    """Makes the present secret a former one, and forgets those that ended long ago."""
    of_key = FormerSecret.key_id == row.id
    connection.execute(
        delete(FormerSecret).where(of_key, FormerSecret.ends_at < db_now(-ENDED_KEPT_S))
    )
    alive = select(func.count()).where(of_key, FormerSecret.ends_at > db_now())
    if connection.execute(alive).scalar_one() >= FORMER_SECRETS_MAX and ends_at > now:
        raise Refused(
            f"{FORMER_SECRETS_MAX} former secrets of this key still work. End them first.",
            param="overlap_s",
        )
    connection.execute(
        insert(FormerSecret).values(
            key_id=row.id,
            hint=row.hint,
            digest=row.digest,
            digest_version=row.digest_version,
            replaced_at=now,
            ends_at=ends_at,
        )
    )


def _secret(text: str) -> dict[str, Any]:
    """The columns of a key that hold its secret."""
    root = secrets.current().newest
    return {
        "hint": hint(text),
        "digest": root.digest(text),
        "digest_version": root.fingerprint,
        "updated_at": utcnow(),
    }
