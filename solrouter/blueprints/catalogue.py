"""The models people can ask for: the list with its search, a page for each. Sale prices only."""

from collections.abc import Iterable, Sequence
from typing import Any

import orjson
from flask import Blueprint, render_template, request, url_for
from flask.typing import ResponseReturnValue

from solrouter.blueprints import (
    addresses,
    docs,
    hx,
    model_search,
    price_calculator,
    samples,
    uptime,
)
from solrouter.blueprints.api.schemas import refused_everywhere
from solrouter.services import catalogue as shelves
from solrouter.services import health
from solrouter.services.catalogue import Model, parameters
from solrouter.services.pricing import FALLBACK_CLASSES, PriceCard

# The rows of a price table: the class, and what people call it.
PRICE_NAMES = {
    "input": "Input",
    "output": "Output",
    "cache_read": "Cache read",
    "cache_write_5m": "Cache write, 5 minutes",
    "cache_write_1h": "Cache write, 1 hour",
    "input_audio": "Audio input",
    "input_image": "Image input",
    "output_audio": "Audio output",
    "output_image": "Image output",
}

DIALECTS = {
    "openai": "OpenAI’s dialect",
    "anthropic": "Anthropic",
    "google": "Gemini",
    "demo": "Demo",
}

catalogue = Blueprint("catalogue", __name__)


@catalogue.get("/models")
def show_models() -> ResponseReturnValue:
    everything = shelves.listing()
    found = model_search.search(everything, request.args)
    response = hx.page_or_fragment(
        "catalogue/models.html",
        "catalogue/_models.html",
        found=found,
        total=len(everything),
        authors=sorted({model.author for model in everything}),
        options=model_search,
    )
    # What HTMX writes into the address bar, so that it can be shared.
    asked: dict[str, Any] = found.asked.to_dict(flat=False)
    response.headers["HX-Push-Url"] = url_for(".show_models", **asked)
    return response


@catalogue.get("/models/compare")
def show_comparison() -> str:
    """Up to four models side by side, at an address that can be shared."""
    models = model_search.chosen(request.args.getlist("model"))
    return render_template(
        "catalogue/compare.html",
        models=models,
        price_rows=compared_prices(models),
        everything=sorted(shelves.listing(), key=model_search.by_use),
        most=model_search.COMPARED_MAX,
        capabilities=model_search.CAPABILITIES,
    )


@catalogue.get("/models/parameters")
def show_parameters() -> ResponseReturnValue:
    """Which request fields each dialect and each model honours."""
    live = [model for model in shelves.listing() if model.status == "live"]
    found = shelves.search(request.args.get("q", ""), available_only=_wants_available())
    return hx.page_or_fragment(
        "catalogue/parameters.html",
        "catalogue/_parameters.html",
        names=parameters.NAMES,
        dialects=[(DIALECTS[kind], said) for kind, said in parameters.by_dialect(live).items()],
        models=[
            (model, parameters.by_provider(model)) for model in found if model.status == "live"
        ],
        total=len(live),
        filters=request.args,
        refused=[(name, _passing(values)) for name, values in refused_everywhere().items()],
    )


def _passing(values: Iterable[Any]) -> list[str]:
    """The values that a field may have all the same, as JSON; null is the same as absence."""
    return [orjson.dumps(value).decode() for value in values if value is not None]


def _wants_available() -> bool:
    return bool(request.args.get("available"))


@catalogue.get("/models/<author>/<path:name>")
def show_model(author: str, name: str) -> ResponseReturnValue:
    """A model with its prices, offers, what they did lately, and what a use of it would cost."""
    model = shelves.find(f"{author}/{name}")
    served = shelves.find(model.replaced_by) if model.replaced_by else model
    calculation = price_calculator.calculate(served, request.args)
    if hx.is_htmx():
        return hx.page_or_fragment(
            "catalogue/model.html", "catalogue/_calculation.html", calc=calculation
        )
    offer_ids = [offer.id for offer in served.offers]
    return hx.page_or_fragment(
        "catalogue/model.html",
        "catalogue/_calculation.html",
        model=model,
        served=served,
        calc=calculation,
        conditions=health.conditions(),
        uptimes=health.uptimes(offer_ids),
        days=uptime.last_days(health.days(offer_ids).values()),
        prices=prices(model),
        key_hint=docs.key_hint(),
        samples=samples.first_request(served.id, base_url=addresses.api_base_url()),
    )


def prices(model: Model) -> list[tuple[str, list[tuple[str, int]]]]:
    """The price tables of the cheapest offer: the usual one, then size tiers and time windows."""
    offer = model.cheapest
    if offer is None:
        return []
    card = offer.sale
    tables = [("", dict(card.rates))]
    tables += [(_tier_title(tier), {**card.rates, **tier["rates"]}) for tier in card.tiers]
    tables += [
        (_window_title(window), {**card.rates, **window["rates"]}) for window in card.windows
    ]
    return [(title, _price_rows(card, rates)) for title, rates in tables]


def compared_prices(models: Sequence[Model]) -> list[tuple[str, list[int | None]]]:
    """The name of each price that any of the models has, and what it is at each; None for none."""
    cards = [model.cheapest.sale if model.cheapest else None for model in models]
    rows = []
    for name, title in PRICE_NAMES.items():
        prices = [card.rates.get(name) if card else None for card in cards]
        if any(nanos is not None for nanos in prices):
            rows.append((title, prices))
    return rows


def _price_rows(card: PriceCard, rates: dict[str, int]) -> list[tuple[str, int]]:
    """The named rates; input and output always, a class that only falls back to another never."""
    named = [name for name in PRICE_NAMES if name in rates or name not in FALLBACK_CLASSES]
    return [(PRICE_NAMES[name], card.rate(name, rates)) for name in named]


def _tier_title(tier: Any) -> str:
    return f"Prompts over {tier['above_input_tokens']:,} tokens"


def _window_title(window: Any) -> str:
    days = ", ".join(day.capitalize() for day in window.get("days") or ()) or "Every day"
    return f"{days} {window['utc_start']} to {window['utc_end']} UTC"
