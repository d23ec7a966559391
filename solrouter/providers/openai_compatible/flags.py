"""How a provider deviates from OpenAI, as data: one field for each flag of its row. Pure.

Each default is what is safe with a server that nobody has told us about. docs/adding-a-provider.md
explains the flags; a test holds both to one list.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from solrouter.providers.base import UpstreamCall
from solrouter.providers.capabilities import flags_for, remembered

# What a model's own facts may overrule.
_FACTS = ("drop_params", "efforts", "temperature_max", "stops_max")


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags of one model at one provider; None is “as OpenAI, without a limit”."""

    # The output limit, several choices, usage.
    max_tokens_field: str = "max_tokens"
    max_choices: int | None = None
    stream_usage: bool = True
    reasoning_tokens_outside: bool = False
    # Which fields it takes.
    params: tuple[str, ...] | None = None
    extra_params: tuple[str, ...] = ()
    drop_params: tuple[str, ...] = ()
    passes_unknown_fields: bool = False
    seed_field: str = "seed"
    stops_max: int | None = None
    temperature_max: float | None = None
    # What it takes within them.
    custom_tools: bool = False
    allowed_tools: bool = False
    # `effort`: reasoning_effort; `object`: reasoning{effort}; `thinking`: thinking{type} besides.
    reasoning_format: str = "effort"
    efforts: tuple[str, ...] | None = None
    # Messages.
    developer_role: bool = False
    drop_message_fields: tuple[str, ...] = ()
    echo_fields: tuple[str, ...] = ()
    drop_null: bool = False
    requires_reasoning_content: bool = False
    image_urls: bool = True
    file_urls: bool = False
    cache_control: bool = False
    tool_id_chars: int | None = None


NAMES = frozenset(item.name for item in fields(Flags))


def flags_of(call: UpstreamCall) -> Flags:
    """The flags of a call: the provider's, its rules for this model, the model's own facts."""
    flags: Flags = _flags_of(call.capabilities, call.model_facts, call.upstream_model)
    return flags


@remembered
def _flags_of(
    capabilities: Mapping[str, Any], model_facts: Mapping[str, Any], upstream_model: str
) -> Flags:
    told = flags_for(capabilities, upstream_model)
    facts = {name: model_facts[name] for name in _FACTS if name in model_facts}
    if "drop_params" in facts:
        facts["drop_params"] = [*told.get("drop_params", ()), *facts["drop_params"]]
    return _flags({**told, **facts})


def _flags(told: Mapping[str, Any]) -> Flags:
    known: dict[str, Any] = {name: value for name, value in told.items() if name in NAMES}
    for name, value in known.items():
        if isinstance(value, list):
            known[name] = tuple(value)
    return Flags(**known)
