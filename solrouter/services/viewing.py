"""An operator looks at an account as its owner sees it: for a while, and without doing anything.

It is a mark on the operator's session, so that it ends with it. `sessions` reads it with everything
else; the guards let nothing be posted meanwhile. Beginning and end stand in the account's own audit
log and in everybody's.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from solrouter import clock, database
from solrouter.errors import NotFound, Refused
from solrouter.models import Account, Session
from solrouter.services import audit

LASTS = timedelta(minutes=30)
REASON_CHARACTERS_MAX = 200


def begin(session_id: int, account_id: int, reason: str, *, actor: str) -> datetime:
    """Looks at the account from now on; returns until when. Raises Refused and NotFound."""
    reason = reason.strip()
    if not reason:
        raise Refused("Say why: the account’s owner sees it in their audit log.", param="why")
    if len(reason) > REASON_CHARACTERS_MAX:
        raise Refused(f"At most {REASON_CHARACTERS_MAX} characters.", param="why")
    until = clock.utcnow().replace(microsecond=0) + LASTS

    def verb(connection: Connection) -> None:
        known = connection.execute(select(Account.id).where(Account.id == account_id)).first()
        if known is None:
            raise NotFound("There is no such account.")
        mark = update(Session).where(Session.id == session_id)
        connection.execute(mark.values(views_account_id=account_id, views_until=until))
        details: dict[str, str | int] = {
            "reason": reason,
            "minutes": int(LASTS.total_seconds()) // 60,
        }
        _note(connection, account_id, "account.view_begun", actor, details)

    database.transact(verb)
    return until


def end(session_id: int, *, actor: str) -> int | None:
    """Looks no more; returns the account that was looked at, None for none."""

    def verb(connection: Connection) -> int | None:
        query = select(Session.views_account_id).where(Session.id == session_id)
        account_id = connection.execute(query).scalar()
        if account_id is None:
            return None
        mark = update(Session).where(Session.id == session_id)
        connection.execute(mark.values(views_account_id=None, views_until=None))
        _note(connection, account_id, "account.view_ended", actor, {})
        return int(account_id)

    return database.transact(verb)


def _note(
    connection: Connection, account_id: int, action: str, actor: str, details: dict[str, str | int]
) -> None:
    connection.execute(
        audit.event(
            actor=actor,
            action=action,
            subject=f"account:{account_id}",
            account_id=account_id,
            details=details,
        )
    )
