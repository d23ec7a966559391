"""Anthropic's dialect: golden requests, streams put together again, failures by name."""

import hashlib
from dataclasses import replace
from typing import Any

import pytest

from solrouter.chat import SILENCE, Usage
from solrouter.providers import ADAPTERS
from solrouter.providers.anthropic import usage_from_anthropic
from solrouter.providers.anthropic.messages import conversation
from solrouter.providers.anthropic.schema import supported_schema
from solrouter.providers.anthropic.traits import traits_of
from solrouter.providers.errors import (
    ProviderError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamEmpty,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
)
from tests.fakes.upstream import FakeUpstream
from tests.providers.calls import KEY, QUESTION, Outcome, make_call, play

BOTH = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
OLD, BUDGET, ADAPTIVE, NEWEST = (
    "claude-3-5-haiku-20241022",
    "claude-sonnet-4-5",
    "claude-opus-4-6",
    "claude-opus-5-5",
)
HELLO = {"role": "user", "content": [{"type": "text", "text": "Hello, who are you?"}]}
PNG = "data:image/png;base64,iVBORw0KGgo="
WEATHER = {
    "type": "function",
    "function": {
        "name": "weather",
        "description": "Tells the weather.",
        "parameters": {"type": "object", "properties": {"city": {"type": "string"}}},
    },
}


def sent(upstream: FakeUpstream, *, model: str = BUDGET, **say: Any) -> dict[str, Any]:
    """The body that a call makes us send; what we would refuse fails the test."""
    outcome = play("anthropic", make_call(upstream.origin, model=model, **say))
    assert outcome.error is None, outcome.error
    assert upstream.last.body is not None
    return upstream.last.body


def warned(upstream: FakeUpstream, *, model: str = BUDGET, **say: Any) -> list[str]:
    outcome = play("anthropic", make_call(upstream.origin, model=model, **say))
    assert outcome.error is None, outcome.error
    return sorted(warning.split(":")[0] for warning in outcome.warnings)


def refused(*, model: str = BUDGET, **say: Any) -> UpstreamRefused:
    """The refusal that comes before anything is sent."""
    error = play("anthropic", make_call(model=model, **say)).error
    assert isinstance(error, UpstreamRefused), error
    return error


def turns(upstream: FakeUpstream, *messages: dict[str, Any], **say: Any) -> Any:
    return sent(upstream, messages=list(messages), **say)["messages"]


def text(words: str) -> dict[str, Any]:
    return {"type": "text", "text": words}


# What is sent.


def test_the_plain_request(upstream: FakeUpstream) -> None:
    body = sent(upstream, messages=[{"role": "system", "content": "Be brief."}, *QUESTION])
    assert body == {
        "model": BUDGET,
        "max_tokens": 500,
        "messages": [HELLO],
        "system": [text("Be brief.")],
        "stream": True,
    }
    seen = upstream.last
    assert seen.path == "/v1/messages"
    assert (seen.headers["x-api-key"], seen.headers["anthropic-version"]) == (KEY, "2023-06-01")
    assert "stream" not in sent(upstream, stream=False)


def test_a_whole_conversation(upstream: FakeUpstream) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "developer", "content": [text("Be kind."), text("")]},
        {"role": "user", "content": "What is the weather?"},
        {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}, text("?")]},
        {
            "role": "assistant",
            "content": "Let me see.",
            "reasoning_details": [
                {
                    "type": "reasoning.text",
                    "text": "hm",
                    "signature": "c2ln",
                    "format": "anthropic-claude-v1",
                    "index": 0,
                },
                {"type": "reasoning.encrypted", "data": "x", "format": "anthropic-claude-v1"},
                {"type": "reasoning.encrypted", "data": "y", "format": "google-gemini-v1"},
                {"type": "reasoning.text", "text": "unsigned", "format": "anthropic-claude-v1"},
            ],
            "tool_calls": [
                {
                    "id": "a.1",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"x":1}'},
                },
                {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
            ],
        },
        {"role": "tool", "tool_call_id": "a.1", "content": "sunny"},
        {"role": "tool", "tool_call_id": "b", "content": [text("noon")]},
        {"role": "user", "content": "Thanks."},
        {"role": "system", "content": "Now in French."},
        {"role": "assistant", "content": ""},
    ]
    body = sent(upstream, messages=messages)
    assert body["system"] == [text("Be brief."), text("Be kind.")]
    assert body["messages"] == [
        {
            "role": "user",
            "content": [
                text("What is the weather?"),
                {
                    "type": "image",
                    "source": {"type": "base64", "media_type": "image/png", "data": "iVBORw0KGgo="},
                },
                text("?"),
            ],
        },
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2ln"},
                {"type": "redacted_thinking", "data": "x"},
                text("Let me see."),
                {"type": "tool_use", "id": "a_1", "name": "f", "input": {"x": 1}},
                {"type": "tool_use", "id": "b", "name": "g", "input": {}},
            ],
        },
        {
            "role": "user",
            "content": [
                {"type": "tool_result", "tool_use_id": "a_1", "content": "sunny"},
                {"type": "tool_result", "tool_use_id": "b", "content": [text("noon")]},
                text("Thanks."),
                text("<system>Now in French.</system>"),
            ],
        },
    ]


