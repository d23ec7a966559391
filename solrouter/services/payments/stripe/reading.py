"""What Stripe's objects say, as findings; they come as plain dicts. Nothing in them is believed
before it equals our row: the order, the mode, the currency and the amount, to the cent.
"""

import logging
from dataclasses import replace
from datetime import timedelta
from typing import Any

from solrouter import clock
from solrouter.money import NANOS_PER_USD
from solrouter.services.payments import states
from solrouter.services.payments.methods import (
    DisputeNews,
    Evidence,
    Finding,
    RefundNews,
    SavedCard,
)
from solrouter.services.payments.rows import ON_ITS_WAY, Payment

Json = dict[str, Any]

log = logging.getLogger(__name__)

CENT_NANOS = NANOS_PER_USD // 100
FAILED_REFUND = ("failed", "canceled")
ENDED_DISPUTE = ("won", "lost", "prevented")
WARNING = "warning_"
AUTHENTICATION = "authentication_required"
# How old a payment is, and how often it is asked about then; banks' own ways take two weeks.
LOOK_AGAIN = (
    (timedelta(hours=2), 900),
    (timedelta(days=1), 3_600),
    (timedelta(days=15), 21_600),
)


def never_ordered() -> Finding:
    """Stripe has no such order, so nobody can have paid it."""
    return Finding(state=states.EXPIRED, problem="It never reached Stripe.")


def of_session(payment: Payment, session: Json) -> Finding:
    """A checkout, read with its intent and its charge."""
    problem = _mismatch(
        payment,
        named=session["client_reference_id"],
        is_live=session["livemode"],
        currency=session["currency"],
        cents=_asked(session),
    )
    if problem:
        return _suspicious(payment, problem)
    intent = session.get("payment_intent")
    if (
        session["status"] == "complete"
        and session["payment_status"] == "paid"
        and intent is not None
    ):
        found = of_intent(payment, intent, cents=session["amount_total"])
        if found.evidence:
            taxed = {"tax_nanos": _tax_cents(session) * CENT_NANOS}
            found = replace(found, details={**found.details, **taxed})
        return replace(found, order_id=session["id"])
    finding = Finding(order_id=session["id"], due_in_s=_due_in_s(payment))
    if session["status"] == "expired":
        return replace(finding, state=states.EXPIRED, due_in_s=None)
    if session["status"] == "complete" and _has_failed(intent):
        return replace(finding, state=states.FAILED, problem=_why(intent or {}), due_in_s=None)
    # What is paid by a bank's way or in coins is told before it arrives.
    is_sent = session["status"] == "complete"
    return replace(finding, state=states.PENDING, details={ON_ITS_WAY: True} if is_sent else {})


def of_intent(payment: Payment, intent: Json, *, cents: int | None = None) -> Finding:
    """The money itself. `cents` is what the checkout came to, with tax; else what we asked."""
    expected = payment.total_nanos // CENT_NANOS if cents is None else cents
    problem = _mismatch(
        payment,
        named=(intent.get("metadata") or {}).get("payment"),
        is_live=intent["livemode"],
        currency=intent["currency"],
        cents=payment.total_nanos // CENT_NANOS
        if intent["amount"] == expected
        else intent["amount"],
    )
    if problem:
        return _suspicious(payment, problem)
    finding = Finding(order_id=intent["id"], charge_id=intent["id"], due_in_s=_due_in_s(payment))
    if intent["status"] == "succeeded":
        if intent["amount_received"] != expected:
            return _suspicious(payment, f"{intent['amount_received']} cents came, not {expected}")
        return replace(
            finding,
            evidence=(Evidence(intent["id"], payment.amount_nanos),),
            saved=_saved(intent),
            details=_details(intent),
            due_in_s=None,
        )
    if _has_failed(intent):
        code = _error(intent).get("code", "")
        return replace(
            finding,
            state=states.FAILED,
            problem=_why(intent),
            details={"code": code},
            due_in_s=None,
        )
    return replace(finding, state=states.PENDING)


