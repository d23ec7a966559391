"""Tokens in mails: 256 random bits, kept as a digest, for one use, one purpose and one address.

| purpose          | lives    |
|------------------|----------|
| verify_email     | 24 hours |
| change_email     | 1 hour   |
| reset_password   | 30 minutes |

Builds and runs statements in the caller's transaction; knows no mails.
"""

import hashlib
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, delete, insert, select

from solrouter.models import EmailToken
from solrouter.models.columns import db_now

VERIFY_EMAIL, CHANGE_EMAIL, RESET_PASSWORD = "verify_email", "change_email", "reset_password"
LIFETIMES_S = {VERIFY_EMAIL: 24 * 3600, CHANGE_EMAIL: 3600, RESET_PASSWORD: 1800}
TOKEN_BYTES = 32


@dataclass(frozen=True, slots=True)
class Proof:
    """Whoever has the token reads the mails of this address."""

    user_id: int
    email: str


def new_text() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(TOKEN_BYTES)


def digest(text: str) -> bytes:
    """What is kept of a token. It is random, so a fast hash is the right one."""
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


def make(
    connection: Connection, user_id: int, purpose: str, email: str, *, lives_s: int | None = None
) -> tuple[str, datetime]:
    """A new token, which is kept nowhere, and when it ends."""
    text = new_text()
    row = insert(EmailToken).values(
        digest=digest(text),
        user_id=user_id,
        purpose=purpose,
        email=email,
        created_at=db_now(),
        expires_at=db_now(lives_s or LIFETIMES_S[purpose]),
    )
    return text, connection.execute(row.returning(EmailToken.expires_at)).scalar_one()


def find(connection: Connection, text: str, purpose: str) -> Proof | None:
    """What the token proves, or None; it can still be used afterwards."""
    statement = select(EmailToken.user_id, EmailToken.email).where(
        EmailToken.digest == digest(text),
        EmailToken.purpose == purpose,
        EmailToken.expires_at > db_now(),
    )
    row = connection.execute(statement).one_or_none()
    return None if row is None else Proof(*row)


def take(connection: Connection, text: str, purpose: str) -> Proof | None:
    """What the token proves, or None; it and its siblings of that purpose are used up.

    Of two at once one takes it: the row can be deleted once.
    """
    statement = delete(EmailToken).where(
        EmailToken.digest == digest(text),
        EmailToken.purpose == purpose,
        EmailToken.expires_at > db_now(),
    )
    returned = statement.returning(EmailToken.user_id, EmailToken.email)
    row = connection.execute(returned).one_or_none()
    if row is None:
        return None
    connection.execute(
        delete(EmailToken).where(EmailToken.user_id == row.user_id, EmailToken.purpose == purpose)
    )
    return Proof(*row)


def forget(connection: Connection, user_id: int) -> None:
    """Makes every token of the user worthless."""
    connection.execute(delete(EmailToken).where(EmailToken.user_id == user_id))


def forget_expired(connection: Connection) -> int:
    """Deletes the tokens whose time is over; says how many."""
    return connection.execute(delete(EmailToken).where(EmailToken.expires_at < db_now())).rowcount
