"""Who a signed-in member speaks for in the playground: a principal like that of an API key.

Receipts, limits and budgets hang on a key and on who made it. So each member has, in each account,
one key of the purpose `playground`: without a text, so that nothing outside can use it, and seen in
no list of keys. What stops keys stops it too: freezing all of them, leaving the account, the
account's end.
"""

import secrets as random
from typing import Any

from sqlalchemy import Connection, Row, insert, select, update

from solrouter import database, secrets
from solrouter.clock import utcnow
from solrouter.models import Account, ApiKey, Plan
from solrouter.services import key_rows, key_rules, keys
from solrouter.services.principals import Principal

NAME = "Playground"
HINT = "playground"
DIGEST_BYTES = 32


def principal(account_id: int, user_id: int, *, address: str) -> Principal:
    """Who the member speaks for. Raises Forbidden for who is none, and KeyRevoked.

    Only for who has just been proven to be signed in; the admission proves all but that again.
    """
    row = _find(account_id, user_id)
    if row is None or row.disabled_at is not None:
        database.transact(lambda connection: _ready(connection, account_id, user_id))
        row = _find(account_id, user_id)
        assert row is not None, "it has just been made, and is never deleted"
    key_rows.require_live(row)
    return Principal(
        key_id=row.id,
        key_public_id=row.public_id,
        account_id=account_id,
        user_id=user_id,
        scopes=frozenset((keys.SCOPE_INFERENCE,)),
        models_allowed=None,
        limits=keys.limits_in(row),
        address=address,
        content_days=row.content_days,
    )


def _find(account_id: int, user_id: int) -> Row[*tuple[Any, ...]] | None:
    statement = (
        select(
            ApiKey.id,
            ApiKey.public_id,
            Account.content_days,
            *keys.state_columns(),
            *keys.limit_columns(),
        )
        .join(Account, Account.id == ApiKey.account_id)
        .join(Plan, Plan.slug == Account.plan_slug)
        .where(*_is_theirs(account_id, user_id))
    )
    with database.read() as connection:
        return connection.execute(statement).one_or_none()


def _ready(connection: Connection, account_id: int, user_id: int) -> None:
    """Makes the member's key, or lets it work again after they left and came back."""
    key_rows.lock_account(connection, account_id)
    keys.refuse_who_left(connection, account_id, user_id)
    enabled = (
        update(ApiKey)
        .where(*_is_theirs(account_id, user_id))
        .values(disabled_at=None, maker_left_at=None)
    )
    if connection.execute(enabled).rowcount:
        return
    connection.execute(insert(ApiKey).values(**_new(account_id, user_id)))


def _new(account_id: int, user_id: int) -> dict[str, Any]:
    return {
        "public_id": "key_" + random.token_hex(12),
        "account_id": account_id,
        "user_id": user_id,
        "name": NAME,
        "purpose": key_rules.PLAYGROUND,
        "hint": HINT,
        # The digest of no text: nothing that is presented can ever match it.
        "digest": random.token_bytes(DIGEST_BYTES),
        "digest_version": secrets.current().newest.fingerprint,
        "scopes": keys.SCOPE_INFERENCE,
        "created_at": utcnow(),
        "updated_at": utcnow(),
    }


def _is_theirs(account_id: int, user_id: int) -> tuple[Any, ...]:
    return (
        ApiKey.account_id == account_id,
        ApiKey.user_id == user_id,
        ApiKey.purpose == key_rules.PLAYGROUND,
    )
