"""An operator looks at an account as its owner sees it: for a while, and without doing anything.

It is a mark on the operator's session, so that it ends with it. `sessions` reads it with everything
else; the guards let nothing be posted meanwhile. Beginning and end stand in the account's own audit
log and in everybody's, whether it was ended or ended by itself: by time, with the session, with the
operator's rights.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection, select, update

from solrouter import clock, database
from solrouter.errors import NotFound, Refused
from solrouter.models import Account, AuditEvent, Session, User
from solrouter.services import audit

LASTS = timedelta(minutes=30)
REASON_CHARACTERS_MAX = 200
BEGUN, ENDED = "account.view_begun", "account.view_ended"
# Whose end nobody has noted for so long is found no more; a server may stand still for a while.
LOOKED_BACK = timedelta(hours=12)
# One that begins at this moment may be in the log, and its mark not seen yet.
JUST_BEGUN = timedelta(seconds=30)


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
        _note(connection, account_id, BEGUN, actor, details)

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
        _note(connection, account_id, ENDED, actor, {})
        return int(account_id)

    return database.transact(verb)


def note_ends(now: datetime | None = None) -> int:
    """Notes in the audit logs what has ended by itself, each once; says how many. For the clock."""
    now = now or clock.utcnow()

    def verb(connection: Connection) -> int:
        # Those who look are asked for first: who stops meanwhile is in the log that is read next.
        looking = _looking(connection, now)
        open_ = _begun_and_not_ended(connection, now)
        ended = [pair for pair in open_ if pair not in looking]
        for actor, account_id in ended:
            _note(connection, account_id, ENDED, actor, {"how": "by itself"})
        return len(ended)

    return database.transact(verb)


def _looking(connection: Connection, now: datetime) -> set[tuple[str, int]]:
    """Who looks at which account at this moment."""
    query = (
        select(Session.user_id, Session.views_account_id)
        .join(User, User.id == Session.user_id)
        .where(
            Session.views_until > now,
            Session.expires_at > now,
            User.is_operator.is_(True),
            User.disabled_at.is_(None),
        )
    )
    return {
        (f"user:{user_id}", account_id)
        for user_id, account_id in connection.execute(query)
        if account_id is not None
    }


def _begun_and_not_ended(connection: Connection, now: datetime) -> set[tuple[str, int]]:
    """What the log has the beginning of, and no end."""
    query = (
        select(AuditEvent.id, AuditEvent.actor, AuditEvent.account_id, AuditEvent.action)
        .where(
            AuditEvent.id >= clock.first_id_at(now - LOOKED_BACK),
            AuditEvent.action.in_((BEGUN, ENDED)),
        )
        .order_by(AuditEvent.id)
    )
    newest = {
        (actor, account_id): (id_, action)
        for id_, actor, account_id, action in connection.execute(query)
    }
    settled = clock.first_id_at(now - JUST_BEGUN)
    return {
        (actor, account_id)
        for (actor, account_id), (id_, action) in newest.items()
        if account_id is not None and action == BEGUN and id_ < settled
    }


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
