"""How each offer is doing. (Being written.)"""

from collections.abc import Mapping
from typing import Any

OK, FAULT, STALL, OVERLOADED = "ok", "fault", "stall", "overloaded"


def note(
    offer_id: int,
    outcome: str,
    *,
    first_content_ms: int | None = None,
    output_tokens: int | None = None,
    duration_ms: int | None = None,
    retry_after_s: int | None = None,
) -> None:
    """Remembers how an attempt went."""


def conditions() -> Mapping[int, Any]:
    """How every offer is doing."""
    return {}


def may_try(offer_id: int) -> bool:
    """Whether an offer that cools down may be tried."""
    return True


def tokens_per_s(offer_id: int) -> float | None:
    """How fast an offer speaks."""
    return None
