"""POST /estimate: what a chat completion would do and cost, without doing it."""

from typing import Any

import orjson
from flask import Response, current_app

from solrouter.blueprints.api import api, authenticate, bodies, schemas
from solrouter.money import decimal_usd
from solrouter.services import completions
from solrouter.services.completions import Estimate


@api.post("/estimate")
def create_estimate() -> Response:
    """The route, the least, likely and most cost, and the balance after it."""
    principal = authenticate.bearer()
    body = bodies.json_object(bodies.read())
    messages_max = current_app.config["SOLROUTER_MESSAGES_MAX"]
    chat_request = schemas.parse_chat(body, messages_max=messages_max)
    estimate = completions.estimate(principal, chat_request)
    return Response(orjson.dumps(_estimate_object(estimate)), mimetype="application/json")


def _estimate_object(estimate: Estimate) -> dict[str, Any]:
    """Money is USD as decimal strings, exact."""
    first, balance = estimate.candidates[0], estimate.balance
    return {
        "object": "chat.completion.estimate",
        "model": first.model.id,
        "provider": first.offer.provider_slug,
        "route": [
            {"model": c.model.id, "provider": c.offer.provider_slug, "why": c.why}
            for c in estimate.candidates
        ],
        "skipped": [
            {"model": s.offer.model_id, "provider": s.offer.provider_slug, "why": s.why}
            for s in estimate.skipped
        ],
        "prompt_tokens": {
            "estimated": estimate.prompt_tokens,
            "most": estimate.prompt_tokens_max,
        },
        "completion_tokens": {
            "likely": estimate.output_tokens_likely,
            "most": estimate.output_tokens_max,
        },
        "cost": {
            "least": decimal_usd(estimate.least_nanos),
            "likely": decimal_usd(estimate.likely_nanos),
            "most": decimal_usd(estimate.most_nanos),
            "currency": "USD",
        },
        "balance": {
            "available": decimal_usd(balance.available_nanos),
            "after_likely": decimal_usd(balance.available_nanos - estimate.likely_nanos),
            "after_most": decimal_usd(balance.available_nanos - estimate.most_nanos),
        },
        "is_affordable": estimate.is_affordable,
        "warnings": list(first.warnings),
    }
