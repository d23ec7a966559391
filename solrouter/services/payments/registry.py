"""The ways to pay that this server knows, set up or not. A new one is one more line here."""

from collections.abc import Mapping

from solrouter.services.payments import solana
from solrouter.services.payments.methods import ByHand, Method, Offer
from solrouter.services.payments.solana import Solana
from solrouter.services.payments.stripe import StripeMethod
from solrouter.services.payments.trial import Trial

METHODS: Mapping[str, Method] = {
    method.provider: method for method in (StripeMethod(), Solana(), Trial())
}
# Those whose refunds an operator pays.
BY_HAND: Mapping[str, ByHand] = {solana.PROVIDER: solana.ByHand()}


def of(provider: str) -> Method | None:
    """The method of this provider; None for gifts, and for one that this release does not know."""
    return METHODS.get(provider)


def offers() -> list[tuple[Method, Offer]]:
    """Every way to pay that is ready now."""
    return [(method, offer) for method in METHODS.values() for offer in method.offers()]


def missing() -> list[str]:
    """For operators: what to set, one sentence for each method that is not set up."""
    return [text for method in METHODS.values() if (text := method.what_is_missing())]
