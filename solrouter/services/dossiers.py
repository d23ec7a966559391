"""An account as an operator sees it: its state, its people, what it has.

Few statements, since a page asks for more than this.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import ColumnElement, exists, func, select

from solrouter import database
from solrouter.errors import NotFound
from solrouter.models import Account, ApiKey, Membership, Plan, SecondFactor, Session, User
from solrouter.models.columns import db_now
from solrouter.services import key_rules, people
from solrouter.services.billing import Balance


@dataclass(frozen=True, slots=True)
class Dossier:
    """An account, with its balance and how many keys of it work."""

    id: int
    public_id: str
    name: str
    plan_slug: str
    plan_name: str
    frozen_at: datetime | None
    frozen_for: str | None
    suspended_because: str | None
    keys_frozen_at: datetime | None
    flagged_at: datetime | None
    created_at: datetime
    keys: int
    balance: Balance

    @property
    def is_frozen(self) -> bool:
        """Whether it can spend nothing."""
        return self.frozen_at is not None

    @property
    def is_closed(self) -> bool:
        """Whether its owner has left for good."""
        return self.is_frozen and self.frozen_for is None


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who belongs to the account."""

    public_id: str
    email: str
    role: str
    is_verified: bool
    is_operator: bool
    is_disabled: bool
    has_second_factor: bool
    sessions: int
    seen_at: datetime | None


def find(public_id: str) -> Dossier:
    """The account with this public id. Raises NotFound."""
    if not people.is_storable(public_id):
        raise NotFound("There is no such account.")
    return _find(Account.public_id == public_id)


def of(account_id: int) -> Dossier:
    """The account. Raises NotFound."""
    return _find(Account.id == account_id)


def people_of(account_id: int) -> list[Person]:
    """Who belongs to the account, in the order in which they joined."""
    of_user = (SecondFactor.user_id == User.id, SecondFactor.confirmed_at.is_not(None))
    living = (Session.user_id == User.id, Session.expires_at > db_now())
    query = (
        select(
            User.public_id,
            User.email,
            Membership.role,
            User.email_verified_at.is_not(None),
            User.is_operator,
            User.disabled_at.is_not(None),
            exists().where(*of_user).correlate(User),
            select(func.count()).where(*living).correlate(User).scalar_subquery(),
            select(func.max(Session.seen_at)).where(*living).correlate(User).scalar_subquery(),
        )
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.account_id == account_id)
        .order_by(Membership.created_at, User.id)
    )
    with database.read() as connection:
        return [Person(*row) for row in connection.execute(query)]


def _find(condition: ColumnElement[bool]) -> Dossier:
    live_keys = (
        select(func.count())
        .where(ApiKey.account_id == Account.id, ApiKey.purpose == key_rules.API)
        .where(ApiKey.revoked_at.is_(None), ApiKey.disabled_at.is_(None))
        .correlate(Account)
        .scalar_subquery()
    )
    query = (
        select(
            Account.id,
            Account.public_id,
            Account.name,
            Account.plan_slug,
            Plan.name,
            Account.frozen_at,
            Account.frozen_for,
            Account.suspended_because,
            Account.keys_frozen_at,
            Account.flagged_at,
            Account.created_at,
            live_keys,
            Account.paid_nanos,
            Account.granted_nanos,
            Account.held_nanos,
        )
        .join(Plan, Plan.slug == Account.plan_slug)
        .where(condition)
    )
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("There is no such account.")
    *facts, paid, granted, held = row
    named = dict(zip(Dossier.__dataclass_fields__, facts, strict=False))
    return Dossier(**named, balance=Balance(paid, granted, held))
