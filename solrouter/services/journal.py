"""The ledger as operators read it: every act on money, whoever's it is, and what we owe in all."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, Connection, Select, case, cast, func, select, true

from solrouter import database
from solrouter.errors import NotFound
from solrouter.models import Account, Payment, Transfer, User
from solrouter.services import billing, people

# What a page may be narrowed to; usage is most of it.
KINDS = {
    "money": "All but usage",
    billing.TOP_UP: "Top-ups",
    billing.GRANT: "Gifts",
    billing.GRANT_TAKEN: "Gifts taken back",
    billing.REFUND: "Refunds",
    billing.REFUND_FAILED: "Refunds that failed",
    billing.DISPUTE: "Disputes",
    billing.DISPUTE_WON: "Disputes won",
    billing.FORFEIT: "Forfeited",
    billing.USAGE: "Usage",
}
# And what one act is called.
NAMES = {
    billing.TOP_UP: "Top-up",
    billing.GRANT: "Gift",
    billing.GRANT_TAKEN: "Gift taken back",
    billing.REFUND: "Refund",
    billing.REFUND_FAILED: "Refund that failed",
    billing.DISPUTE: "Dispute",
    billing.DISPUTE_WON: "Dispute won",
    billing.FORFEIT: "Forfeited",
    billing.USAGE: "Usage",
}
BUT_USAGE = "money"
# How many transfers one page looks through for those that fit.
SCANNED_MAX = 20_000
GIFTS = ("code", "grant")
A_USER = "user:"
ACTORS = {"system": "This server", "operator:cli": "Operator, by command"}


@dataclass(frozen=True, slots=True)
class Leg:
    """One transfer of an act: from whom to whom."""

    debit: str
    credit: str
    amount_nanos: int


@dataclass(frozen=True, slots=True)
class Act:
    """What happened to money at once, with all its legs."""

    id: str
    created_at: datetime
    kind: str
    actor: str
    note: str
    account_public_id: str
    account_name: str
    legs: tuple[Leg, ...]


@dataclass(frozen=True, slots=True)
class Found:
    """A page of acts, and before which id the next one ends; None: there are no more."""

    acts: list[Act]
    older: str | None
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class Books:
    """What all customers have, and what all payments have brought and taken, in nanodollars."""

    paid_nanos: int
    granted_nanos: int
    held_nanos: int
    in_debt_nanos: int
    received_nanos: int
    fees_nanos: int
    refunded_nanos: int
    disputed_nanos: int


def books() -> Books:
    """The sums of everybody's balances and payments, without presents and rehearsals."""
    accounts = select(
        func.sum(Account.paid_nanos).filter(Account.paid_nanos > 0).label("paid"),
        func.sum(Account.granted_nanos).label("granted"),
        func.sum(Account.held_nanos).label("held"),
        func.sum(-Account.paid_nanos).filter(Account.paid_nanos < 0).label("in_debt"),
    ).subquery()
    payments = (
        select(
            func.sum(Payment.received_nanos).label("received"),
            func.sum(Payment.fee_nanos).filter(Payment.received_nanos > 0).label("fees"),
            func.sum(Payment.refunded_nanos).label("refunded"),
            func.sum(Payment.disputed_nanos).label("disputed"),
        )
        .where(Payment.provider.not_in(GIFTS), Payment.is_live.is_(True))
        .subquery()
    )
    query = select(accounts, payments).join(payments, true())

    def read(connection: Connection) -> Books:
        return Books(*(int(each or 0) for each in connection.execute(query).one()))

    return database.read_apart(read)


def page(
    *,
    kind: str = BUT_USAGE,
    account: str = "",
    limit: int,
    before: str | None = None,
    scanned_max: int = SCANNED_MAX,
) -> Found:
    """A page of acts, newest first, of this kind and account. Raises NotFound for a wrong `before`.

    However few fit, no more than so many transfers are looked through; the next page goes on.
    """
    if not people.is_storable(account):
        return Found([], None)
    last = None if before is None else _id_of(before)

    def read(connection: Connection) -> Found:
        floor = None if kind == "" else _floor(connection, account, last, scanned_max)
        ids = _fitting(kind, account, last).group_by(Transfer.id)
        if floor is not None:
            ids = ids.where(Transfer.id >= floor)
        found = connection.execute(ids.order_by(Transfer.id.desc()).limit(limit + 1)).scalars()
        wanted = list(found)
        acts = _acts(connection, wanted[:limit])
        if len(wanted) > limit:
            return Found(acts, str(wanted[limit - 1]))
        return Found(acts, None if floor is None else str(floor), floor is not None)

    return database.read_apart(read)


def _fitting(kind: str, account: str, last: uuid.UUID | None) -> Select[Any]:
    ids = _of_account(select(Transfer.id), account)
    if kind == BUT_USAGE:
        ids = ids.where(Transfer.kind != billing.USAGE)
    elif kind:
        ids = ids.where(Transfer.kind == kind)
    return ids if last is None else ids.where(Transfer.id < last)


def _floor(
    connection: Connection, account: str, last: uuid.UUID | None, scanned_max: int
) -> uuid.UUID | None:
    """The last id that a page may look at; None where what is left is not so much."""
    ids = _of_account(select(Transfer.id), account)
    if last is not None:
        ids = ids.where(Transfer.id < last)
    ids = ids.order_by(Transfer.id.desc()).offset(scanned_max - 1).limit(1)
    return connection.execute(ids).scalar_one_or_none()


def _of_account(ids: Select[Any], account: str) -> Select[Any]:
    if not account:
        return ids
    named = select(Account.id).where(Account.public_id == account).scalar_subquery()
    return ids.where(Transfer.account_id == named)


def _acts(connection: Connection, ids: Sequence[uuid.UUID]) -> list[Act]:
    if not ids:
        return []
    number = cast(func.substr(Transfer.actor, len(A_USER) + 1), BigInteger)
    actor_id = case((Transfer.actor.like(f"{A_USER}%"), number), else_=-1)
    email = select(User.email).where(User.id == actor_id).scalar_subquery()
    query = (
        select(*Transfer.__table__.columns, Account.public_id, Account.name, email.label("email"))
        .outerjoin(Account, Account.id == Transfer.account_id)
        .where(Transfer.id.in_(ids))
        .order_by(Transfer.id.desc(), Transfer.leg)
    )
    rows: dict[uuid.UUID, list[Any]] = {}
    for row in connection.execute(query):
        rows.setdefault(row.id, []).append(row)
    return [_act(legs) for legs in rows.values()]


def _act(rows: Sequence[Any]) -> Act:
    first = rows[0]
    return Act(
        str(first.id),
        first.created_at,
        first.kind,
        first.email or ACTORS.get(first.actor, first.actor),
        first.note or "",
        first.public_id or "",
        first.name or "",
        tuple(Leg(_plain(row.debit), _plain(row.credit), row.amount_nanos) for row in rows),
    )


def _plain(name: str) -> str:
    """A ledger account's name without the number of a row: whose it is stands beside it."""
    parts = name.split(":")
    return f"customer, {parts[2]}" if parts[0] == "customer" else name


def _id_of(text: str) -> uuid.UUID:
    try:
        return uuid.UUID(text)
    except ValueError:
        raise NotFound("There is no such page of the ledger.") from None
