"""What we send, held against the official packages' own types, in a table of hard requests."""

import base64
from typing import Any

import orjson
import pytest
from anthropic.types.message_create_params import (
    MessageCreateParamsNonStreaming as AnthropicParams,
)
from google.genai import types as gemini
from openai.types.chat.completion_create_params import (
    CompletionCreateParamsNonStreaming as OpenAIParams,
)
from pydantic import ValidationError

from solrouter.providers.anthropic.request import written_request as to_anthropic
from solrouter.providers.google.request import written_request as to_google
from solrouter.providers.openai_compatible.request import written_request as to_openai
from tests.providers.calls import make_call
from tests.providers.test_vendors import CAPABILITIES
from tests.providers.typed import misfits

PNG = "data:image/png;base64,iVBORw0KGgo="
PDF = "data:application/pdf;base64," + base64.b64encode(b"%PDF-1.7").decode()
TEXT = "data:text/markdown;base64," + base64.b64encode(b"# Title").decode()
SCHEMA = {
    "type": "object",
    "properties": {
        "city": {"type": "string", "minLength": 2, "pattern": "^[A-Z]"},
        "days": {"type": "integer", "minimum": 1, "maximum": 7},
        "unit": {"const": "C"},
        "kind": {"oneOf": [{"type": "string"}, {"type": "null"}]},
        "more": {"$ref": "#/$defs/more"},
    },
    "required": ["city"],
    "additionalProperties": False,
    "$defs": {"more": {"type": "array", "items": {"type": "number"}, "maxItems": 3}},
}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Sun?", "parameters": SCHEMA, "strict": True},
}
CLOCK = {"type": "function", "function": {"name": "clock"}}
CALLS = [
    {"id": "a", "type": "function", "function": {"name": "weather", "arguments": '{"city":"R"}'}},
    {"id": "b", "type": "function", "function": {"name": "clock", "arguments": ""}},
]


def user(*content: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(content)}


def text(words: str, **more: Any) -> dict[str, Any]:
    return {"type": "text", "text": words, **more}


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}


def file(data: str, name: str = "a.pdf") -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, "filename": name}}


LOOP: list[dict[str, Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "How is Rome?"},
    {"role": "assistant", "content": None, "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "a", "content": '{"sun": true}'},
    {"role": "tool", "tool_call_id": "b", "content": [text("12:00")]},
    {"role": "user", "content": "And Oslo?"},
]
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "every role": {
        "messages": [
            {"role": "system", "content": "One."},
            {"role": "developer", "content": [text("Two.")]},
            {"role": "user", "content": "Hi"},
            {"role": "user", "content": "again"},
            {"role": "assistant", "content": "Yes?"},
            {"role": "assistant", "content": [text("Yes!")]},
            {"role": "system", "content": "Three."},
            {"role": "user", "content": "Go on."},
        ]
    },
    "system only": {"messages": [{"role": "system", "content": "One."}]},
    "tool loop": {"messages": LOOP, "tools": [WEATHER, CLOCK]},
    "tool loop without content": {
        "messages": [*LOOP[:2], {"role": "assistant", "tool_calls": CALLS}, *LOOP[3:]],
        "tools": [WEATHER, CLOCK],
    },
    "images": {"messages": [user(text("?"), image(PNG), image("https://a.example/b.png"))]},
    "image alone": {"messages": [user(image(PNG))]},
    "file": {"messages": [user(text("?"), file(PDF))]},
    "text file": {"messages": [user(text("?"), file(TEXT, "a.md"))]},
    "sampling": {"temperature": 1.5, "top_p": 0.5, "stop": ["a", "", " "], "seed": 3},
    "one stop": {"stop": "END"},
    "json object": {"response_format": {"type": "json_object"}},
    "json schema": {
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "w", "schema": SCHEMA, "strict": True},
        }
    },
    "user": {"user": "u", "safety_identifier": "s", "metadata": {"a": "b"}},
    "logprobs": {"logprobs": True, "top_logprobs": 2},
    **{
        f"tool choice {choice}": {"tools": [WEATHER, CLOCK], "tool_choice": choice}
        for choice in ("auto", "none", "required")
    },
    "tool choice named": {
        "tools": [WEATHER, CLOCK],
        "tool_choice": {"type": "function", "function": {"name": "clock"}},
        "parallel_tool_calls": False,
    },
    "tool choice allowed": {
        "tools": [WEATHER, CLOCK],
        "tool_choice": {
            "type": "allowed_tools",
            "allowed_tools": {
                "mode": "required",
                "tools": [{"type": "function", "function": {"name": "clock"}}],
            },
        },
    },
    **{
        f"effort {effort}": {"reasoning_effort": effort}
        for effort in ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    },
    "budget": {"reasoning": {"max_tokens": 2000, "exclude": True}},
}
# What plain OpenAI has no type for.
WIDER: dict[str, dict[str, Any]] = {
    "file address": {"messages": [user(text("?"), file("https://a.example/b.pdf"))]},
    "image from a tool": {
        "messages": [
            *LOOP[:3],
            {"role": "tool", "tool_call_id": "a", "content": [text("See:"), image(PNG)]},
            {"role": "tool", "tool_call_id": "b", "content": "12:00"},
        ],
        "tools": [WEATHER, CLOCK],
    },
    "cache": {
        "messages": [
            {"role": "system", "content": [text("L", cache_control={"type": "ephemeral"})]},
            user(text("Hi", cache_control={"type": "ephemeral", "ttl": "1h"})),
        ],
        "tools": [{**CLOCK, "cache_control": {"type": "ephemeral", "ttl": "5m"}}],
    },
    "custom tool": {
        "tools": [{"type": "custom", "custom": {"name": "run", "description": "Free."}}]
    },
    "thinking comes back": {
        "messages": [
            *LOOP[:2],
            {
                **LOOP[2],
                "reasoning_details": [
                    {
                        "type": "reasoning.text",
                        "text": "hm",
                        "signature": "c2ln",
                        "format": "anthropic-claude-v1",
                        "index": 0,
                    },
                    {
                        "type": "reasoning.encrypted",
                        "data": "c2ln",
                        "format": "google-gemini-v1",
                        "id": "a",
                    },
                ],
            },
            *LOOP[3:],
        ],
        "tools": [WEATHER, CLOCK],
        "reasoning_effort": "high",
    },
}
NARROW = pytest.mark.parametrize("name", REQUESTS)
ALL = pytest.mark.parametrize("name", [*REQUESTS, *WIDER])
SAMPLING = ("temperature", "top_p", "top_k")
CLAUDES = ("claude-3-5-haiku-20241022", "claude-sonnet-4-5", "claude-opus-4-8", "claude-sonnet-5-5")
GEMINIS = ("gemini-2.0-flash", "gemini-2.5-pro", "gemini-3.1-flash-lite", "gemini-4-argon")


