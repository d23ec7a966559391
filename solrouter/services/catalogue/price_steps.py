"""Dated prices against dated prices: which cards must be appended, and what people are told. Pure.

A card is never rewritten. Where one that begins in the future is no longer true, another is
appended that begins right after it, so that it holds for no request.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from solrouter.money import display_per_million
from solrouter.services.catalogue.rates import all_rates
from solrouter.services.pricing import PRICED_CLASSES, PriceCard

# A new price beyond this many times the old one, or below such a part of it, is rather a slip.
PRICE_JUMP_MAX = 10
# How soon after a card another must begin for the first to count as overruled.
OVERRULED_WITHIN = timedelta(milliseconds=1)
MOMENT = timedelta(microseconds=1)
NO_TIME = datetime(1970, 1, 1, tzinfo=UTC)

Card = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class PriceStep:
    """A card to append: `begins` is None for now."""

    begins: datetime | None
    card: Card


@dataclass(frozen=True, slots=True)
class PriceChange:
    """One rate that changes, for people: nanodollars per 1,000,000 units, None where there is none.

    `begins` is None for now.
    """

    offer: str
    side: str
    name: str
    old: int | None
    new: int | None
    begins: datetime | None

    @property
    def percent(self) -> str:
        """The change such as `+12.5 %`, empty where it has no meaning."""
        if not self.old or self.new is None:
            return ""
        return f"{(self.new - self.old) * 100 / self.old:+.1f} %"


def steps(
    cards: Sequence[tuple[datetime, Card]],
    *,
    wanted: Callable[[datetime], Card],
    starts: Iterable[datetime],
    now: datetime,
) -> list[tuple[PriceStep, Card]]:
    """The cards to append so that at every time the price is the wanted one, and what each changes.

    `cards` are there, oldest first, one of them in force; `starts` are when the wanted price
    changes.
    """
    standing = _standing(cards)
    taken = {when for when, _ in cards}
    coming = {when for when, _ in standing if when > now} | {when for when in starts if when > now}
    found: list[tuple[PriceStep, Card]] = []
    for when in (now, *sorted(coming)):
        before = max((pair for pair in standing if pair[0] <= when), key=lambda pair: pair[0])[1]
        card = wanted(when)
        if _same(before, card):
            continue
        begins = when
        while begins in taken:
            begins += MOMENT
        taken.add(begins)
        standing = [(t, c) for t, c in standing if t != when] + [(when, card)]
        found.append((PriceStep(None if when == now else begins, card), before))
    return found


def changes(offer: str, side: str, step: PriceStep, before: Card | None) -> list[PriceChange]:
    """The rates that a step changes."""
    old, new = _flat(before) if before else {}, _flat(step.card)
    return [
        PriceChange(offer, side, name, old.get(name), new.get(name), step.begins)
        for name in dict.fromkeys((*new, *old))
        if old.get(name) != new.get(name)
    ]


def jumps(offer: str, side: str, before: Card, after: Card) -> list[str]:
    """What is absurd about a change of price, a sentence each."""
    told = []
    for name in PRICED_CLASSES:
        old, new = _span(before, name), _span(after, name)
        for was, becomes in dict.fromkeys(zip(old, new, strict=True)):
            if is_jump(was, becomes):
                told.append(
                    f"{offer}: the {side} of {name} would go from {display_per_million(was)} "
                    f"to {display_per_million(becomes)}"
                )
    # A class without a price of its own follows another: one sentence says it.
    return told[:2]


def is_jump(was: int, becomes: int) -> bool:
    """Whether a rate changes beyond belief; from nothing to something is no jump."""
    if was == 0:
        return False
    return becomes == 0 or becomes > was * PRICE_JUMP_MAX or becomes * PRICE_JUMP_MAX < was


def _standing(cards: Sequence[tuple[datetime, Card]]) -> list[tuple[datetime, Card]]:
    """The cards without those that the next one overrules, each from its predecessor's time."""
    found: list[tuple[datetime, Card]] = []
    for when, card in sorted(cards, key=lambda pair: pair[0]):
        if found and when - found[-1][0] <= OVERRULED_WITHIN:
            found[-1] = (found[-1][0], card)
        else:
            found.append((when, card))
    return found


def _same(one: Card, other: Card) -> bool:
    return all(one[name] == other[name] for name in ("rates", "tiers", "windows"))


def _span(card: Card, name: str) -> tuple[int, int]:
    """The lowest and the highest rate that a class may have under a card."""
    priced = PriceCard(0, NO_TIME, card["rates"])
    tables = all_rates(card["rates"], tuple(card["tiers"]), tuple(card["windows"]))
    found = [priced.rate(name, table) for table in tables]
    return min(found), max(found)


def _flat(card: Card) -> dict[str, int]:
    """Every rate of a card under a name that people understand."""
    found = dict(card["rates"])
    for tier in card["tiers"]:
        above = f"{tier['above_input_tokens']:,}"
        found |= {f"{name}, over {above} tokens": rate for name, rate in tier["rates"].items()}
    for window in card["windows"]:
        days = " ".join(window.get("days") or ())
        hours = f"{window['utc_start']}–{window['utc_end']} {days}".strip()
        found |= {f"{name}, {hours}": rate for name, rate in window["rates"].items()}
    return found
