"""The receipt of a request: what its row says, for whichever statement writes it. Pure.

Much of it is the word of others, and not every text can be stored: what is not printable is left
out, so that no upstream can prevent a settlement.
"""

from dataclasses import replace
from typing import Any

import orjson

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


# As wide as the columns are.
NAME_CHARACTERS_MAX = 200
REASON_CHARACTERS_MAX = 60
FINISH_REASON_CHARACTERS_MAX = 30


def values(admitted: Admitted, ending: Ending, charge: Charge) -> dict[str, Any]:
    """What the columns say."""
    ask = admitted.ask
    return {
        "account_id": ask.principal.account_id,
        "key_id": ask.principal.key_id,
        "user_id": ask.principal.user_id,
        "requested_model": printable(ask.requested_model, NAME_CHARACTERS_MAX),
        "model": printable(ending.model, NAME_CHARACTERS_MAX),
        "provider": ending.offer.provider_slug,
        "offer_id": ending.offer.id,
        "cost_card_id": ending.offer.cost.id,
        "sale_card_id": ending.offer.sale.id,
        "upstream_id": _ascii(ending.upstream_id),
        "streamed": ask.streamed,
        "outcome": ending.outcome,
        "reason": printable(ending.reason, REASON_CHARACTERS_MAX),
        "finish_reason": _optional(ending.finish_reason, FINISH_REASON_CHARACTERS_MAX),
        "error_code": _optional(ending.error_code, REASON_CHARACTERS_MAX),
        "usage": ending.usage.classes(),
        "usage_source": ending.usage_source,
        "prompt_tokens": ending.usage.prompt_tokens,
        "completion_tokens": ending.usage.completion_tokens,
        "held_nanos": admitted.held_nanos,
        "charge_nanos": charge.total_nanos,
        "write_off_nanos": charge.write_off_nanos,
        "upstream_cost_nanos": ending.upstream_cost_nanos,
        "attempts": _cleaned(list(ending.attempts)),
        "first_content_ms": ending.first_content_ms,
        "duration_ms": ending.duration_ms,
        "created_at": ask.at,
    }


def bare(ending: Ending) -> Ending:
    """The same ending without any text of others: what can be stored if nothing else can."""
    return replace(
        ending, reason="", attempts=(), finish_reason=None, error_code=None, upstream_id=None
    )


def printable(text: str, characters_max: int) -> str:
    """The text without what cannot be printed, and no longer than this."""
    if not text.isprintable():
        text = "".join(character for character in text if character.isprintable())
    return text[:characters_max]


def _optional(text: str | None, characters_max: int) -> str | None:
    return None if text is None else printable(text, characters_max)


def _ascii(text: str | None) -> str | None:
    if text is None:
        return None
    return printable(text.encode("ascii", "ignore").decode(), NAME_CHARACTERS_MAX) or None


def _cleaned(value: Any) -> Any:
    """Plain data with printable texts; mostly they are, which their JSON tells at one look."""
    try:
        text = orjson.dumps(value).decode()
    except orjson.JSONEncodeError:
        # Half a surrogate pair, say.
        return _cleaned_slowly(value)
    return value if "\\" not in text and text.isprintable() else _cleaned_slowly(value)


def _cleaned_slowly(value: Any) -> Any:
    """The same, one text after another; what a caller may read stays as long as it is."""
    if isinstance(value, str):
        return printable(value, len(value))
    if isinstance(value, dict):
        return {_cleaned_slowly(name): _cleaned_slowly(each) for name, each in value.items()}
    return [_cleaned_slowly(each) for each in value] if isinstance(value, list) else value