def test_the_same_conversation_is_the_same_bytes(upstream: FakeUpstream) -> None:
    for _ in range(2):
        sent(upstream, tools=[WEATHER], user="alice")
    assert upstream.seen[0].raw == upstream.seen[1].raw


def test_instructions_alone_become_the_users_words(upstream: FakeUpstream) -> None:
    body = sent(upstream, messages=[{"role": "system", "content": "Say hi."}])
    assert body["messages"] == [{"role": "user", "content": [text("Say hi.")]}]
    assert "system" not in body


def test_a_model_without_a_system_role(upstream: FakeUpstream) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *QUESTION]
    body = sent(upstream, messages=messages, facts={"system_role": False})
    assert body["messages"] == [
        {"role": "user", "content": [text("Be brief."), text("Hello, who are you?")]}
    ]


def test_the_models_that_take_it_get_a_later_system_message_inline() -> None:
    messages = [*QUESTION, {"role": "system", "content": "French."}]
    _, written = conversation(messages, traits_of(NEWEST, {}), lambda *_: None)
    assert written == [HELLO, {"role": "system", "content": [text("French.")]}]


@pytest.mark.parametrize(
    ("part", "block"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/a.png"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/noname"}},
            {"type": "image", "source": {"type": "url", "url": "https://example.com/noname"}},
        ),
        (
            {
                "type": "file",
                "file": {"file_data": "data:application/pdf;base64,JVBERg==", "filename": "a.pdf"},
            },
            {
                "type": "document",
                "source": {
                    "type": "base64",
                    "media_type": "application/pdf",
                    "data": "JVBERg==",
                },
                "title": "a.pdf",
            },
        ),
        (
            {"type": "file", "file": {"file_data": "https://example.com/a.pdf"}},
            {"type": "document", "source": {"type": "url", "url": "https://example.com/a.pdf"}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:text/plain;base64,w6k="}},
            {
                "type": "document",
                "source": {"type": "text", "media_type": "text/plain", "data": "é"},
            },
        ),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}},
        ),
        (
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral", "ttl": "9d"}},
            {"type": "text", "text": "a", "cache_control": {"type": "ephemeral"}},
        ),
    ],
    ids=["image url", "nameless url", "pdf", "pdf url", "plain text", "cache 1h", "odd cache"],
)
def test_parts_become_blocks(
    upstream: FakeUpstream, part: dict[str, Any], block: dict[str, Any]
) -> None:
    assert turns(upstream, {"role": "user", "content": [part]}) == [
        {"role": "user", "content": [block]}
    ]


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AA=="}},
        {"type": "image_url", "image_url": {"url": "data:image/png,raw"}},
        {"type": "image_url", "image_url": {"url": "file:///etc/passwd"}},
        {"type": "image_url"},
        {"type": "input_audio", "input_audio": {"data": "AA==", "format": "wav"}},
        {"type": "input_audio", "input_audio": {"format": "flac"}},
        {"type": "file", "file": {"file_id": "file-1"}},
        {"type": "file", "file": {"file_data": "data:text/plain;base64,/w=="}},
        {"type": "video_url", "video_url": {"url": "https://example.com/a.mp4"}},
    ],
    ids=str,
)
def test_parts_that_cannot_be_said_are_refused_by_place(part: dict[str, Any]) -> None:
    messages = [{"role": "system", "content": "x"}, {"role": "user", "content": [text("a"), part]}]
    error = refused(messages=messages)
    assert (error.param, error.upstream_code) == (
        "messages[1].content[1]",
        "unsupported_parameter",
    )


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"arguments": "{x"}}]},
            "messages[1].tool_calls[0].function.arguments",
        ),
        (
            {"role": "assistant", "tool_calls": [{"id": "a", "function": {"arguments": "[1]"}}]},
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"role": "assistant", "audio": {"id": "x"}}, "messages[1].audio"),
        ({"role": "assistant", "function_call": {"name": "x"}}, "messages[1].function_call"),
        ({"role": "function", "content": "x"}, "messages[1]"),
    ],
    ids=str,
)
def test_messages_that_cannot_be_said_are_refused_by_place(
    message: dict[str, Any], param: str
) -> None:
    assert refused(messages=[*QUESTION, message]).param == param


def test_a_last_message_of_the_assistant_is_a_beginning(upstream: FakeUpstream) -> None:
    beginning = {"role": "assistant", "content": "Once \n"}
    assert turns(upstream, *QUESTION, beginning)[-1]["content"] == [text("Once")]
    assert refused(messages=[*QUESTION, beginning], model=ADAPTIVE).param == "messages"


