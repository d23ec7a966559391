"""Which offer first. Pure: it orders what it is given and fetches nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from solrouter.chat import Preferences
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
    context_tokens: int | None = None
    output_tokens_max: int | None = None
    deadlines: Mapping[str, float] = field(default_factory=dict)
    collects_data: bool = False
    parameters: frozenset[str] | None = None


COOLING = "cooling"


@dataclass(frozen=True, slots=True)
class Choice:
    """An offer that may be tried, and why it stands where it does."""

    offer: Offer
    why: str


@dataclass(frozen=True, slots=True)
class Skipped:
    """An offer that is passed over, and why."""

    offer: Offer
    why: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """Offers in the order in which they are tried, and those that are not."""

    choices: tuple[Choice, ...]
    skipped: tuple[Skipped, ...]


# What a typical chat costs, to compare offers by one number: three tokens in for one out.
TYPICAL_INPUT_TOKENS = 3
TYPICAL_OUTPUT_TOKENS = 1


def rank(
    offers: tuple[Offer, ...],
    *,
    at: datetime,
    preferences: Preferences | None = None,
    health: Mapping[int, Any] | None = None,
    parameters: frozenset[str] = frozenset(),
) -> Ranking:
    """The offers that can serve now, best first: the operator's weight, then price, then id."""
    usable = [offer for offer in offers if offer.is_available and offer.sale.effective_at <= at]
    usable.sort(key=lambda offer: (-offer.weight, typical_price(offer), offer.id))
    return Ranking(tuple(Choice(offer, "price") for offer in usable), ())


def variant(model_id: str) -> tuple[str, str | None]:
    """The model id and its variant."""
    return model_id, None


def with_variant(preferences: Preferences, variant: str | None) -> Preferences:
    """The preferences that a variant stands for."""
    return preferences


def explain(ranking: Ranking) -> str:
    """One line for people."""
    return ", ".join(f"{c.offer.provider_slug} ({c.why})" for c in ranking.choices)


def typical_price(offer: Offer) -> int:
    """Nanodollars for a typical chat of a million times three tokens in and one out."""
    card = offer.sale
    return TYPICAL_INPUT_TOKENS * card.rate("input") + TYPICAL_OUTPUT_TOKENS * card.rate("output")
