"""Which offer first, and why. Pure: it orders what it is given and fetches nothing.

The order: those whom the caller named in `order`; then what the caller sorts by; else the
operator's weight, then the typical price, then how often each fails. An offer that cools down comes
last and is never left out, since a provider that fails may still be better than none.

A fallback is never dearer than the first choice (`prices`), unless the caller named it in `order`
or `only`. The first choice is the first whatever its health: an outage of a cheap provider must not
move its callers to a dear one unasked.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Any

from solrouter.chat import NO_PREFERENCES, Preferences
from solrouter.services.pricing import TEXT_INPUT_CLASSES
from solrouter.services.routing import prices
from solrouter.services.routing.prices import typical_price
from solrouter.services.routing.words import (
    COOLING,
    HEALTHY,
    PROBING,
    Choice,
    Condition,
    Offer,
    Ranking,
    Skipped,
)

__all__ = [
    "COOLING",
    "HEALTHY",
    "PROBING",
    "TOO_LONG",
    "Choice",
    "Condition",
    "Offer",
    "Ranking",
    "Skipped",
    "explain",
    "rank",
    "typical_price",
    "variant",
    "with_variant",
]

TOO_LONG = "prompt too long"
SINGLE = "single"
# A header line.
EXPLANATION_CHARACTERS_MAX = 1000
# Rates of failure that differ by less are alike.
FAILURE_RATE_DIGITS = 2
# Variants of a model id, and what they mean.
VARIANTS: Mapping[str, Mapping[str, Any]] = {
    "nitro": {"sort": "throughput"},
    "floor": {"sort": "price"},
    "free": {"free_only": True},
}
# Fields that every offer takes: ours to honour, or labels that change no answer.
TAKEN_BY_ALL = frozenset(
    ("max_tokens", "messages", "metadata", "n", "prompt_cache_key", "safety_identifier", "user")
)
NOTHING_KNOWN: Mapping[int, Condition] = MappingProxyType({})
UNKNOWN_CONDITION = Condition()

# What an offer is ordered by, the smaller the better, most important first.
Criteria = tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class _Asked:
    """All that offers are judged by."""

    at: datetime
    preferences: Preferences
    health: Mapping[int, Condition]
    parameters: frozenset[str]
    prompt_tokens: int
    prompt_bound: int
    input_classes: Sequence[str]

    def condition(self, offer: Offer) -> Condition:
        return self.health.get(offer.id, UNKNOWN_CONDITION)


def rank(
    offers: Sequence[Offer],
    *,
    at: datetime,
    preferences: Preferences = NO_PREFERENCES,
    health: Mapping[int, Condition] = NOTHING_KNOWN,
    parameters: frozenset[str] = frozenset(),
    prompt_tokens: int = 0,
    prompt_bound: int = 0,
    input_classes: Sequence[str] = TEXT_INPUT_CLASSES,
) -> Ranking:
    """The offers that fit a request that begins at `at`, best first, and why the others do not.

    `parameters` are the fields that it uses. Its prompt has `prompt_tokens`, 0 if nobody has
    counted them, and at most `prompt_bound`: prices are compared at every size up to that. Each
    offer is in exactly one of the two lists.
    """
    prompt_bound = max(prompt_bound, prompt_tokens)
    asked = _Asked(at, preferences, health, parameters, prompt_tokens, prompt_bound, input_classes)
    skipped: list[Skipped] = []
    fitting: list[tuple[Criteria, Offer]] = []
    if len(offers) == 1 and preferences is NO_PREFERENCES and not _unfit(offers[0], asked):
        # Most models have one offer, which then needs no place.
        is_well = asked.condition(offers[0]).state == HEALTHY
        return Ranking((Choice(offers[0], SINGLE if is_well else COOLING),), ())
    for offer in offers:
        if why := _unfit(offer, asked):
            skipped.append(Skipped(offer, why))
        else:
            fitting.append((tuple(_criteria(offer, asked)), offer))
    if not fitting:
        return Ranking((), tuple(skipped))
    fitting.sort(key=lambda pair: [value for _, value in pair[0]])
    _, first = min(fitting, key=lambda pair: [v for name, v in pair[0] if name != "health"])
    allowed: list[tuple[Criteria, Offer]] = []
    for criteria, offer in fitting:
        if why := _not_allowed(offer, first, asked):
            skipped.append(Skipped(offer, why))
        else:
            allowed.append((criteria, offer))
    return Ranking(tuple(_in_turn(allowed, asked)), tuple(skipped))


def variant(model_id: str) -> tuple[str, str | None]:
    """The model id without its variant, and the variant; None if it has none that we know."""
    base, _, suffix = model_id.rpartition(":")
    return (base, suffix) if base and suffix in VARIANTS else (model_id, None)


def with_variant(preferences: Preferences, variant: str | None) -> Preferences:
    """The preferences with what the variant stands for, which goes before the caller's `sort`."""
    return preferences if variant is None else replace(preferences, **VARIANTS[variant])


