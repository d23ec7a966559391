"""Somebody else's proof of who a person is (GitHub, Google): signing in, linking, unlinking.

A proof belongs to the provider's lasting id of the person, never to a name or an address. It never
joins an account by its address alone:

| the proven address is            | what happens                                                |
|----------------------------------|-------------------------------------------------------------|
| nobody's                         | a new user, verified, if sign-up allows it                  |
| of a user who proved it too      | AddressKnown: sign in first, then it is linked (`adopt`)    |
| of a user who never proved it    | AddressKnown: the same, or a new account (`take_address`)   |
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import TypeVar

from sqlalchemy import Connection, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from solrouter import clock, database, models
from solrouter.errors import AddressKnown, NotFound, Refused
from solrouter.services import addresses, audit, invitations, notices, outbox, people, throttles
from solrouter.services.people import DEFAULT_PLAN, User

T = TypeVar("T")

DISABLED = "This user is disabled. Please write to the operator of this server."
CLOSED = "Sign-up is closed, and nobody here has your e-mail address."
UNINVITED = "You need an invitation to sign up here, and there is none for your e-mail address."
LAST_WAY_IN = "This is your only way to sign in. Set a password or connect another account first."
PROVIDER_NAMES = {"github": "GitHub", "google": "Google"}


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


@dataclass(frozen=True, slots=True)
class Linked:
    """An account elsewhere that can sign in."""

    provider: str
    provider_name: str
    login: str
    created_at: datetime


def sign_in_with(
    profile: ProvenIdentity, *, signup: str = "open", plan: str = DEFAULT_PLAN, network: str = ""
) -> User:
    """The user whom this identity belongs to, or a new one if `signup` lets them in.

    Raises AddressKnown and Refused, and with the caller's address in `network` RateLimited.
    """
    if network and not _is_known(profile):
        throttles.take_all((throttles.sign_ups_from(network),))

    def find_or_make(connection: Connection) -> User:
        owner = _owner(connection, profile)
        if owner is not None:
            return _enabled(connection, owner)
        email = _proven_email(profile)
        _refuse_known(connection, profile, email)
        _refuse_uninvited(connection, email, signup)
        return _new(connection, profile, email, plan)

    return _twice_at_most(find_or_make)


def take_address(profile: ProvenIdentity) -> User:
    """A new user for the owner of an address that another user has and never proved.

    Raises Refused when somebody has proven it meanwhile.
    """

    def write(connection: Connection) -> User:
        if _owner(connection, profile) is not None:
            raise _anothers(profile)
        email = _proven_email(profile)
        squatter = people.find(connection, models.User.email == email)
        if squatter is None:
            raise Refused("Nobody has your address any more. Please start again.")
        plan = addresses.plan_of(connection, squatter)
        addresses.vacate(connection, email)
        return _new(connection, profile, email, plan)

    return database.transact(write)


def link(user_id: int, profile: ProvenIdentity) -> None:
    """Lets a signed-in user sign in with this identity too; harmless if they already can.

    It also verifies their address, if it is the proven one. Raises Refused if it is another user's,
    or if the user has another one of that provider.
    """

    def write(connection: Connection) -> None:
        owner = _owner(connection, profile)
        if owner is None:
            _refuse_second(connection, user_id, profile)
            _add(connection, user_id, profile)
            _verify_email(connection, user_id, profile.email)
            _tell(connection, user_id, profile)
        elif owner.id != user_id:
            raise _anothers(profile)

    _twice_at_most(write)
    outbox.ring()


def prove(user_id: int, profile: ProvenIdentity) -> None:
    """Passes if the user could sign in with this identity before now. Raises Refused."""
    with database.read() as connection:
        owner = _owner(connection, profile)
    if owner is None or owner.id != user_id:
        raise Refused(
            f"This {profile.provider_name} account is not the one that you sign in with here."
        )


def adopt(user_id: int, profile: ProvenIdentity) -> bool:
    """Links an identity to the user who has just proven their password, if the address is theirs.

    Says whether it did: somebody else who signs in on that browser gets nothing. Raises Refused.
    """
    with database.read() as connection:
        user = people.find(connection, models.User.id == user_id)
    if user is None or not profile.email or user.email != profile.email.strip().lower():
        return False
    link(user_id, profile)
    return True


def unlink(user_id: int, provider: str) -> str:
    """The user can no longer sign in by this provider; returns its name.

    Raises NotFound, and Refused when it is their only way in.
    """
    name = PROVIDER_NAMES.get(provider, provider)

    def write(connection: Connection) -> None:
        # First, so that two at once stand in line and the second sees what the first did.
        connection.execute(
            update(models.User).where(models.User.id == user_id).values(name=models.User.name)
        )
        gone = connection.execute(
            delete(models.Identity).where(
                models.Identity.user_id == user_id, models.Identity.provider == provider
            )
        ).rowcount
        if not gone:
            raise NotFound(f"No {name} account is connected.")
        if not _ways_in(connection, user_id):
            raise Refused(LAST_WAY_IN)
        _note(connection, user_id, "sign_in.removed", provider)
        notices.put(connection, "sign_in_removed", user_id, provider=name)

    database.transact(write)
    outbox.ring()
    return name


def list_of(user_id: int) -> list[Linked]:
    """The accounts elsewhere that the user can sign in with."""
    statement = (
        select(models.Identity.provider, models.Identity.login, models.Identity.created_at)
        .where(models.Identity.user_id == user_id)
        .order_by(models.Identity.provider)
    )
    with database.read() as connection:
        return [
            Linked(provider, PROVIDER_NAMES.get(provider, provider), login, created_at)
            for provider, login, created_at in connection.execute(statement)
        ]


def _is_known(profile: ProvenIdentity) -> bool:
    with database.read() as connection:
        return _owner(connection, profile) is not None


def _twice_at_most(verb: Callable[[Connection], T]) -> T:
    """Runs the verb, and again if somebody was faster: the second look sees what they did."""
    try:
        return database.transact(verb)
    except IntegrityError:
        return database.transact(verb)


def _proven_email(profile: ProvenIdentity) -> str:
    email = profile.email.strip().lower()
    if not people.is_email(email):
        raise Refused(
            f"Your {profile.provider_name} account has no verified primary e-mail address. "
            f"Verify one at {profile.provider_name}, then try again."
        )
    return email


def _refuse_known(connection: Connection, profile: ProvenIdentity, email: str) -> None:
    namesake = people.find(connection, models.User.email == email)
    if namesake is not None:
        raise AddressKnown(
            f"There is already a user with your e-mail address. Sign in, and "
            f"{profile.provider_name} is connected.",
            is_verified=namesake.is_verified,
            has_password=namesake.has_password,
        )


def _refuse_uninvited(connection: Connection, email: str, signup: str) -> None:
    if signup == "closed":
        raise Refused(CLOSED)
    # Used up in every mode: whoever was invited is here now.
    if not invitations.take_of(connection, email) and signup == "invite":
        raise Refused(UNINVITED)


def _new(connection: Connection, profile: ProvenIdentity, email: str, plan: str) -> User:
    newcomer = people.Newcomer(
        email=email,
        name=profile.name or profile.login,
        password_hash=None,
        is_verified=True,
        is_operator=False,
        plan=plan,
    )
    user = people.add(connection, newcomer)
    _add(connection, user.id, profile)
    return user


def _enabled(connection: Connection, user: User) -> User:
    if people.is_disabled(connection, user.id):
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


def _anothers(profile: ProvenIdentity) -> Refused:
    return Refused(f"This {profile.provider_name} account belongs to another user here.")


def _refuse_second(connection: Connection, user_id: int, profile: ProvenIdentity) -> None:
    present = select(models.Identity.id).where(
        models.Identity.user_id == user_id, models.Identity.provider == profile.provider
    )
    if connection.execute(present.limit(1)).first() is not None:
        raise Refused(
            f"Another {profile.provider_name} account is connected already. Remove it first."
        )


def _ways_in(connection: Connection, user_id: int) -> int:
    has_password = select(models.User.id).where(
        models.User.id == user_id, models.User.password_hash.is_not(None)
    )
    linked = select(func.count()).where(models.Identity.user_id == user_id)
    ways: int = connection.execute(linked).scalar_one()
    return ways + (connection.execute(has_password).first() is not None)


def _add(connection: Connection, user_id: int, profile: ProvenIdentity) -> None:
    connection.execute(
        insert(models.Identity).values(
            user_id=user_id,
            provider=profile.provider,
            subject=profile.subject,
            login=people.as_name(profile.login),
            created_at=clock.utcnow(),
        )
    )
    _note(connection, user_id, "sign_in.added", profile.provider)


def _verify_email(connection: Connection, user_id: int, proven_email: str) -> None:
    connection.execute(
        update(models.User)
        .where(models.User.id == user_id, models.User.email == proven_email.strip().lower())
        .where(models.User.email_verified_at.is_(None))
        .values(email_verified_at=clock.utcnow())
    )


def _tell(connection: Connection, user_id: int, profile: ProvenIdentity) -> None:
    """Tells the owner of the address, who may not be the one who did it."""
    facts = {"provider": profile.provider_name, "login": people.as_name(profile.login)}
    notices.put(connection, "sign_in_added", user_id, **facts)


def _note(connection: Connection, user_id: int, action: str, provider: str) -> None:
    connection.execute(
        audit.event(
            actor=f"user:{user_id}",
            action=action,
            subject=provider,
            account_id=people.owned_account(connection, user_id),
        )
    )
