"""The request in Gemini's words, written anew from the validated one. Pure."""

from collections.abc import Mapping
from typing import Any

from solrouter.providers.base import UpstreamCall
from solrouter.providers.google.messages import conversation
from solrouter.providers.google.schema import supported_schema
from solrouter.providers.google.traits import Traits, traits_of
from solrouter.providers.keepsakes import keepsakes
from solrouter.providers.messages import Message, has_cache_hint, system_as_user, tool_name
from solrouter.providers.parameters import (
    Asked,
    Thinking,
    nearest_effort,
    refuse,
    stops_asked,
    thinking_asked,
)

# OpenAI's word -> Gemini's, both of one meaning.
_PLAIN = {
    "temperature": "temperature",
    "top_p": "topP",
    "top_k": "topK",
    "seed": "seed",
    "presence_penalty": "presencePenalty",
    "frequency_penalty": "frequencyPenalty",
}
# As Google's own compatible endpoint translates them.
_BUDGET_OF_EFFORT = {
    "minimal": 512,
    "low": 1024,
    "medium": 8192,
    "high": 24576,
    "xhigh": 24576,
    "max": 24576,
}
CHOICES_MAX = 8
STOPS_MAX = 5


def written_request(call: UpstreamCall) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The body to send, and what was not honoured and why. Raises UpstreamRefused."""
    asked, traits = Asked(call), traits_of(call.upstream_model, call.model_facts)
    messages: list[Message] = list(call.request.body["messages"])
    if call.model_facts.get("system_role") is False:
        messages = system_as_user(messages)
    instruction, contents = conversation(messages, traits, keepsakes.recaller(call))
    if any(message.get("name") for message in messages):
        asked.warn("messages[].name", "this provider does not tell speakers apart")
    if any(has_cache_hint(message) for message in messages):
        asked.warn("cache_control", "this provider caches by itself")
    body: dict[str, Any] = {"contents": contents}
    if instruction is not None:
        body["systemInstruction"] = instruction
    config: dict[str, Any] = {"maxOutputTokens": call.output_limit}
    _add_sampling(config, asked)
    _add_thinking(config, asked, traits)
    _add_format(config, asked, traits, has_tools=bool(call.request.body.get("tools")))
    _add_tools(body, asked)
    body["generationConfig"] = config
    return body, asked.rest()


def _add_sampling(config: dict[str, Any], asked: Asked) -> None:
    for ours, theirs in _PLAIN.items():
        value = asked.take(ours)
        if value is not None:
            config[theirs] = value
    choices = asked.take("n") or 1
    if choices > CHOICES_MAX:
        asked.refuse("n", f"this provider answers with at most {CHOICES_MAX} choices")
    if choices > 1:
        config["candidateCount"] = choices
    if stops := stops_asked(asked, most=STOPS_MAX):
        config["stopSequences"] = stops
    wants, most = asked.take("logprobs"), asked.take("top_logprobs")
    if wants:
        config["responseLogprobs"] = True
        if most:
            config["logprobs"] = most


def _add_thinking(config: dict[str, Any], asked: Asked, traits: Traits) -> None:
    thinking = thinking_asked(asked)
    effort = thinking.effort
    if effort is None:
        return
    if traits.thinking == "none":
        if effort != "none":
            asked.warn("reasoning_effort", "this model does not think")
        return
    # Gemini takes a level or a budget, by the model's generation, and never both.
    if traits.thinking == "level":
        told = _level(thinking, asked, traits)
    else:
        told = _budget(thinking, asked, traits)
    is_shown = effort != "none" and thinking.is_shown
    config["thinkingConfig"] = {**told, "includeThoughts": is_shown}


def _level(thinking: Thinking, asked: Asked, traits: Traits) -> dict[str, Any]:
    if thinking.tokens is not None:
        asked.warn("reasoning.max_tokens", "this model knows levels and no budget")
    if thinking.effort == "none":
        asked.warn("reasoning_effort", "this model always thinks; it thinks as little as it can")
        return {"thinkingLevel": traits.levels[0].upper()}
    return {"thinkingLevel": nearest_effort(str(thinking.effort), traits.levels).upper()}


def _budget(thinking: Thinking, asked: Asked, traits: Traits) -> dict[str, Any]:
    if thinking.effort != "none":
        tokens = thinking.tokens or _BUDGET_OF_EFFORT[str(thinking.effort)]
        return {"thinkingBudget": max(tokens, traits.budget_tokens_min)}
    if traits.budget_tokens_min:
        asked.warn("reasoning_effort", "this model always thinks; it thinks as little as it can")
    return {"thinkingBudget": traits.budget_tokens_min}


def _add_format(config: dict[str, Any], asked: Asked, traits: Traits, *, has_tools: bool) -> None:
    told = asked.take("response_format")
    kind = told.get("type") if isinstance(told, Mapping) else None
    if kind not in ("json_object", "json_schema"):
        return
    if has_tools and not traits.schema_with_tools:
        asked.refuse("response_format", "this model takes it only without tools")
    config["responseMimeType"] = "application/json"
    if kind == "json_schema":
        schema = told["json_schema"].get("schema") or {"type": "object"}
        config["responseJsonSchema"] = supported_schema(schema)


def _add_tools(body: dict[str, Any], asked: Asked) -> None:
    tools = asked.take("tools")
    if not tools:
        return
    choice = asked.take("tool_choice")
    declarations = [_declaration(tool, f"tools[{i}]", asked) for i, tool in enumerate(tools)]
    body["tools"] = [{"functionDeclarations": declarations}]
    is_strict = any((tool.get("function") or {}).get("strict") for tool in tools)
    told = _calling(choice, is_strict=is_strict)
    if told is not None:
        body["toolConfig"] = {"functionCallingConfig": told}


def _declaration(tool: Mapping[str, Any], where: str, asked: Asked) -> dict[str, Any]:
    told = tool.get("custom") or tool.get("function")
    if not isinstance(told, Mapping):
        refuse(where, f"tools of type {tool.get('type')} cannot be said to this provider")
    written = {"name": told.get("name")}
    if told.get("description"):
        written["description"] = told["description"]
    if tool.get("cache_control"):
        asked.warn("cache_control", "this provider caches by itself")
    if tool.get("custom"):
        asked.warn(where, "sent as a function whose one argument is `input`")
        properties = {"input": {"type": "string"}}
        schema = {"type": "object", "properties": properties, "required": ["input"]}
        written["parametersJsonSchema"] = schema
    elif told.get("parameters"):
        written["parametersJsonSchema"] = told["parameters"]
    return written


def _calling(choice: Any, *, is_strict: bool) -> dict[str, Any] | None:
    if isinstance(choice, Mapping):
        if choice.get("type") == "allowed_tools":
            allowed = choice.get("allowed_tools") or {}
            mode = "ANY" if allowed.get("mode") == "required" else "VALIDATED"
            return {"mode": mode, "allowedFunctionNames": _names(allowed.get("tools") or ())}
        return {"mode": "ANY", "allowedFunctionNames": _names([choice])}
    words = {"auto": "AUTO", "none": "NONE", "required": "ANY"}
    if choice is not None and choice not in words:
        refuse("tool_choice", f"{choice} is not a choice")
    mode = words.get(choice or "auto", "AUTO")
    if mode == "AUTO" and is_strict:
        mode = "VALIDATED"
    return None if choice is None and mode == "AUTO" else {"mode": mode}


def _names(tools: Any) -> list[str]:
    return [tool_name(tool) for tool in tools]