def with_returns(
    finding: Finding, refunds: tuple[RefundNews, ...], disputes: tuple[DisputeNews, ...]
) -> Finding:
    """The finding with what went back."""
    return replace(finding, refunds=refunds, disputes=disputes)


def refund(made: Json) -> RefundNews:
    """A refund; its own amount, never the running sum of the charge."""
    is_failed = made["status"] in FAILED_REFUND
    return RefundNews(
        made["id"],
        made["amount"] * CENT_NANOS,
        is_failed=is_failed,
        is_done=made["status"] == "succeeded",
        ours=str((made.get("metadata") or {}).get("refund", "")),
        problem=str(made.get("failure_reason") or "") if is_failed else "",
    )


def dispute(found: Json) -> DisputeNews | None:
    """A dispute; None for a mere inquiry, by which no money moves."""
    moved = [entry["amount"] for entry in found.get("balance_transactions") or []]
    is_withdrawn = any(amount < 0 for amount in moved)
    if found["status"].startswith(WARNING) and not is_withdrawn:
        return None
    return DisputeNews(
        found["id"],
        found["amount"] * CENT_NANOS,
        is_withdrawn=is_withdrawn,
        is_reinstated=any(amount > 0 for amount in moved),
        is_closed=found["status"] in ENDED_DISPUTE or found["status"] == f"{WARNING}closed",
        reason=found.get("reason") or "",
    )


def _mismatch(payment: Payment, *, named: Any, is_live: bool, currency: str, cents: int) -> str:
    """What is not as we ordered it; empty when all is."""
    if named != payment.public_id:
        return "it names another payment"
    if is_live != payment.is_live:
        return "its mode is another"
    if currency != payment.currency:
        return f"its currency is {currency}"
    if cents * CENT_NANOS != payment.total_nanos:
        return f"its amount is {cents} cents"
    return ""


def _suspicious(payment: Payment, problem: str) -> Finding:
    """No credit, and a word to the operator."""
    log.error("payment %s is not what Stripe has: %s", payment.public_id, problem)
    return Finding(problem=f"Not what was ordered: {problem}")


def _asked(session: Json) -> int:
    """What the lines come to, without the tax that Stripe added."""
    return int(session["amount_total"]) - _tax_cents(session)


def _tax_cents(session: Json) -> int:
    return int((session.get("total_details") or {}).get("amount_tax") or 0)


def _has_failed(intent: Json | None) -> bool:
    if intent is None:
        return False
    is_without = intent["status"] in ("requires_payment_method", "requires_action")
    return intent["status"] == "canceled" or (is_without and bool(_error(intent)))


def _error(intent: Json) -> dict[str, Any]:
    return intent.get("last_payment_error") or {}


def _why(intent: Json) -> str:
    return str(_error(intent).get("message") or "The payment did not go through.")


def _saved(intent: Json) -> SavedCard | None:
    """The customer, and the card if it may be charged again."""
    if not intent.get("customer"):
        return None
    may_reuse = intent.get("setup_future_usage") == "off_session"
    saved_id = str(intent.get("payment_method") or "") if may_reuse else ""
    return SavedCard(str(intent.get("customer")), saved_id, _label(intent))


def _details(intent: Json) -> dict[str, Any]:
    receipt_url = _charge(intent).get("receipt_url") or ""
    return {"paid_with": _label(intent), "receipt_url": receipt_url, "pay_url": ""}


def _label(intent: Json) -> str:
    """`Visa ending 4242`, or the kind of method."""
    how = _charge(intent).get("payment_method_details") or {}
    card = how.get("card")
    if card:
        return f"{str(card.get('brand') or 'card').capitalize()} ending {card.get('last4')}"
    return str(how.get("type") or "").replace("_", " ").capitalize()


def _charge(intent: Json) -> Json:
    """The charge, if it was asked for with the intent."""
    charge = intent.get("latest_charge")
    return charge if isinstance(charge, dict) else {}


def _due_in_s(payment: Payment) -> int | None:
    age = clock.utcnow() - payment.created_at
    return next((every_s for until, every_s in LOOK_AGAIN if age < until), None)
