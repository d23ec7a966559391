"""How a user and their own account come into being, whichever way they came. Opens no transaction.

`accounts` and `sign_ins` both make users; this is what they share, so that neither knows the other.
"""

import re
import secrets
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, Connection, ScalarSelect, func, insert, select, update

from solrouter import clock, models
from solrouter.errors import Refused
from solrouter.services import audit

DEFAULT_PLAN = "pay-as-you-go"
EMAIL_CHARACTERS_MAX = 254
NAME_CHARACTERS_MAX = 200
PUBLIC_ID_BYTES = 12
OWNER = "owner"
GMAIL = frozenset(("gmail.com", "googlemail.com"))
# HTML's own definition of a valid address, with a dot in the domain.
EMAIL = re.compile(
    r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@"
    r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)+"
)


@dataclass(frozen=True, slots=True)
class User:
    """A person who can sign in."""

    id: int
    public_id: str
    email: str
    name: str
    is_verified: bool
    is_operator: bool
    has_password: bool
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Newcomer:
    """Somebody who is about to become a user."""

    email: str
    name: str
    password_hash: str | None
    is_verified: bool
    is_operator: bool
    plan: str


def own_account_id() -> ColumnElement[int]:
    """Of the users of a query: the account that each came with.

    They may be members, and owners, of others. Who leaves the one they came with gets a new one.
    """
    first_owned = (
        select(func.min(models.Membership.account_id))
        .where(models.Membership.user_id == models.User.id, models.Membership.role == OWNER)
        .correlate(models.User)
        .scalar_subquery()
    )
    return func.coalesce(models.User.own_account_id, first_owned)


def own_account(user_id: int) -> ScalarSelect[int]:
    """The account that the user came with."""
    return select(own_account_id()).where(models.User.id == user_id).scalar_subquery()


def is_familiar(connection: Connection, user_id: int, network: str) -> bool:
    """Whether the user is signed in from this network: a guesser elsewhere must not stop them."""
    session = select(models.Session.id).where(
        models.Session.user_id == user_id, models.Session.network == network
    )
    return connection.execute(session.limit(1)).first() is not None


def email_taken() -> Refused:
    """What to say when the address is somebody's already."""
    return Refused("There is already a user with this e-mail address.", param="email")


def is_email(text: str) -> bool:
    """Whether the text is an address in the spelling that we store."""
    return len(text) <= EMAIL_CHARACTERS_MAX and EMAIL.fullmatch(text) is not None


def as_email(text: str) -> str:
    """The address as we store it, in lower case. Raises Refused."""
    email = text.strip().lower()
    if not is_email(email):
        raise Refused(
            "That is not an e-mail address: it looks like name@example.com.", param="email"
        )
    return email


def one_inbox(email: str) -> str:
    """One spelling for all addresses that reach one inbox. Never for sending to it.

    What follows a plus is a label, and Gmail reads no dots.
    """
    local, _, domain = email.lower().rpartition("@")
    local = local.partition("+")[0] or local
    if domain in GMAIL:
        local, domain = local.replace(".", ""), "gmail.com"
    return f"{local}@{domain}"


def as_name(text: str) -> str:
    """The name as we store it: what can be printed of it, and not without end."""
    printable = "".join(character for character in text if character.isprintable())
    return printable.strip()[:NAME_CHARACTERS_MAX]


def is_storable(text: str) -> bool:
    """Whether a text column could hold it; else no row can have it. PostgreSQL knows no NUL."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def find(connection: Connection, condition: ColumnElement[bool]) -> User | None:
    """The user that the condition names, or None."""
    statement = select(
        models.User.id,
        models.User.public_id,
        models.User.email,
        models.User.name,
        models.User.email_verified_at.is_not(None),
        models.User.is_operator,
        models.User.password_hash.is_not(None),
        models.User.created_at,
    )
    row = connection.execute(statement.where(condition)).one_or_none()
    return None if row is None else User(*row)


def is_disabled(connection: Connection, user_id: int) -> bool:
    """Whether an operator has shut the user out."""
    disabled_at = select(models.User.disabled_at).where(models.User.id == user_id)
    return connection.execute(disabled_at).scalar_one_or_none() is not None


def owned_account(connection: Connection, user_id: int) -> int:
    """The account that the user came with."""
    own = select(own_account_id()).where(models.User.id == user_id)
    return int(connection.execute(own).scalar_one())


def add(connection: Connection, newcomer: Newcomer) -> User:
    """Makes a user, their personal account and their ownership of it.

    Raises Refused (`email`, `plan`); two at once meet the unique constraint, an IntegrityError.
    """
    if find(connection, models.User.email == newcomer.email) is not None:
        raise email_taken()
    refuse_unknown_plan(connection, newcomer.plan)
    now = clock.utcnow()
    user_id = _add_user(connection, newcomer, now=now)
    name = as_name(newcomer.name) or newcomer.email.partition("@")[0]
    account_id = give_account(connection, user_id, name, newcomer.plan)
    connection.execute(
        audit.event(
            actor=f"user:{user_id}",
            action="user.created",
            subject=f"user:{user_id}",
            account_id=account_id,
            details={"is_operator": newcomer.is_operator, "plan": newcomer.plan},
        )
    )
    user = find(connection, models.User.id == user_id)
    assert user is not None, "what was just written can be read"
    return user


def give_account(connection: Connection, user_id: int, name: str, plan: str) -> int:
    """Makes an account of the user's own, with nothing in it, and returns its number."""
    now = clock.utcnow()
    account = insert(models.Account).values(
        public_id=f"acct_{secrets.token_hex(PUBLIC_ID_BYTES)}",
        name=name,
        plan_slug=plan,
        created_at=now,
    )
    account_id = connection.execute(account.returning(models.Account.id)).scalar_one()
    membership = insert(models.Membership).values(
        user_id=user_id, account_id=account_id, role=OWNER, created_at=now
    )
    connection.execute(membership)
    of_user = update(models.User).where(models.User.id == user_id)
    connection.execute(of_user.values(own_account_id=account_id))
    return account_id


def refuse_unknown_plan(connection: Connection, slug: str) -> None:
    """Raises Refused (`plan`) unless there is such a plan, naming those that there are."""
    slugs = connection.execute(select(models.Plan.slug).order_by(models.Plan.slug)).scalars().all()
    if slug not in slugs:
        raise Refused(f"There is no plan “{slug}”. Plans: {', '.join(slugs)}.", param="plan")


def _add_user(connection: Connection, newcomer: Newcomer, *, now: datetime) -> int:
    statement = insert(models.User).values(
        public_id=f"user_{secrets.token_hex(PUBLIC_ID_BYTES)}",
        email=newcomer.email,
        email_verified_at=now if newcomer.is_verified else None,
        name=as_name(newcomer.name),
        password_hash=newcomer.password_hash,
        is_operator=newcomer.is_operator,
        created_at=now,
    )
    return connection.execute(statement.returning(models.User.id)).scalar_one()