def test_refusals_and_free_text_tools_come_back(upstream: FakeUpstream) -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "c", "input": "free"}}
    said = {"role": "assistant", "content": None, "refusal": "No.", "tool_calls": [call]}
    result = {"role": "tool", "tool_call_id": "a", "content": "ok"}
    assert turns(upstream, *QUESTION, said, result)[1]["content"] == [
        text("No."),
        {"type": "tool_use", "id": "a", "name": "c", "input": {"input": "free"}},
    ]


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        ("claude-fable-5-2", "forced_tool_choice", False),
        ("claude-fable-5", "forced_tool_choice", True),
        ("claude-mythos-5", "inline_system", True),
        ("claude-sonnet-5", "inline_system", False),
        ("claude-fable-5", "thinking_off", "never"),
        ("claude-sonnet-4-20250514", "thinking", "budget"),
        ("claude-3-5-haiku-latest", "thinking", "none"),
        ("claude-opus-4-7", "sampling", False),
        ("claude-opus-4-6", "sampling", True),
        ("minimax-m3", "sampling", True),
    ],
)
def test_traits_follow_from_the_name(model: str, name: str, value: Any) -> None:
    assert getattr(traits_of(model, {}), name) == value
    assert getattr(traits_of(model, {name: "told"}), name) == "told"


def test_nothing_to_answer_is_refused() -> None:
    assert refused(messages=[{"role": "user", "content": ""}]).param == "messages"


