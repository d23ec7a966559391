"""Usage × price → nanodollars. Pure; it decides and never fetches, so that it can be read by
anyone.

A cost is Σ units × rate, divided by 1,000,000 and rounded once, half up. A rate that a card does
not name falls back along FALLBACK_CLASSES, so that every unit has a price. A *tier* applies to the
whole request when its input is larger than the tier's threshold; a *window* when the request began
within it (UTC).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any

from solrouter.chat import Usage
from solrouter.money import UNITS_PER_PRICE, divide_half_up, divide_up

WEEKDAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
INPUT_CLASSES = (
    "input",
    "cache_read",
    "cache_write_5m",
    "cache_write_1h",
    "input_audio",
    "input_image",
)
OUTPUT_CLASSES = ("output", "output_audio", "output_image")
PRICED_CLASSES = INPUT_CLASSES + OUTPUT_CLASSES
_priced_units = attrgetter(*PRICED_CLASSES)
FALLBACK_CLASSES = {
    "cache_read": "input",
    "cache_write_5m": "input",
    "cache_write_1h": "cache_write_5m",
    "input_audio": "input",
    "input_image": "input",
    "output_audio": "output",
    "output_image": "output",
}
# What is affordable of an output that costs nothing.
TOKENS_WITHOUT_END = 2**31
# What any text request can cause: a prompt may be read from or written to a provider's cache.
TEXT_INPUT_CLASSES = ("input", "cache_read", "cache_write_5m")


@dataclass(frozen=True, slots=True)
class PriceCard:
    """A dated price of an offer: nanodollars per 1,000,000 units by class."""

    id: int
    effective_at: datetime
    rates: Mapping[str, int]
    tiers: tuple[Mapping[str, Any], ...] = ()
    windows: tuple[Mapping[str, Any], ...] = ()

    @property
    def is_flat(self) -> bool:
        """Whether one price holds for every size and at every time."""
        return not self.tiers and not self.windows

    def rate(self, name: str, rates: Mapping[str, int] | None = None) -> int:
        """The rate of a class, falling back until one is named; 0 when none is."""
        table = self.rates if rates is None else rates
        wanted: str | None = name
        while wanted is not None:
            if wanted in table:
                return table[wanted]
            wanted = FALLBACK_CLASSES.get(wanted)
        return 0


def cost_nanos(usage: Usage, card: PriceCard, *, at: datetime, calls: int = 1) -> int:
    """What this usage costs by this card, in nanodollars, for a request that began at `at`.

    If it is the sum of several calls with one prompt, the size that counts is that of each.
    """
    rates = rates_for(card, input_tokens=-(-usage.prompt_tokens // calls), at=at)
    total = 0
    for name, units in zip(PRICED_CLASSES, _priced_units(usage), strict=True):
        if units:
            total += units * card.rate(name, rates)
    return divide_half_up(total, UNITS_PER_PRICE)


def rates_for(card: PriceCard, *, input_tokens: int, at: datetime) -> Mapping[str, int]:
    """The rates in force for a request with so much input that began at `at`."""
    if card.is_flat:
        return card.rates
    rates = dict(card.rates)
    for window in card.windows:
        if in_window(window, at):
            rates.update(window["rates"])
    for tier in sorted(card.tiers, key=lambda tier: int(tier["above_input_tokens"])):
        if input_tokens > tier["above_input_tokens"]:
            rates.update(tier["rates"])
    return rates


def in_window(window: Mapping[str, Any], at: datetime) -> bool:
    """Whether the UTC time of day, and the day, lie within the window; its end is outside."""
    days = window.get("days") or WEEKDAYS
    clock = at.strftime("%H:%M")
    start, end = window["utc_start"], window["utc_end"]
    if start <= end:
        return start <= clock < end and WEEKDAYS[at.weekday()] in days
    # Over midnight: the early part belongs to the day on which the window opened.
    if clock >= start:
        return WEEKDAYS[at.weekday()] in days
    return clock < end and WEEKDAYS[(at.weekday() - 1) % 7] in days


def worst_case_nanos(
    card: PriceCard,
    *,
    prompt_tokens: int,
    output_tokens: int,
    at: datetime,
    input_classes: Sequence[str] = TEXT_INPUT_CLASSES,
) -> int:
    """The most that a request within these bounds can cost: what its hold must cover."""
    costs = [
        prompt_tokens * _dearest_input(card, rates, input_classes)
        + output_tokens * card.rate("output", rates)
        for rates in _reachable_rates(card, prompt_tokens=prompt_tokens, at=at)
    ]
    return divide_up(max(costs), UNITS_PER_PRICE)


def affordable_output_tokens(
    card: PriceCard,
    *,
    prompt_tokens: int,
    budget_nanos: int,
    at: datetime,
    input_classes: Sequence[str] = TEXT_INPUT_CLASSES,
) -> int:
    """The most output tokens whose worst case stays within the budget; negative when none does."""
    return min(
        _affordable(
            budget_nanos * UNITS_PER_PRICE
            - prompt_tokens * _dearest_input(card, rates, input_classes),
            card.rate("output", rates),
        )
        for rates in _reachable_rates(card, prompt_tokens=prompt_tokens, at=at)
    )


def with_margin(rates: Mapping[str, int], *, margin_percent_e6: int) -> dict[str, int]:
    """Rates × (1 + margin), each rounded half up; the margin in millionths of a percent."""
    whole = 100 * 1_000_000
    return {
        name: divide_half_up(rate * (whole + margin_percent_e6), whole)
        for name, rate in rates.items()
    }


def _reachable_rates(
    card: PriceCard, *, prompt_tokens: int, at: datetime
) -> list[Mapping[str, int]]:
    """The rates of every size of input up to the bound: a small prompt may be the dearer one."""
    if card.is_flat:
        return [card.rates]
    sizes = {0, prompt_tokens}
    sizes.update(
        int(tier["above_input_tokens"]) + 1
        for tier in card.tiers
        if tier["above_input_tokens"] < prompt_tokens
    )
    return [rates_for(card, input_tokens=size, at=at) for size in sorted(sizes)]


def _dearest_input(card: PriceCard, rates: Mapping[str, int], classes: Sequence[str]) -> int:
    return max([card.rate(name, rates) for name in classes])


def _affordable(left: int, output_rate: int) -> int:
    """How many output tokens are left to pay, in nanodollars times UNITS_PER_PRICE."""
    if left < 0:
        return -1
    return left // output_rate if output_rate else TOKENS_WITHOUT_END
