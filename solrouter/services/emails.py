"""A signed-in person's own address: proven, asked to be proven again, changed.

A link from a mail proves an address only to the person who asked for it and is signed in: so a
stranger who made an account with somebody's address gets nothing if that somebody opens the link.
"""

from sqlalchemy import Connection, select, update

from solrouter import clock, database, models
from solrouter.errors import Refused
from solrouter.services import addresses, audit, email_tokens, outbox, passwords, people, throttles
from solrouter.services.people import User
from solrouter.services.throttles import Allowance

STALE = "This link was used already, is too old, or belongs to another account. Ask for a new one."
WRONG_PASSWORD = "That is not your password."


def ask_verification(user_id: int) -> str:
    """Orders one more mail to the user's address, and returns it. Raises RateLimited."""
    throttles.take(f"user:{user_id}", "verify_email", per_s=1 / 300, burst=3)

    def order(connection: Connection) -> str:
        user = _user(connection, user_id)
        if not user.is_verified:
            outbox.put(connection, "verify_email", user.email, user_id=user_id)
        return user.email

    email = database.transact(order)
    outbox.ring()
    return email


def verify(user_id: int, token: str) -> User:
    """The user has opened the link in the mail to their address. Raises Refused."""

    def prove(connection: Connection) -> User:
        proof = email_tokens.take(connection, token, email_tokens.VERIFY_EMAIL)
        user = _user(connection, user_id)
        if proof is None or proof.user_id != user_id or proof.email != user.email:
            raise Refused(STALE)
        _set_email(connection, user, user.email, action="user.email_verified")
        return _user(connection, user_id)

    return database.transact(prove)


def ask_change(user_id: int, new_email: str, *, password: str) -> str:
    """Orders a mail to a new address, whose link makes it the user's; returns the address.

    The answer does not tell whether somebody has the address. Raises Refused (`email`,
    `password`) and RateLimited.
    """
    address = people.as_email(new_email)
    with database.read() as connection:
        user = _user(connection, user_id)
    if address == user.email:
        raise Refused("That is your address already.", param="email")
    throttles.take(f"user:{user_id}", "change_email", per_s=1 / 300, burst=5)
    refuse_wrong_password(user_id, password)

    def order(connection: Connection) -> None:
        outbox.put(connection, "change_email", address, user_id=user_id)

    database.transact(order)
    outbox.ring()
    return address


def change(user_id: int, token: str) -> User:
    """The user has opened the link in the mail to their new address. Raises Refused."""

    def move(connection: Connection) -> User:
        proof = email_tokens.take(connection, token, email_tokens.CHANGE_EMAIL)
        if proof is None or proof.user_id != user_id:
            raise Refused(STALE)
        user = _user(connection, user_id)
        addresses.vacate(connection, proof.email)
        # What was on its way to the old address proves nothing any more.
        email_tokens.forget(connection, user_id)
        _set_email(connection, user, proof.email, action="user.email_changed")
        facts = {"new_email": _masked(proof.email)}
        outbox.put(connection, "email_changed", user.email, user_id=user_id, facts=facts)
        return _user(connection, user_id)

    changed = database.transact(move)
    outbox.ring()
    return changed


def proven_by(user_id: int, token: str, purpose: str) -> str | None:
    """The address that the token would prove for this user, or None."""
    with database.read() as connection:
        proof = email_tokens.find(connection, token, purpose)
    return proof.email if proof is not None and proof.user_id == user_id else None


def refuse_wrong_password(user_id: int, password: str) -> None:
    """Asks a user who has a password for it. Raises Refused (`password`) and RateLimited."""
    allowance = Allowance(f"user:{user_id}", "password_check", per_s=1 / 30, burst=10)
    statement = select(models.User.password_hash).where(models.User.id == user_id)
    with database.read() as connection:
        stored = connection.execute(statement).scalar_one()
    if stored is None:
        return
    throttles.take_all((allowance,))
    if not passwords.verify(stored, password):
        raise Refused(WRONG_PASSWORD, param="password")
    throttles.give_back((allowance,))


def _user(connection: Connection, user_id: int) -> User:
    user = people.find(connection, models.User.id == user_id)
    assert user is not None, "who is signed in is a user"
    return user


def _set_email(connection: Connection, user: User, email: str, *, action: str) -> None:
    connection.execute(
        update(models.User)
        .where(models.User.id == user.id)
        .values(email=email, email_verified_at=clock.utcnow())
    )
    connection.execute(
        audit.event(
            actor=f"user:{user.id}",
            action=action,
            subject=user.public_id,
            account_id=people.owned_account(connection, user.id),
            details={"before": _masked(user.email), "after": _masked(email)},
        )
    )


def _masked(email: str) -> str:
    """Enough for its owner to know it again: `a…@example.com`."""
    local, _, domain = email.partition("@")
    return f"{local[:1]}…@{domain}"
