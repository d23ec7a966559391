"""An operator's invitations to sign up: one address, one use, one week. Sends no mail itself.

Who comes with one has proven the address: the link was mailed there, or handed over by the
operator, who vouches.
"""

import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database, models
from solrouter.errors import NotFound, Refused
from solrouter.models import SignupInvitation
from solrouter.models.columns import db_now
from solrouter.services import audit, email_tokens, links, outbox, people

LIFETIME_S = 7 * 24 * 3600
LISTED_MAX = 200
GONE = "This invitation was used already, or is too old. Ask for another one."


@dataclass(frozen=True, slots=True)
class Invitation:
    """An invitation as operators see it."""

    public_id: str
    email: str
    created_by: str
    created_at: datetime
    expires_at: datetime
    accepted_at: datetime | None


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of an invitation: it is mailed, or here is the link to hand over, this once."""

    email: str
    link: str | None


def invite(email: str, *, actor: str) -> Sent:
    """Invites the owner of an address, anew if they were before. Raises Refused (`email`)."""
    address = people.as_email(email)
    token = email_tokens.new_text()

    def write(connection: Connection) -> None:
        if people.find(connection, models.User.email == address) is not None:
            raise people.email_taken()
        _upsert(connection, address, token, actor)
        outbox.put(connection, "invitation", address)
        connection.execute(
            audit.event(actor=actor, action="invitation.created", subject=f"email:{address}")
        )

    database.transact(write)
    outbox.ring()
    # With a mail on its way the link is in the mail alone.
    return Sent(address, None if outbox.is_on() else links.to(links.INVITATION, token))


def revoke(public_id: str, *, actor: str) -> str:
    """Takes an invitation back, and returns its address. Raises NotFound."""

    def write(connection: Connection) -> str | None:
        statement = delete(SignupInvitation).where(
            SignupInvitation.public_id == public_id, SignupInvitation.accepted_at.is_(None)
        )
        email = connection.execute(statement.returning(SignupInvitation.email)).scalar()
        if email is not None:
            subject = f"email:{email}"
            connection.execute(
                audit.event(actor=actor, action="invitation.revoked", subject=subject)
            )
        return email

    email = database.transact(write)
    if email is None:
        raise NotFound("There is no such invitation.")
    return email


def list_of() -> list[Invitation]:
    """The newest invitations."""
    statement = select(
        SignupInvitation.public_id,
        SignupInvitation.email,
        SignupInvitation.created_by,
        SignupInvitation.created_at,
        SignupInvitation.expires_at,
        SignupInvitation.accepted_at,
    ).order_by(SignupInvitation.created_at.desc(), SignupInvitation.id.desc())
    with database.read() as connection:
        return [Invitation(*row) for row in connection.execute(statement.limit(LISTED_MAX))]


def invited(token: str) -> str | None:
    """The address that the token invites, or None."""
    statement = select(SignupInvitation.email).where(
        SignupInvitation.digest == email_tokens.digest(token), _IS_OPEN
    )
    with database.read() as connection:
        return connection.execute(statement).scalar_one_or_none()


def take(connection: Connection, token: str) -> str:
    """Uses the invitation up and returns its address. Raises Refused."""
    email = _accept(connection, SignupInvitation.digest == email_tokens.digest(token))
    if email is None:
        raise Refused(GONE)
    return email


def take_of(connection: Connection, email: str) -> bool:
    """Uses up the invitation of an address proven otherwise; says whether there was one."""
    return _accept(connection, SignupInvitation.email == email) is not None


def renew(connection: Connection, email: str) -> tuple[str, datetime] | None:
    """A token for the mail, and when it ends; None if the invitation is used or taken back."""
    token = email_tokens.new_text()
    statement = (
        update(SignupInvitation)
        .where(SignupInvitation.email == email, _IS_OPEN)
        .values(digest=email_tokens.digest(token))
        .returning(SignupInvitation.expires_at)
    )
    expires_at = connection.execute(statement).scalar_one_or_none()
    return None if expires_at is None else (token, expires_at)


_IS_OPEN = SignupInvitation.accepted_at.is_(None) & (SignupInvitation.expires_at > db_now())


def _upsert(connection: Connection, email: str, token: str, actor: str) -> None:
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {
        "public_id": f"inv_{secrets.token_hex(people.PUBLIC_ID_BYTES)}",
        "digest": email_tokens.digest(token),
        "created_by": actor,
        "created_at": db_now(),
        "expires_at": db_now(LIFETIME_S),
        "accepted_at": None,
    }
    statement = upsert(SignupInvitation).values(email=email, **values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[SignupInvitation.email], set_=values)
    )


def _accept(connection: Connection, condition: ColumnElement[bool]) -> str | None:
    statement = update(SignupInvitation).where(condition, _IS_OPEN).values(accepted_at=db_now())
    return connection.execute(statement.returning(SignupInvitation.email)).scalar_one_or_none()
