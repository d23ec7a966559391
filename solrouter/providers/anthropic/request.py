"""The request in Anthropic's words, written anew from the validated one. Pure."""

import hashlib
from collections.abc import Mapping
from typing import Any

from solrouter.chat import recalled_bytes_max
from solrouter.providers.anthropic.messages import Block, conversation, with_cache
from solrouter.providers.anthropic.schema import supported_schema
from solrouter.providers.anthropic.traits import Traits, traits_of
from solrouter.providers.base import UpstreamCall
from solrouter.providers.keepsakes import keepsakes
from solrouter.providers.messages import Message, system_as_user, tool_name
from solrouter.providers.parameters import (
    Asked,
    Thinking,
    nearest_effort,
    refuse,
    stops_asked,
    thinking_asked,
)

THINKING_TOKENS_MIN = 1024
# The share of the output limit that thinking may have, where a budget must be named.
_BUDGET_PERCENT = {"minimal": 10, "low": 20, "medium": 50, "high": 80, "xhigh": 90, "max": 95}
_JSON_INSTRUCTION = "Answer with one JSON object and nothing else: no explanation, no code fence."


def written_request(call: UpstreamCall) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body to send, and what was not honoured and why. Raises UpstreamRefused."""
    asked, traits = Asked(call), traits_of(call.upstream_model, call.model_facts)
    messages: list[Message] = list(call.request.body["messages"])
    if call.model_facts.get("system_role") is False:
        messages = system_as_user(messages)
    recall = keepsakes.recaller(call, bytes_max=recalled_bytes_max(call.request.body))
    system, turns = conversation(messages, traits, recall)
    if any(message.get("name") for message in messages):
        asked.warn("messages[].name", "this provider does not tell speakers apart")
    body: dict[str, Any] = {
        "model": call.upstream_model,
        "max_tokens": _limit(call),
        "messages": turns,
    }
    if call.request.stream:
        body["stream"] = True
    _add_thinking(body, asked, traits)
    _add_sampling(body, asked, traits)
    _add_tools(body, asked, traits)
    _add_format(body, system, asked, traits)
    _add_caller(body, asked)
    if system:
        body["system"] = system
    return body, asked.rest()


def _limit(call: UpstreamCall) -> int:
    most = call.model_facts.get("output_tokens_max")
    return min(call.output_limit, most) if isinstance(most, int) else call.output_limit


def _add_thinking(body: dict[str, Any], asked: Asked, traits: Traits) -> None:
    thinking = thinking_asked(asked)
    effort = thinking.effort
    if effort is None:
        return
    if effort == "none":
        _turn_thinking_off(body, asked, traits)
    elif traits.thinking == "adaptive":
        # Without `display` the newest models think in silence.
        display = "summarized" if thinking.is_shown else "omitted"
        body["thinking"] = {"type": "adaptive", "display": display}
        body["output_config"] = {"effort": nearest_effort(effort, traits.efforts)}
        if thinking.tokens is not None:
            asked.warn("reasoning.max_tokens", "this model knows efforts and no budget")
    elif traits.thinking == "budget":
        _add_budget(body, thinking, asked)
    else:
        asked.warn("reasoning_effort", "this model does not think")


def _turn_thinking_off(body: dict[str, Any], asked: Asked, traits: Traits) -> None:
    if traits.thinking == "none":
        return
    if traits.thinking_off == "never":
        asked.warn("reasoning_effort", "this model always thinks")
    else:
        body["thinking"] = {"type": traits.thinking_off}


def _add_budget(body: dict[str, Any], thinking: Thinking, asked: Asked) -> None:
    assert thinking.effort is not None, "asked for by the caller"
    percent = _BUDGET_PERCENT[thinking.effort]
    if not thinking.is_shown:
        asked.warn("reasoning.exclude", "this model cannot hide its thinking")
    told = thinking.tokens or body["max_tokens"] * percent // 100
    budget = max(THINKING_TOKENS_MIN, told)
    if budget >= body["max_tokens"]:
        asked.warn("reasoning_effort", "the output limit leaves no room to think")
    elif _is_inside_a_tool_loop(body["messages"]):
        asked.warn("reasoning_effort", "the tool call came back without the thinking before it")
    else:
        body["thinking"] = {"type": "enabled", "budget_tokens": budget}


def _is_inside_a_tool_loop(turns: list[Block]) -> bool:
    """Whether the last call is there without its thinking, which these models then refuse."""
    last = next((turn for turn in reversed(turns) if turn["role"] == "assistant"), None)
    kinds = [block["type"] for block in last["content"]] if last else []
    return "tool_use" in kinds and kinds[0] not in ("thinking", "redacted_thinking")


def _thinks_on_budget(body: Mapping[str, Any]) -> bool:
    return bool(body.get("thinking", {}).get("type") == "enabled")


def _add_sampling(body: dict[str, Any], asked: Asked, traits: Traits) -> None:
    if stops := stops_asked(asked, may_be_blank=False):
        body["stop_sequences"] = stops
    told = {name: asked.take(name) for name in ("temperature", "top_p", "top_k")}
    told = {name: value for name, value in told.items() if value is not None}
    for name in list(told):
        if not traits.sampling or _thinks_on_budget(body):
            del told[name]
            asked.warn(name, "this model chooses its own sampling, at least while it thinks")
    if told.get("temperature", 0) > 1:
        told["temperature"] = 1
        asked.warn("temperature", "this provider's greatest is 1")
    if "temperature" in told and "top_p" in told and not traits.both_sampling:
        del told["top_p"]
        asked.warn("top_p", "this model takes it only without temperature")
    body.update(told)


def _add_tools(body: dict[str, Any], asked: Asked, traits: Traits) -> None:
    tools, is_parallel = asked.take("tools"), asked.take("parallel_tool_calls")
    if not tools:
        return
    choice = asked.take("tool_choice")
    if isinstance(choice, Mapping) and choice.get("type") == "allowed_tools":
        tools, choice = _allowed(tools, choice.get("allowed_tools") or {})
    body["tools"] = [_tool(tool, f"tools[{i}]", asked) for i, tool in enumerate(tools)]
    told = _tool_choice(choice)
    is_forced = told is not None and told["type"] in ("any", "tool")
    if is_forced and (not traits.forced_tool_choice or _thinks_on_budget(body)):
        told = {"type": "auto"}
        asked.warn("tool_choice", "this model cannot be forced to call a tool; it may choose to")
    if is_parallel is False and (told is None or told["type"] != "none"):
        told = {**(told or {"type": "auto"}), "disable_parallel_tool_use": True}
    if told is not None:
        body["tool_choice"] = told


def _allowed(tools: list[Any], allowed: Mapping[str, Any]) -> tuple[list[Any], str]:
    names = {tool_name(tool) for tool in allowed.get("tools") or ()}
    kept = [tool for tool in tools if tool_name(tool) in names]
    return kept, str(allowed.get("mode", "auto"))


def _tool(tool: Mapping[str, Any], where: str, asked: Asked) -> Block:
    told = tool.get("custom") or tool.get("function")
    if not isinstance(told, Mapping):
        refuse(where, f"tools of type {tool.get('type')} cannot be said to this provider")
    schema = {"type": "object", **(told.get("parameters") or {"properties": {}})}
    if tool.get("custom"):
        asked.warn(where, "sent as a function whose one argument is `input`")
        schema["properties"], schema["required"] = {"input": {"type": "string"}}, ["input"]
    if told.get("strict"):
        schema = supported_schema(schema)
    written: Block = {"name": told.get("name"), "input_schema": schema}
    for field in ("description", "strict"):
        if told.get(field):
            written[field] = told[field]
    return with_cache(tool, written)


def _tool_choice(choice: Any) -> Block | None:
    if choice is None:
        return None
    if isinstance(choice, Mapping):
        return {"type": "tool", "name": tool_name(choice)}
    words = {"auto": "auto", "none": "none", "required": "any"}
    if choice not in words:
        refuse("tool_choice", f"{choice} is not a choice")
    return {"type": words[choice]}


def _add_format(body: dict[str, Any], system: list[Block], asked: Asked, traits: Traits) -> None:
    told = asked.take("response_format")
    kind = told.get("type") if isinstance(told, Mapping) else None
    if kind == "json_object":
        system.append({"type": "text", "text": _JSON_INSTRUCTION})
        asked.warn("response_format", "this provider is asked for JSON in words only")
    elif kind == "json_schema":
        if not traits.schema_output:
            asked.refuse("response_format", "this model cannot be held to a schema")
        schema = supported_schema(told["json_schema"].get("schema") or {"type": "object"})
        form = {"type": "json_schema", "schema": schema}
        body["output_config"] = {**body.get("output_config", {}), "format": form}


def _add_caller(body: dict[str, Any], asked: Asked) -> None:
    who = asked.take("safety_identifier"), asked.take("user")
    name = next((value for value in who if isinstance(value, str) and value), None)
    if name:
        # Hashed: the vendor needs to tell callers apart, not to know them.
        body["metadata"] = {"user_id": hashlib.sha256(name.encode()).hexdigest()}