@pytest.mark.parametrize(
    ("model", "asked", "expected"),
    [
        (BUDGET, {"temperature": 0.5, "stop": "a"}, {"temperature": 0.5, "stop_sequences": ["a"]}),
        (BUDGET, {"top_p": 0.5, "top_k": 5}, {"top_p": 0.5, "top_k": 5}),
        (OLD, {"temperature": 1, "top_p": 0.5}, {"temperature": 1, "top_p": 0.5}),
        (BUDGET, {"stop": ["a", "b"]}, {"stop_sequences": ["a", "b"]}),
        (BUDGET, {"output_limit": 9999, "facts": {"output_tokens_max": 64}}, {"max_tokens": 64}),
        (
            BUDGET,
            {"user": "alice"},
            {"metadata": {"user_id": hashlib.sha256(b"alice").hexdigest()}},
        ),
        (
            BUDGET,
            {"reasoning_effort": "medium", "output_limit": 10_000},
            {"max_tokens": 10_000, "thinking": {"type": "enabled", "budget_tokens": 5_000}},
        ),
        (
            ADAPTIVE,
            {"reasoning": {"enabled": True}},
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "medium"},
            },
        ),
        (
            BUDGET,
            {"reasoning": {"effort": "low"}, "output_limit": 2_000},
            {"max_tokens": 2_000, "thinking": {"type": "enabled", "budget_tokens": 1_024}},
        ),
        (BUDGET, {"reasoning_effort": "none"}, {"thinking": {"type": "disabled"}}),
        (OLD, {"reasoning_effort": "none"}, {}),
        (
            ADAPTIVE,
            {"reasoning_effort": "max"},
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "max"},
            },
        ),
        (
            ADAPTIVE,
            {"reasoning_effort": "xhigh"},
            {
                "thinking": {"type": "adaptive", "display": "summarized"},
                "output_config": {"effort": "high"},
            },
        ),
        (
            "claude-sonnet-5-5",
            {"reasoning_effort": "none"},
            {"thinking": {"type": "between_tools"}},
        ),
    ],
    ids=str,
)
def test_parameters_that_can_be_said(
    upstream: FakeUpstream, model: str, asked: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = sent(upstream, model=model, **asked)
    plain = {"model": model, "max_tokens": 500, "messages": [HELLO], "stream": True}
    assert body == plain | expected
    assert warned(upstream, model=model, **asked) == []


@pytest.mark.parametrize(
    ("model", "asked", "warnings", "expected"),
    [
        (BUDGET, {"temperature": 1.7}, ["temperature"], {"temperature": 1}),
        (BUDGET, {"temperature": 0.5, "top_p": 0.5}, ["top_p"], {"temperature": 0.5}),
        (NEWEST, {"temperature": 0.5, "top_k": 3}, ["temperature", "top_k"], {}),
        (BUDGET, {"stop": ["\n", "a"]}, ["stop"], {"stop_sequences": ["a"]}),
        (
            BUDGET,
            {"seed": 1, "logit_bias": {"1": 2}, "presence_penalty": 1, "logprobs": True},
            ["logit_bias", "logprobs", "presence_penalty", "seed"],
            {},
        ),
        (OLD, {"reasoning_effort": "high"}, ["reasoning_effort"], {}),
        (NEWEST, {"reasoning_effort": "none"}, ["reasoning_effort"], {}),
        (BUDGET, {"reasoning_effort": "high"}, ["reasoning_effort"], {}),
        (BUDGET, {"something_new": 1}, ["something_new"], {}),
        (BUDGET, {"top_p": 0.5, "capabilities": {"drop_params": ["top_p"]}}, ["top_p"], {}),
        (
            BUDGET,
            {"response_format": {"type": "json_object"}},
            ["response_format"],
            {
                "system": [
                    text(
                        "Answer with one JSON object and nothing else: no explanation, no code "
                        "fence."
                    )
                ]
            },
        ),
    ],
    ids=str,
)
def test_what_is_not_honoured_is_named(
    upstream: FakeUpstream,
    model: str,
    asked: dict[str, Any],
    warnings: list[str],
    expected: dict[str, Any],
) -> None:
    assert warned(upstream, model=model, **asked) == warnings
    plain = {"model": model, "max_tokens": 500, "messages": [HELLO], "stream": True}
    assert upstream.last.body == plain | expected


def test_a_speakers_name_is_named(upstream: FakeUpstream) -> None:
    messages = [{**QUESTION[0], "name": "alice"}]
    assert warned(upstream, messages=messages) == ["messages[].name"]


def test_neutral_values_are_no_news(upstream: FakeUpstream) -> None:
    neutral: dict[str, Any] = {
        "n": 1,
        "presence_penalty": 0,
        "logprobs": False,
        "modalities": ["text"],
        "response_format": {"type": "text"},
        "tool_choice": "none",
        "tools": [],
        "service_tier": "auto",
        "seed": None,
    }
    assert warned(upstream, **neutral) == []


@pytest.mark.parametrize(
    ("param", "value"),
    [
        ("modalities", ["text", "audio"]),
        ("audio", {"voice": "alloy"}),
        ("web_search_options", {}),
        ("service_tier", "priority"),
        ("functions", [{"name": "f"}]),
        ("tool_choice", "required"),
        ("reasoning_effort", "enormous"),
        ("reasoning", {"effort": "enormous"}),
    ],
    ids=str,
)
def test_what_cannot_be_ignored_is_refused(param: str, value: Any) -> None:
    error = refused(**{param: value})
    named = "reasoning.effort" if param == "reasoning" else param
    assert (error.param, error.upstream_code) == (named, "unsupported_parameter")
    if named == "reasoning_effort":
        assert refused(**{param: value}, model=ADAPTIVE).param == named


TOOLS_SENT = [
    {
        "name": "weather",
        "input_schema": {"type": "object", "properties": {"city": {"type": "string"}}},
        "description": "Tells the weather.",
    }
]


@pytest.mark.parametrize(
    ("asked", "choice"),
    [
        ({}, None),
        ({"tool_choice": "auto"}, {"type": "auto"}),
        ({"tool_choice": "none"}, {"type": "none"}),
        ({"tool_choice": "required"}, {"type": "any"}),
        (
            {"tool_choice": {"type": "function", "function": {"name": "weather"}}},
            {"type": "tool", "name": "weather"},
        ),
        (
            {"parallel_tool_calls": False},
            {"type": "auto", "disable_parallel_tool_use": True},
        ),
        (
            {"parallel_tool_calls": False, "tool_choice": "required"},
            {"type": "any", "disable_parallel_tool_use": True},
        ),
        ({"parallel_tool_calls": False, "tool_choice": "none"}, {"type": "none"}),
        ({"model": NEWEST, "tool_choice": "required"}, {"type": "auto"}),
        (
            {"tool_choice": "required", "reasoning_effort": "high", "output_limit": 9000},
            {"type": "auto"},
        ),
        (
            {
                "tool_choice": {
                    "type": "allowed_tools",
                    "allowed_tools": {"mode": "required", "tools": [WEATHER]},
                },
                "tools": [WEATHER, {"type": "function", "function": {"name": "other"}}],
            },
            {"type": "any"},
        ),
    ],
    ids=str,
)
def test_tools_and_their_choice(
    upstream: FakeUpstream, asked: dict[str, Any], choice: dict[str, Any] | None
) -> None:
    body = sent(upstream, **{"tools": [WEATHER], **asked})
    assert body["tools"] == TOOLS_SENT
    assert body.get("tool_choice") == choice


def test_tools_of_other_shapes(upstream: FakeUpstream) -> None:
    tools = [
        {"type": "function", "function": {"name": "f", "strict": True}, "cache_control": {}},
        {"type": "custom", "custom": {"name": "c", "description": "Free."}},
    ]
    assert sent(upstream, tools=tools)["tools"] == [
        {
            "name": "f",
            "input_schema": {"type": "object", "properties": {}, "additionalProperties": False},
            "strict": True,
            "cache_control": {"type": "ephemeral"},
        },
        {
            "name": "c",
            "description": "Free.",
            "input_schema": {
                "type": "object",
                "properties": {"input": {"type": "string"}},
                "required": ["input"],
            },
        },
    ]
    assert refused(tools=[{"type": "web_search"}]).param == "tools[0]"
    assert refused(tools=[WEATHER], tool_choice="odd").param == "tool_choice"


def test_thinking_that_was_lost_in_a_tool_loop_is_not_asked_again(upstream: FakeUpstream) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
    messages = [
        *QUESTION,
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "sunny"},
    ]
    say: dict[str, Any] = {"messages": messages, "tools": [WEATHER], "reasoning_effort": "high"}
    assert warned(upstream, output_limit=9000, **say) == ["reasoning_effort"]
    assert upstream.last.body is not None
    assert "thinking" not in upstream.last.body


