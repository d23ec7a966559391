"""A chat request's JSON → a frozen ChatRequest, or a BadRequest that names the parameter.

What goes upstream is written anew from what is parsed here, so each field is known, costed, the
router's own, or unknown. A field that can change what the upstream bills is priced or refused.
"""

from collections.abc import Mapping
from typing import Any

import orjson

from solrouter import media_tokens
from solrouter.blueprints.api.fields import (
    FLAG,
    LIST,
    OBJECT,
    TEXT,
    Check,
    Schema,
    checks,
    integer,
    kind,
    nullable,
    number,
    optional,
    wrong_type,
)
from solrouter.blueprints.api.messages import (
    CACHE_HINT,
    MESSAGES,
    TOOL_TYPES,
    input_classes,
    parse_messages,
)
from solrouter.blueprints.api.preferences import (
    MAX_COST,
    MODEL,
    MODELS,
    PROMISES,
    PROVIDER,
    ROUTE,
    parse_max_cost,
    parse_models,
    parse_preferences,
    parse_strict,
)
from solrouter.chat import ChatRequest, recalled_bytes_max
from solrouter.errors import BadRequest, UnsupportedParameter

CHOICES_MAX = 8
STOPS_MAX = 16
TOOLS_MAX = 512
# Every dialect wraps messages in a few tokens of its own.
TOKENS_PER_MESSAGE = 8
TOKENS_PER_REQUEST = 16
OUTPUT_LIMIT_MAX = 10_000_000
# Spellings of the output limit that are honoured, best first.
OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")


STRINGS = {"type": "array", "items": {"type": "string"}, "maxItems": STOPS_MAX}


@checks({"anyOf": [{"type": "string"}, STRINGS]})
def _stop(name: str, value: Any) -> Any:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(item, str) for item in stops):
        raise wrong_type(name, "a string or a list of strings")
    if len(stops) > STOPS_MAX:
        raise BadRequest(f"'{name}' has at most {STOPS_MAX} sequences.", param=name)
    return value


NAMED: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {"name": {"type": "string"}, "parameters": nullable(OBJECT.schema)},
}
# What a tool says of itself under its type, and perhaps under another one.
NAMED_OR_NOT: Mapping[str, Schema] = dict.fromkeys(TOOL_TYPES, nullable(NAMED))


def _check_named(tool: Mapping[str, Any], path: str) -> None:
    """Checks what a tool, or a choice of one, says under its type and under any other."""
    for name in TOOL_TYPES:
        body = tool.get(name)
        if body is None and name != tool.get("type"):
            continue
        if not isinstance(body, dict) or not isinstance(body.get("name"), str):
            raise BadRequest(
                f"'{path}.{name}.name' is required.",
                code="missing_parameter",
                param=f"{path}.{name}.name",
            )
        optional(body, "parameters", OBJECT, path=f"{path}.{name}.")


