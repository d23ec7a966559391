"""A chat request's JSON → a frozen ChatRequest, or a BadRequest that names the parameter.

What goes upstream is written anew from what is parsed here, so each field is known, costed, the
router's own, or unknown. A field that can change what the upstream bills is priced or refused.
"""

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from solrouter.blueprints.api.messages import input_classes, parse_messages, part_tokens
from solrouter.chat import ChatRequest
from solrouter.errors import BadRequest, UnsupportedParameter

CHOICES_MAX = 8
MODEL_CHARACTERS_MAX = 200
STOPS_MAX = 16
TOOLS_MAX = 512
# Every dialect wraps messages in a few tokens of its own.
TOKENS_PER_MESSAGE = 8
TOKENS_PER_REQUEST = 16
OUTPUT_LIMIT_MAX = 10_000_000
# Spellings of the output limit that are honoured, best first.
OUTPUT_LIMITS = ("max_completion_tokens", "max_tokens")


def _number(low: float, high: float) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(name, "a number")
        if not low <= value <= high:
            raise BadRequest(f"'{name}' must be between {low} and {high}.", param=name)
        return value

    return check


def _integer(low: int, high: int) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(name, "an integer")
        if not low <= value <= high:
            raise BadRequest(f"'{name}' must be between {low} and {high}.", param=name)
        return value

    return check


def _kind(cls: type | tuple[type, ...], words: str) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if not isinstance(value, cls):
            raise wrong_type(name, words)
        return value

    return check


def _stop(name: str, value: Any) -> Any:
    stops = [value] if isinstance(value, str) else value
    if not isinstance(stops, list) or not all(isinstance(item, str) for item in stops):
        raise wrong_type(name, "a string or a list of strings")
    if len(stops) > STOPS_MAX:
        raise BadRequest(f"'{name}' has at most {STOPS_MAX} sequences.", param=name)
    return value


def _tools(name: str, value: Any) -> Any:
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise wrong_type(name, "a list of objects")
    if len(value) > TOOLS_MAX:
        raise BadRequest(f"'{name}' has at most {TOOLS_MAX} entries.", param=name)
    for index, tool in enumerate(value):
        if tool.get("type") not in ("function", "custom"):
            raise UnsupportedParameter(
                f"'{name}[{index}].type' must be “function”: tools that the provider runs and "
                "bills by itself are not offered here.",
                param=f"{name}[{index}].type",
            )
        body = tool.get(tool["type"])
        if not isinstance(body, dict) or not isinstance(body.get("name"), str):
            raise BadRequest(
                f"'{name}[{index}].{tool['type']}.name' is required.",
                code="missing_parameter",
                param=f"{name}[{index}].{tool['type']}.name",
            )
    return value


def _response_format(name: str, value: Any) -> Any:
    kinds = ("text", "json_object", "json_schema")
    if not isinstance(value, dict) or value.get("type") not in kinds:
        raise BadRequest(f"'{name}.type' must be one of {', '.join(kinds)}.", param=f"{name}.type")
    if value["type"] == "json_schema" and not isinstance(value.get("json_schema"), dict):
        raise BadRequest(
            f"'{name}.json_schema' is required.",
            code="missing_parameter",
            param=f"{name}.json_schema",
        )
    return value


# Fields of OpenAI's schema that cost nothing: checked, then passed on.
PASSED: Mapping[str, Callable[[str, Any], Any]] = {
    "frequency_penalty": _number(-2, 2),
    "function_call": _kind((str, dict), "a string or an object"),
    "functions": _kind(list, "a list"),
    "logit_bias": _kind(dict, "an object"),
    "logprobs": _kind(bool, "true or false"),
    "metadata": _kind(dict, "an object"),
    "parallel_tool_calls": _kind(bool, "true or false"),
    "presence_penalty": _number(-2, 2),
    "prompt_cache_key": _kind(str, "a string"),
    "reasoning": _kind(dict, "an object"),
    "reasoning_effort": _kind(str, "a string"),
    "response_format": _response_format,
    "safety_identifier": _kind(str, "a string"),
    "seed": _integer(-(2**63), 2**63 - 1),
    "stop": _stop,
    "temperature": _number(0, 2),
    "tool_choice": _kind((str, dict), "a string or an object"),
    "tools": _tools,
    "top_k": _integer(0, 1_000_000),
    "top_logprobs": _integer(0, 20),
    "top_p": _number(0, 1),
    "user": _kind(str, "a string"),
    "verbosity": _kind(str, "a string"),
}
# Fields that can change what the upstream bills and are not priced yet: refused, unless they ask
# for
# nothing out of the ordinary (the values listed), which is then dropped as the default it is.
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
# Fields of routing that are not offered yet; said aloud rather than ignored.
ROUTING: Mapping[str, tuple[Any, ...]] = {
    "models": (None, []),
    "provider": (None, {}),
    "route": (None,),
    "transforms": (None, []),
}
OWN = frozenset(
    ("model", "messages", "n", "stream", "stream_options", "usage", "strict", *OUTPUT_LIMITS)
)