def test_a_schema_is_held_to(upstream: FakeUpstream) -> None:
    schema = {"type": "object", "properties": {"n": {"type": "integer", "minimum": 1}}}
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}
    body = sent(upstream, model=ADAPTIVE, response_format=form, reasoning_effort="low")
    assert body["output_config"] == {
        "effort": "low",
        "format": {
            "type": "json_schema",
            "schema": {
                "type": "object",
                "properties": {
                    "n": {"type": "integer", "description": 'Constraints: {"minimum":1}'}
                },
                "additionalProperties": False,
            },
        },
    }
    assert refused(model=OLD, response_format=form).param == "response_format"


def test_a_schema_loses_only_what_is_refused() -> None:
    schema = {
        "type": "object",
        "description": "A pair.",
        "required": ["minimum"],
        "properties": {
            "minimum": {"oneOf": [{"const": {"minimum": 1}}, {"type": "null"}]},
            "list": {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 1},
            "long": {"type": "array", "minItems": 3, "description": "Long."},
        },
        "$defs": {"x": {"properties": {}, "additionalProperties": True}},
        "maxProperties": 9,
    }
    assert supported_schema(schema) == {
        "type": "object",
        "description": 'A pair. Constraints: {"maxProperties":9}',
        "required": ["minimum"],
        "properties": {
            "minimum": {"anyOf": [{"const": {"minimum": 1}}, {"type": "null"}]},
            "list": {"type": "array", "items": {"$ref": "#/$defs/x"}, "minItems": 1},
            "long": {"type": "array", "description": 'Long. Constraints: {"minItems":3}'},
        },
        "$defs": {"x": {"properties": {}, "additionalProperties": False}},
        "additionalProperties": False,
    }


# What comes back.


@BOTH
def test_text_thinking_and_tool_calls_arrive_whole(upstream: FakeUpstream, stream: bool) -> None:
    upstream.streams(
        "Grüß",
        " Gott",
        reasoning="Let me see",
        tool_calls=[
            {"id": "toolu_a", "name": "weather", "arguments": {"city": "København 🌧"}},
            {"id": "toolu_b", "name": "clock", "arguments": {}},
        ],
        usage=(100, 50),
        cached_tokens=60,
        cache_write_tokens=30,
    )
    outcome = play("anthropic", make_call(upstream.origin, stream=stream))
    assert outcome.error is None
    assert outcome.joined() == "Grüß Gott"
    assert outcome.joined("reasoning_content") == "Let me see"
    assert outcome.tool_calls() == [
        ("toolu_a", "weather", '{"city":"København 🌧"}'),
        ("toolu_b", "clock", "{}"),
    ]
    assert outcome.finish_reasons() == {0: "tool_calls"}
    assert outcome.usage == Usage(
        input=10, cache_read=60, cache_write_5m=30, output=50, reasoning=3
    )
    assert outcome.upstream_id == "msg_fake_1"
    details = [d for p in outcome._pieces(0) for d in p.get("reasoning_details", ())]
    assert details == [
        {
            "type": "reasoning.text",
            "text": "Let me see",
            "signature": "c2lnbmF0dXJl",
            "format": "anthropic-claude-v1",
            "index": 0,
        }
    ]


def test_what_came_back_can_be_sent_again(upstream: FakeUpstream) -> None:
    upstream.streams("Hi", reasoning="hm", tool_calls=[{"name": "f", "arguments": {"a": 1}}])
    first = play("anthropic", make_call(upstream.origin, stream=False))
    message = first.chunks[0].payload["choices"][0]["message"]
    result = {"role": "tool", "tool_call_id": message["tool_calls"][0]["id"], "content": "ok"}
    assert turns(upstream, *QUESTION, message, result) == [
        HELLO,
        {
            "role": "assistant",
            "content": [
                {"type": "thinking", "thinking": "hm", "signature": "c2lnbmF0dXJl"},
                text("Hi"),
                {"type": "tool_use", "id": "call_fake_0", "name": "f", "input": {"a": 1}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "call_fake_0", "content": "ok"}],
        },
    ]


