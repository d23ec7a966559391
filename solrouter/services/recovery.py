"""A forgotten password: asked for by anyone, given to whoever reads the mails of the address.

Asking does the same work for every address, known or not: it writes an order, and whether there is
anybody is found out when the order is carried out. A new password ends every session.
"""

import hashlib

from sqlalchemy import Connection, delete, update

from solrouter import database, models
from solrouter.errors import Refused
from solrouter.services import addresses, audit, email_tokens, outbox, passwords, people, throttles
from solrouter.services.people import User
from solrouter.services.throttles import Allowance

STALE = "This link was used already, or is too old. Ask for a new one."


def ask_reset(email: str, network: str) -> str:
    """Orders a mail to the address, and returns it. Raises Refused (`email`) and RateLimited."""
    address = people.as_email(email)
    subject = hashlib.sha256(address.encode()).hexdigest()[:32]
    block = throttles.block_of(network)
    throttles.take_all(
        (
            Allowance(f"network:{block}", "reset", per_s=1 / 60, burst=20),
            Allowance(f"email:{subject}", "reset", per_s=1 / 600, burst=5),
        )
    )
    database.transact(lambda connection: outbox.put(connection, "reset_password", address))
    outbox.ring()
    return address


def email_of(token: str) -> str | None:
    """The address whose password the token may set, or None."""
    with database.read() as connection:
        proof = email_tokens.find(connection, token, email_tokens.RESET_PASSWORD)
    return None if proof is None else proof.email


def reset(token: str, password: str) -> None:
    """Sets the password, ends every session and signs nobody in. Raises Refused (`password`).

    An account that nobody had proven the address of is not handed over: see `addresses`.
    """
    email = email_of(token)
    if email is None:
        raise Refused(STALE)
    passwords.refuse_weak(password, email=email)
    password_hash = passwords.make_hash(password)

    def write(connection: Connection) -> None:
        proof = email_tokens.take(connection, token, email_tokens.RESET_PASSWORD)
        user = None if proof is None else people.find(connection, models.User.id == proof.user_id)
        if proof is None or user is None or user.email != proof.email:
            raise Refused(STALE)
        if people.is_disabled(connection, user.id):
            raise Refused(STALE)
        if user.is_verified:
            _set_password(connection, user, password_hash)
        else:
            user = _begin_anew(connection, user, password_hash)
        connection.execute(
            audit.event(
                actor=f"user:{user.id}",
                action="user.password_reset",
                subject=user.public_id,
                account_id=people.owned_account(connection, user.id),
            )
        )
        outbox.put(connection, "password_changed", user.email, user_id=user.id)

    database.transact(write)
    outbox.ring()


def _set_password(connection: Connection, user: User, password_hash: str) -> None:
    # The row of the user first: a sign-in that opens a session meanwhile waits for it.
    connection.execute(
        update(models.User).where(models.User.id == user.id).values(password_hash=password_hash)
    )
    connection.execute(delete(models.Session).where(models.Session.user_id == user.id))
    email_tokens.forget(connection, user.id)


def _begin_anew(connection: Connection, user: User, password_hash: str) -> User:
    """Whoever made the account is not known to be the owner of the address, who is here now."""
    plan = addresses.plan_of(connection, user)
    addresses.release(connection, user)
    newcomer = people.Newcomer(
        email=user.email,
        name="",
        password_hash=password_hash,
        is_verified=True,
        is_operator=False,
        plan=plan,
    )
    return people.add(connection, newcomer)
