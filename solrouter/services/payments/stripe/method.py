"""Stripe as a way to pay: Checkout for one payment, the saved card for automatic ones.

Adaptive pricing is off and there is one currency, so that what was paid can be matched with what
was asked, to the cent.
"""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from solrouter import clock, config
from solrouter.errors import Refused
from solrouter.money import NANOS_PER_USD
from solrouter.services.payments import customers
from solrouter.services.payments.methods import (
    Finding,
    Offer,
    ProviderUnavailable,
    RefundNews,
    Started,
)
from solrouter.services.payments.rows import Payment
from solrouter.services.payments.stripe import client, reading

PROVIDER = "stripe"
CARD, STABLECOIN, SAVED = "card", "stablecoin", "saved_card"
CENT_NANOS = NANOS_PER_USD // 100
# How long a checkout stays open; Stripe's least is half an hour.
CHECKOUT_LIFETIME = timedelta(hours=1)
FIRST_LOOK_S = 900
PRODUCT, FEE = "Credits", "Payment fee"
# Stripe's names of ways to pay, where we do not leave the choice to its own settings.
TYPES = {STABLECOIN: ["crypto"]}
SESSION_PARTS = ["payment_intent.latest_charge"]
INTENT_PARTS = ["latest_charge"]


class StripeMethod:
    """Stripe, as far as its key and webhook are set."""

    provider = PROVIDER
    refunds_itself = True
    keeps_cards = True

    def is_live(self) -> bool:
        """By the key."""
        return client.is_live()

    def offers(self) -> list[Offer]:
        """Cards, and stablecoins where the operator has them."""
        if not client.is_set_up():
            return []
        settings, is_test = config.current(), not client.is_live()
        fee = {
            "fee_percent": settings["SOLROUTER_CARD_FEE_PERCENT"],
            "fee_nanos": settings["SOLROUTER_CARD_FEE_MIN"],
            "is_test": is_test,
        }
        offers = [Offer(CARD, "Card", "Through Stripe; we never see its number.", **fee)]
        if settings["SOLROUTER_STRIPE_CRYPTO"]:
            hint = "USDC and other dollars, through Stripe."
            offers.append(Offer(STABLECOIN, "Stablecoin", hint, **fee))
        return offers

    def what_is_missing(self) -> str:
        """Key and webhook secret."""
        if client.is_set_up():
            return ""
        return "Cards: set STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET."

    def begin(self, payment: Payment, *, return_url: str, email: str) -> Started:
        """A checkout; for an automatic top-up a charge of the saved card.

        Named by the payment, so that Stripe makes it once however often it is asked.
        """
        with client.translated():
            if payment.is_automatic:
                return self._charge(payment)
            session = self._opened(payment, self._checkout(payment, return_url, email), email)
        return Started(
            session.id,
            pay_url=session.url or "",
            expires_at=payment.created_at + CHECKOUT_LIFETIME,
            due_in_s=FIRST_LOOK_S,
        )

    def check(self, payment: Payment) -> Finding:
        """The session or the charge as Stripe has it now, with refunds and disputes."""
        with client.translated():
            if payment.order_id is None:
                return self._lost(payment)
            if payment.order_id.startswith("pi_"):
                parts: Any = {"expand": INTENT_PARTS}
                intent = client.client().v1.payment_intents.retrieve(payment.order_id, parts)
                finding = reading.of_intent(payment, intent.to_dict())
            else:
                parts = {"expand": SESSION_PARTS}
                session = client.client().v1.checkout.sessions.retrieve(payment.order_id, parts)
                finding = reading.of_session(payment, session.to_dict())
            return self._with_returns(finding)

    def refund(self, payment: Payment, *, public_id: str, amount_nanos: int) -> RefundNews:
        """Back to the card it came from, with the part of the tax that was on it."""
        terms: Any = {
            "payment_intent": payment.charge_id,
            "amount": (amount_nanos + _tax_on(payment, amount_nanos)) // CENT_NANOS,
            "metadata": {"refund": public_id, "payment": payment.public_id},
        }
        with client.translated():
            made = client.client().v1.refunds.create(terms, {"idempotency_key": public_id})
            return reading.refund(made.to_dict())

    def portal_url(self, customer_id: str, *, return_url: str) -> str:
        """Where people see and change the card that Stripe keeps for them."""
        terms: Any = {"customer": customer_id, "return_url": return_url}
        with client.translated():
            return client.client().v1.billing_portal.sessions.create(terms).url

    def payment_named_by(self, intent_id: str) -> str:
        """The public id of the payment that an intent was made for; empty for none of ours."""
        with client.translated():
            try:
                intent = client.client().v1.payment_intents.retrieve(intent_id)
            except client.CardError as error:
                raise ProviderUnavailable(client.UNAVAILABLE) from error
        return _named(intent)

    def recent(self, *, hours: int) -> set[str]:
        """The public ids of the payments that Stripe has had to do with in the last while."""
        since: Any = {"gte": int((clock.utcnow() - timedelta(hours=hours)).timestamp())}
        v1, found, intents = client.client().v1, set[str](), set[str]()
        page: Any = {"created": since, "limit": 100}
        with client.translated():
            for session in _all(v1.checkout.sessions.list(page)):
                found.add(session.client_reference_id or "")
            for intent in _all(v1.payment_intents.list(page)):
                found.add(_named(intent))
            for listed in (v1.refunds.list(page), v1.disputes.list(page)):
                intents |= {str(item.payment_intent) for item in _all(listed)}
        found |= {self.payment_named_by(intent) for intent in intents if intent.startswith("pi_")}
        return found - {""}

    def _opened(self, payment: Payment, terms: dict[str, Any], email: str) -> Any:
        """The checkout; for a new customer, if the one that we know was deleted at Stripe."""
        sessions, key = client.client().v1.checkout.sessions, payment.public_id
        try:
            return sessions.create(terms, {"idempotency_key": key})  # type: ignore[arg-type]
        except client.InvalidRequestError as error:
            if error.param != "customer" or "customer" not in terms:
                raise
            anew = {name: value for name, value in terms.items() if name != "customer"}
            anew |= _new_customer(email)
            return sessions.create(anew, {"idempotency_key": f"{key}-anew"})  # type: ignore[arg-type]

    def _lost(self, payment: Payment) -> Finding:
        """We never heard what Stripe answered. Does it have the order?"""
        since: Any = {"gte": int(payment.created_at.timestamp()) - 60}
        page: Any = {"created": since, "limit": 100}
        v1 = client.client().v1
        if payment.is_automatic:
            for intent in _all(v1.payment_intents.list(page)):
                if _named(intent) == payment.public_id:
                    parts: Any = {"expand": INTENT_PARTS}
                    whole = v1.payment_intents.retrieve(intent.id, parts)
                    return self._with_returns(reading.of_intent(payment, whole.to_dict()))
        else:
            for listed in _all(v1.checkout.sessions.list(page)):
                if listed.client_reference_id == payment.public_id:
                    parts = {"expand": SESSION_PARTS}
                    session = v1.checkout.sessions.retrieve(listed.id, parts)
                    return self._with_returns(reading.of_session(payment, session.to_dict()))
        return reading.never_ordered()

    def _with_returns(self, finding: Finding) -> Finding:
        """With the refunds and disputes of its money, once there is money."""
        if finding.charge_id is None or not finding.evidence:
            return finding
        page: Any = {"payment_intent": finding.charge_id, "limit": 100}
        v1 = client.client().v1
        refunds = [reading.refund(each.to_dict()) for each in _all(v1.refunds.list(page))]
        disputes = [reading.dispute(each.to_dict()) for each in _all(v1.disputes.list(page))]
        return reading.with_returns(finding, tuple(refunds), tuple(filter(None, disputes)))

    def _checkout(self, payment: Payment, return_url: str, email: str) -> dict[str, Any]:
        settings = config.current()
        name = {"payment": payment.public_id}
        intent: dict[str, Any] = {"metadata": name}
        if payment.details.get("saves_card") and payment.method == CARD:
            intent["setup_future_usage"] = "off_session"
        terms: dict[str, Any] = {
            "mode": "payment",
            "client_reference_id": payment.public_id,
            "metadata": name,
            "line_items": _lines(payment),
            "payment_intent_data": intent,
            "adaptive_pricing": {"enabled": False},
            "expires_at": int((payment.created_at + CHECKOUT_LIFETIME).timestamp()),
            "success_url": return_url,
            "cancel_url": return_url,
        }
        if payment.method in TYPES:
            terms["payment_method_types"] = TYPES[payment.method]
        if settings["SOLROUTER_STRIPE_TAX"]:
            terms["automatic_tax"] = {"enabled": True}
        if settings["SOLROUTER_STRIPE_INVOICES"]:
            terms["invoice_creation"] = {"enabled": True}
        customer = customers.find(payment.account_id, PROVIDER, is_live=payment.is_live)
        if customer is not None:
            terms["customer"] = customer.customer_id
        else:
            terms |= _new_customer(email)
        return terms

    def _charge(self, payment: Payment) -> Started:
        """Charges the saved card while nobody is there; a decline is an answer like another."""
        customer = customers.find(payment.account_id, PROVIDER, is_live=payment.is_live)
        if customer is None or not customer.saved_id:
            raise Refused("There is no saved card.")
        terms: Any = {
            "amount": payment.total_nanos // CENT_NANOS,
            "currency": payment.currency,
            "customer": customer.customer_id,
            "payment_method": customer.saved_id,
            "off_session": True,
            "confirm": True,
            "description": PRODUCT,
            "metadata": {"payment": payment.public_id},
        }
        options: Any = {"idempotency_key": payment.public_id}
        try:
            intent = client.client().v1.payment_intents.create(terms, options)
        except client.CardError as error:
            declined = getattr(error.error, "payment_intent", None)
            if declined is None:
                raise Refused(error.user_message or "The card was declined.") from error
            return Started(declined["id"], charge_id=declined["id"], due_in_s=0)
        return Started(intent.id, charge_id=intent.id, due_in_s=0)


def _all(listed: Any) -> Iterator[Any]:
    """Every object of a list, page after page."""
    found: Iterator[Any] = listed.auto_paging_iter()
    return found


def _named(intent: Any) -> str:
    """The payment that an intent was made for."""
    metadata = intent.to_dict().get("metadata") or {}
    return str(metadata.get("payment", ""))


def _tax_on(payment: Payment, amount_nanos: int) -> int:
    """The part of a payment's tax that is on this part of it, in whole cents, rounded down."""
    return payment.tax_nanos * amount_nanos // payment.total_nanos // CENT_NANOS * CENT_NANOS


def _new_customer(email: str) -> dict[str, Any]:
    return {"customer_email": email, "customer_creation": "always"}


def _lines(payment: Payment) -> list[dict[str, Any]]:
    """The credit, and the fee as a line of its own."""
    parts = [(PRODUCT, payment.amount_nanos), (FEE, payment.fee_nanos)]
    return [
        {
            "quantity": 1,
            "price_data": {
                "currency": payment.currency,
                "unit_amount": nanos // CENT_NANOS,
                "product_data": {"name": name},
            },
        }
        for name, nanos in parts
        if nanos
    ]
