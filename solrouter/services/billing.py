"""The ledger: what a balance is, the transfers of each act, and the audit that proves both.

It builds statements and reads; `admission` owns the transactions that run them. Knows nothing of
keys, models or HTTP. A customer's balance is a liability of ours: a credit to `customer:<id>:…`
raises it.

    grant          promo            → customer:granted
    grant-taken    customer:granted → promo     (an operator takes back what is left of gifts)
    top-up         cash:<provider>  → customer:paid
                   cash:<provider>  → fees      (what the payer paid for paying)
    refund         customer:paid    → refunds
    refund-failed  refunds          → customer:paid
    dispute        customer:paid    → disputes
    dispute-won    disputes         → customer:paid
    usage          customer:granted → revenue   (gifts are spent first)
                   customer:paid    → revenue
    write-off      writeoff         → revenue   (what the balance could not pay)
    forfeit        customer:granted → forfeited (what a person gave up with their account)
                   customer:paid    → forfeited
"""

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    Connection,
    Insert,
    Select,
    String,
    bindparam,
    case,
    cast,
    func,
    insert,
    literal,
    or_,
    select,
    union_all,
)

from solrouter import database
from solrouter.errors import NotFound
from solrouter.models import Account, Completion, Hold, Payment, PaymentMove, RollUp, Transfer
from solrouter.models.columns import db_now
from solrouter.services import ledger_days

REVENUE, PROMO, WRITE_OFF = "revenue", "promo", "writeoff"
REFUNDS, DISPUTES = "refunds", "disputes"
FORFEITED = "forfeited"
FEES = "fees"
GRANT, USAGE, FORFEIT = "grant", "usage", "forfeit"
GRANT_TAKEN = "grant-taken"
TOP_UP, REFUND, REFUND_FAILED = "top-up", "refund", "refund-failed"
DISPUTE, DISPUTE_WON = "dispute", "dispute-won"
CASH = "cash:{provider}"
# Among the marks of how far sums reach: until when receipts are no longer kept.
FORGOTTEN = "forgotten_receipts"


class Side(NamedTuple):
    """Of a kind of move: what stands against the customer, which balance, and up or down."""

    other: str
    part: str
    sign: int


# What brings credit or takes it back. A house test and the audit know these kinds and no other.
SIDES: Mapping[str, Side] = {
    GRANT: Side(PROMO, "granted", 1),
    GRANT_TAKEN: Side(PROMO, "granted", -1),
    TOP_UP: Side(CASH, "paid", 1),
    REFUND: Side(REFUNDS, "paid", -1),
    REFUND_FAILED: Side(REFUNDS, "paid", 1),
    DISPUTE: Side(DISPUTES, "paid", -1),
    DISPUTE_WON: Side(DISPUTES, "paid", 1),
}
# Gifts may come without a payment, as the welcome credit does, and are taken back without one.
NEED_A_PAYMENT = tuple(kind for kind in SIDES if kind not in (GRANT, GRANT_TAKEN))
# A payment's columns, and which kinds of its moves they sum up.
SUMS_OF_PAYMENTS: Mapping[str, Mapping[str, int]] = {
    "received": {TOP_UP: 1, GRANT: 1},
    "refunded": {REFUND: 1, REFUND_FAILED: -1},
    "disputed": {DISPUTE: 1, DISPUTE_WON: -1},
}


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account has, in nanodollars."""

    paid_nanos: int
    granted_nanos: int
    held_nanos: int

    @property
    def posted_nanos(self) -> int:
        """All that is the account's, running requests included."""
        return self.paid_nanos + self.granted_nanos

    @property
    def available_nanos(self) -> int:
        """What the next request may hold."""
        return self.posted_nanos - self.held_nanos


@dataclass(frozen=True, slots=True)
class Entry:
    """One line of a statement; `amount_nanos` is positive when it raised the balance."""

    id: str
    created_at: datetime
    kind: str
    amount_nanos: int
    note: str
    actor: str


@dataclass(frozen=True, slots=True)
class Charge:
    """How a cost is paid: gifts first, then what was paid in; the rest is ours to lose."""

    granted_nanos: int
    paid_nanos: int
    write_off_nanos: int

    @property
    def total_nanos(self) -> int:
        """What the customer pays."""
        return self.granted_nanos + self.paid_nanos


def customer(account_id: int, part: str) -> str:
    """The ledger account of a customer's `paid` or `granted` balance."""
    return f"customer:{account_id}:{part}"


