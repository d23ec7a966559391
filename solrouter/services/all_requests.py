"""Everybody's requests, as operators read them: whose they are, and what each left over.

What was asked and answered is not in here: that is its owner's.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, select

from solrouter import database
from solrouter.clock import first_id_at
from solrouter.errors import NotFound
from solrouter.models import Account, Completion, Membership, PriceCard, User
from solrouter.services import activity, people
from solrouter.services.activity import SCANNED_MAX, Receipt


@dataclass(frozen=True, slots=True)
class Filters:
    """Which requests are wanted; empty or None is no condition. `provider` is a slug."""

    account: str = ""
    model: str = ""
    provider: str = ""
    outcome: str = ""
    since: datetime | None = None

    @property
    def is_sparse(self) -> bool:
        """Whether few of the requests may fit, so that finding one may mean reading many."""
        return bool(self.model or self.provider or self.outcome)


@dataclass(frozen=True, slots=True)
class OperatorReceipt:
    """A receipt, whose it is, and what it cost us. `attempt_costs_nanos` stand in their order."""

    receipt: Receipt
    account_public_id: str
    email: str
    upstream_cost_nanos: int
    attempt_costs_nanos: tuple[int, ...]
    cost_rates: Mapping[str, int] | None

    @property
    def margin_nanos(self) -> int:
        """What is left of the charge for the operator."""
        return self.receipt.charge_nanos - self.upstream_cost_nanos


@dataclass(frozen=True, slots=True)
class Found:
    """A page of requests, and after which id the next one begins; None: there are no more."""

    requests: list[OperatorReceipt]
    older: str | None
    # Whether it ended because enough was looked through, and not because the page was full.
    is_cut: bool = False


def page(
    filters: Filters, *, limit: int, before: str | None = None, scanned_max: int = SCANNED_MAX
) -> Found:
    """A page of the requests that fit, newest first. Raises NotFound for a `before` that is no id.

    However few fit, no more than so many requests are looked through; the next page goes on.
    """
    if not people.is_storable("".join((filters.account, filters.model, filters.provider))):
        return Found([], None)
    wanted = list(_fitting(filters))
    if before is not None:
        wanted.append(Completion.id < activity.parse_id(before))

    def query(connection: Connection) -> Found:
        floor = _floor(connection, filters, before, scanned_max) if filters.is_sparse else None
        conditions = wanted if floor is None else [*wanted, Completion.id >= floor]
        rows = connection.execute(_query().where(*conditions).limit(limit + 1)).all()
        found = [_as_receipt(row) for row in rows[:limit]]
        if len(rows) > limit:
            return Found(found, found[-1].receipt.id)
        older = None if floor is None else activity.public_id(floor)
        return Found(found, older, floor is not None)

    return database.read_apart(query)


def find(identifier: str) -> OperatorReceipt:
    """One request, whoever's it is. Raises NotFound."""
    query = _query().where(Completion.id == activity.parse_id(identifier))
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("There is no such request.")
    return _as_receipt(row)


def _of_account(public_id: str) -> ColumnElement[bool]:
    named = select(Account.id).where(Account.public_id == public_id)
    return Completion.account_id == named.scalar_subquery()


def _fitting(filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.account:
        found.append(_of_account(filters.account))
    for column, value in (
        (Completion.model, filters.model),
        (Completion.provider, filters.provider),
        (Completion.outcome, filters.outcome),
    ):
        if value:
            found.append(column == value)
    if filters.since is not None:
        found.append(Completion.id >= first_id_at(filters.since))
    return found


def _floor(
    connection: Connection, filters: Filters, before: str | None, scanned_max: int
) -> uuid.UUID | None:
    """The last id that a page may look at; None where what is left is not so much."""
    ids = select(Completion.id)
    if filters.account:
        ids = ids.where(_of_account(filters.account))
    if before is not None:
        ids = ids.where(Completion.id < activity.parse_id(before))
    last = ids.order_by(Completion.id.desc()).offset(scanned_max - 1).limit(1)
    return connection.execute(last).scalar_one_or_none()


def _query() -> Select[*tuple[Any, ...]]:
    # Of several owners the first: one row for each request.
    owner = (
        select(User.email)
        .join(Membership, Membership.user_id == User.id)
        .where(Membership.account_id == Completion.account_id, Membership.role == people.OWNER)
        .order_by(Membership.created_at, User.id)
        .limit(1)
        .correlate(Completion)
        .scalar_subquery()
    )
    cards = PriceCard.__table__.alias("cost_cards")
    cost = select(cards.c.rates).where(cards.c.id == Completion.cost_card_id).correlate(Completion)
    return (
        activity.receipts_query()
        .add_columns(
            Account.public_id.label("account_public_id"),
            owner.label("email"),
            cost.scalar_subquery().label("cost_rates"),
        )
        .join(Account, Account.id == Completion.account_id)
    )


def _as_receipt(row: Row[*tuple[Any, ...]]) -> OperatorReceipt:
    return OperatorReceipt(
        activity.as_receipt(row),
        row.account_public_id,
        row.email or "",
        row.upstream_cost_nanos,
        tuple(int(attempt.get(activity.UPSTREAM_COST) or 0) for attempt in row.attempts),
        row.cost_rates,
    )
