"""Which offer costs more, and which more than the caller allows.

An offer is *dearer* than the first choice if, for any size that the prompt may have, any class that
the request can cause costs more there. Reading from a cache is compared with plain input where that
is dearer, since what is cached at the first is not at another. A class may cost up to what
`max_price` allows for it, whatever the first choice costs.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

from solrouter.services.pricing import FALLBACK_CLASSES, OUTPUT_CLASSES, PriceCard, rates_for
from solrouter.services.routing.words import Offer

# What a typical chat costs, to compare offers by one number: three tokens in for one out.
TYPICAL_INPUT_TOKENS = 3
TYPICAL_OUTPUT_TOKENS = 1


def typical_price(offer: Offer) -> int:
    """Nanodollars for a typical chat of a million times three tokens in and one out."""
    card = offer.sale
    return TYPICAL_INPUT_TOKENS * card.rate("input") + TYPICAL_OUTPUT_TOKENS * card.rate("output")


def is_above(
    max_rates: Mapping[str, int], offer: Offer, *, at: datetime, prompt_bound: int
) -> bool:
    """Whether any class that the caller limits costs more than that at any size of the prompt."""
    card = offer.sale
    tables = [rates_for(card, input_tokens=size, at=at) for size in _sizes(prompt_bound, card)]
    return any(
        card.rate(name, rates) > rate_max
        for rates in tables
        for name, rate_max in max_rates.items()
    )


def is_dearer(
    offer: Offer,
    first: Offer,
    *,
    max_rates: Mapping[str, int],
    input_classes: Sequence[str],
    at: datetime,
    prompt_bound: int,
) -> bool:
    """Whether an offer is dearer than the first choice, beyond what the caller allows."""
    for size in _sizes(prompt_bound, offer.sale, first.sale):
        rates = rates_for(offer.sale, input_tokens=size, at=at)
        first_rates = rates_for(first.sale, input_tokens=size, at=at)
        for name in (*input_classes, *OUTPUT_CLASSES):
            rate_max = max(first.sale.rate(name, first_rates), _allowed(name, max_rates))
            if name == "cache_read":
                rate_max = max(rate_max, first.sale.rate("input", first_rates))
            if offer.sale.rate(name, rates) > rate_max:
                return True
    return False


def _allowed(name: str, max_rates: Mapping[str, int]) -> int:
    """What the caller allows for a class: its own limit, or that of the class it falls back to."""
    wanted: str | None = name
    while wanted is not None:
        if wanted in max_rates:
            return max_rates[wanted]
        wanted = FALLBACK_CLASSES.get(wanted)
    return 0


def _sizes(prompt_bound: int, *cards: PriceCard) -> set[int]:
    """A prompt size for each size tier that a prompt up to this bound can fall into."""
    above = {int(tier["above_input_tokens"]) for card in cards for tier in card.tiers}
    return {0, prompt_bound} | {tokens + 1 for tokens in above if tokens < prompt_bound}
