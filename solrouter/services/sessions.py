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
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, Insert, delete, func, insert, select, update

from solrouter import clock, database
from solrouter.errors import NotFound, Unavailable
from solrouter.models import Account, Membership, SecondFactor, Session, User
from solrouter.models.columns import UtcDateTime, db_now
from solrouter.services import audit, people

log = logging.getLogger(__name__)

TOKEN_BYTES = 32
TOUCH_EVERY_S = 60
USER_AGENT_CHARACTERS_MAX = 300
PUBLIC_ID_HEX = 16


@dataclass(frozen=True, slots=True)
class OpenSession:
    """A browser that is signed in, as its person sees it in a list."""

    public_id: str
    user_agent: str
    network: str
    created_at: datetime
    seen_at: datetime
    is_present: bool


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
    has_password: bool
    has_second_factor: bool
    proven_at: datetime

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
        account_id = _first_account(connection, user_id)
        connection.execute(
            insert(Session).values(
                digest=_digest(token),
                user_id=user_id,
                account_id=account_id,
                user_agent=user_agent[:USER_AGENT_CHARACTERS_MAX],
                network=network,
                created_at=now,
                seen_at=now,
                expires_at=_expiry(now, created_at=now, idle_s=idle_s, total_s=total_s),
                proven_at=now,
            )
        )
        connection.execute(_event(user_id, "session.opened", account_id=account_id))

    database.transact(add)
    return token


def renew_session(session_id: int) -> str:
    """Notes that the person has just proven themselves again; the session gets a new token.

    The old one is dead: who has it had no part in the proof (OWASP ASVS 5.0, 7.2.4).
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    statement = update(Session).where(Session.id == session_id)
    statement = statement.values(digest=_digest(token), proven_at=clock.utcnow())
    database.transact(lambda connection: connection.execute(statement).rowcount)
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


def sessions_of(user_id: int, *, present: int) -> list[OpenSession]:
    """The user's living sessions, the present one first, then by last use."""
    query = (
        select(
            Session.id,
            Session.digest,
            Session.user_agent,
            Session.network,
            Session.created_at,
            Session.seen_at,
        )
        .where(Session.user_id == user_id, Session.expires_at >= db_now())
        .order_by(Session.seen_at.desc(), Session.id.desc())
    )
    with database.read() as connection:
        rows = connection.execute(query).all()
    found = [
        OpenSession(
            public_id=_public_id(row.digest),
            user_agent=row.user_agent,
            network=row.network,
            created_at=row.created_at,
            seen_at=row.seen_at,
            is_present=row.id == present,
        )
        for row in rows
    ]
    return sorted(found, key=lambda session: not session.is_present)


def close_one(user_id: int, public_id: str) -> None:
    """Ends that session of the user. Raises NotFound, also for somebody else's."""

    def close(connection: Connection) -> None:
        of_user = select(Session.id, Session.digest).where(Session.user_id == user_id)
        for number, digest in connection.execute(of_user):
            if _public_id(digest) == public_id:
                connection.execute(delete(Session).where(Session.id == number))
                connection.execute(_event(user_id, "session.closed"))
                return
        raise NotFound("That session has ended already.")

    database.transact(close)


def close_other_sessions(user_id: int, *, keep: int) -> int:
    """Ends all sessions of the user but the one with the id `keep`, and returns how many."""

    def close(connection: Connection) -> int:
        statement = delete(Session).where(Session.user_id == user_id, Session.id != keep)
        closed: int = connection.execute(statement).rowcount
        details = {"closed": closed}
        connection.execute(_event(user_id, "session.others_closed", details=details))
        return closed

    return database.transact(close)


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
        User.password_hash.is_not(None),
        SecondFactor.confirmed_at.is_not(None),
        func.coalesce(Session.proven_at, Session.created_at, type_=UtcDateTime()),
    )
    .join(User, User.id == Session.user_id)
    .outerjoin(SecondFactor, SecondFactor.user_id == Session.user_id)
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


def _event(
    user_id: int,
    action: str,
    *,
    account_id: int | None = None,
    details: Mapping[str, int] | None = None,
) -> Insert:
    return audit.event(
        actor=f"user:{user_id}",
        action=action,
        subject=f"user:{user_id}",
        account_id=account_id or people.own_account(user_id),
        details=details,
    )


def _public_id(digest: bytes) -> str:
    """What a page may call the session; neither its number nor its digest leaves."""
    return hashlib.sha256(b"public:" + digest).hexdigest()[:PUBLIC_ID_HEX]


def _digest(token: str) -> bytes:
    # The token has 256 random bits: there is nothing to guess, so a fast hash is the right one.
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
