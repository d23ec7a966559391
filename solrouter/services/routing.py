"""Which offer first. Pure: it orders what it is given and fetches nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from solrouter.services.pricing import PriceCard


@dataclass(frozen=True, slots=True)
class Offer:
    """One provider's way to serve a model, with its two price cards; holds no secret."""

    id: int
    model_id: str
    provider_slug: str
    provider_name: str
    kind: str
    upstream_model: str
    is_available: bool
    is_free: bool
    weight: int
    bills_after_cancel: bool
    sale: PriceCard
    cost: PriceCard
    capabilities: Mapping[str, Any] = field(default_factory=dict)


# What a typical chat costs, to compare offers by one number: three tokens in for one out.
TYPICAL_INPUT_TOKENS = 3
TYPICAL_OUTPUT_TOKENS = 1


def rank(offers: tuple[Offer, ...], *, at: datetime) -> list[Offer]:
    """The offers that can serve now, best first: the operator's weight, then price, then id."""
    usable = [offer for offer in offers if offer.is_available and offer.sale.effective_at <= at]
    return sorted(usable, key=lambda offer: (-offer.weight, typical_price(offer), offer.id))


def typical_price(offer: Offer) -> int:
    """Nanodollars for a typical chat of a million times three tokens in and one out."""
    card = offer.sale
    return TYPICAL_INPUT_TOKENS * card.rate("input") + TYPICAL_OUTPUT_TOKENS * card.rate("output")
