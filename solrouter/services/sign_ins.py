"""The way in by address and password. Knows no HTTP; `identities` has the other ways.

| failed sign-ins allowed          | at once | then      | why                                  |
|----------------------------------|---------|-----------|--------------------------------------|
| from one network                 | 100     | 1 in 3 s  | many people may share one            |
| from one network for one address | 10      | 1 in 30 s | the guesser; does not stop the owner |
| for one address                  | 300     | 1 in 12 s | a guesser with many networks         |

The last is not asked of a network in which the user is signed in already, so that strangers who
guess from everywhere cannot lock the owner out at home.
"""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Insert, Row, delete, select, update

from solrouter import database, models
from solrouter.errors import Refused
from solrouter.services import audit, outbox, passwords, people, throttles
from solrouter.services.people import User
from solrouter.services.throttles import Allowance

WRONG = "The e-mail address or the password is wrong."


@dataclass(frozen=True, slots=True)
class FirstStep:
    """Who has given their password, and a mark of it: with another password it opens nothing."""

    user: User
    mark: str


def sign_in(email: str, password: str, network: str) -> FirstStep:
    """The user with this address and password; `network` is the caller's address.

    Raises Refused in the same words, after the same time, whatever was wrong, and RateLimited after
    too many failures.
    """
    address = email.strip().lower()
    row, is_familiar = _credentials(address, network)
    counted = allowances(address, network, is_familiar=is_familiar)
    throttles.take_all(counted)
    step = _verified(row, password)
    throttles.give_back(counted)
    return step


def allowances(address: str, network: str, *, is_familiar: bool) -> tuple[Allowance, ...]:
    """What an attempt at this address from this network is counted against."""
    # A digest, since what people type into an address field may be anything, a password included.
    email = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    block = throttles.block_of(network)
    ours = Allowance(f"network:{block}", "sign_in", per_s=1 / 3, burst=100)
    pair = Allowance(f"email:{email}:network:{block}", "sign_in", per_s=1 / 30, burst=10)
    everyones = Allowance(f"email:{email}", "sign_in", per_s=1 / 12, burst=300)
    return (ours, pair) if is_familiar else (ours, pair, everyones)


_WITH_PASSWORD = select(models.User.id, models.User.password_hash, models.User.disabled_at)
Credentials = Row[int, str | None, datetime | None]


def _credentials(address: str, network: str) -> tuple[Credentials | None, bool]:
    """What the address is known by, and whether its user is signed in from this network."""
    if not people.is_email(address):
        return None, False
    with database.read() as connection:
        row = connection.execute(_WITH_PASSWORD.where(models.User.email == address)).one_or_none()
        return row, row is not None and people.is_familiar(connection, row.id, network)


def _verified(row: Credentials | None, password: str) -> FirstStep:
    """The row's user, if the password is theirs and they may come in; always one hash of work."""
    user_id, stored, disabled_at = (None, None, None) if row is None else row
    is_match = passwords.verify(None if disabled_at else stored, password)
    if not is_match or user_id is None or stored is None:
        raise Refused(WRONG)
    if passwords.is_outdated(stored):
        new = passwords.make_hash(password)
        _replace_hash(user_id, old=stored, new=new)
        stored = new
    with database.read() as connection:
        user = people.find(connection, models.User.id == user_id)
    if user is None:
        raise Refused(WRONG)
    return FirstStep(user, passwords.mark(stored))


def _replace_hash(user_id: int, *, old: str, new: str) -> None:
    statement = (
        update(models.User)
        .where(models.User.id == user_id, models.User.password_hash == old)
        .values(password_hash=new)
    )
    database.transact(lambda connection: connection.execute(statement).rowcount)


# Proven again, by somebody who is signed in.


def prove_password(user_id: int, password: str, *, network: str) -> None:
    """Passes if this is the user's password. Raises Refused (`password`) and RateLimited.

    Failures count as those of a sign-in do.
    """
    with database.read() as connection:
        row = connection.execute(_OF_USER.where(models.User.id == user_id)).one()
    counted = allowances(row.email, network, is_familiar=True)
    throttles.take_all(counted)
    if not passwords.verify(row.password_hash, password):
        raise Refused("That is not your password.", param="password")
    throttles.give_back(counted)


def change_password(user_id: int, password: str, *, keep_session: int) -> None:
    """Gives the user this password; all their other sessions end. Raises Refused (`password`)."""
    with database.read() as connection:
        row = connection.execute(_OF_USER.where(models.User.id == user_id)).one()
    passwords.refuse_weak(password, email=row.email)
    new_hash = passwords.make_hash(password)
    act = "password.set" if row.password_hash is None else "password.changed"

    def change(connection: Connection) -> None:
        of_user = update(models.User).where(models.User.id == user_id)
        connection.execute(of_user.values(password_hash=new_hash))
        others = delete(models.Session).where(models.Session.user_id == user_id)
        connection.execute(others.where(models.Session.id != keep_session))
        connection.execute(_event(user_id, act))
        outbox.put(connection, "password_changed", row.email, user_id=user_id)

    database.transact(change)
    outbox.ring()


def half_way(user_id: int) -> str | None:
    """A mark of the user's password for a sign-in that waits for its second step.

    None for a user who may not come in. Another password makes another mark, and ends the wait.
    """
    condition = (models.User.id == user_id, models.User.disabled_at.is_(None))
    with database.read() as connection:
        row = connection.execute(_OF_USER.where(*condition)).one_or_none()
    if row is None:
        return None
    return passwords.mark(row.password_hash)


_OF_USER = select(models.User.email, models.User.password_hash)


def _event(user_id: int, action: str, *, details: Mapping[str, str] | None = None) -> Insert:
    return audit.event(
        actor=f"user:{user_id}",
        action=action,
        subject=f"user:{user_id}",
        account_id=people.own_account(user_id),
        details=details,
    )
