"""News of a payment, applied: money in, refunds, disputes, its state. One transaction.

A finding is all that the provider knows, and whatever of it was applied before changes nothing: so
webhook, return page and reconciliation may come in any order, twice, or at the same time.
"""

from typing import Any

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.models import Payment, PaymentDispute, PaymentEvent
from solrouter.models.columns import db_now
from solrouter.services import admission, audit, billing
from solrouter.services.payments import (
    customers,
    disputes,
    moving,
    refund_rows,
    rows,
    standing,
    states,
)
from solrouter.services.payments.methods import DisputeNews, Finding

PROBLEM_CHARACTERS_MAX = 300


def take_event(
    provider: str, event_id: str, kind: str, *, payment_id: int | None, finding: Finding | None
) -> bool:
    """Puts an event in the inbox and applies what was found, both or neither.

    Says whether the event is new; an event that is known changes nothing.
    """

    def verb(connection: Connection) -> bool:
        row = {
            "provider": provider,
            "event_id": event_id,
            "kind": kind[:80],
            "payment_id": payment_id,
            "outcome": "" if finding is None else finding.problem[:PROBLEM_CHARACTERS_MAX],
        }
        if not _is_new_event(connection, row):
            return False
        if payment_id is not None and finding is not None:
            apply(connection, payment_id, finding)
        return True

    return database.transact(verb)


def knows_event(provider: str, event_id: str) -> bool:
    """Whether the inbox has the event."""
    query = select(PaymentEvent.id).where(
        PaymentEvent.provider == provider, PaymentEvent.event_id == event_id
    )
    with database.read() as connection:
        return connection.execute(query).first() is not None


def take(payment_id: int, finding: Finding) -> rows.Payment:
    """Applies what was found, and returns the payment as it is then."""

    def verb(connection: Connection) -> rows.Payment:
        apply(connection, payment_id, finding)
        return rows.get(connection, payment_id)

    return database.transact(verb)


def apply(connection: Connection, payment_id: int, finding: Finding) -> None:
    """`take`, in the caller's transaction."""
    payment = moving.locked(connection, payment_id)
    _note(connection, payment, finding)
    for evidence in finding.evidence:
        moving.credit(
            connection,
            payment_id,
            evidence.amount_nanos,
            evidence.id,
            details=evidence.details,
        )
    for refund in finding.refunds:
        refund_rows.take_news(connection, payment, refund)
    for dispute in finding.disputes:
        _take_dispute(connection, payment, dispute)
    if finding.saved is not None:
        customers.keep(connection, payment, finding.saved)
    moving.refresh(connection, payment_id)
    if payment.is_automatic:
        _tell_standing(connection, payment, finding)


def _tell_standing(connection: Connection, before: rows.Payment, finding: Finding) -> None:
    """An automatic top-up has ended, well or badly, for the first time."""
    after = rows.get(connection, before.id)
    if after.has_money and not before.has_money:
        standing.succeeded(connection, after)
    elif after.state == states.FAILED and before.state != states.FAILED:
        code = str(finding.details.get("code", ""))
        standing.failed(connection, after, finding.problem, code)


def _note(connection: Connection, payment: rows.Payment, finding: Finding) -> None:
    """What is not money: the provider's word, and when to ask again."""
    changed: dict[str, Any] = {"checks": Payment.checks + 1, "due_at": None}
    if finding.due_in_s is not None:
        changed["due_at"] = db_now(finding.due_in_s)
    if finding.details:
        changed["details"] = {**payment.details, **finding.details}
    if finding.order_id is not None and payment.order_id is None:
        changed["order_id"] = finding.order_id
    if finding.charge_id is not None and payment.charge_id is None:
        changed["charge_id"] = finding.charge_id
    if finding.problem:
        changed["problem"] = finding.problem[:PROBLEM_CHARACTERS_MAX]
    if not payment.has_money and finding.state and states.may_become(payment.state, finding.state):
        changed["state"] = finding.state
        if finding.state in (states.FAILED, states.EXPIRED):
            connection.execute(_ended(payment, finding))
    connection.execute(update(Payment).where(Payment.id == payment.id).values(changed))


def _ended(payment: rows.Payment, finding: Finding) -> Any:
    return audit.event(
        actor="system",
        action=f"payment.{finding.state}",
        subject=f"payment:{payment.public_id}",
        account_id=payment.account_id,
        details={"amount_nanos": payment.amount_nanos, "problem": finding.problem},
    )


def _take_dispute(connection: Connection, payment: rows.Payment, news: DisputeNews) -> None:
    """A dispute freezes the account until it ends; its money goes and comes back once each.

    What has happened is kept as flags that are only ever set, so that no order of the news and no
    repetition of them makes a difference.
    """
    row = _dispute_row(connection, payment, news)
    is_withdrawn = row.is_withdrawn or news.is_withdrawn
    is_reinstated = row.is_reinstated or news.is_reinstated
    changed: dict[str, Any] = {"is_withdrawn": is_withdrawn, "is_reinstated": is_reinstated}
    if news.is_closed and row.closed_at is None:
        changed["closed_at"] = db_now()
    of_dispute = update(PaymentDispute).where(PaymentDispute.id == row.id)
    connection.execute(of_dispute.values(changed))
    taken, returned = f"{news.dispute_id}:withdrawn", f"{news.dispute_id}:reinstated"
    if is_withdrawn:
        moving.move(connection, payment, billing.DISPUTE, row.amount_nanos, taken)
    if is_withdrawn and is_reinstated:
        moving.move(connection, payment, billing.DISPUTE_WON, row.amount_nanos, returned)
    if disputes.has_open(connection, payment.account_id):
        admission.freeze_for_dispute(connection, payment.account_id)
    else:
        admission.flag(connection, payment.account_id)
        admission.thaw_after_dispute(connection, payment.account_id)


def _dispute_row(connection: Connection, payment: rows.Payment, news: DisputeNews) -> Any:
    columns = (
        PaymentDispute.id,
        PaymentDispute.amount_nanos,
        PaymentDispute.is_withdrawn,
        PaymentDispute.is_reinstated,
        PaymentDispute.closed_at,
    )
    query = select(*columns).where(
        PaymentDispute.provider == payment.provider, PaymentDispute.dispute_id == news.dispute_id
    )
    row = connection.execute(query).one_or_none()
    if row is not None:
        return row
    # Not more than the payment can have brought: the bank's sum has the fee in it.
    amount = min(news.amount_nanos, max(payment.amount_nanos, payment.received_nanos))
    new = insert(PaymentDispute).values(
        payment_id=payment.id,
        provider=payment.provider,
        dispute_id=news.dispute_id,
        amount_nanos=amount,
        reason=news.reason[:80],
        created_at=db_now(),
    )
    connection.execute(new)
    return connection.execute(query).one()


def _is_new_event(connection: Connection, row: dict[str, Any]) -> bool:
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = upsert(PaymentEvent).values(**row, created_at=db_now())
    inserted = statement.on_conflict_do_nothing().returning(PaymentEvent.id)
    return connection.execute(inserted).first() is not None