def test_hidden_thinking_is_kept_for_the_next_turn(upstream: FakeUpstream) -> None:
    content = [{"type": "redacted_thinking", "data": "enc"}]
    upstream.answers(body={"id": "m", "content": content, "stop_reason": "end_turn"})
    outcome = play("anthropic", make_call(upstream.origin, stream=False))
    (detail,) = outcome.chunks[0].payload["choices"][0]["message"]["reasoning_details"]
    assert (detail["type"], detail["data"]) == ("reasoning.encrypted", "enc")


def test_the_order_of_a_stream(upstream: FakeUpstream) -> None:
    upstream.streams("one", "two")
    chunks = play("anthropic", make_call(upstream.origin)).chunks
    assert [c.has_content for c in chunks] == [False, True, True, False]
    assert [c.finish for c in chunks] == [False, False, False, True]
    assert chunks[0].payload == {
        "object": "chat.completion.chunk",
        "choices": [
            {
                "index": 0,
                "delta": {"role": "assistant", "content": ""},
                "logprobs": None,
                "finish_reason": None,
            }
        ],
    }


def heard(upstream: FakeUpstream, *events: Any) -> Outcome:
    upstream.plays(upstream.streams(events=events))
    return play("anthropic", make_call(upstream.origin))


def start(**usage: Any) -> dict[str, Any]:
    return {"type": "message_start", "message": {"id": "msg_1", "usage": usage}}


def stop(reason: str | None = "end_turn", **more: Any) -> list[dict[str, Any]]:
    delta = {"type": "message_delta", "delta": {"stop_reason": reason, **more}, "usage": {}}
    return [delta, {"type": "message_stop"}]


def block(index: int, begin: dict[str, Any], *deltas: dict[str, Any]) -> list[dict[str, Any]]:
    return [
        {"type": "content_block_start", "index": index, "content_block": begin},
        *({"type": "content_block_delta", "index": index, "delta": delta} for delta in deltas),
        {"type": "content_block_stop", "index": index},
    ]


def test_a_full_stream_with_all_kinds_of_blocks(upstream: FakeUpstream) -> None:
    outcome = heard(
        upstream,
        start(input_tokens=9, output_tokens=1),
        {"type": "ping"},
        *block(0, {"type": "redacted_thinking", "data": "enc"}),
        *block(9, {"type": "thinking", "thinking": "early"}),
        {"type": "content_block_stop", "index": 77},
        *block(1, {"type": "server_tool_use", "id": "s", "name": "web", "input": {}}),
        *block(2, {"type": "text", "text": "Now"}, {"type": "text_delta", "text": " then"}),
        *block(
            3,
            {"type": "tool_use", "id": "a", "name": "f", "input": {}},
            {"type": "input_json_delta", "partial_json": ""},
            {"type": "input_json_delta", "partial_json": '{"x":'},
            {"type": "input_json_delta", "partial_json": "1}"},
        ),
        *block(4, {"type": "tool_use", "id": "b", "name": "g", "input": {}}),
        *block(5, {"type": "tool_use", "id": "c", "name": "h", "input": {"whole": True}}),
        {"type": "something_new", "value": 1},
        {
            "type": "message_delta",
            "delta": {"stop_reason": "tool_use"},
            "usage": {"output_tokens": 7},
        },
        {"type": "message_stop"},
    )
    assert outcome.error is None
    assert outcome.joined() == "Now then"
    assert outcome.tool_calls() == [
        ("a", "f", '{"x":1}'),
        ("b", "g", "{}"),
        ("c", "h", '{"whole":true}'),
    ]
    assert outcome.usage == Usage(input=9, output=7)
    details = [d for p in outcome._pieces(0) for d in p.get("reasoning_details", ())]
    assert [d["data"] for d in details] == ["enc"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("end_turn", "stop"),
        ("stop_sequence", "stop"),
        ("max_tokens", "length"),
        ("model_context_window_exceeded", "length"),
        ("pause_turn", "length"),
        ("tool_use", "tool_calls"),
        ("refusal", "content_filter"),
        ("something_new", "stop"),
    ],
)
def test_stop_reasons(upstream: FakeUpstream, theirs: str, ours: str) -> None:
    assert heard(upstream, start(), *stop(theirs)).finish_reasons() == {0: ours}


@BOTH
def test_a_refusal_explains_itself(upstream: FakeUpstream, stream: bool) -> None:
    why: dict[str, Any] = {
        "stop_reason": "refusal",
        "stop_details": {"explanation": "Too dangerous."},
    }
    if stream:
        outcome = heard(upstream, start(), *stop(**{"reason": "refusal", **why}))
    else:
        upstream.answers(body={"id": "m", "content": [], **why})
        outcome = play("anthropic", make_call(upstream.origin, stream=False))
    assert outcome.finish_reasons() == {0: "content_filter"}
    assert outcome.joined("refusal") == "Too dangerous."