def as_json(body: Any) -> Any:
    return orjson.loads(orjson.dumps(body))


@ALL
def test_anthropics_types_fit(name: str) -> None:
    asked = {**REQUESTS, **WIDER}[name]
    for model in CLAUDES:
        if name == "json schema" and model == CLAUDES[0]:
            # Refused, since this model cannot be held to a schema.
            continue
        call = make_call(model=model, output_limit=4000, stream=False, **asked)
        # The package speaks version 2026-10-21, which has dropped sampling; we ask for 2023-06-01.
        body = as_json(to_anthropic(call)[0])
        body = {key: value for key, value in body.items() if key not in SAMPLING}
        assert misfits(body, AnthropicParams) == [], model


@ALL
def test_geminis_types_fit(name: str) -> None:
    asked = {**REQUESTS, **WIDER}[name]
    for model in GEMINIS:
        body = as_json(to_google(make_call(model=model, output_limit=4000, **asked))[0])
        for content in body.pop("contents"):
            gemini.Content.model_validate(content)
        if "systemInstruction" in body:
            gemini.Content.model_validate(body.pop("systemInstruction"))
        for tool in body.pop("tools", ()):
            gemini.Tool.model_validate(tool)
        if "toolConfig" in body:
            gemini.ToolConfig.model_validate(body.pop("toolConfig"))
        config = gemini.GenerationConfig.model_validate(body.pop("generationConfig"))
        assert config.max_output_tokens == 4000
        assert body == {}


@NARROW
def test_openais_types_fit(name: str) -> None:
    for vendor in ("openai", "groq", "cerebras", "fireworks", "xai", "together"):
        flags = CAPABILITIES[vendor]
        call = make_call(model="gpt-4o", stream=False, capabilities=flags, **REQUESTS[name])
        # Words that a vendor has beyond OpenAI's stand in its own row.
        beyond = {*flags.get("extra_params", ()), "thinking"}
        body = as_json(to_openai(call)[0])
        body = {key: value for key, value in body.items() if key not in beyond}
        assert misfits(body, OpenAIParams) == [], vendor


def test_the_judges_see_mistakes() -> None:
    body = {
        "model": "m",
        "max_tokens": "3",
        "messages": [{"role": "user", "content": [{}]}],
        "x": 1,
    }
    found = misfits(body, AnthropicParams)
    assert ".x is unknown" in found
    assert ".max_tokens is '3'" in found
    assert any(bad.startswith(".messages[0]") for bad in found)
    with pytest.raises(ValidationError):
        gemini.Content.model_validate({"role": "user", "parts": [{"txt": ""}]})
