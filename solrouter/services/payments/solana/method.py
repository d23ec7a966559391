"""USDC on Solana as a way to pay: the order is a reference and an exact amount, and the payment's
own page shows how to pay it. Whoever has the wallet's key gives money back, by hand.
"""

from datetime import timedelta
from typing import Any

from solrouter import clock
from solrouter.services.payments import states
from solrouter.services.payments.methods import (
    Finding,
    Offer,
    ProviderUnavailable,
    RefundNews,
    Started,
)
from solrouter.services.payments.rows import Payment
from solrouter.services.payments.solana import quotes, readiness, settings, watching
from solrouter.services.payments.solana.entries import Order
from solrouter.services.payments.solana.quotes import Quote
from solrouter.services.payments.solana.settings import NANOS_PER_UNIT, SolanaSettings

PROVIDER = "solana"
METHOD = "usdc"
# A page of our own, on whatever address the person has reached us at.
PAGE = "/account/payments/{public_id}/solana"
NOT_SET_UP = (
    "USDC on Solana: set SOLROUTER_SOLANA_WALLET to the address of a wallet that has received USDC."
)


class Solana:
    """Pays into the operator's own wallet; needs an address and a node to ask, and no key."""

    provider = PROVIDER
    refunds_itself = False
    keeps_cards = False

    def is_live(self) -> bool:
        """Whether the tokens are worth anything."""
        terms = settings.current()
        return terms is not None and terms.is_main

    def offers(self) -> list[Offer]:
        """One, once a node has proven network, token and account."""
        terms = settings.current()
        if terms is None or not readiness.current().is_ready:
            return []
        hint = "From any Solana wallet, or from an exchange. Credited in about half a minute."
        return [Offer(METHOD, "USDC on Solana", hint, is_test=not terms.is_main)]

    def what_is_missing(self) -> str:
        """What an operator must set, or what is wrong with the nodes."""
        if settings.current() is None:
            return NOT_SET_UP
        found = readiness.current()
        return "" if found.is_ready else f"USDC on Solana: {'; '.join(found.problems)}"

    def begin(self, payment: Payment, *, return_url: str, email: str) -> Started:
        """Gives the payment its reference and its amount; the same ones each time."""
        terms = settings.current()
        if terms is None or not readiness.current().is_ready:
            raise ProviderUnavailable(
                "Payments on Solana are not ready at the moment. Nothing was charged."
            )
        asked = quotes.quote(payment.id, payment.total_nanos)
        return Started(
            order_id=asked.reference,
            expires_at=payment.created_at + timedelta(seconds=terms.lifetime_s),
            pay_url=PAGE.format(public_id=payment.public_id),
            due_in_s=watching.SOON_S,
            details=_details(asked, terms),
        )

    def check(self, payment: Payment) -> Finding:
        """What the chain says. Never raises: without a node there is no news."""
        if payment.order_id is None:
            # Whoever began it died before anybody saw an address to pay to.
            return Finding(state=states.EXPIRED)
        terms, now = settings.current(), clock.utcnow()
        found = readiness.current()
        is_same_network = terms is not None and terms.genesis_hash == Order.of(payment).genesis_hash
        if terms is None or not is_same_network or not found.is_ready:
            return watching.trouble(payment, now)
        return watching.look(payment, terms, found.believed, now)

    def refund(self, payment: Payment, *, public_id: str, amount_nanos: int) -> RefundNews:
        """Never called: the server has no key to pay with (rule S11)."""
        raise ProviderUnavailable("An operator pays this back by hand.")


def _details(asked: Quote, terms: SolanaSettings) -> dict[str, Any]:
    """What the payment asks for, whatever is set later."""
    return {
        "reference": asked.reference,
        "amount_units": asked.amount_units,
        "asked_nanos": asked.amount_units * NANOS_PER_UNIT,
        "is_exact": asked.is_exact,
        "wallet": terms.wallet,
        "token_account": terms.target.token_account,
        "mint": terms.mint,
        "genesis_hash": terms.genesis_hash,
    }
