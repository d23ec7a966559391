"""What the fake Stripe keeps: sessions, intents, charges, refunds, disputes, and their lives.

It refuses to know anything of SolRouter. Each act of a life appends the events that Stripe sends
for it; whether and when they are delivered is the test's affair.
"""

import copy
import secrets
import threading
import time
from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]
VISA = {"brand": "visa", "last4": "4242"}


@dataclass(frozen=True)
class Event:
    """One event as it was when it happened."""

    id: str
    kind: str
    body: Json


@dataclass
class Books:
    """The state of one Stripe account."""

    is_live: bool = False
    objects: dict[str, Json] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    # What the next charge of a saved card comes to: "ok", "declined", "authentication_required".
    saved_card: str = "ok"

    def __post_init__(self) -> None:
        self.lock = threading.RLock()

    # Objects.

    def new(self, prefix: str, kind: str, **fields: Any) -> Json:
        made = {
            "id": f"{prefix}_{secrets.token_hex(12)}",
            "object": kind,
            "livemode": self.is_live,
            "created": int(time.time()),
            **fields,
        }
        self.objects[made["id"]] = made
        return made

    def of_kind(self, kind: str) -> list[Json]:
        found = [each for each in self.objects.values() if each["object"] == kind]
        return found[::-1]

    def emit(self, kind: str, about: Json) -> Event:
        event_id = f"evt_{secrets.token_hex(12)}"
        body = {
            "id": event_id,
            "object": "event",
            "type": kind,
            "livemode": about["livemode"],
            "created": int(time.time()),
            "api_version": "2026-10-28.endive",
            "data": {"object": copy.deepcopy(about)},
        }
        event = Event(event_id, kind, body)
        self.events.append(event)
        return event

    # A checkout's life.

    def open_session(self, terms: Json) -> Json:
        subtotal = sum(
            int(line["price_data"]["unit_amount"]) * int(line["quantity"])
            for line in terms["line_items"]
        )
        customer = terms.get("customer")
        return self.new(
            "cs_test",
            "checkout.session",
            client_reference_id=terms.get("client_reference_id"),
            metadata=terms.get("metadata", {}),
            mode=terms["mode"],
            currency=terms["line_items"][0]["price_data"]["currency"],
            amount_subtotal=subtotal,
            amount_total=subtotal,
            total_details={"amount_tax": 0, "amount_discount": 0, "amount_shipping": 0},
            status="open",
            payment_status="unpaid",
            payment_intent=None,
            customer=customer,
            expires_at=int(terms["expires_at"]),
            success_url=terms["success_url"],
            cancel_url=terms["cancel_url"],
            payment_method_types=terms.get("payment_method_types", ["card"]),
            automatic_tax=terms.get("automatic_tax", {"enabled": "false"}),
            invoice_creation=terms.get("invoice_creation", {"enabled": "false"}),
            _intent_data=terms.get("payment_intent_data", {}),
            _makes_customer=terms.get("customer_creation") == "always",
        )

    def pay(self, session_id: str) -> Json:
        """A card pays at once."""
        session = self.objects[session_id]
        intent = self._intent_of(session)
        self._succeed(intent)
        session |= {"status": "complete", "payment_status": "paid"}
        self.emit("checkout.session.completed", session)
        return session

    def pay_slowly(self, session_id: str) -> Json:
        """A bank's way: complete, and the money comes later or not."""
        session = self.objects[session_id]
        intent = self._intent_of(session)
        intent["status"] = "processing"
        session |= {"status": "complete", "payment_status": "unpaid"}
        self.emit("checkout.session.completed", session)
        return session

    def arrive(self, session_id: str) -> None:
        session = self.objects[session_id]
        self._succeed(self.objects[session["payment_intent"]])
        session["payment_status"] = "paid"
        self.emit("checkout.session.async_payment_succeeded", session)

    def bounce(self, session_id: str) -> None:
        session = self.objects[session_id]
        intent = self.objects[session["payment_intent"]]
        intent |= {
            "status": "requires_payment_method",
            "last_payment_error": {"code": "payment_intent_payment_attempt_failed",
                                   "message": "The bank sent it back."},
        }  # fmt: skip
        self.emit("checkout.session.async_payment_failed", session)

    def expire(self, session_id: str) -> None:
        session = self.objects[session_id]
        session["status"] = "expired"
        self.emit("checkout.session.expired", session)

    # Money back.

    def refund(self, intent_id: str, cents: int | None, metadata: Json) -> Json:
        intent = self.objects[intent_id]
        charge = self.objects[intent["latest_charge"]]
        amount = charge["amount"] - charge["amount_refunded"] if cents is None else cents
        charge["amount_refunded"] += amount
        made = self.new(
            "re",
            "refund",
            amount=amount,
            currency=intent["currency"],
            charge=charge["id"],
            payment_intent=intent_id,
            status="succeeded",
            failure_reason=None,
            metadata=metadata,
        )
        self.emit("refund.created", made)
        self.emit("charge.refunded", charge)
        return made

    def fail_refund(self, refund_id: str) -> None:
        made = self.objects[refund_id]
        made |= {"status": "failed", "failure_reason": "lost_or_stolen_card"}
        self.objects[made["charge"]]["amount_refunded"] -= made["amount"]
        self.emit("refund.failed", made)

    def dispute(self, intent_id: str, *, is_inquiry: bool = False) -> Json:
        intent = self.objects[intent_id]
        made = self.new(
            "du",
            "dispute",
            amount=intent["amount"],
            currency=intent["currency"],
            charge=intent["latest_charge"],
            payment_intent=intent_id,
            reason="fraudulent",
            status="warning_needs_response" if is_inquiry else "needs_response",
            balance_transactions=[],
            metadata={},
        )
        self.emit("charge.dispute.created", made)
        return made

    def withdraw(self, dispute_id: str) -> None:
        found = self.objects[dispute_id]
        found["balance_transactions"].append({"amount": -found["amount"]})
        self.emit("charge.dispute.funds_withdrawn", found)

    def close_dispute(self, dispute_id: str, *, is_won: bool) -> None:
        found = self.objects[dispute_id]
        found["status"] = "won" if is_won else "lost"
        if is_won and found["balance_transactions"]:
            found["balance_transactions"].append({"amount": found["amount"]})
            self.emit("charge.dispute.funds_reinstated", found)
        self.emit("charge.dispute.closed", found)

    # Saved cards.

    def charge_saved(self, terms: Json) -> Json:
        intent = self.new(
            "pi",
            "payment_intent",
            amount=int(terms["amount"]),
            amount_received=0,
            currency=terms["currency"],
            customer=terms["customer"],
            payment_method=terms["payment_method"],
            setup_future_usage=None,
            metadata=terms.get("metadata", {}),
            status="requires_confirmation",
            latest_charge=None,
            last_payment_error=None,
        )
        if self.saved_card == "ok":
            self._succeed(intent)
            return intent
        code = "card_declined" if self.saved_card == "declined" else self.saved_card
        intent |= {
            "status": "requires_payment_method",
            "payment_method": None,
            "last_payment_error": {"code": code, "message": "Your card was declined."},
        }
        self.emit("payment_intent.payment_failed", intent)
        return intent

    def detach(self, payment_method_id: str) -> None:
        self.emit("payment_method.detached", self.objects[payment_method_id])

    def _intent_of(self, session: Json) -> Json:
        if session["payment_intent"] is not None:
            return self.objects[session["payment_intent"]]
        if session["customer"] is None and session["_makes_customer"]:
            session["customer"] = self.new("cus", "customer")["id"]
        card = self.new("pm", "payment_method", card=VISA, customer=session["customer"])
        intent = self.new(
            "pi",
            "payment_intent",
            amount=session["amount_total"],
            amount_received=0,
            currency=session["currency"],
            customer=session["customer"],
            payment_method=card["id"],
            setup_future_usage=session["_intent_data"].get("setup_future_usage"),
            metadata=session["_intent_data"].get("metadata", {}),
            status="requires_confirmation",
            latest_charge=None,
            last_payment_error=None,
        )
        session["payment_intent"] = intent["id"]
        return intent

    def _succeed(self, intent: Json) -> None:
        charge = self.new(
            "ch",
            "charge",
            amount=intent["amount"],
            amount_refunded=0,
            currency=intent["currency"],
            payment_intent=intent["id"],
            payment_method_details={"type": "card", "card": VISA},
            receipt_url=f"https://pay.stripe.test/receipts/{intent['id']}",
            metadata=intent["metadata"],
        )
        intent |= {
            "status": "succeeded",
            "amount_received": intent["amount"],
            "latest_charge": charge["id"],
            "last_payment_error": None,
        }
        self.emit("payment_intent.succeeded", intent)
