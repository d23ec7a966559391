"""The prices of an offer in a document: dated, exact, complete. Pure."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

from solrouter.services.catalogue.checks import JsonObject
from solrouter.services.pricing import PRICED_CLASSES, WEEKDAYS

PRICES_MAX = 50
PARTS_MAX = 20
INPUT_TOKENS_MAX = 1_000_000_000
CLOCK = r"([01][0-9]|2[0-3]):[0-5][0-9]"
# Lists may tell a class that we do not price by itself; it is priced by what it falls back to.
CLASSES = frozenset((*PRICED_CLASSES, "cache_read_audio"))

Part = Mapping[str, Any]
Price = tuple[datetime, Mapping[str, int], tuple[Part, ...], tuple[Part, ...]]


def read_prices(offer: JsonObject, *, is_free: bool) -> Iterator[Price]:
    """When each price begins, its rates, size tiers and time windows; oldest first."""
    items = offer.objects("prices", most=PRICES_MAX)
    if not items:
        offer.fault("prices", "must name at least one price")
    found = [_price(item) for item in items]
    if any(later[0] <= earlier[0] for earlier, later in pairwise(found)):
        offer.fault("prices", "must begin one after another")
    if is_free and any(any(rates.values()) for price in found for rates in all_rates(*price[1:])):
        offer.fault("is_free", "is true, and yet there is a price")
    yield from found


def all_rates(
    rates: Mapping[str, int], tiers: tuple[Part, ...], windows: tuple[Part, ...]
) -> list[Mapping[str, int]]:
    """Every set of rates that a price may charge."""
    return [rates, *({**rates, **part["rates"]} for part in (*tiers, *windows))]


def _price(item: JsonObject) -> Price:
    item.know("effective_at", "rates", "tiers", "windows")
    rates = item.rates("rates", classes=CLASSES)
    tiers = tuple(_tier(tier) for tier in item.objects("tiers", most=PARTS_MAX, optional=True))
    windows = tuple(_window(w) for w in item.objects("windows", most=PARTS_MAX, optional=True))
    starts = [tier["above_input_tokens"] for tier in tiers]
    if any(later <= earlier for earlier, later in pairwise(starts)):
        item.fault("tiers", "must begin one above the other")
    return item.moment("effective_at"), rates, tiers, windows


def _tier(item: JsonObject) -> Part:
    item.know("above_input_tokens", "rates")
    return {
        "above_input_tokens": item.whole("above_input_tokens", least=1, most=INPUT_TOKENS_MAX),
        "rates": item.rates("rates", classes=CLASSES),
    }


def _window(item: JsonObject) -> Part:
    item.know("utc_start", "utc_end", "days", "rates")
    found = {
        "utc_start": item.text("utc_start", pattern=CLOCK),
        "utc_end": item.text("utc_end", pattern=CLOCK),
        "rates": item.rates("rates", classes=CLASSES),
    }
    days = item.texts("days", pattern="|".join(WEEKDAYS), most=7, optional=True)
    return {**found, "days": list(days)} if days else found
