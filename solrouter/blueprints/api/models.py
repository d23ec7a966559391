"""GET /models: the catalogue for programs, in OpenAI's keys and OpenRouter's. Public."""

from collections.abc import Mapping
from typing import Any

import orjson
from flask import Response

from solrouter.blueprints.api import api, authenticate
from solrouter.errors import NotFound
from solrouter.money import per_token_usd
from solrouter.services import catalogue
from solrouter.services.catalogue import Model
from solrouter.services.pricing import PriceCard

# OpenRouter's name of a price → our class.
PRICE_NAMES = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write_5m",
    "input_cache_write_1h": "cache_write_1h",
    "image": "input_image",
    "audio": "input_audio",
}


@api.get("/models")
def list_models() -> Response:
    """Every model, those that cannot be served here too, each saying so."""
    authenticate.refuse_wrong_key()
    models = [model_object(model) for model in catalogue.listing()]
    return _json({"object": "list", "data": models, "total_count": len(models)})


@api.get("/models/<path:model_id>")
def show_model(model_id: str) -> Response:
    """One model; its offers when the path ends in /endpoints."""
    authenticate.refuse_wrong_key()
    wanted = model_id.removesuffix("/endpoints")
    try:
        model = catalogue.find(wanted)
    except NotFound as error:
        error.code = "model_not_found"
        raise
    body = model_object(model)
    if wanted != model_id:
        return _json({"data": {**body, "endpoints": [_endpoint(model, o) for o in model.offers]}})
    return _json(body)


def model_object(model: Model) -> dict[str, Any]:
    """A model as `/models` gives it; prices are of the cheapest offer, in USD a token as text."""
    offer = model.cheapest
    return {
        "id": model.id,
        "object": "model",
        "created": int(model.created_at.timestamp()),
        "owned_by": model.author,
        "name": model.name,
        "canonical_slug": model.replaced_by or model.id,
        "description": model.description,
        "context_length": model.context_tokens,
        "architecture": {
            "modality": f"{'+'.join(model.input_modalities)}->{'+'.join(model.output_modalities)}",
            "input_modalities": model.input_modalities,
            "output_modalities": model.output_modalities,
            "tokenizer": "Other",
            "instruct_type": None,
        },
        "pricing": price_object(offer.sale) if offer else {},
        "top_provider": {
            "context_length": model.context_tokens,
            "max_completion_tokens": model.output_tokens_max,
            "is_moderated": False,
        },
        "supported_parameters": model.parameters,
        "default_parameters": {},
        "per_request_limits": None,
        "knowledge_cutoff": None,
        "expiration_date": model.expires_on.isoformat() if model.expires_on else None,
        "available": model.is_available,
        "status": model.status,
    }


def price_object(card: PriceCard) -> dict[str, Any]:
    """A price card in OpenRouter's shape."""
    prices: dict[str, Any] = _priced(card.rates)
    overrides = [
        {"min_prompt_tokens": tier["above_input_tokens"] + 1, **_priced(tier["rates"])}
        for tier in card.tiers
    ] + [
        {
            "utc_start": window["utc_start"],
            "utc_end": window["utc_end"],
            "utc_days": window.get("days") or [],
            **_priced(window["rates"]),
        }
        for window in card.windows
    ]
    return {**prices, "overrides": overrides} if overrides else prices


def _priced(rates: Mapping[str, int]) -> dict[str, str]:
    return {name: per_token_usd(rates[ours]) for name, ours in PRICE_NAMES.items() if ours in rates}


def _endpoint(model: Model, offer: Any) -> dict[str, Any]:
    return {
        "name": f"{offer.provider_name} | {model.id}",
        "provider_name": offer.provider_name,
        "tag": offer.provider_slug,
        "context_length": model.context_tokens,
        "max_completion_tokens": model.output_tokens_max,
        "pricing": price_object(offer.sale),
        "supported_parameters": model.parameters,
        "available": offer.is_available,
    }


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), mimetype="application/json")
