"""The receipt of a request: what its row says, for whichever statement writes it. Pure."""

from typing import Any

from solrouter.services.admission.asks import Admitted, Ending
from solrouter.services.billing import Charge

# Those of `completions` but the id, and the end, which the database's clock gives.
COLUMNS = (
    "account_id",
    "key_id",
    "user_id",
    "requested_model",
    "model",
    "provider",
    "offer_id",
    "cost_card_id",
    "sale_card_id",
    "upstream_id",
    "streamed",
    "outcome",
    "reason",
    "finish_reason",
    "error_code",
    "usage",
    "usage_source",
    "prompt_tokens",
    "completion_tokens",
    "held_nanos",
    "charge_nanos",
    "write_off_nanos",
    "upstream_cost_nanos",
    "attempts",
    "first_content_ms",
    "duration_ms",
    "created_at",
)


def values(admitted: Admitted, ending: Ending, charge: Charge) -> dict[str, Any]:
    """What the columns say."""
    ask = admitted.ask
    return {
        "account_id": ask.principal.account_id,
        "key_id": ask.principal.key_id,
        "user_id": ask.principal.user_id,
        "requested_model": ask.requested_model,
        "model": ending.model,
        "provider": ending.offer.provider_slug,
        "offer_id": ending.offer.id,
        "cost_card_id": ending.offer.cost.id,
        "sale_card_id": ending.offer.sale.id,
        "upstream_id": ending.upstream_id,
        "streamed": ask.streamed,
        "outcome": ending.outcome,
        "reason": ending.reason,
        "finish_reason": ending.finish_reason,
        "error_code": ending.error_code,
        "usage": ending.usage.classes(),
        "usage_source": ending.usage_source,
        "prompt_tokens": ending.usage.prompt_tokens,
        "completion_tokens": ending.usage.completion_tokens,
        "held_nanos": admitted.held_nanos,
        "charge_nanos": charge.total_nanos,
        "write_off_nanos": charge.write_off_nanos,
        "upstream_cost_nanos": ending.upstream_cost_nanos,
        "attempts": list(ending.attempts),
        "first_content_ms": ending.first_content_ms,
        "duration_ms": ending.duration_ms,
        "created_at": ask.at,
    }
