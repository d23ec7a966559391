"""A catalogue's items as the values of rows, and which of them a newer catalogue may change."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from solrouter.services.catalogue.documents import (
    AliasItem,
    ModelItem,
    OfferItem,
    PriceItem,
    ProviderItem,
)
from solrouter.services.pricing import with_margin

COST, SALE = "cost", "sale"

Values = dict[str, Any]


def provider_values(item: ProviderItem) -> Values:
    """What a source says of a provider."""
    return {
        "name": item.name,
        "kind": item.kind,
        "base_url": item.base_url.rstrip("/"),
        "key_settings": list(item.key_settings),
        "needs_key": bool(item.key_settings),
        "capabilities": dict(item.capabilities),
    }


def model_values(item: ModelItem) -> Values:
    """What a source says of a model."""
    return {
        "author": item.author,
        "name": item.name,
        "description": item.description,
        "context_tokens": item.context_tokens,
        "output_tokens_max": item.output_tokens_max,
        "input_modalities": list(item.input_modalities),
        "output_modalities": list(item.output_modalities),
        "parameters": list(item.parameters),
        "facts": dict(item.facts),
        "released_on": item.released_on,
        "expires_on": item.expires_on,
    }


def offer_values(item: OfferItem) -> Values:
    """What a source says of an offer, less its prices; deadlines only where it names some."""
    values: Values = {
        "is_free": item.is_free,
        "context_tokens": item.context_tokens,
        "output_tokens_max": item.output_tokens_max,
        "parameters": None if item.parameters is None else list(item.parameters),
    }
    return values if item.deadlines is None else {**values, "deadlines": dict(item.deadlines)}


def alias_values(item: AliasItem) -> Values:
    """What a source says of an alias."""
    return {
        "name": item.name,
        "target": item.target,
        "status": item.status,
        "retired_on": item.retired_on,
        "former_rates": None if item.former_rates is None else dict(item.former_rates),
        "note": item.note,
    }


def card_values(price: PriceItem, side: str, *, margin_percent_e6: int) -> Values:
    """What a price is on one side: what it costs us, or that with our margin."""
    rates, tiers, windows = dict(price.rates), list(price.tiers), list(price.windows)
    if side == SALE:
        rates = with_margin(rates, margin_percent_e6=margin_percent_e6)
        tiers = [_marked_up(tier, margin_percent_e6) for tier in tiers]
        windows = [_marked_up(window, margin_percent_e6) for window in windows]
    return {"rates": rates, "tiers": tiers, "windows": windows}


def changed(row: Any, values: Mapping[str, Any]) -> Values:
    """Those of the values that differ from the row's."""
    return {name: value for name, value in values.items() if getattr(row, name) != value}


def in_force(prices: tuple[PriceItem, ...], at: datetime) -> PriceItem:
    """The price of a source that holds at a time; the first one before it begins."""
    begun = [price for price in prices if price.effective_at <= at]
    return begun[-1] if begun else prices[0]


def _marked_up(part: Mapping[str, Any], margin_percent_e6: int) -> Values:
    return {**part, "rates": with_margin(part["rates"], margin_percent_e6=margin_percent_e6)}