@checks(
    {
        "type": "array",
        "maxItems": TOOLS_MAX,
        "items": {
            "anyOf": [
                {
                    "type": "object",
                    "required": ["type", name],
                    "properties": {
                        **NAMED_OR_NOT,
                        "type": {"const": name},
                        "cache_control": nullable(CACHE_HINT.schema),
                        name: NAMED,
                    },
                }
                for name in TOOL_TYPES
            ]
        },
    }
)
def _tools(name: str, value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise wrong_type(name, "a list of objects")
    if len(value) > TOOLS_MAX:
        raise BadRequest(f"'{name}' has at most {TOOLS_MAX} entries.", param=name)
    for index, tool in enumerate(value):
        if tool.get("type") not in TOOL_TYPES:
            raise UnsupportedParameter(
                f"'{name}[{index}].type' must be “function”: tools that the provider runs and "
                "bills by itself are not offered here.",
                param=f"{name}[{index}].type",
            )
        _check_named(tool, f"{name}[{index}]")
        optional(tool, "cache_control", CACHE_HINT, path=f"{name}[{index}].")
    return value


ALLOWED = "allowed_tools"


def _when(word: str, **needed: Schema) -> Schema:
    """The schema of what an object of this type needs."""
    is_it = {"required": ["type"], "properties": {"type": {"const": word}}}
    return {"if": is_it, "then": {"required": list(needed), "properties": needed}}


def _choosable(**more: Schema) -> Schema:
    """The schema of an object that names a tool by its type."""
    needed = {**dict.fromkeys(TOOL_TYPES, NAMED), **more}
    rules = [_when(name, **{name: schema}) for name, schema in needed.items()]
    return {"properties": NAMED_OR_NOT, "allOf": rules}


ALLOWED_TOOLS: Schema = {
    "type": "object",
    "required": ["tools"],
    "properties": {
        "mode": nullable(TEXT.schema),
        "tools": {"type": "array", "items": {"type": "object", **_choosable()}},
    },
}


@checks({"type": ["string", "object"], **_choosable(allowed_tools=ALLOWED_TOOLS)})
def _tool_choice(name: str, value: Any) -> Any:
    if isinstance(value, str):
        return value
    if not isinstance(value, dict):
        raise wrong_type(name, "a string or an object")
    _check_named(value, name)
    if value.get("type") == ALLOWED:
        path = f"{name}.{ALLOWED}"
        allowed = OBJECT(path, value.get(ALLOWED))
        optional(allowed, "mode", TEXT, path=f"{path}.")
        for index, tool in enumerate(LIST(f"{path}.tools", allowed.get("tools"))):
            _check_named(OBJECT(f"{path}.tools[{index}]", tool), f"{path}.tools[{index}]")
    return value


FORMATS = ("text", "json_object", "json_schema")


@checks(
    {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"enum": list(FORMATS)}, "json_schema": {}},
        "if": {"properties": {"type": {"const": "json_schema"}}},
        "then": {"required": ["json_schema"], "properties": {"json_schema": {"type": "object"}}},
    }
)
def _response_format(name: str, value: Any) -> Any:
    if not isinstance(value, dict) or value.get("type") not in FORMATS:
        words = ", ".join(FORMATS)
        raise BadRequest(f"'{name}.type' must be one of {words}.", param=f"{name}.type")
    if value["type"] == "json_schema" and not isinstance(value.get("json_schema"), dict):
        raise BadRequest(
            f"'{name}.json_schema' is required.",
            code="missing_parameter",
            param=f"{name}.json_schema",
        )
    return value


# Fields of OpenAI's schema that cost nothing: checked, then passed on.
PASSED: Mapping[str, Check] = {
    "frequency_penalty": number(-2, 2),
    "function_call": kind((str, dict), "a string or an object"),
    "functions": kind(list, "a list"),
    "logit_bias": OBJECT,
    "logprobs": FLAG,
    "metadata": OBJECT,
    "parallel_tool_calls": FLAG,
    "presence_penalty": number(-2, 2),
    "prompt_cache_key": kind(str, "a string"),
    "reasoning": OBJECT,
    "reasoning_effort": kind(str, "a string"),
    "response_format": _response_format,
    "safety_identifier": kind(str, "a string"),
    "seed": integer(-(2**63), 2**63 - 1),
    "stop": _stop,
    "temperature": number(0, 2),
    "tool_choice": _tool_choice,
    "tools": _tools,
    "top_k": integer(0, 1_000_000),
    "top_logprobs": integer(0, 20),
    "top_p": number(0, 1),
    "user": kind(str, "a string"),
    "verbosity": kind(str, "a string"),
}
# Fields that can change what the upstream bills and are not priced yet: refused, unless they ask
# for nothing out of the ordinary (the values listed), which is then dropped as the default it is.
COSTED: Mapping[str, tuple[Any, ...]] = {
    "audio": (None,),
    "best_of": (None, 1),
    "max_output_tokens": (None,),
    "modalities": (None, ["text"]),
    "plugins": (None, []),
    "prediction": (None,),
    "prompt_cache_options": (None,),
    "prompt_cache_retention": (None,),
    "service_tier": (None, "auto", "default"),
    "speed": (None, "standard"),
    "store": (None, False),
    "web_search_options": (None,),
}
# A way to alter the prompt that is not offered; said aloud rather than ignored.
ROUTING: Mapping[str, tuple[Any, ...]] = {"transforms": (None, [])}
CHOICES = integer(1, CHOICES_MAX)
OUTPUT_LIMIT = integer(1, OUTPUT_LIMIT_MAX)
ASKS_FOR_USAGE = {"type": "object", "properties": {"include_usage": {"type": "boolean"}}}
# Fields that are the router's own, or mean something to it, with the schema of each.
OWN: Mapping[str, Schema] = {
    "max_cost": MAX_COST,
    "messages": MESSAGES,
    "model": MODEL.schema,
    "models": MODELS.schema,
    "n": CHOICES.schema,
    "provider": PROVIDER,
    "route": ROUTE.schema,
    "stream": FLAG.schema,
    "stream_options": ASKS_FOR_USAGE,
    "strict": FLAG.schema,
    "usage": {"type": "object", "properties": {"include": {"type": "boolean"}}},
    **dict.fromkeys(OUTPUT_LIMITS, OUTPUT_LIMIT.schema),
}
HARMLESS: Mapping[str, tuple[Any, ...]] = {**COSTED, **ROUTING}
KNOWN = frozenset((*PASSED, *HARMLESS, *OWN))


