"""Payments as others see them, and the reads that find them. Row numbers do not leave pages."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, or_, select

from solrouter import database, models
from solrouter.errors import NotFound
from solrouter.services import people
from solrouter.services.payments import states

# Payments by which nobody has paid: an operator's word, a code.
GIFTS = frozenset(("grant", "code"))
# In a payment's details: its provider says that it is paid, and the money is not here yet.
ON_ITS_WAY = "is_on_its_way"
NO_SUCH = "There is no such payment."


@dataclass(frozen=True, slots=True)
class Payment:
    """One wish to bring credit to an account, and what became of it."""

    id: int
    public_id: str
    account_id: int
    user_id: int | None
    provider: str
    method: str
    is_live: bool
    is_automatic: bool
    order_id: str | None
    charge_id: str | None
    amount_nanos: int
    fee_nanos: int
    currency: str
    received_nanos: int
    refunded_nanos: int
    disputed_nanos: int
    state: str
    problem: str
    details: Mapping[str, Any] = field(hash=False)
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None
    paid_at: datetime | None
    held_until: datetime | None
    checks: int

    @property
    def total_nanos(self) -> int:
        """What the payer is to pay for the wish: the credit and the fee."""
        return self.amount_nanos + self.fee_nanos

    @property
    def asked_nanos(self) -> int:
        """What would bring all that was asked for: on a chain a part of a cent above the wish."""
        return int(self.details.get("asked_nanos", self.amount_nanos))

    @property
    def tax_nanos(self) -> int:
        """What the provider added for the tax office, on top of credit and fee."""
        return int(self.details.get("tax_nanos", 0))

    @property
    def paid_nanos(self) -> int:
        """What the payer has paid; while nothing came, what they are to pay."""
        came = self.received_nanos if self.has_money else self.asked_nanos
        return came + self.fee_nanos + self.tax_nanos

    @property
    def has_money(self) -> bool:
        """Whether it has brought any."""
        return self.received_nanos > 0

    @property
    def is_gift(self) -> bool:
        """Whether nobody has paid for it."""
        return self.provider in GIFTS

    @property
    def is_open(self) -> bool:
        """Whether it may bring money still, as far as anyone knows."""
        return self.state in states.OPEN

    @property
    def is_on_its_way(self) -> bool:
        """Whether its payer has done what they had to, and the money is not here yet."""
        return self.state == states.PENDING and bool(self.details.get(ON_ITS_WAY))

    @property
    def awaits_payer(self) -> bool:
        """Whether somebody has to pay still, as far as anyone knows."""
        return self.state in (states.CREATED, states.PENDING) and not self.is_on_its_way

    @property
    def is_short(self) -> bool:
        """Whether less came than was asked for."""
        return 0 < self.received_nanos < self.amount_nanos

    @property
    def is_over(self) -> bool:
        """Whether more came than was asked for."""
        return self.received_nanos > self.asked_nanos


COLUMNS = tuple(getattr(models.Payment, name) for name in Payment.__dataclass_fields__)


def new_public_id() -> str:
    """A name for a payment that nobody can guess."""
    return f"pay_{secrets.token_hex(people.PUBLIC_ID_BYTES)}"


def as_payment(row: Any) -> Payment:
    """The row of a query over COLUMNS."""
    values = dict(zip(Payment.__dataclass_fields__, row, strict=True))
    return Payment(**{**values, "details": values["details"] or {}})


def query(*conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    """Selects payments."""
    return select(*COLUMNS).where(*conditions)


def get(connection: Connection, payment_id: int) -> Payment:
    """The payment with this row number. Raises NotFound."""
    row = connection.execute(query(models.Payment.id == payment_id)).one_or_none()
    if row is None:
        raise NotFound(NO_SUCH)
    return as_payment(row)


def find(public_id: str, *, account_id: int | None = None) -> Payment:
    """The payment of this name, of this account if one is given. Raises NotFound."""
    found = None
    if people.is_storable(public_id):
        found = _find_one(models.Payment.public_id == public_id)
    if found is None or (account_id is not None and found.account_id != account_id):
        raise NotFound(NO_SUCH)
    return found


def find_by_order(provider: str, order_id: str) -> Payment | None:
    """The payment that the provider calls so, or None."""
    return _find_one(models.Payment.provider == provider, models.Payment.order_id == order_id)


def find_by_charge(provider: str, charge_id: str) -> Payment | None:
    """The payment whose money the provider calls so, or None."""
    return _find_one(models.Payment.provider == provider, models.Payment.charge_id == charge_id)


def of_form(connection: Connection, account_id: int, idempotency: str) -> Payment | None:
    """The account's payment that this form has begun, or None."""
    mine = query(models.Payment.account_id == account_id, models.Payment.idempotency == idempotency)
    row = connection.execute(mine).one_or_none()
    return None if row is None else as_payment(row)


def of_account(account_id: int, *, limit: int, before: str | None = None) -> list[Payment]:
    """The account's payments, newest first, from before the payment `before`."""
    statement = query(models.Payment.account_id == account_id)
    if before is not None:
        last = select(models.Payment.id).where(models.Payment.public_id == before)
        statement = statement.where(models.Payment.id < last.scalar_subquery())
    statement = statement.order_by(models.Payment.id.desc()).limit(limit)
    with database.read() as connection:
        return [as_payment(row) for row in connection.execute(statement)]


@dataclass(frozen=True, slots=True)
class Found:
    """A payment in an operator's list, with its account."""

    payment: Payment
    account_public_id: str
    account_name: str

    @property
    def public_id(self) -> str:
        return self.payment.public_id


def of_all(
    text: str = "", *, state: str = "", limit: int, before: str | None = None
) -> list[Found]:
    """Everybody's payments that `text` finds by their ids or their account, newest first."""
    if not people.is_storable(text + state + (before or "")):
        return []
    statement = select(models.Account.public_id, models.Account.name, *COLUMNS).join(
        models.Account, models.Account.id == models.Payment.account_id
    )
    if text.strip():
        statement = statement.where(_is_called(text.strip()))
    if state:
        statement = statement.where(models.Payment.state == state)
    if before is not None:
        last = select(models.Payment.id).where(models.Payment.public_id == before)
        statement = statement.where(models.Payment.id < last.scalar_subquery())
    statement = statement.order_by(models.Payment.id.desc()).limit(limit)
    with database.read() as connection:
        return [Found(as_payment(row[2:]), row[0], row[1]) for row in connection.execute(statement)]


def _is_called(text: str) -> ColumnElement[bool]:
    return or_(
        models.Payment.public_id == text,
        models.Payment.order_id == text,
        models.Payment.charge_id == text,
        models.Account.public_id == text,
    )


def _find_one(*conditions: ColumnElement[bool]) -> Payment | None:
    with database.read() as connection:
        row = connection.execute(query(*conditions)).one_or_none()
    return None if row is None else as_payment(row)
