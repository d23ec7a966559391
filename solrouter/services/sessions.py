"""Signed-in browsers, as rows: opened at sign-in, dead the moment the row is. Knows no cookies.

| a session ends       | when                                                        |
|----------------------|-------------------------------------------------------------|
| idle                 | nobody used it for `idle_s`                                 |
| old                  | it is `total_s` old, used or not                            |
| closed               | its person signed out, here or of all others                |
| its person went      | the user was disabled, or left the account that it acts for |
"""

import hashlib
import logging
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, delete, insert, select, update

from solrouter import clock, database
from solrouter.errors import Unavailable
from solrouter.models import Account, Membership, Session, User
from solrouter.models.columns import db_now

log = logging.getLogger(__name__)

TOKEN_BYTES = 32
TOUCH_EVERY_S = 60
USER_AGENT_CHARACTERS_MAX = 300


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Who is signed in and for which account they act; what Flask-Login calls the current user."""

    user_id: int
    user_public_id: str
    email: str
    name: str
    is_verified: bool
    is_operator: bool
    account_id: int
    account_public_id: str
    account_name: str
    role: str
    session_id: int

    @property
    def is_authenticated(self) -> bool:
        return True

    @property
    def is_active(self) -> bool:
        return True

    @property
    def is_anonymous(self) -> bool:
        return False

    def get_id(self) -> str:
        """Flask-Login's name for the public id."""
        return self.user_public_id


def open_session(
    user_id: int, *, user_agent: str, network: str, idle_s: float, total_s: float
) -> str:
    """Opens a session for the user's first account and returns its token, which is kept nowhere."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now = clock.utcnow()

    def add(connection: Connection) -> None:
        connection.execute(
            insert(Session).values(
                digest=_digest(token),
                user_id=user_id,
                account_id=_first_account(connection, user_id),
                user_agent=user_agent[:USER_AGENT_CHARACTERS_MAX],
                network=network,
                created_at=now,
                seen_at=now,
                expires_at=_expiry(now, created_at=now, idle_s=idle_s, total_s=total_s),
            )
        )

    database.transact(add)
    return token


def load_session(
    token: str, *, idle_s: float, total_s: float, now: datetime | None = None
) -> SignedIn | None:
    """Who the token stands for, or None if its session has ended; being used keeps it alive."""
    now = now or clock.utcnow()
    with database.read() as connection:
        row = connection.execute(_LOAD.where(Session.digest == _digest(token))).one_or_none()
    if row is None:
        return None
    created_at, seen_at, expires_at, *person = row
    if now >= min(expires_at, created_at + timedelta(seconds=total_s)):
        return None
    signed_in = SignedIn(*person)
    if now - seen_at >= timedelta(seconds=TOUCH_EVERY_S):
        expires_at = _expiry(now, created_at=created_at, idle_s=idle_s, total_s=total_s)
        _touch(signed_in.session_id, now=now, expires_at=expires_at)
    return signed_in


def close_session(token: str) -> None:
    """Ends the session, if there is one."""
    statement = delete(Session).where(Session.digest == _digest(token))
    database.transact(lambda connection: connection.execute(statement).rowcount)


def close_other_sessions(user_id: int, *, keep: int) -> int:
    """Ends all sessions of the user but the one with the id `keep`, and returns how many."""
    statement = delete(Session).where(Session.user_id == user_id, Session.id != keep)
    return database.transact(lambda connection: connection.execute(statement).rowcount)


def forget_expired() -> int:
    """Deletes the rows of sessions that have ended by age or silence; says how many."""
    statement = delete(Session).where(Session.expires_at < db_now())
    return database.transact(lambda connection: connection.execute(statement).rowcount)


_LOAD = (
    select(
        Session.created_at,
        Session.seen_at,
        Session.expires_at,
        User.id,
        User.public_id,
        User.email,
        User.name,
        User.email_verified_at.is_not(None),
        User.is_operator,
        Account.id,
        Account.public_id,
        Account.name,
        Membership.role,
        Session.id,
    )
    .join(User, User.id == Session.user_id)
    .join(
        Membership,
        (Membership.user_id == Session.user_id) & (Membership.account_id == Session.account_id),
    )
    .join(Account, Account.id == Session.account_id)
    .where(User.disabled_at.is_(None))
)


def _touch(session_id: int, *, now: datetime, expires_at: datetime) -> None:
    """Notes that the session is in use; a page is not refused because that could not be noted."""
    statement = (
        update(Session)
        .where(Session.id == session_id, Session.seen_at < now)
        .values(seen_at=now, expires_at=expires_at)
    )
    try:
        database.transact(lambda connection: connection.execute(statement).rowcount, durable=False)
    except Unavailable:
        log.warning("session %s was used, which could not be noted", session_id)


def _expiry(now: datetime, *, created_at: datetime, idle_s: float, total_s: float) -> datetime:
    return min(now + timedelta(seconds=idle_s), created_at + timedelta(seconds=total_s))


def _first_account(connection: Connection, user_id: int) -> int:
    oldest = (
        select(Membership.account_id)
        .where(Membership.user_id == user_id)
        .order_by(Membership.created_at, Membership.account_id)
        .limit(1)
    )
    return connection.execute(oldest).scalar_one()


def _digest(token: str) -> bytes:
    # The token has 256 random bits: there is nothing to guess, so a fast hash is the right one.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
