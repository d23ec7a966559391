"""What a Claude model accepts, by its name and overruled by the catalogue's facts. Pure.

Anthropic changes what is allowed from model to model; a refused field fails the whole request, so
each difference is one trait. Facts of the model with a trait's name win.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

_NAME = re.compile(r"claude-(?:(?P<family>[a-z]+)-)?(?P<major>\d)(?:-(?P<minor>\d{1,2})(?!\d))?")
_UNKNOWN = (4, 5)


@dataclass(frozen=True, slots=True)
class Traits:
    """One model's manners.

    `thinking` is `adaptive`, `budget` or `none`; `thinking_off` the type that turns it off, or
    `never`; `efforts` the words that `output_config.effort` takes.
    """

    sampling: bool = True
    both_sampling: bool = True
    thinking: str = "none"
    thinking_off: str = "disabled"
    efforts: tuple[str, ...] = ("low", "medium", "high")
    forced_tool_choice: bool = True
    inline_system: bool = False
    prefill: bool = True
    schema_output: bool = True


def traits_of(upstream_model: str, facts: Mapping[str, Any]) -> Traits:
    """The traits of a model."""
    match = _NAME.search(upstream_model)
    family = (match and match["family"]) or ""
    version = (int(match["major"]), int(match["minor"] or 0)) if match else _UNKNOWN
    found: dict[str, Any] = {
        "sampling": version < (4, 7),
        "both_sampling": version < (4, 5),
        "thinking": _thinking(version),
        "thinking_off": _thinking_off(family, version),
        "efforts": _efforts(version),
        "forced_tool_choice": not _refuses_forced_tools(family, version),
        "inline_system": _takes_inline_system(family, version),
        "prefill": version <= (4, 5),
        "schema_output": version >= (4, 1),
    }
    names = [f.name for f in fields(Traits)]
    return Traits(**{name: facts.get(name, found[name]) for name in names})


def recalls_thinking(upstream_model: str, facts: Mapping[str, Any]) -> bool:
    """Whether a model refuses to think on after a call without the thinking before it.

    Newer ones do not, and refuse thinking whose prefix has changed.
    """
    return traits_of(upstream_model, facts).thinking == "budget"


def _thinking(version: tuple[int, int]) -> str:
    if version >= (4, 6):
        return "adaptive"
    return "budget" if version >= (3, 7) else "none"


def _thinking_off(family: str, version: tuple[int, int]) -> str:
    if family in ("fable", "mythos") or (family == "opus" and version >= (5, 5)):
        return "never"
    if family == "sonnet" and version >= (5, 5):
        return "between_tools"
    return "disabled"


def _efforts(version: tuple[int, int]) -> tuple[str, ...]:
    if version >= (4, 7):
        return ("low", "medium", "high", "xhigh", "max")
    return ("low", "medium", "high", "max")


def _refuses_forced_tools(family: str, version: tuple[int, int]) -> bool:
    if family in ("fable", "mythos"):
        return version >= (5, 1)
    return family in ("opus", "sonnet") and version >= (5, 5)


def _takes_inline_system(family: str, version: tuple[int, int]) -> bool:
    if family in ("fable", "mythos"):
        return version >= (5, 0)
    return family == "opus" and version >= (4, 8)