def explain(ranking: Ranking) -> str:
    """One line of printable ASCII: who is tried in which order and why, and who is not."""
    entries: list[Choice | Skipped] = [*ranking.choices, *ranking.skipped]
    is_one_model = len({entry.offer.model_id for entry in entries}) < 2

    def told(entry: Choice | Skipped) -> str:
        offer = entry.offer
        name = offer.provider_slug if is_one_model else f"{offer.provider_slug} {offer.model_id}"
        return f"{name} ({entry.why})"

    line = " > ".join(map(told, ranking.choices)) or "nobody"
    if ranking.skipped:
        line += "; not " + ", ".join(map(told, ranking.skipped))
    line = "".join(letter if " " <= letter <= "~" else "?" for letter in line)
    if len(line) <= EXPLANATION_CHARACTERS_MAX:
        return line
    return line[: EXPLANATION_CHARACTERS_MAX - 3] + "..."


def _unfit(offer: Offer, asked: _Asked) -> str | None:
    """Why an offer cannot serve the request at all."""
    wish = asked.preferences
    if not offer.is_available:
        return "no key"
    lacking = _lacking(offer, asked.parameters) if wish.require_parameters else ()
    is_above = bool(wish.max_rates) and prices.is_above(
        wish.max_rates, offer, at=asked.at, prompt_bound=asked.prompt_bound
    )
    context = offer.context_tokens
    reasons = (
        ("not priced yet", offer.sale.effective_at > asked.at),
        ("ignored", _place(offer, wish.ignore) is not None),
        ("not in only", bool(wish.only) and _place(offer, wish.only) is None),
        ("not free", wish.free_only and not offer.is_free),
        ("keeps data", wish.deny_data_collection and offer.collects_data),
        (f"lacks parameters: {', '.join(lacking)}", bool(lacking)),
        ("above max_price", is_above),
        (TOO_LONG, context is not None and asked.prompt_tokens > context),
    )
    return next((why for why, holds in reasons if holds), None)


def _place(offer: Offer, names: Sequence[str]) -> int | None:
    """Where a list names the offer's provider, by its slug or its name."""
    if not names:
        return None
    own = (offer.provider_slug.casefold(), offer.provider_name.casefold())
    return next((place for place, name in enumerate(names) if name.casefold() in own), None)


def _lacking(offer: Offer, used: frozenset[str]) -> Sequence[str]:
    if offer.parameters is None:
        return ()
    return sorted(used - offer.parameters - TAKEN_BY_ALL)


def _criteria(offer: Offer, asked: _Asked) -> Iterator[tuple[str, float]]:
    wish, condition = asked.preferences, asked.condition(offer)
    place = _place(offer, wish.order)
    yield "order", len(wish.order) if place is None else place
    if wish.sort == "throughput":
        yield "throughput", -(condition.tokens_per_s or 0)
    elif wish.sort == "latency":
        first_content_ms = condition.first_content_ms
        yield "latency", float("inf") if first_content_ms is None else first_content_ms
    elif wish.sort == "price":
        yield "price", typical_price(offer)
    yield "weight", -offer.weight
    yield "price", typical_price(offer)
    yield "health", round(condition.error_rate + condition.stall_rate, FAILURE_RATE_DIGITS)
    yield "tie", offer.id


def _not_allowed(offer: Offer, first: Offer, asked: _Asked) -> str | None:
    """Why an offer that could serve may not stand in for the first choice."""
    wish = asked.preferences
    is_named = _place(offer, wish.order) is not None
    if not wish.allow_fallbacks and not (is_named if wish.order else offer is first):
        return "no fallbacks"
    if offer is first or is_named or wish.only:
        return None
    is_dearer = prices.is_dearer(
        offer,
        first,
        max_rates=wish.max_rates,
        input_classes=asked.input_classes,
        at=asked.at,
        prompt_bound=asked.prompt_bound,
    )
    return "dearer" if is_dearer else None


def _in_turn(allowed: Sequence[tuple[Criteria, Offer]], asked: _Asked) -> Iterator[Choice]:
    """The offers as they are tried: those that cool down last."""
    states = [asked.condition(offer).state for _, offer in allowed]
    turns = sorted(range(len(allowed)), key=lambda place: states[place] == COOLING)
    for turn, place in enumerate(turns):
        criteria, offer = allowed[place]
        if states[place] != HEALTHY:
            yield Choice(offer, COOLING)
        elif turn == 0 and place != 0:
            yield Choice(offer, "health")
        elif len(allowed) == 1:
            is_named = _place(offer, asked.preferences.order) is not None
            yield Choice(offer, "order" if is_named else SINGLE)
        else:
            neighbour, _ = allowed[place - 1 if place else 1]
            pairs = zip(criteria, neighbour, strict=True)
            yield Choice(offer, next((own[0] for own, other in pairs if own != other), "tie"))
