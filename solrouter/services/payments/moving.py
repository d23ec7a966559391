"""The one door by which a payment's money enters the ledger, and leaves it again.

Each verb is a function of a connection, locks the account's row first and hangs on the evidence: a
charge, a signature, a refund. The same evidence a second time changes nothing, whoever brings it.
"""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import Connection, Insert, exists, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import clock
from solrouter.clock import new_id
from solrouter.models import Payment, PaymentDispute, PaymentMove
from solrouter.models.columns import db_now
from solrouter.services import admission, audit, billing, plans
from solrouter.services.admission import Move
from solrouter.services.payments import rows, states

NOTES = {
    billing.TOP_UP: "",
    billing.REFUND: "",
    billing.REFUND_FAILED: "The refund did not go through",
    billing.DISPUTE: "Your bank has taken the money back",
    billing.DISPUTE_WON: "The dispute was settled in your favour",
    billing.GRANT: "Gift",
}
ACTS = {
    billing.TOP_UP: "payment.credited",
    billing.GRANT: "credit.granted",
    billing.REFUND: "payment.refunded",
    billing.REFUND_FAILED: "payment.refund_failed",
    billing.DISPUTE: "payment.disputed",
    billing.DISPUTE_WON: "payment.dispute_won",
}
# What the sum paid in all brings, and what it does not bring any more.
FOLLOWED_BY = {
    billing.TOP_UP: plans.rise,
    billing.REFUND: plans.fall,
    billing.REFUND_FAILED: plans.rise,
    billing.DISPUTE: plans.fall,
    billing.DISPUTE_WON: plans.rise,
}


def credit(
    connection: Connection,
    payment_id: int,
    amount_nanos: int,
    evidence_id: str,
    *,
    details: Mapping[str, Any] | None = None,
) -> bool:
    """Brings what this evidence proves, once; says whether it did so now.

    It does so whatever the payment's state is: money that came late came all the same. A payment
    that is held for an account's first day is credited by the first call after that.
    """
    payment = locked(connection, payment_id)
    if payment.held_until is not None and clock.utcnow() < payment.held_until:
        _hold(connection, payment)
        return False
    kind = billing.GRANT if payment.is_gift else billing.TOP_UP
    fee_nanos = 0 if payment.has_money else payment.fee_nanos
    return move(
        connection, payment, kind, amount_nanos, evidence_id, fee_nanos=fee_nanos, details=details
    )


def move(
    connection: Connection,
    payment: rows.Payment,
    kind: str,
    amount_nanos: int,
    evidence_id: str,
    *,
    fee_nanos: int = 0,
    actor: str = "system",
    note: str = "",
    details: Mapping[str, Any] | None = None,
) -> bool:
    """Moves money of a payment that is locked, once for each evidence; says whether it did."""
    terms = Move(
        transfer_id=new_id(),
        account_id=payment.account_id,
        amount_nanos=amount_nanos,
        kind=kind,
        provider=payment.provider,
        actor=actor,
        note=note or NOTES[kind],
        fee_nanos=fee_nanos,
    )
    if not _keep(connection, payment, terms, evidence_id, details or {}):
        return False
    admission.move(connection, terms)
    _add(connection, payment.id, kind, amount_nanos)
    refresh(connection, payment.id)
    connection.execute(_event(payment, terms))
    if kind in FOLLOWED_BY:
        FOLLOWED_BY[kind](connection, payment.account_id)
    return True


def locked(connection: Connection, payment_id: int) -> rows.Payment:
    """The payment, once its account's row is locked. Raises NotFound."""
    admission.lock(connection, rows.get(connection, payment_id).account_id)
    return rows.get(connection, payment_id)


def refresh(connection: Connection, payment_id: int) -> None:
    """Brings a payment's state in line with its sums and its disputes."""
    payment = rows.get(connection, payment_id)
    state = states.derived(
        payment.state,
        received_nanos=payment.received_nanos,
        refunded_nanos=payment.refunded_nanos,
        disputed_nanos=payment.disputed_nanos,
        is_disputed=has_open_dispute(connection, payment_id),
    )
    changed: dict[str, Any] = {"state": state, "updated_at": db_now()}
    if payment.has_money:
        changed |= {"paid_at": func.coalesce(Payment.paid_at, db_now()), "held_until": None}
    connection.execute(update(Payment).where(Payment.id == payment_id).values(changed))


def has_open_dispute(connection: Connection, payment_id: int) -> bool:
    """Whether a dispute about it has not ended."""
    is_open = PaymentDispute.closed_at.is_(None)
    of_payment = exists().where(PaymentDispute.payment_id == payment_id, is_open)
    return bool(connection.execute(select(of_payment)).scalar())


def _hold(connection: Connection, payment: rows.Payment) -> None:
    """Nothing is credited yet; the provider is asked again when it may be."""
    changed: dict[str, Any] = {"due_at": payment.held_until, "updated_at": db_now()}
    if states.may_become(payment.state, states.HELD):
        changed["state"] = states.HELD
    connection.execute(update(Payment).where(Payment.id == payment.id).values(changed))


def _keep(
    connection: Connection,
    payment: rows.Payment,
    terms: Move,
    evidence_id: str,
    details: Mapping[str, Any],
) -> bool:
    """Inserts the row of the move: the once-only gate. False when the evidence is known."""
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = upsert(PaymentMove).values(
        payment_id=payment.id,
        provider=payment.provider,
        evidence_id=evidence_id,
        kind=terms.kind,
        amount_nanos=terms.amount_nanos,
        transfer_id=terms.transfer_id,
        details=dict(details),
        created_at=db_now(),
    )
    inserted = statement.on_conflict_do_nothing().returning(PaymentMove.id)
    return connection.execute(inserted).first() is not None


def _event(payment: rows.Payment, terms: Move) -> Insert:
    details: dict[str, Any] = {"amount_nanos": terms.amount_nanos, "method": payment.method}
    return audit.event(
        actor=terms.actor,
        action=ACTS[terms.kind],
        subject=_subject(payment, terms.kind),
        account_id=payment.account_id,
        details=details | {"note": terms.note},
    )


def _subject(payment: rows.Payment, kind: str) -> str:
    """A gift is told of the account, as it was before payments had names."""
    is_gift = kind == billing.GRANT
    return f"account:{payment.account_id}" if is_gift else f"payment:{payment.public_id}"


def _add(connection: Connection, payment_id: int, kind: str, amount_nanos: int) -> None:
    for name, signs in billing.SUMS_OF_PAYMENTS.items():
        if kind in signs:
            column = getattr(Payment, f"{name}_nanos")
            change = {column: column + signs[kind] * amount_nanos}
            connection.execute(update(Payment).where(Payment.id == payment_id).values(change))
