"""The models people can ask for: the list with its search, a page for each. Sale prices only."""

from collections.abc import Iterable
from typing import Any

import orjson
from flask import Blueprint, render_template, request
from flask.typing import ResponseReturnValue

from solrouter.blueprints import addresses, hx, samples
from solrouter.blueprints.api.schemas import refused_everywhere
from solrouter.services import catalogue as shelves
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
    found = shelves.search(
        request.args.get("q", ""),
        author=request.args.get("author") or None,
        available_only=_wants_available(),
    )
    return hx.page_or_fragment(
        "catalogue/models.html",
        "catalogue/_models.html",
        models=sorted(found, key=_by_use),
        total=len(everything),
        authors=sorted({model.author for model in everything}),
        filters=request.args,
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
def show_model(author: str, name: str) -> str:
    model = shelves.find(f"{author}/{name}")
    served = shelves.find(model.replaced_by) if model.replaced_by else model
    return render_template(
        "catalogue/model.html",
        model=model,
        served=served,
        prices=prices(model),
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


def _by_use(model: Model) -> tuple[bool, bool, str]:
    """What can be asked for now comes first, other ids of a model last."""
    return model.status != "live", not model.is_available, model.id


def _price_rows(card: PriceCard, rates: dict[str, int]) -> list[tuple[str, int]]:
    """The named rates; input and output always, a class that only falls back to another never."""
    named = [name for name in PRICE_NAMES if name in rates or name not in FALLBACK_CLASSES]
    return [(PRICE_NAMES[name], card.rate(name, rates)) for name in named]


def _tier_title(tier: Any) -> str:
    return f"Prompts over {tier['above_input_tokens']:,} tokens"


def _window_title(window: Any) -> str:
    days = ", ".join(day.capitalize() for day in window.get("days") or ()) or "Every day"
    return f"{days} {window['utc_start']} to {window['utc_end']} UTC"
