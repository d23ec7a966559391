"""The ways in: address and password, or somebody else's proof (GitHub). Knows no HTTP.

A proof belongs to the provider's lasting id of the person, never to a name or an address. It joins
an existing user only when that user's own address was verified: otherwise whoever registered the
address first could wait inside for its owner.

| failed sign-ins allowed          | at once | then      | why                                  |
|----------------------------------|---------|-----------|--------------------------------------|
| from one network                 | 100     | 1 in 3 s  | many people may share one            |
| from one network for one address | 10      | 1 in 30 s | the guesser; does not stop the owner |
| for one address                  | 300     | 1 in 12 s | a guesser with many networks         |

The last is not asked of a network in which the user is signed in already, so that strangers who
guess from everywhere cannot lock the owner out at home.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, Row, insert, select, update
from sqlalchemy.exc import IntegrityError

from solrouter import clock, database, models
from solrouter.errors import Refused
from solrouter.services import passwords, people, throttles
from solrouter.services.people import DEFAULT_PLAN, User
from solrouter.services.throttles import Allowance

T = TypeVar("T")

WRONG = "The e-mail address or the password is wrong."
DISABLED = "This user is disabled. Please write to the operator of this server."
PROVIDER_NAMES = {"github": "GitHub"}


@dataclass(frozen=True, slots=True)
class ProvenIdentity:
    """Who a provider says somebody is. `email` is their verified primary address, or empty."""

    provider: str
    subject: str
    login: str
    name: str
    email: str

    @property
    def provider_name(self) -> str:
        return PROVIDER_NAMES.get(self.provider, self.provider)


def sign_in(email: str, password: str, network: str) -> User:
    """The user with this address and password; `network` is the caller's address.

    Raises Refused in the same words, after the same time, whatever was wrong, and RateLimited after
    too many failures.
    """
    address = email.strip().lower()
    row, is_familiar = _credentials(address, network)
    counted = allowances(address, network, is_familiar=is_familiar)
    throttles.take_all(counted)
    user = _verified(row, password)
    throttles.give_back(counted)
    return user


def sign_in_with(
    profile: ProvenIdentity, *, may_create: bool = True, plan: str | None = None
) -> User:
    """The user whom this identity belongs to, or may safely join, or a new one. Raises Refused."""

    def find_or_make(connection: Connection) -> User:
        return _belonging_to(connection, profile, may_create, plan or DEFAULT_PLAN)

    return _twice_at_most(find_or_make)


def link_identity(user_id: int, profile: ProvenIdentity) -> None:
    """Lets a signed-in user sign in with this identity too; harmless if they already can.

    It also verifies their address, if it is the proven one. Raises Refused if it is another user's.
    """

    def link(connection: Connection) -> None:
        owner = _owner(connection, profile)
        if owner is None:
            _add_identity(connection, user_id, profile)
            _verify_email(connection, user_id, profile.email)
        elif owner.id != user_id:
            raise Refused(f"This {profile.provider_name} account belongs to another user here.")

    _twice_at_most(link)


def allowances(address: str, network: str, *, is_familiar: bool) -> tuple[Allowance, ...]:
    """What an attempt at this address from this network is counted against."""
    # A digest, since what people type into an address field may be anything, a password included.
    email = hashlib.sha256(address.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    block = throttles.block_of(network)
    ours = Allowance(f"network:{block}", "sign_in", per_s=1 / 3, burst=100)
    pair = Allowance(f"email:{email}:network:{block}", "sign_in", per_s=1 / 30, burst=10)
    everyones = Allowance(f"email:{email}", "sign_in", per_s=1 / 12, burst=300)
    return (ours, pair) if is_familiar else (ours, pair, everyones)


# With a password.

_WITH_PASSWORD = select(models.User.id, models.User.password_hash, models.User.disabled_at)
Credentials = Row[int, str | None, datetime | None]


def _credentials(address: str, network: str) -> tuple[Credentials | None, bool]:
    """What the address is known by, and whether its user is signed in from this network."""
    if not people.is_email(address):
        return None, False
    with database.read() as connection:
        row = connection.execute(_WITH_PASSWORD.where(models.User.email == address)).one_or_none()
        return row, row is not None and _is_familiar(connection, row.id, network)


def _verified(row: Credentials | None, password: str) -> User:
    """The row's user, if the password is theirs and they may come in; always one hash of work."""
    user_id, stored, disabled_at = (None, None, None) if row is None else row
    is_match = passwords.verify(None if disabled_at else stored, password)
    if not is_match or user_id is None or stored is None:
        raise Refused(WRONG)
    if passwords.is_outdated(stored):
        _replace_hash(user_id, old=stored, new=passwords.make_hash(password))
    with database.read() as connection:
        user = people.find(connection, models.User.id == user_id)
    if user is None:
        raise Refused(WRONG)
    return user


