"""The rows behind an owner's invitations into their account: one address, one use, one week.

The link is for who has proven the address otherwise: it was mailed there, or handed over where no
mail is sent, so that having it proves nothing. Runs in the caller's transaction; `members` has the
verbs, and `delivery` makes the link that is mailed.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, delete, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter.models import Account, TeamInvitation, User
from solrouter.models.columns import db_now
from solrouter.services import email_tokens, people

LIFETIME_S = 7 * 24 * 3600


@dataclass(frozen=True, slots=True)
class Pending:
    """An invitation that nobody has used yet; `invited_by` is an address. Ids are for services."""

    account_id: int
    account_public_id: str
    account_name: str
    public_id: str
    email: str
    role: str
    invited_by: str
    created_at: datetime
    expires_at: datetime
    is_open: bool


@dataclass(frozen=True, slots=True)
class Renewed:
    """An invitation with its new token, which is kept nowhere; the one before works no more."""

    invitation: Pending
    token: str


def put(connection: Connection, account_id: int, email: str, role: str, by: int) -> str:
    """Invites the address, anew if it was before, and returns the invitation's public id.

    Nobody knows its token yet: `renew` makes one.
    """
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {
        "role": role,
        "digest": email_tokens.digest(email_tokens.new_text()),
        "invited_by": by,
        "created_at": db_now(),
        "expires_at": db_now(LIFETIME_S),
    }
    new = {"public_id": f"tinv_{secrets.token_hex(people.PUBLIC_ID_BYTES)}", **values}
    statement = upsert(TeamInvitation).values(account_id=account_id, email=email, **new)
    at_address = [TeamInvitation.account_id, TeamInvitation.email]
    statement = statement.on_conflict_do_update(index_elements=at_address, set_=values)
    return connection.execute(statement.returning(TeamInvitation.public_id)).scalar_one()


def renew(connection: Connection, public_id: str) -> Renewed | None:
    """A new token for an open invitation; None if it is used, taken back or too old."""
    token = email_tokens.new_text()
    this = TeamInvitation.public_id == public_id
    renewed = update(TeamInvitation).where(this, _is_open())
    if not connection.execute(renewed.values(digest=email_tokens.digest(token))).rowcount:
        return None
    return Renewed(Pending(*connection.execute(_query().where(this)).one()), token)


def of_account(connection: Connection, account_id: int) -> list[Pending]:
    """The invitations that nobody has used, also those that are too old, newest first."""
    query = _query().where(TeamInvitation.account_id == account_id)
    newest_first = query.order_by(TeamInvitation.created_at.desc(), TeamInvitation.id.desc())
    return [Pending(*row) for row in connection.execute(newest_first)]


def count_of(connection: Connection, account_id: int) -> int:
    """How many there are."""
    query = select(func.count()).where(TeamInvitation.account_id == account_id)
    return connection.execute(query).scalar_one()


def find(connection: Connection, account_id: int, public_id: str) -> Pending | None:
    """The account's invitation with this id, or None."""
    if not people.is_storable(public_id):
        return None
    this = (TeamInvitation.account_id == account_id, TeamInvitation.public_id == public_id)
    row = connection.execute(_query().where(*this)).one_or_none()
    return None if row is None else Pending(*row)


def open_by(connection: Connection, token: str) -> Pending | None:
    """The invitation that the token opens, or None; it can still be used."""
    row = connection.execute(_query().where(_is_of(token), _is_open())).one_or_none()
    return None if row is None else Pending(*row)


def take(connection: Connection, token: str) -> bool:
    """Uses the invitation up; of two at once one does: the row can be deleted once."""
    return bool(
        connection.execute(delete(TeamInvitation).where(_is_of(token), _is_open())).rowcount
    )


def remove(connection: Connection, account_id: int, public_id: str) -> bool:
    """Takes an invitation back; says whether it was there."""
    statement = delete(TeamInvitation).where(
        TeamInvitation.account_id == account_id, TeamInvitation.public_id == public_id
    )
    return bool(connection.execute(statement).rowcount)


def remove_all(connection: Connection, account_id: int) -> None:
    """Takes back all invitations of an account."""
    connection.execute(delete(TeamInvitation).where(TeamInvitation.account_id == account_id))


def remove_by(connection: Connection, account_id: int, user_id: int) -> None:
    """Takes back what somebody invited who may not any more."""
    connection.execute(
        delete(TeamInvitation).where(
            TeamInvitation.account_id == account_id, TeamInvitation.invited_by == user_id
        )
    )


def _is_of(token: str) -> ColumnElement[bool]:
    return TeamInvitation.digest == email_tokens.digest(token)


def _is_open() -> ColumnElement[bool]:
    return TeamInvitation.expires_at > db_now()


def _query() -> Select[*tuple[Any, ...]]:
    return (
        select(
            TeamInvitation.account_id,
            Account.public_id,
            Account.name,
            TeamInvitation.public_id,
            TeamInvitation.email,
            TeamInvitation.role,
            User.email,
            TeamInvitation.created_at,
            TeamInvitation.expires_at,
            _is_open(),
        )
        .join(Account, Account.id == TeamInvitation.account_id)
        .join(User, User.id == TeamInvitation.invited_by)
    )
