"""Who am I, what is left, one receipt and what is kept beside it: GET /key, /credits, /generation
and /generation/content.
"""

from typing import Any

import orjson
from flask import Response, request

from solrouter.blueprints.api import api, authenticate
from solrouter.blueprints.api.key_objects import key_object
from solrouter.errors import BadRequest, NotFound
from solrouter.money import decimal_usd, float_usd
from solrouter.services import activity, billing, contents, key_rules, key_usage, keys, refusals
from solrouter.services.activity import Receipt
from solrouter.services.contents import Content


@api.get("/key")
def show_key() -> Response:
    """The key that asks."""
    principal = authenticate.bearer()
    key = keys.find(principal.account_id, principal.key_public_id)
    may_manage = key.rules.may_manage
    return _json(
        {
            "data": {
                **key_object(key, key_usage.of(key.id)),
                "is_management_key": may_manage,
                "is_provisioning_key": may_manage,
                "refused_today": refusals.today(principal.account_id),
            }
        }
    )


@api.get("/credits")
def show_credits() -> Response:
    """The account's balance, exactly."""
    balance = billing.balance(authenticate.bearer().account_id)
    return _json(
        {
            "data": {
                "balance": decimal_usd(balance.posted_nanos),
                "available": decimal_usd(balance.available_nanos),
                "held": decimal_usd(balance.held_nanos),
                "paid": decimal_usd(balance.paid_nanos),
                "granted": decimal_usd(balance.granted_nanos),
                "currency": "USD",
            }
        }
    )


@api.get("/generation")
def show_generation() -> Response:
    """One receipt, by the id of its answer."""
    principal = authenticate.bearer()
    principal.require(key_rules.INFERENCE, key_rules.READ)
    identifier = _identifier()
    # Looked for first among those that run: one that ends meanwhile is found in the second look.
    is_running = activity.is_running(principal.account_id, identifier)
    try:
        receipt = activity.find(principal.account_id, identifier)
    except NotFound:
        if not is_running:
            raise
        return _json({"data": {"id": identifier, "status": activity.PENDING}})
    return _json({"data": receipt_object(receipt)})


@api.get("/generation/content")
def show_generation_content() -> Response:
    """What is kept of the prompt and the answer of a request that this very key has made."""
    principal = authenticate.bearer()
    principal.require(key_rules.INFERENCE, key_rules.READ)
    wanted = activity.parse_id(_identifier())
    content = contents.find(principal.account_id, wanted, key_id=principal.key_id)
    if content is None:
        raise NotFound("Nothing is kept of a request of this key by this id.")
    return _json({"data": content_object(content)})


def content_object(content: Content) -> dict[str, Any]:
    """A kept content for programs, in OpenRouter's shape and with all that there is."""
    choices = (content.answer or {}).get("choices") or []
    first = choices[0].get("message") or {} if choices else {}
    return {
        "id": activity.public_id(content.id),
        "expires_at": content.expires_at.isoformat(),
        "input": content.request,
        "output": {
            "completion": first.get("content"),
            "reasoning": first.get("reasoning") or first.get("reasoning_content"),
            "choices": choices,
        },
        "messages_left_out": content.messages_left_out,
        "is_cut": content.is_cut,
    }


def receipt_object(receipt: Receipt) -> dict[str, Any]:
    """A receipt for programs; money as exact decimal text, with the price it was sold by."""
    return {
        "id": receipt.id,
        "status": "settled",
        "created_at": receipt.created_at.isoformat(),
        "model": receipt.model,
        "requested_model": receipt.requested_model,
        "provider_name": receipt.provider,
        "upstream_id": receipt.upstream_id,
        "streamed": receipt.streamed,
        "outcome": receipt.outcome,
        "reason": receipt.reason,
        "finish_reason": receipt.finish_reason,
        "error_code": receipt.error_code,
        "tokens_prompt": receipt.prompt_tokens,
        "tokens_completion": receipt.completion_tokens,
        "usage_classes": receipt.usage,
        "usage_source": receipt.usage_source,
        "total_cost": float_usd(receipt.charge_nanos),
        "charge": decimal_usd(receipt.charge_nanos),
        "written_off": decimal_usd(receipt.write_off_nanos),
        "price": {
            "unit": "nanodollars per 1000000 units",
            "rates": receipt.rates,
            "tiers": receipt.tiers,
            "windows": receipt.windows,
        },
        "attempts": receipt.attempts,
        "latency": receipt.first_content_ms,
        "generation_time": receipt.duration_ms,
    }


def _identifier() -> str:
    """The id that is asked for. Raises BadRequest."""
    identifier = request.args.get("id", "")
    if not identifier:
        raise BadRequest("Name the id: /generation?id=…", code="missing_parameter", param="id")
    return identifier


def _json(body: Any) -> Response:
    return Response(orjson.dumps(body), mimetype="application/json")