def _replace_hash(user_id: int, *, old: str, new: str) -> None:
    statement = (
        update(models.User)
        .where(models.User.id == user_id, models.User.password_hash == old)
        .values(password_hash=new)
    )
    database.transact(lambda connection: connection.execute(statement).rowcount)


def _is_familiar(connection: Connection, user_id: int, network: str) -> bool:
    session = select(models.Session.id).where(
        models.Session.user_id == user_id, models.Session.network == network
    )
    return connection.execute(session.limit(1)).first() is not None


# With somebody else's proof.


def _twice_at_most(verb: Callable[[Connection], T]) -> T:
    """Runs the verb, and again if somebody was faster: the second look sees what they did."""
    try:
        return database.transact(verb)
    except IntegrityError:
        return database.transact(verb)


def _belonging_to(
    connection: Connection, profile: ProvenIdentity, may_create: bool, plan: str
) -> User:
    owner = _owner(connection, profile)
    if owner is not None:
        return _enabled(connection, owner)
    email = profile.email.strip().lower()
    if not people.is_email(email):
        raise Refused(
            f"Your {profile.provider_name} account has no verified primary e-mail address. "
            f"Verify one at {profile.provider_name}, then try again."
        )
    namesake = people.find(connection, models.User.email == email)
    if namesake is None and not may_create:
        raise Refused("Sign-up is closed, and nobody here has your e-mail address.")
    user = _new(connection, profile, email, plan) if namesake is None else namesake
    _refuse_unverified(user, profile)
    _add_identity(connection, user.id, profile)
    return _enabled(connection, user)


def _new(connection: Connection, profile: ProvenIdentity, email: str, plan: str) -> User:
    newcomer = people.Newcomer(
        email=email,
        name=profile.name or profile.login,
        password_hash=None,
        is_verified=True,
        is_operator=False,
        plan=plan,
    )
    return people.add(connection, newcomer)


def _refuse_unverified(user: User, profile: ProvenIdentity) -> None:
    if not user.is_verified:
        raise Refused(
            "There is already a user with your e-mail address, who has not verified it. "
            f"Sign in with the password first, then connect {profile.provider_name}."
        )


def _enabled(connection: Connection, user: User) -> User:
    disabled_at = select(models.User.disabled_at).where(models.User.id == user.id)
    if connection.execute(disabled_at).scalar_one() is not None:
        raise Refused(DISABLED)
    return user


def _owner(connection: Connection, profile: ProvenIdentity) -> User | None:
    user_id = (
        select(models.Identity.user_id)
        .where(models.Identity.provider == profile.provider)
        .where(models.Identity.subject == profile.subject)
        .scalar_subquery()
    )
    return people.find(connection, models.User.id == user_id)


def _add_identity(connection: Connection, user_id: int, profile: ProvenIdentity) -> None:
    connection.execute(
        insert(models.Identity).values(
            user_id=user_id,
            provider=profile.provider,
            subject=profile.subject,
            login=people.as_name(profile.login),
            created_at=clock.utcnow(),
        )
    )


def _verify_email(connection: Connection, user_id: int, proven_email: str) -> None:
    connection.execute(
        update(models.User)
        .where(models.User.id == user_id, models.User.email == proven_email.strip().lower())
        .where(models.User.email_verified_at.is_(None))
        .values(email_verified_at=clock.utcnow())
    )
