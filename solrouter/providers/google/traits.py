"""What a Gemini model accepts, by its name and overruled by the catalogue's facts. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

_NAME = re.compile(r"gemini-(?P<major>\d+)(?:\.(?P<minor>\d+))?")
_UNKNOWN = (3, 0)
_FEWEST_LEVELS = ("low", "medium", "high")


@dataclass(frozen=True, slots=True)
class Traits:
    """One model's manners.

    `thinking` is `level`, `budget` or `none`; `levels` the words that a level takes;
    `budget_tokens_min` the least that a budget can be (0: thinking can be turned off).
    """

    thinking: str = "level"
    levels: tuple[str, ...] = _FEWEST_LEVELS
    budget_tokens_min: int = 0
    call_ids: bool = True
    needs_signatures: bool = True
    schema_with_tools: bool = True
    media_in_results: bool = True


def traits_of(upstream_model: str, facts: Mapping[str, Any]) -> Traits:
    """The traits of a model."""
    match = _NAME.search(upstream_model)
    version = (int(match["major"]), int(match["minor"] or 0)) if match else _UNKNOWN
    is_third = version >= (3, 0)
    found: dict[str, Any] = {
        "thinking": "level" if is_third else ("budget" if version >= (2, 5) else "none"),
        "levels": _levels(upstream_model, version),
        "budget_tokens_min": 128 if "pro" in upstream_model else 0,
        "call_ids": is_third,
        "needs_signatures": is_third,
        "schema_with_tools": is_third,
        "media_in_results": is_third,
    }
    return Traits(**{f.name: facts.get(f.name, found[f.name]) for f in fields(Traits)})


def _levels(upstream_model: str, version: tuple[int, int]) -> tuple[str, ...]:
    # Only the smaller models before 3.7 think as little as `minimal`.
    if "flash" in upstream_model and version < (3, 7):
        return ("minimal", *_FEWEST_LEVELS)
    return _FEWEST_LEVELS
