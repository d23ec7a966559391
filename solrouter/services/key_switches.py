"""Keys stopped for a while and let go again: one by its own switch, or all of an account at once.

A freeze is a mark on the account, so it also holds for keys that are made after it, and lifting it
leaves those stopped that were stopped before. Both hold from the next request on.
"""

from datetime import datetime

from sqlalchemy import Connection, select, update

from solrouter import database
from solrouter.models import Account
from solrouter.models.columns import db_now
from solrouter.services import audit, key_rows
from solrouter.services.key_rows import Key


def set_disabled(
    account_id: int, public_id: str, flag: bool, *, actor: str, is_owner: bool = True
) -> Key:
    """Stops a key, or lets it go again; again does nothing.

    What was stopped because its maker left or got another role is an owner's alone to let go again.
    Raises NotFound, Forbidden, and Refused for a revoked key.
    """

    def verb(connection: Connection) -> None:
        key_rows.lock_account(connection, account_id)
        row = key_rows.find_in(connection, account_id, public_id)
        key_rows.require_owner(key_rows.as_rules(row), is_owner=is_owner)
        key_rows.switch(connection, account_id, row, flag, actor=actor, is_owner=is_owner)

    database.transact(verb)
    return key_rows.as_key(key_rows.find(account_id, public_id))


def freeze(account_id: int, *, actor: str) -> None:
    """Refuses every key of the account, also those to come; again does nothing."""
    _set_frozen(account_id, True, actor=actor)


def unfreeze(account_id: int, *, actor: str) -> None:
    """Lets the account's keys go again, but for those that are stopped by themselves."""
    _set_frozen(account_id, False, actor=actor)


def frozen_at(account_id: int) -> datetime | None:
    """Since when the account's keys are frozen; None when they are not."""
    query = select(Account.keys_frozen_at).where(Account.id == account_id)
    with database.read() as connection:
        return connection.execute(query).scalar_one_or_none()


def _set_frozen(account_id: int, flag: bool, *, actor: str) -> None:
    is_other = Account.keys_frozen_at.is_(None) if flag else Account.keys_frozen_at.is_not(None)
    switched = update(Account).where(Account.id == account_id, is_other)
    switched = switched.values(keys_frozen_at=db_now() if flag else None)
    action = "keys.frozen" if flag else "keys.unfrozen"
    subject = f"account:{account_id}"

    def verb(connection: Connection) -> None:
        if connection.execute(switched).rowcount:
            event = audit.event(actor=actor, action=action, subject=subject, account_id=account_id)
            connection.execute(event)

    database.transact(verb)
