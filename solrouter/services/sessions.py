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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import (
    Connection,
    Insert,
    and_,
    case,
    delete,
    func,
    insert,
    null,
    select,
    update,
)

from solrouter import clock, database
from solrouter.errors import NotFound, Refused, Unavailable
from solrouter.models import Account, Membership, SecondFactor, Session, User
from solrouter.models.columns import UtcDateTime, db_now
from solrouter.services import audit, passwords, people
from solrouter.services.member_rows import Belonging

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
    # The account's, as they were when the session was loaded.
    available_nanos: int
    low_balance_nanos: int | None
    spend_alert_nanos: int | None
    frozen_for: str | None
    is_frozen: bool
    suspended_because: str | None
    # Those between which the person can move, by name.
    accounts: tuple[Belonging, ...]
    # While an operator looks at an account that is not theirs.
    views_until: datetime | None

    @property
    def is_viewing(self) -> bool:
        """Whether this is an operator who only looks: nothing may be done."""
        return self.views_until is not None

    @property
    def is_balance_low(self) -> bool:
        """Whether less is left than the account wants to be told of."""
        return self.low_balance_nanos is not None and self.available_nanos < self.low_balance_nanos

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
    user_id: int,
    *,
    user_agent: str,
    network: str,
    idle_s: float,
    total_s: float,
    mark: str | None = None,
) -> str:
    """Opens a session for the user's first account and returns its token, which is kept nowhere.

    With a `mark` of the password that was proven (`passwords.mark`) only while that is the user's:
    a change of the password ends the sessions that are there, and none may slip in behind it.
    Raises Refused.
    """
    token = secrets.token_urlsafe(TOKEN_BYTES)
    now = clock.utcnow()

    def add(connection: Connection) -> None:
        if mark is not None:
            _refuse_another_password(connection, user_id, mark)
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


def _refuse_another_password(connection: Connection, user_id: int, mark: str) -> None:
    # The lock waits for a change that is under way, and has one that comes later wait for us.
    present = select(User.password_hash).where(User.id == user_id, User.disabled_at.is_(None))
    query = present.with_for_update(read=True)
    if passwords.mark(connection.execute(query).scalar()) != mark:
        raise Refused("The password has just been changed. Sign in with the new one.")


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
    signed_in = _signed_in(person)
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


def close_all(user_id: int, *, actor: str) -> int:
    """Signs the user out everywhere, on an operator's word, and returns of how many sessions."""

    def close(connection: Connection) -> int:
        closed: int = connection.execute(delete(Session).where(Session.user_id == user_id)).rowcount
        connection.execute(
            audit.event(
                actor=actor,
                action="session.all_closed",
                subject=f"user:{user_id}",
                account_id=people.own_account(user_id),
                details={"closed": closed},
            )
        )
        return closed

    return database.transact(close)


def forget_expired() -> int:
    """Deletes the rows of sessions that have ended by age or silence; says how many."""
    statement = delete(Session).where(Session.expires_at < db_now())
    return database.transact(lambda connection: connection.execute(statement).rowcount)


# All that the person belongs to, as one text, so that no page asks for it apart.
_BETWEEN_ROWS, _BETWEEN_VALUES = "\x1e", "\x1f"
_memberships = Membership.__table__.alias("all_memberships")
_accounts = Account.__table__.alias("all_accounts")
_ACCOUNTS = (
    select(
        func.aggregate_strings(
            _accounts.c.public_id
            + _BETWEEN_VALUES
            + _memberships.c.role
            + _BETWEEN_VALUES
            + _accounts.c.name,
            _BETWEEN_ROWS,
        )
    )
    .join_from(_memberships, _accounts, _accounts.c.id == _memberships.c.account_id)
    .where(_memberships.c.user_id == Session.user_id)
    .correlate(Session)
)
# An operator's session may look at another account, as its owner.
_IS_VIEWING = and_(
    Session.views_account_id.is_not(None),
    Session.views_until > db_now(),
    User.is_operator.is_(True),
)
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
        case((_IS_VIEWING, "owner"), else_=Membership.role),
        Session.id,
        User.password_hash.is_not(None),
        SecondFactor.confirmed_at.is_not(None),
        func.coalesce(Session.proven_at, Session.created_at, type_=UtcDateTime()),
        Account.paid_nanos + Account.granted_nanos - Account.held_nanos,
        Account.low_balance_nanos,
        Account.spend_alert_nanos,
        Account.frozen_for,
        Account.frozen_at.is_not(None),
        Account.suspended_because,
        _ACCOUNTS.scalar_subquery(),
        case((_IS_VIEWING, Session.views_until), else_=null()),
    )
    .join(User, User.id == Session.user_id)
    .outerjoin(SecondFactor, SecondFactor.user_id == Session.user_id)
    .join(
        Membership,
        (Membership.user_id == Session.user_id) & (Membership.account_id == Session.account_id),
    )
    .join(
        Account,
        Account.id == case((_IS_VIEWING, Session.views_account_id), else_=Session.account_id),
    )
    .where(User.disabled_at.is_(None))
)


def _signed_in(person: Sequence[Any]) -> SignedIn:
    """The person of a row of _LOAD, whose accounts are one text."""
    found = dict(zip(SignedIn.__dataclass_fields__, person, strict=True))
    present = found["account_public_id"]
    rows = (each.split(_BETWEEN_VALUES, 2) for each in found["accounts"].split(_BETWEEN_ROWS))
    belongings = [Belonging(key, name, role, key == present) for key, role, name in rows]
    found["accounts"] = tuple(sorted(belongings, key=lambda each: each.name.lower()))
    return SignedIn(**found)


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
