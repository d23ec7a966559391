"""Whose an e-mail address is: whoever proved it. Runs in the caller's transaction.

An account that somebody made with an address and never proved it may have been made by a stranger,
who knows its password, holds keys of it and sits in sessions of it. So when the owner of the
address comes (by a mail's link, or with another site's proof), they never get that account: it
gives the address up and is shut, and the owner gets a new one. Nothing can be lost by this, since
no money comes into an account without a verified address.
"""

from sqlalchemy import Connection, delete, select, update

from solrouter import clock, models
from solrouter.services import audit, email_tokens, people
from solrouter.services.people import User

# RFC 2606: nobody can receive mail there, nor ever sign up with it.
NOBODYS_DOMAIN = "released.invalid"


def vacate(connection: Connection, email: str) -> None:
    """Nobody has the address afterwards. Raises Refused (`email`) if somebody has proven it."""
    squatter = people.find(connection, models.User.email == email)
    if squatter is None:
        return
    if squatter.is_verified:
        raise people.email_taken()
    release(connection, squatter)


def release(connection: Connection, user: User) -> None:
    """Takes the address from a user who never proved it, and shuts them out."""
    assert not user.is_verified, "only an address that was never proven is taken away"
    for table in (models.Session, models.Identity):
        connection.execute(delete(table).where(table.user_id == user.id))
    email_tokens.forget(connection, user.id)
    connection.execute(
        update(models.User)
        .where(models.User.id == user.id)
        .values(
            email=f"{user.public_id}@{NOBODYS_DOMAIN}",
            password_hash=None,
            disabled_at=clock.utcnow(),
        )
    )
    connection.execute(
        audit.event(
            actor="system",
            action="user.address_released",
            subject=user.public_id,
            account_id=people.owned_account(connection, user.id),
        )
    )


def plan_of(connection: Connection, user: User) -> str:
    """The plan of the account that the user came with."""
    account_id = people.owned_account(connection, user.id)
    plan = select(models.Account.plan_slug).where(models.Account.id == account_id)
    return connection.execute(plan).scalar_one()
