"""Refunds: credit is taken when one is asked for, before the provider is, so that it cannot be
spent meanwhile; it comes back if the provider does not give the money.

    asked ──▶ sent ──▶ done        asked: the credit is taken, the provider may not know it yet
      └────────┴─────▶ failed      failed: the credit was given back, once
"""

import secrets
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, insert, select, update

from solrouter import database
from solrouter.errors import NotFound
from solrouter.models import PaymentRefund
from solrouter.models.columns import db_now
from solrouter.services import billing, people
from solrouter.services.payments import moving, rows
from solrouter.services.payments.methods import RefundNews

ASKED, SENT, DONE, FAILED = "asked", "sent", "done", "failed"
AT_THE_PROVIDER = "system"
PROBLEM_CHARACTERS_MAX = 300


@dataclass(frozen=True, slots=True)
class Refund:
    """One refund of a payment."""

    id: int
    public_id: str
    payment_id: int
    provider: str
    refund_id: str | None
    amount_nanos: int
    state: str
    actor: str
    pay_to: str
    problem: str
    created_at: datetime
    updated_at: datetime


COLUMNS = tuple(getattr(PaymentRefund, name) for name in Refund.__dataclass_fields__)


def take_out(
    connection: Connection,
    payment: rows.Payment,
    amount_nanos: int,
    *,
    actor: str,
    pay_to: str = "",
) -> Refund:
    """Writes a refund that we shall ask the provider for, and takes its credit."""
    public_id = f"ref_{secrets.token_hex(people.PUBLIC_ID_BYTES)}"
    refund = _insert(connection, payment, public_id, amount_nanos, actor=actor, pay_to=pay_to)
    moving.move(connection, payment, billing.REFUND, amount_nanos, _evidence(refund), actor=actor)
    return refund


def take_news(connection: Connection, payment: rows.Payment, news: RefundNews) -> None:
    """What the provider says of a refund, whoever asked for it."""
    refund = _known(connection, payment, news)
    if refund is None:
        refund = _made_at_the_provider(connection, payment, news)
    if refund is None or refund.state == FAILED:
        return
    if news.is_failed:
        give_back(connection, payment, refund, news.problem, refund_id=news.refund_id)
        return
    state = DONE if news.is_done or refund.state == DONE else SENT
    _set(connection, refund.id, state=state, refund_id=news.refund_id)


def give_back(
    connection: Connection,
    payment: rows.Payment,
    refund: Refund,
    problem: str,
    *,
    refund_id: str | None = None,
    actor: str = "system",
) -> None:
    """Ends a refund that did not go through: its credit comes back, once."""
    moving.move(
        connection,
        payment,
        billing.REFUND_FAILED,
        refund.amount_nanos,
        f"{_evidence(refund)}:failed",
        actor=actor,
    )
    told = {"refund_id": refund_id} if refund_id else {}
    _set(connection, refund.id, state=FAILED, problem=problem[:PROBLEM_CHARACTERS_MAX], **told)


def mark(connection: Connection, row_id: int, /, **values: Any) -> None:
    """Changes what is known of a refund."""
    _set(connection, row_id, **values)


def get(connection: Connection, public_id: str) -> Refund:
    """The refund of this name. Raises NotFound."""
    found = _one(connection, PaymentRefund.public_id == public_id)
    if found is None:
        raise NotFound("There is no such refund.")
    return found


def is_known(connection: Connection, provider: str, refund_id: str) -> bool:
    """Whether a refund bears this name of the provider's."""
    names = (PaymentRefund.provider == provider, PaymentRefund.refund_id == refund_id)
    return _one(connection, *names) is not None


def of_payment(payment_id: int) -> list[Refund]:
    """The payment's refunds, oldest first."""
    query = select(*COLUMNS).where(PaymentRefund.payment_id == payment_id)
    with database.read() as connection:
        return [Refund(*row) for row in connection.execute(query.order_by(PaymentRefund.id))]


def waiting(*, limit: int) -> list[Refund]:
    """Those that the provider, or the operator's hand, has not done yet, oldest first."""
    query = select(*COLUMNS).where(PaymentRefund.state.in_((ASKED, SENT)))
    with database.read() as connection:
        rows_ = connection.execute(query.order_by(PaymentRefund.id).limit(limit))
        return [Refund(*row) for row in rows_]


def _evidence(refund: Refund) -> str:
    return refund.public_id


def _known(connection: Connection, payment: rows.Payment, news: RefundNews) -> Refund | None:
    by_id = (
        PaymentRefund.provider == payment.provider,
        PaymentRefund.refund_id == news.refund_id,
    )
    found = _one(connection, *by_id)
    if found is None and news.ours:
        ours = (PaymentRefund.public_id == news.ours, PaymentRefund.payment_id == payment.id)
        found = _one(connection, *ours)
    return found


def _made_at_the_provider(
    connection: Connection, payment: rows.Payment, news: RefundNews
) -> Refund | None:
    """A refund that the operator made at the provider's own pages, or one that we do not know.

    It takes no more credit than the payment can have brought: the rest is the fee. One that failed
    before we heard of it takes none, and is kept, so that an older word of it takes none either.
    """
    present = rows.get(connection, payment.id)
    left = max(present.amount_nanos, present.received_nanos) - present.refunded_nanos
    amount = min(news.amount_nanos, left)
    if amount <= 0:
        return None
    public_id = f"ref_{secrets.token_hex(people.PUBLIC_ID_BYTES)}"
    refund = _insert(connection, payment, public_id, amount, actor=AT_THE_PROVIDER)
    if news.is_failed:
        known = {"refund_id": news.refund_id, "problem": news.problem[:PROBLEM_CHARACTERS_MAX]}
        _set(connection, refund.id, state=FAILED, **known)
        return None
    moving.move(connection, payment, billing.REFUND, amount, _evidence(refund))
    return refund


def _insert(
    connection: Connection,
    payment: rows.Payment,
    public_id: str,
    amount_nanos: int,
    *,
    actor: str,
    pay_to: str = "",
) -> Refund:
    new = insert(PaymentRefund).values(
        public_id=public_id,
        payment_id=payment.id,
        provider=payment.provider,
        amount_nanos=amount_nanos,
        state=ASKED,
        actor=actor,
        pay_to=pay_to,
        created_at=db_now(),
        updated_at=db_now(),
    )
    connection.execute(new)
    return get(connection, public_id)


def _set(connection: Connection, row_id: int, /, **values: Any) -> None:
    changed = update(PaymentRefund).where(PaymentRefund.id == row_id)
    connection.execute(changed.values(updated_at=db_now(), **values))


def _one(connection: Connection, *conditions: ColumnElement[bool]) -> Refund | None:
    row = connection.execute(select(*COLUMNS).where(*conditions)).one_or_none()
    return None if row is None else Refund(*row)
