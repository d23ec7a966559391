"""Models and their offers as `/models` gives them: OpenAI's keys, and OpenRouter's beside them.

Prices are sale prices, in USD for one token, as text.
"""

from collections.abc import Mapping
from datetime import UTC, datetime, time
from typing import Any

from solrouter.money import per_token_usd
from solrouter.services.catalogue import Model
from solrouter.services.catalogue.parameters import of_offer
from solrouter.services.health import Traffic
from solrouter.services.pricing import PriceCard
from solrouter.services.routing import COOLING, HEALTHY, PROBING, Condition, Offer

# OpenRouter's name of a price → our class.
PRICE_NAMES = {
    "prompt": "input",
    "completion": "output",
    "input_cache_read": "cache_read",
    "input_cache_write": "cache_write_5m",
    "input_cache_write_1h": "cache_write_1h",
    "image": "input_image",
    "image_output": "output_image",
    "audio": "input_audio",
    "audio_output": "output_audio",
}
# OpenRouter's name of an uptime → our window.
UPTIMES = {"uptime_last_5m": "5m", "uptime_last_30m": "30m", "uptime_last_1d": "24h"}
UNAVAILABLE = "unavailable"
# OpenRouter's numbers: 0 serves, anything below is the worse the lower.
STATUS_OF = {HEALTHY: 0, PROBING: -1, COOLING: -2, UNAVAILABLE: -10}


def model_object(model: Model) -> dict[str, Any]:
    """A model; its prices and `top_provider` are those of the cheapest offer."""
    offer = model.cheapest
    return {
        "id": model.id,
        "object": "model",
        "created": created_s(model),
        "owned_by": model.author,
        "name": model.name,
        "canonical_slug": model.replaced_by or model.id,
        "hugging_face_id": None,
        "alias_target": model.replaced_by,
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
        "top_provider": {**_limits(model, offer), "is_moderated": False},
        "supported_parameters": model.parameters,
        "default_parameters": {},
        "per_request_limits": None,
        "knowledge_cutoff": None,
        "expiration_date": model.expires_on.isoformat() if model.expires_on else None,
        "supported_voices": None,
        "links": {"details": f"/v1/models/{model.id}/endpoints"},
        "available": model.is_available,
        "status": model.status,
    }


def created_s(model: Model) -> int:
    """When a model came out, as far as we know; else when it came to this server."""
    if model.released_on is None:
        return int(model.created_at.timestamp())
    return int(datetime.combine(model.released_on, time(), UTC).timestamp())


def endpoints_object(
    model: Model,
    conditions: Mapping[int, Condition],
    uptimes: Mapping[int, Mapping[str, Traffic]],
) -> dict[str, Any]:
    """A model with all its offers and how each is doing, and did."""
    endpoints = [
        {
            **_endpoint(model, offer, conditions.get(offer.id)),
            **_uptime(uptimes.get(offer.id, {})),
            **_performance(conditions.get(offer.id)),
        }
        for offer in model.offers
    ]
    return {**model_object(model), "endpoints": endpoints}


def price_object(card: PriceCard) -> dict[str, Any]:
    """A price card in OpenRouter's shape."""
    prices: dict[str, Any] = {**_priced(card.rates), "request": "0"}
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


def _limits(model: Model, offer: Offer | None) -> dict[str, Any]:
    """An offer's limits; of what it does not say the model's own hold."""
    context = offer.context_tokens if offer else None
    most = offer.output_tokens_max if offer else None
    return {
        "context_length": context or model.context_tokens,
        "max_completion_tokens": most or model.output_tokens_max,
    }


def _endpoint(model: Model, offer: Offer, condition: Condition | None) -> dict[str, Any]:
    state = (condition or Condition()).state if offer.is_available else UNAVAILABLE
    support = of_offer(offer, model.facts)
    return {
        "name": f"{offer.provider_name} | {offer.model_id}",
        "model_id": offer.model_id,
        "model_name": model.name,
        "provider_name": offer.provider_name,
        "tag": offer.provider_slug,
        "quantization": None,
        **_limits(model, offer),
        "max_prompt_tokens": None,
        "pricing": price_object(offer.sale),
        "supported_parameters": sorted(offer.parameters or ()),
        "parameter_support": dict(sorted(support.items())),
        "supports_implicit_caching": "cache_read" in offer.sale.rates,
        "collects_data": offer.collects_data,
        "is_free": offer.is_free,
        "available": offer.is_available,
        "state": state,
        "status": STATUS_OF[state],
    }


def _uptime(windows: Mapping[str, Traffic]) -> dict[str, float | None]:
    """The share of attempts that did not fail, in percent; null where there were none."""
    found: dict[str, float | None] = {}
    for name, window in UPTIMES.items():
        percent = windows.get(window, Traffic()).uptime_percent
        found[name] = None if percent is None else round(percent, 2)
    return found


def _performance(condition: Condition | None) -> dict[str, Any]:
    """How fast an offer was lately; null where nobody knows. It fades rather than ends."""
    latency = None if condition is None else condition.first_content_ms
    throughput = None if condition is None else condition.tokens_per_s
    return {
        "latency_last_30m": None if latency is None else {"p50": latency},
        "throughput_last_30m": None if throughput is None else {"p50": throughput},
    }