def test_a_whole_answer_fits_openais_schema(upstream: FakeUpstream) -> None:
    content = [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
    upstream.answers(body={"id": "m", "content": content, "stop_reason": "end_turn"})
    outcome = play("anthropic", make_call(upstream.origin, stream=False))
    assert outcome.chunks[0].payload == {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": "AB", "refusal": None},
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }
    assert outcome.usage is None


@pytest.mark.parametrize(
    "shape", [{"crlf": True}, {"split_bytes": 1}, {"blank_lines": False}], ids=str
)
def test_no_shape_of_a_stream_changes_the_answer(
    upstream: FakeUpstream, shape: dict[str, Any]
) -> None:
    upstream.streams("中文 😀 ", "a\u2028b", reasoning="hm", **shape)
    outcome = play("anthropic", make_call(upstream.origin))
    assert outcome.error is None
    assert (outcome.joined(), outcome.joined("reasoning_content")) == ("中文 😀 a\u2028b", "hm")


# What breaks.


@BOTH
@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (400, {}, UpstreamRefused),
        (400, {"message": "Your credit balance is too low to access"}, UpstreamDenied),
        (401, {}, UpstreamDenied),
        (403, {}, UpstreamDenied),
        (404, {"message": "model: claude-9"}, UpstreamDenied),
        (413, {}, UpstreamRefused),
        (429, {}, UpstreamRateLimited),
        (500, {}, UpstreamBroken),
        (529, {}, UpstreamOverloaded),
    ],
)
def test_each_status_has_its_class(
    upstream: FakeUpstream,
    stream: bool,
    status: int,
    detail: dict[str, Any],
    kind: type[ProviderError],
) -> None:
    upstream.answers(status=status, error_body=detail)
    error = play("anthropic", make_call(upstream.origin, stream=stream)).error
    assert type(error) is kind
    told = error.detail or error.message
    assert told == detail.get("message", f"Fake upstream error {status}.")


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("overloaded_error", UpstreamOverloaded),
        ("api_error", UpstreamBroken),
        ("rate_limit_error", UpstreamRateLimited),
        ("invalid_request_error", UpstreamRefused),
    ],
)
def test_an_error_event_has_its_class(
    upstream: FakeUpstream, word: str, kind: type[ProviderError]
) -> None:
    upstream.answers("one two", error_event=(3, {"type": word, "message": "Oops"}))
    outcome = play("anthropic", make_call(upstream.origin))
    assert type(outcome.error) is kind
    assert (outcome.error.detail or outcome.error.message) == "Oops"


@pytest.mark.parametrize("after_events", range(8))
def test_a_cut_at_any_event_is_told_or_came_after_the_finish(
    upstream: FakeUpstream, after_events: int
) -> None:
    upstream.answers("one two three", cut_after_events=after_events)
    outcome = play("anthropic", make_call(upstream.origin))
    # start, block start, three words, block stop, message_delta, message_stop.
    is_complete = after_events >= 7
    assert (outcome.finish_reasons() == {0: "stop"}) is is_complete
    assert (outcome.error is None) is is_complete


@pytest.mark.parametrize(
    "events",
    [
        [start(), *block(0, {"type": "text"}, {"type": "text_delta", "text": "a"})],
        [start(), *stop(None)],
        [start(), *block(0, {"type": "text"}, {"type": "text_delta", "text": "a"}), *stop(None)],
        [{"type": "content_block_delta", "index": 4, "delta": {"type": "text_delta"}}],
        [start(), "{half"],
    ],
    ids=str,
)
def test_an_unfinished_stream_is_broken(upstream: FakeUpstream, events: list[Any]) -> None:
    assert isinstance(heard(upstream, *events).error, UpstreamBroken)


def test_an_end_without_a_word_is_empty(upstream: FakeUpstream) -> None:
    assert type(heard(upstream, start()).error) is UpstreamEmpty


def test_a_whole_answer_without_a_stop_reason_is_broken(upstream: FakeUpstream) -> None:
    upstream.answers(body={"id": "m", "content": [], "stop_reason": None})
    error = play("anthropic", make_call(upstream.origin, stream=False)).error
    assert type(error) is UpstreamBroken