def refused_everywhere() -> dict[str, tuple[Any, ...]]:
    """The fields that no model takes, with the values that ask for nothing and pass as absent."""
    promises = {f"provider.{name}": values for name, values in PROMISES.items()}
    return {**HARMLESS, **promises}


def parse_chat(body: Mapping[str, Any], *, messages_max: int) -> ChatRequest:
    """The request that this body asks for. Raises BadRequest and UnsupportedParameter."""
    model, fallback_models = parse_models(body)
    preferences, warnings = parse_preferences(body)
    messages = parse_messages(body, messages_max=messages_max)
    passed = _passed(body)
    _refuse_costed(body)
    stream = bool(optional(body, "stream", FLAG))
    output_limit = _output_limit(body)
    unknown = {k: v for k, v in body.items() if k not in KNOWN and v is not None}
    choices = _choices(body)
    written = {"messages": messages, **passed}
    if choices != 1:
        written["n"] = choices
    return ChatRequest(
        model=model,
        body=written,
        stream=stream,
        include_usage=_include_usage(body, stream=stream),
        output_limit=output_limit,
        choices=choices,
        prompt_bound=prompt_bound(written, unknown),
        is_bounded=all(map(media_tokens.is_bounded, media_tokens.split(messages)[1])),
        unknown=unknown,
        input_classes=input_classes(messages, written.get("tools", [])),
        warnings=warnings,
        fallback_models=fallback_models,
        preferences=preferences,
        is_strict=parse_strict(body),
        max_cost_nanos=parse_max_cost(body),
    )


def prompt_bound(written: Mapping[str, Any], unknown: Mapping[str, Any]) -> int:
    """The most input tokens that this body can be, as far as its images, sounds and files have a
    bound.

    A byte-level tokenizer makes at least one byte of each token, so the UTF-8 bytes of all text,
    tools and schemas bound it; what is no text counts by its own named maximum.
    """
    messages = written["messages"]
    stripped, media = media_tokens.split(messages)
    text = orjson.dumps({**written, **unknown, "messages": stripped})
    parts = sum(map(media_tokens.most, media)) + recalled_bytes_max({**unknown, **written})
    return len(text) + parts + TOKENS_PER_MESSAGE * len(messages) + TOKENS_PER_REQUEST


def _passed(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: PASSED[name](name, value)
        for name, value in body.items()
        if value is not None and name in PASSED
    }


def _refuse_costed(body: Mapping[str, Any]) -> None:
    for name in HARMLESS.keys() & body.keys():
        if body[name] not in HARMLESS[name]:
            raise UnsupportedParameter(
                f"'{name}' is not supported here. Leave it out, or set it to its default.",
                param=name,
            )


def _output_limit(body: Mapping[str, Any]) -> int | None:
    """The caller's own limit; the smaller one if both spellings are there."""
    named = [OUTPUT_LIMIT(name, body[name]) for name in OUTPUT_LIMITS if body.get(name) is not None]
    return min(named, default=None)


def _choices(body: Mapping[str, Any]) -> int:
    value = body.get("n")
    return 1 if value is None else int(CHOICES("n", value))


def _include_usage(body: Mapping[str, Any], *, stream: bool) -> bool:
    options = optional(body, "stream_options", OBJECT) or {}
    usage = body.get("usage")
    if options and not stream:
        raise BadRequest(
            "'stream_options' is only allowed when 'stream' is true.", param="stream_options"
        )
    asked = usage.get("include") if isinstance(usage, dict) else None
    return bool(stream and (options.get("include_usage") or asked))
