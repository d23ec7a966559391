"""The request to an OpenAI-compatible upstream, written anew from the validated one. Pure.

What a provider or a model does not take is left out and named, or refused where leaving it out
would answer another question. `flags.py` says what each takes.
"""

from typing import Any

from solrouter.providers.base import UpstreamCall
from solrouter.providers.messages import system_as_user
from solrouter.providers.openai_compatible.flags import Flags, flags_of
from solrouter.providers.openai_compatible.messages import written_messages
from solrouter.providers.openai_compatible.tools import written_choice, written_tools
from solrouter.providers.parameters import (
    Asked,
    Thinking,
    nearest_effort,
    stops_asked,
    thinking_asked,
)

_OPENAI_FIELDS = frozenset(
    {
        "audio",
        "frequency_penalty",
        "function_call",
        "functions",
        "logit_bias",
        "logprobs",
        "metadata",
        "modalities",
        "moderation",
        "n",
        "parallel_tool_calls",
        "prediction",
        "presence_penalty",
        "prompt_cache_key",
        "prompt_cache_options",
        "prompt_cache_retention",
        "reasoning_effort",
        "response_format",
        "safety_identifier",
        "seed",
        "service_tier",
        "stop",
        "store",
        "temperature",
        "tool_choice",
        "tools",
        "top_logprobs",
        "top_p",
        "user",
        "verbosity",
        "web_search_options",
    }
)


def written_request(call: UpstreamCall) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body to send, and what was left out of it and why.

    Raises UpstreamRefused for what can be neither sent nor left out.
    """
    asked, flags = Asked(call), flags_of(call)
    messages = call.request.body["messages"]
    if call.model_facts.get("system_role") is False:
        messages = system_as_user(messages)
    body: dict[str, Any] = {
        "model": call.upstream_model,
        "messages": written_messages(messages, flags, asked),
        flags.max_tokens_field: call.output_limit,
    }
    _add_thinking(body, asked, flags)
    _add_tools(body, asked, flags)
    _add_sampling(body, asked, flags)
    _add_plain(body, call, asked, flags)
    if call.request.stream:
        body["stream"] = True
        if flags.stream_usage:
            # Always asked, whether the caller did or not: it is what we bill by.
            body["stream_options"] = {"include_usage": True}
    return body, asked.rest()


def _is_taken(name: str, flags: Flags) -> bool:
    if name in flags.extra_params:
        return True
    if name in _OPENAI_FIELDS:
        return flags.params is None or name in flags.params
    return flags.passes_unknown_fields


def _add_thinking(body: dict[str, Any], asked: Asked, flags: Flags) -> None:
    if flags.passes_unknown_fields and flags.reasoning_format == "effort":
        # A server of one's own may know either spelling: both go as they came.
        return
    thinking = thinking_asked(asked)
    if flags.reasoning_format == "object":
        body.update(_as_object(thinking))
        return
    if not thinking.is_shown:
        asked.warn("reasoning.exclude", "this provider cannot hide the thinking")
    if thinking.tokens is not None:
        asked.warn("reasoning.max_tokens", "this provider knows efforts and no budget")
    if thinking.effort is None:
        return
    if not _is_taken("reasoning_effort", flags):
        asked.warn("reasoning_effort", "this provider does not take it, so it was not sent")
        return
    if flags.reasoning_format == "thinking":
        is_off = thinking.effort == "none"
        body["thinking"] = {"type": "disabled" if is_off else "enabled"}
        if is_off:
            return
    _add_effort(body, thinking.effort, asked, flags)


def _as_object(thinking: Thinking) -> dict[str, Any]:
    """OpenRouter's `reasoning`, in which a budget stands for the effort."""
    if thinking.effort is None:
        told: dict[str, Any] = {}
    elif thinking.tokens is not None:
        told = {"max_tokens": thinking.tokens}
    else:
        told = {"effort": thinking.effort}
    if not thinking.is_shown:
        told["exclude"] = True
    return {"reasoning": told} if told else {}


def _add_effort(body: dict[str, Any], effort: str, asked: Asked, flags: Flags) -> None:
    words = flags.efforts
    if words is None or effort in words:
        body["reasoning_effort"] = effort
    elif effort == "none":
        asked.warn("reasoning_effort", "this model always thinks")
    else:
        body["reasoning_effort"] = nearest_effort(effort, words)


def _add_tools(body: dict[str, Any], asked: Asked, flags: Flags) -> None:
    tools = asked.take("tools")
    if not tools:
        return
    if not _is_taken("tools", flags):
        asked.refuse("tools", "this provider calls none")
    choice = asked.take("tool_choice")
    tools, choice = written_choice(tools, choice, flags)
    body["tools"] = written_tools(tools, flags, asked)
    if choice is not None:
        body["tool_choice"] = choice


def _add_sampling(body: dict[str, Any], asked: Asked, flags: Flags) -> None:
    told = asked.body.get("stop")
    is_stop_taken = told is not None and _is_taken("stop", flags)
    if is_stop_taken and (stops := stops_asked(asked, most=flags.stops_max)):
        body["stop"] = told if isinstance(told, str) else stops
    most = flags.temperature_max
    is_too_hot = most is not None and (asked.body.get("temperature") or 0) > most
    if is_too_hot and asked.take("temperature") is not None:
        body["temperature"] = most
        asked.warn("temperature", f"this provider's greatest is {most}")
    if _is_taken("seed", flags) and (seed := asked.take("seed")) is not None:
        body[flags.seed_field] = seed


def _add_plain(body: dict[str, Any], call: UpstreamCall, asked: Asked, flags: Flags) -> None:
    """All that is sent as it came. What is left untaken here is named by `asked.rest`."""
    for name in call.request.body:
        if _is_taken(name, flags) and asked.is_open(name):
            value = asked.take(name)
            if value is not None:
                body[name] = value