def balance(account_id: int) -> Balance:
    """The account's balance now. Raises NotFound."""
    columns = select(Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
    with database.read() as connection:
        row = connection.execute(columns.where(Account.id == account_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such account.")
    return Balance(*row)


def statement(account_id: int, *, limit: int, before: str | None = None) -> list[Entry]:
    """The account's transfers summed by act, newest first, from before the entry `before`."""
    query = _statement_query(account_id).limit(limit)
    if before is not None:
        query = query.where(Transfer.id < uuid.UUID(before))
    rows = database.read_apart(lambda connection: connection.execute(query).all())
    return [
        Entry(
            str(row.id), row.created_at, row.kind, int(row.amount_nanos), row.note or "", row.actor
        )
        for row in rows
    ]


def split(cost_nanos: int, *, after_release: Balance) -> Charge:
    """How a settled request is paid, given the balance once its own hold is released.

    It may use its hold and what is free beside it, never what other requests hold, never below
    zero.
    """
    assert cost_nanos >= 0
    charge = min(cost_nanos, max(after_release.available_nanos, 0))
    from_granted = min(charge, after_release.granted_nanos)
    return Charge(from_granted, charge - from_granted, cost_nanos - charge)


def usage_transfers(
    completion_id: uuid.UUID, account_id: int, charge: Charge, *, note: str
) -> list[dict[str, Any]]:
    """The transfers of a settled request; none for a free one."""
    legs = (
        (customer(account_id, "granted"), REVENUE, charge.granted_nanos),
        (customer(account_id, "paid"), REVENUE, charge.paid_nanos),
        (WRITE_OFF, REVENUE, charge.write_off_nanos),
    )
    return [
        {
            "id": completion_id,
            "leg": leg,
            "account_id": account_id,
            "debit": debit,
            "credit": credit,
            "amount_nanos": amount,
            "kind": USAGE,
            "actor": "system",
            "note": note,
        }
        for leg, (debit, credit, amount) in enumerate(legs)
        if amount > 0
    ]


def record_usage(
    connection: Connection, completion_id: uuid.UUID, account_id: int, charge: Charge, *, note: str
) -> None:
    """Appends the transfers of a settled request."""
    for transfer in usage_transfers(completion_id, account_id, charge, note=note):
        _insert_transfer.changes(connection, **transfer)


def credit_transfer(
    transfer_id: uuid.UUID,
    account_id: int,
    amount_nanos: int,
    *,
    kind: str,
    actor: str,
    note: str,
) -> dict[str, Any]:
    """The transfer that brings credit to an account."""
    return move_transfers(transfer_id, account_id, amount_nanos, kind=kind, actor=actor, note=note)[
        0
    ]


def move_transfers(
    transfer_id: uuid.UUID,
    account_id: int,
    amount_nanos: int,
    *,
    kind: str,
    actor: str,
    note: str,
    provider: str = "",
    fee_nanos: int = 0,
) -> list[dict[str, Any]]:
    """The transfers that bring credit to an account or take it back, by the kind's two sides."""
    side = SIDES[kind]
    other, own = side.other.format(provider=provider), customer(account_id, side.part)
    legs = [(other, own, amount_nanos) if side.sign > 0 else (own, other, amount_nanos)]
    if fee_nanos:
        legs.append((other, FEES, fee_nanos))
    return [
        {
            "id": transfer_id,
            "leg": leg,
            "account_id": account_id,
            "debit": debit,
            "credit": credit,
            "amount_nanos": amount,
            "kind": kind,
            "actor": actor,
            "note": note,
        }
        for leg, (debit, credit, amount) in enumerate(legs)
    ]


def forfeit_transfers(
    transfer_id: uuid.UUID, account_id: int, balance: Balance, *, actor: str
) -> list[dict[str, Any]]:
    """The transfers that empty the account of somebody who leaves; none for an empty one."""
    legs = (("granted", balance.granted_nanos), ("paid", balance.paid_nanos))
    return [
        {
            "id": transfer_id,
            "leg": leg,
            "account_id": account_id,
            "debit": customer(account_id, part),
            "credit": FORFEITED,
            "amount_nanos": amount,
            "kind": FORFEIT,
            "actor": actor,
            "note": "The account was deleted",
        }
        for leg, (part, amount) in enumerate(legs)
        if amount > 0
    ]


def insert_transfers() -> Insert:
    """The statement that appends transfers."""
    return insert(Transfer).values(created_at=db_now())


@database.prepared
def _insert_transfer(_dialect: str) -> Insert:
    columns = (
        "id",
        "leg",
        "account_id",
        "debit",
        "credit",
        "amount_nanos",
        "kind",
        "actor",
        "note",
    )
    return insert_transfers().values({name: bindparam(name) for name in columns})


def audit() -> Iterator[str]:
    """Proves the ledger; yields one sentence for each difference, nothing when all is well.

    Sums are made in the database; only differences leave it.
    """
    with database.read() as connection:
        yield from differences(connection)


def differences(connection: Connection) -> Iterator[str]:
    """`audit` over a connection that is open already."""
    yield from _balances_that_drift(connection)
    yield from ledger_days.differences(connection)
    yield from _holds_that_drift(connection)
    yield from _overdrawn(connection)
    yield from charges_that_drift(connection)
    yield from _payments_that_drift(connection)
    yield from _moves_that_drift(connection)


def _statement_query(account_id: int) -> Select[*tuple[Any, ...]]:
    own = literal(f"customer:{account_id}:")
    signed = case(
        (func.substr(Transfer.credit, 1, func.length(own)) == own, Transfer.amount_nanos),
        (func.substr(Transfer.debit, 1, func.length(own)) == own, -Transfer.amount_nanos),
        else_=0,
    )
    return (
        select(
            Transfer.id,
            func.min(Transfer.created_at).label("created_at"),
            func.min(Transfer.kind).label("kind"),
            func.sum(signed).label("amount_nanos"),
            func.min(Transfer.note).label("note"),
            func.min(Transfer.actor).label("actor"),
        )
        .where(Transfer.account_id == account_id)
        .group_by(Transfer.id)
        .order_by(Transfer.id.desc())
    )


def _replayed(part: str) -> Any:
    """Account names and sums of one of the customers' balances, by replay."""
    legs = union_all(
        select(Transfer.credit.label("name"), Transfer.amount_nanos.label("amount")),
        select(Transfer.debit.label("name"), (-Transfer.amount_nanos).label("amount")),
    ).subquery()
    name = literal("customer:") + cast(Account.id, String) + literal(f":{part}")
    sums = select(legs.c.name, func.sum(legs.c.amount).label("total")).group_by(legs.c.name)
    return sums.subquery(), name


def _balances_that_drift(connection: Connection) -> Iterator[str]:
    for part, column in (("paid", Account.paid_nanos), ("granted", Account.granted_nanos)):
        sums, name = _replayed(part)
        total = cast(func.coalesce(sums.c.total, 0), BigInteger)
        query = (
            select(Account.public_id, column, total.label("replay"))
            .outerjoin(sums, sums.c.name == name)
            .where(column != total)
        )
        for row in connection.execute(query):
            yield f"{row[0]}: {part} balance is {row[1]} nanodollars, its ledger says {row[2]}"


def _holds_that_drift(connection: Connection) -> Iterator[str]:
    sums = (
        select(Hold.account_id, func.sum(Hold.amount_nanos).label("total"))
        .group_by(Hold.account_id)
        .subquery()
    )
    total = cast(func.coalesce(sums.c.total, 0), BigInteger)
    query = (
        select(Account.public_id, Account.held_nanos, total)
        .outerjoin(sums, sums.c.account_id == Account.id)
        .where(Account.held_nanos != total)
    )
    for row in connection.execute(query):
        yield f"{row[0]}: {row[1]} nanodollars are marked as held, its requests hold {row[2]}"


def _overdrawn(connection: Connection) -> Iterator[str]:
    """Only what refunds and disputes took may have brought an account below zero."""
    backs = (REFUNDS, DISPUTES)
    taken = case((Transfer.credit.in_(backs), Transfer.amount_nanos), else_=-Transfer.amount_nanos)
    sums = (
        select(Transfer.account_id, func.sum(taken).label("total"))
        .where(or_(Transfer.credit.in_(backs), Transfer.debit.in_(backs)))
        .group_by(Transfer.account_id)
        .subquery()
    )
    returned = cast(func.coalesce(sums.c.total, 0), BigInteger)
    available = Account.paid_nanos + Account.granted_nanos - Account.held_nanos
    query = (
        select(Account.public_id, available + returned)
        .outerjoin(sums, sums.c.account_id == Account.id)
        .where(available + returned < 0)
    )
    for row in connection.execute(query):
        yield f"{row[0]}: overdrawn by {-row[1]} nanodollars"


def charges_that_drift(
    connection: Connection, since: uuid.UUID | None = None, until: uuid.UUID | None = None
) -> Iterator[str]:
    """Every charge belongs to one completion, and every completion's charge is in the ledger.

    From one id to another; else of all whose receipts are not forgotten.
    """
    since = since or connection.execute(forgotten_until()).scalar()
    sums, of_receipts = _usage_sums(since, until), _between(Completion.id, since, until)
    total = cast(func.coalesce(sums.c.total, 0), BigInteger)
    receipts = (
        select(Completion.id, Completion.charge_nanos, total)
        .outerjoin(sums, sums.c.id == Completion.id)
        .where(Completion.charge_nanos != total, *of_receipts)
    )
    for row in connection.execute(receipts):
        yield f"completion {row[0]}: its receipt says {row[1]} nanodollars, the ledger {row[2]}"
    written_off = cast(func.coalesce(sums.c.lost, 0), BigInteger)
    losses = (
        select(Completion.id, Completion.write_off_nanos, written_off)
        .outerjoin(sums, sums.c.id == Completion.id)
        .where(Completion.write_off_nanos != written_off, *of_receipts)
    )
    for row in connection.execute(losses):
        yield f"completion {row[0]}: its receipt wrote off {row[1]}, the ledger {row[2]}"
    orphans = (
        select(sums.c.id, total)
        .outerjoin(Completion, Completion.id == sums.c.id)
        .where(Completion.id.is_(None))
    )
    for row in connection.execute(orphans):
        yield f"transfer {row[0]}: {row[1]} nanodollars were charged without a receipt"


def forgotten_until() -> Select[Any]:
    """The id before which there may be no receipts any more; no row if all are kept."""
    return select(RollUp.until_id).where(RollUp.name == FORGOTTEN)


def _usage_sums(since: uuid.UUID | None, until: uuid.UUID | None) -> Any:
    """What each request was charged and what was written off for it, by the ledger."""
    paid = case((Transfer.debit != WRITE_OFF, Transfer.amount_nanos), else_=0)
    lost = case((Transfer.debit == WRITE_OFF, Transfer.amount_nanos), else_=0)
    return (
        select(Transfer.id, func.sum(paid).label("total"), func.sum(lost).label("lost"))
        .where(Transfer.kind == USAGE, *_between(Transfer.id, since, until))
        .group_by(Transfer.id)
        .subquery()
    )


def _between(column: Any, since: uuid.UUID | None, until: uuid.UUID | None) -> list[Any]:
    begins = [] if since is None else [column >= since]
    return begins if until is None else [*begins, column < until]


def _payments_that_drift(connection: Connection) -> Iterator[str]:
    """Every payment's sums are those of its moves."""
    sums = select(
        PaymentMove.payment_id,
        *(
            func.sum(_signed(PaymentMove.kind, PaymentMove.amount_nanos, signs)).label(name)
            for name, signs in SUMS_OF_PAYMENTS.items()
        ),
    )
    moved = sums.group_by(PaymentMove.payment_id).subquery()
    for name in SUMS_OF_PAYMENTS:
        column = getattr(Payment, f"{name}_nanos")
        total = cast(func.coalesce(moved.c[name], 0), BigInteger)
        query = select(Payment.public_id, column, total).outerjoin(
            moved, moved.c.payment_id == Payment.id
        )
        for row in connection.execute(query.where(column != total)):
            yield f"payment {row[0]}: {row[1]} nanodollars are {name}, its moves say {row[2]}"


def _moves_that_drift(connection: Connection) -> Iterator[str]:
    """Every move of a payment is in the ledger once with its sum, and no other is."""
    first_leg = (Transfer.id == PaymentMove.transfer_id) & (Transfer.leg == 0)
    differs = or_(
        Transfer.id.is_(None),
        Transfer.amount_nanos != PaymentMove.amount_nanos,
        Transfer.kind != PaymentMove.kind,
        Transfer.account_id != Payment.account_id,
    )
    query = (
        select(PaymentMove.evidence_id, PaymentMove.amount_nanos, Transfer.amount_nanos)
        .join(Payment, Payment.id == PaymentMove.payment_id)
        .outerjoin(Transfer, first_leg)
        .where(differs)
    )
    for row in connection.execute(query):
        yield f"evidence {row[0]}: it moved {row[1]} nanodollars, the ledger says {row[2]}"
    orphans = (
        select(Transfer.id, Transfer.kind, Transfer.amount_nanos)
        .outerjoin(PaymentMove, PaymentMove.transfer_id == Transfer.id)
        .where(Transfer.kind.in_(NEED_A_PAYMENT), PaymentMove.id.is_(None))
    )
    for transfer_id, kind, amount in connection.execute(orphans):
        yield f"transfer {transfer_id}: a {kind} of {amount} nanodollars belongs to no payment"


def _signed(kind: Any, amount: Any, signs: Mapping[str, int]) -> Any:
    return case(*((kind == name, amount * sign) for name, sign in signs.items()), else_=0)