def parse_chat(body: Mapping[str, Any], *, messages_max: int) -> ChatRequest:
    """The request that this body asks for. Raises BadRequest and UnsupportedParameter."""
    model = _model(body)
    messages = parse_messages(body, messages_max=messages_max)
    passed = _passed(body)
    _refuse_costed(body)
    stream = _optional(body, "stream", bool, "true or false") or False
    output_limit = _output_limit(body)
    known = {*PASSED, *COSTED, *ROUTING, *OWN}
    unknown = {k: v for k, v in body.items() if k not in known and v is not None}
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
        unknown=unknown,
        input_classes=input_classes(messages),
    )


def prompt_bound(written: Mapping[str, Any], unknown: Mapping[str, Any]) -> int:
    """The most input tokens that this body can be.

    A byte-level tokenizer makes at least one byte of each token, so the UTF-8 bytes of all text,
    tools and schemas bound it; images, sounds and files count by their own named maxima.
    """
    messages = written["messages"]
    stripped, parts = part_tokens(messages)
    text = orjson.dumps({**written, **unknown, "messages": stripped})
    return len(text) + parts + TOKENS_PER_MESSAGE * len(messages) + TOKENS_PER_REQUEST


def wrong_type(name: str, words: str) -> BadRequest:
    """The refusal of a value of another type."""
    return BadRequest(f"'{name}' must be {words}.", param=name)


def _model(body: Mapping[str, Any]) -> str:
    model = body.get("model")
    if model is None:
        raise BadRequest(
            "You must provide a 'model' parameter, such as openai/gpt-4o-mini.",
            code="missing_parameter",
            param="model",
        )
    if not isinstance(model, str) or not model:
        raise wrong_type("model", "a string")
    return model[: MODEL_CHARACTERS_MAX + 1]


def _passed(body: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: check(name, body[name])
        for name, check in PASSED.items()
        if body.get(name) is not None
    }


def _refuse_costed(body: Mapping[str, Any]) -> None:
    for name, harmless in {**COSTED, **ROUTING}.items():
        if name in body and body[name] not in harmless:
            raise UnsupportedParameter(
                f"'{name}' is not supported here. Leave it out, or set it to its default.",
                param=name,
            )


def _optional(body: Mapping[str, Any], name: str, cls: type, words: str) -> Any:
    value = body.get(name)
    if value is not None and not isinstance(value, cls):
        raise wrong_type(name, words)
    return value


def _output_limit(body: Mapping[str, Any]) -> int | None:
    """The caller's own limit; the smaller one if both spellings are there."""
    check = _integer(1, OUTPUT_LIMIT_MAX)
    named = [check(name, body[name]) for name in OUTPUT_LIMITS if body.get(name) is not None]
    return min(named, default=None)


def _choices(body: Mapping[str, Any]) -> int:
    value = body.get("n")
    return 1 if value is None else int(_integer(1, CHOICES_MAX)("n", value))


def _include_usage(body: Mapping[str, Any], *, stream: bool) -> bool:
    options = _optional(body, "stream_options", dict, "an object") or {}
    usage = body.get("usage")
    if options and not stream:
        raise BadRequest(
            "'stream_options' is only allowed when 'stream' is true.", param="stream_options"
        )
    asked = usage.get("include") if isinstance(usage, dict) else None
    return bool(stream and (options.get("include_usage") or asked))