# Usage.


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"input_tokens": 5, "output_tokens": 3}, Usage(input=5, output=3)),
        (
            {
                "input_tokens": 5,
                "cache_read_input_tokens": 7,
                "cache_creation_input_tokens": 30,
                "cache_creation": {
                    "ephemeral_5m_input_tokens": 10,
                    "ephemeral_1h_input_tokens": 20,
                },
                "output_tokens": 9,
                "output_tokens_details": {"thinking_tokens": 4},
            },
            Usage(
                input=5, cache_read=7, cache_write_5m=10, cache_write_1h=20, output=9, reasoning=4
            ),
        ),
        (
            {"input_tokens": 5, "cache_creation_input_tokens": 30, "output_tokens": 9},
            Usage(input=5, cache_write_5m=30, output=9),
        ),
        (
            {
                "input_tokens": 5,
                "cache_creation_input_tokens": 30,
                "cache_creation": {"ephemeral_1h_input_tokens": 30},
                "output_tokens": 9,
            },
            Usage(input=5, cache_write_1h=30, output=9),
        ),
        ({"input_tokens": 5}, None),
        ({"input_tokens": -5, "output_tokens": 3}, None),
        ({"input_tokens": 0, "output_tokens": 0}, None),
        ({}, None),
    ],
    ids=str,
)
def test_usage_falls_into_classes(told: dict[str, Any], expected: Usage | None) -> None:
    assert usage_from_anthropic(told) == expected


def test_running_totals_are_not_summed(upstream: FakeUpstream) -> None:
    deltas = [
        {"type": "message_delta", "delta": {}, "usage": {"output_tokens": count}}
        for count in (2, 5)
    ]
    final = {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn"},
        "usage": {"input_tokens": 11, "cache_read_input_tokens": None, "output_tokens": 8},
    }
    outcome = heard(
        upstream,
        start(input_tokens=10, cache_read_input_tokens=4, output_tokens=1),
        *deltas,
        final,
        {"type": "message_stop"},
    )
    assert outcome.usage == Usage(input=11, cache_read=4, output=8)


def test_a_cached_later_instruction_keeps_its_marker(upstream: FakeUpstream) -> None:
    hint = {"cache_control": {"type": "ephemeral", "ttl": "1h"}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "system", "content": [{"type": "text", "text": "Be kind.", **hint}]},
        {"role": "user", "content": ""},
    ]
    body = sent(upstream, messages=messages, tools=[{**WEATHER, **hint}])
    said = {"type": "text", "text": "<system>Be kind.</system>", **hint}
    assert body["messages"][0]["content"] == [{"type": "text", "text": "Hi"}, said]
    assert body["tools"][0]["cache_control"] == hint["cache_control"]


@pytest.mark.parametrize(
    ("file", "kind", "source"),
    [
        ({"file_data": "https://a.example/b"}, "document", "url"),
        ({"file_data": "data:text/csv;base64,YSxi"}, "document", "text"),
        ({"file_data": "data:application/json;base64,e30="}, "document", "text"),
        ({"file_data": "data:image/png;base64,AAAA"}, "image", "base64"),
    ],
    ids=str,
)
def test_files_of_all_kinds(
    upstream: FakeUpstream, file: dict[str, Any], kind: str, source: str
) -> None:
    content = [{"type": "file", "file": file}]
    body = sent(upstream, messages=[{"role": "user", "content": content}])
    block = body["messages"][0]["content"][0]
    assert (block["type"], block["source"]["type"]) == (kind, source)


def test_strictly_asked_nothing_is_ignored(upstream: FakeUpstream) -> None:
    outcome = play("anthropic", make_call(upstream.origin, temperature=1.5, is_strict=True))
    assert getattr(outcome.error, "param", None) == "temperature"
    assert upstream.requests == 0


@pytest.mark.parametrize(
    ("asked", "model", "thinking", "warned"),
    [
        (
            {"effort": "high", "exclude": True},
            NEWEST,
            {"type": "adaptive", "display": "omitted"},
            [],
        ),
        (
            {"max_tokens": 2000},
            "claude-sonnet-4-5",
            {"type": "enabled", "budget_tokens": 2000},
            [],
        ),
        (
            {"max_tokens": 2000, "exclude": True},
            "claude-sonnet-4-5",
            {"type": "enabled", "budget_tokens": 2000},
            ["reasoning.exclude"],
        ),
        (
            {"max_tokens": 2000},
            NEWEST,
            {"type": "adaptive", "display": "summarized"},
            ["reasoning.max_tokens"],
        ),
    ],
    ids=str,
)
def test_openrouters_reasoning_object(
    upstream: FakeUpstream,
    asked: dict[str, Any],
    model: str,
    thinking: dict[str, Any],
    warned: list[str],
) -> None:
    call = make_call(upstream.origin, model=model, output_limit=4000, reasoning=asked)
    outcome = play("anthropic", call)
    assert upstream.last.body is not None
    assert upstream.last.body["thinking"] == thinking
    assert [warning.split(":")[0] for warning in outcome.warnings] == warned


def test_nobody_waits_behind_the_last_event(upstream: FakeUpstream) -> None:
    """`message_stop` says that the answer is over, also where the line stays open.

    Else it would be waited for a second, and ten silences would be told.
    """
    upstream.streams("Hi", stall_after=(6, 5))
    call = replace(make_call(upstream.origin), quiet_s=0.1)
    brought = list(ADAPTERS["anthropic"].open(call))
    assert any(chunk.finish for chunk in brought)
    assert brought.count(SILENCE) < 5
