"""The rows of memberships, and the people, accounts and keys that they stand for.

Runs in the caller's transaction; `members` has the verbs.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    cast,
    false,
    func,
    literal,
    select,
    true,
    update,
)

from solrouter.errors import NotFound
from solrouter.models import ApiKey, Budget, Membership, User
from solrouter.models.columns import db_now
from solrouter.services import budgets, key_rules, people

NOBODY = "There is no such member."
OWNER, BILLING, DEVELOPER = people.OWNER, "billing", "developer"


@dataclass(frozen=True, slots=True)
class Member:
    """Somebody who belongs to an account, as its other members see them."""

    public_id: str
    email: str
    name: str
    role: str
    joined_at: datetime
    live_keys: int
    # What their keys may spend here in each period, and have; None without such a budget.
    limit_nanos: int | None = None
    spent_nanos: int = 0
    resets: str = budgets.NEVER
    resets_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class LeftKey:
    """A key that was disabled because its maker left, or has a role now that may not have it; until
    an owner enables or revokes it.
    """

    public_id: str
    name: str
    hint: str
    maker: str
    left_at: datetime | None


@dataclass(frozen=True, slots=True)
class Belonging:
    """An account that a person belongs to."""

    public_id: str
    name: str
    role: str
    is_present: bool


def is_of(account_id: int, user_id: int) -> tuple[Any, Any]:
    """The conditions for the row that makes this user a member of this account."""
    return Membership.account_id == account_id, Membership.user_id == user_id


def role_of(connection: Connection, account_id: int, user_id: int) -> str | None:
    """The user's role in the account; None for who is no member."""
    query = select(Membership.role).where(*is_of(account_id, user_id))
    return connection.execute(query).scalar_one_or_none()


def find(connection: Connection, account_id: int, public_id: str) -> tuple[int, str]:
    """A member's number and role. Raises NotFound."""
    query = (
        select(Membership.user_id, Membership.role)
        .join(User, User.id == Membership.user_id)
        .where(Membership.account_id == account_id, User.public_id == public_id)
    )
    row = None
    if people.is_storable(public_id):
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound(NOBODY)
    return row.user_id, row.role


def has_other_owner(connection: Connection, account_id: int, *, without: int) -> bool:
    """Whether somebody else owns the account who can still sign in.

    The one condition under which an owner may go, whichever way: for who has the account's lock.
    """
    others = (
        select(Membership.user_id)
        .join(User, User.id == Membership.user_id)
        .where(Membership.account_id == account_id, Membership.role == OWNER)
        .where(Membership.user_id != without, User.disabled_at.is_(None))
    )
    return connection.execute(others.limit(1)).first() is not None


def members(connection: Connection, account_id: int, user_id: int | None = None) -> list[Member]:
    """The account's members in the order in which they joined, or this one."""
    live_keys = (
        select(func.count())
        .where(ApiKey.account_id == account_id, ApiKey.user_id == User.id)
        .where(ApiKey.revoked_at.is_(None), ApiKey.disabled_at.is_(None))
        .where(ApiKey.purpose == key_rules.API)
        .scalar_subquery()
    )
    query = (
        select(
            User.public_id,
            User.email,
            User.name,
            Membership.role,
            Membership.created_at,
            live_keys.label("live_keys"),
            Budget.limit_nanos,
            func.coalesce(budgets.spent_now(), 0).label("spent_nanos"),
            Budget.period,
            budgets.period_start().label("period_start"),
        )
        .join(Membership, Membership.user_id == User.id)
        .outerjoin(Budget, Budget.subject == _subject())
        .where(Membership.account_id == account_id)
        .order_by(Membership.created_at, User.id)
    )
    if user_id is not None:
        query = query.where(User.id == user_id)
    return [
        Member(
            row.public_id,
            row.email,
            row.name,
            row.role,
            row.created_at,
            row.live_keys,
            row.limit_nanos,
            int(row.spent_nanos),
            budgets.RESETS[row.period or budgets.LIFETIME],
            budgets.period_end(row.period, row.period_start),
        )
        for row in connection.execute(query)
    ]


def _subject() -> ColumnElement[str]:
    """`budgets.member_subject` of a membership's row."""
    account_id, user_id = (
        cast(column, String) for column in (Membership.account_id, Membership.user_id)
    )
    return literal("member:") + account_id + ":" + user_id


def is_beyond(role: str) -> ColumnElement[bool]:
    """The condition for the keys that a member of this role may not have."""
    if role == OWNER:
        return false()
    return ApiKey.scopes.contains(key_rules.MANAGE) if role == DEVELOPER else true()


def stop_keys(
    connection: Connection, account_id: int, user_id: int, which: ColumnElement[bool]
) -> int:
    """Stops those of the user's keys in the account, until an owner lets them go again; says how
    many those are, without what stands for them in the playground.
    """
    stopped = (
        update(ApiKey)
        .where(ApiKey.account_id == account_id, ApiKey.user_id == user_id)
        .where(ApiKey.revoked_at.is_(None), which)
        .values(
            disabled_at=func.coalesce(ApiKey.disabled_at, db_now()),
            maker_left_at=db_now(),
            updated_at=db_now(),
        )
        .returning(ApiKey.purpose)
    )
    return list(connection.scalars(stopped)).count(key_rules.API)


def left_keys(connection: Connection, account_id: int) -> list[LeftKey]:
    """The keys that people left behind, and that nobody has enabled or revoked since."""
    query = (
        select(ApiKey.public_id, ApiKey.name, ApiKey.hint, User.email, ApiKey.maker_left_at)
        .join(User, User.id == ApiKey.user_id)
        .where(ApiKey.account_id == account_id, ApiKey.maker_left_at.is_not(None))
        .where(ApiKey.revoked_at.is_(None), ApiKey.purpose == key_rules.API)
        .order_by(ApiKey.maker_left_at.desc(), ApiKey.id)
    )
    return [LeftKey(*row) for row in connection.execute(query)]
