"""Google's dialect: golden requests, streams put together again, failures by name."""

from typing import Any

import pytest

from solrouter.chat import Usage
from solrouter.providers.errors import (
    ProviderError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamEmpty,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
)
from solrouter.providers.google import usage_from_google
from solrouter.providers.google.schema import supported_schema
from tests.fakes.upstream import FakeUpstream
from tests.providers.calls import KEY, QUESTION, Outcome, make_call, play

BOTH = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
OLD, PRO, FLASH, THIRD, NEWEST = (
    "gemini-2.0-flash",
    "gemini-2.5-pro",
    "gemini-2.5-flash",
    "gemini-3-flash",
    "gemini-4-argon",
)
HELLO = {"role": "user", "parts": [{"text": "Hello, who are you?"}]}
PNG = "data:image/png;base64,iVBORw0KGgo="
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}
WEATHER = {
    "type": "function",
    "function": {"name": "weather", "description": "Tells it.", "parameters": SCHEMA},
}
WEATHER_SENT = [
    {
        "functionDeclarations": [
            {"name": "weather", "description": "Tells it.", "parametersJsonSchema": SCHEMA}
        ]
    }
]
# base64 of Google's own `skip_thought_signature_validator`.
LOST = "c2tpcF90aG91Z2h0X3NpZ25hdHVyZV92YWxpZGF0b3I="


def sent(upstream: FakeUpstream, *, model: str = FLASH, **say: Any) -> dict[str, Any]:
    outcome = play("google", make_call(upstream.origin, model=model, **say))
    assert outcome.error is None, outcome.error
    assert upstream.last.body is not None
    return upstream.last.body


def config(upstream: FakeUpstream, **say: Any) -> dict[str, Any]:
    """What the generation is told besides the limit."""
    told: dict[str, Any] = sent(upstream, **say)["generationConfig"]
    assert told.pop("maxOutputTokens") == 500
    return told


def warned(upstream: FakeUpstream, *, model: str = FLASH, **say: Any) -> list[str]:
    outcome = play("google", make_call(upstream.origin, model=model, **say))
    assert outcome.error is None, outcome.error
    return sorted(warning.split(":")[0] for warning in outcome.warnings)


def refused(*, model: str = FLASH, **say: Any) -> UpstreamRefused:
    error = play("google", make_call(model=model, **say)).error
    assert isinstance(error, UpstreamRefused), error
    return error


# What is sent.


@BOTH
def test_the_plain_request(upstream: FakeUpstream, stream: bool) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *QUESTION]
    assert sent(upstream, messages=messages, stream=stream) == {
        "contents": [HELLO],
        "systemInstruction": {"parts": [{"text": "Be brief."}]},
        "generationConfig": {"maxOutputTokens": 500},
    }
    seen = upstream.last
    verb, query = ("streamGenerateContent", "alt=sse") if stream else ("generateContent", "")
    assert (seen.path, seen.query) == (f"/v1beta/models/{FLASH}:{verb}", query)
    assert seen.headers["x-goog-api-key"] == KEY
    assert KEY not in seen.path + seen.query


def test_a_models_name_stays_within_its_place(upstream: FakeUpstream) -> None:
    play("google", make_call(upstream.origin, model="a/../b?key=1 ü"))
    path = upstream.last.path
    assert path == "/v1beta/models/a%2F..%2Fb%3Fkey%3D1%20%C3%BC:streamGenerateContent"


CALLS = [
    {"id": "a", "type": "function", "function": {"name": "f", "arguments": '{"x":1}'}},
    {"id": "b", "type": "function", "function": {"name": "g", "arguments": ""}},
]
LOOP = [
    {"role": "system", "content": "Be brief."},
    {"role": "developer", "content": [{"type": "text", "text": "Be kind."}]},
    {"role": "user", "content": "What?"},
    {"role": "user", "content": [{"type": "image_url", "image_url": {"url": PNG}}]},
    {"role": "assistant", "content": "Let me see.", "tool_calls": CALLS},
    {"role": "tool", "tool_call_id": "a", "content": "sunny"},
    {"role": "tool", "tool_call_id": "b", "content": '{"hour": 12}'},
    {"role": "user", "content": "Thanks."},
    {"role": "system", "content": "Now in French."},
]


def test_a_whole_conversation(upstream: FakeUpstream) -> None:
    body = sent(upstream, messages=LOOP)
    assert body["systemInstruction"] == {"parts": [{"text": "Be brief."}, {"text": "Be kind."}]}
    assert body["contents"] == [
        {
            "role": "user",
            "parts": [
                {"text": "What?"},
                {"inlineData": {"mimeType": "image/png", "data": "iVBORw0KGgo="}},
                {"text": " "},
            ],
        },
        {
            "role": "model",
            "parts": [
                {"text": "Let me see."},
                {"functionCall": {"name": "f", "args": {"x": 1}}},
                {"functionCall": {"name": "g", "args": {}}},
            ],
        },
        {
            "role": "user",
            "parts": [
                {"functionResponse": {"name": "f", "response": {"output": "sunny"}}},
                {"functionResponse": {"name": "g", "response": {"hour": 12}}},
                {"text": "Thanks."},
                {"text": "Now in French."},
            ],
        },
    ]


def test_newer_models_get_ids_and_a_signature_for_the_first_call(upstream: FakeUpstream) -> None:
    contents = sent(upstream, model=THIRD, messages=LOOP)["contents"]
    assert contents[1]["parts"][1:] == [
        {"functionCall": {"name": "f", "args": {"x": 1}, "id": "a"}, "thoughtSignature": LOST},
        {"functionCall": {"name": "g", "args": {}, "id": "b"}},
    ]
    assert [part["functionResponse"]["id"] for part in contents[2]["parts"][:2]] == ["a", "b"]


@pytest.mark.parametrize(
    "message",
    [
        {
            "tool_calls": [
                {**CALLS[0], "extra_content": {"google": {"thought_signature": "c2ln"}}},
            ]
        },
        {
            "tool_calls": CALLS[:1],
            "reasoning_details": [
                {
                    "type": "reasoning.encrypted",
                    "data": "c2ln",
                    "id": "a",
                    "format": "google-gemini-v1",
                },
                {"type": "reasoning.encrypted", "data": "x", "format": "anthropic-claude-v1"},
            ],
        },
    ],
    ids=["extra_content", "reasoning_details"],
)
def test_a_signature_comes_back_from_either_place(
    upstream: FakeUpstream, message: dict[str, Any]
) -> None:
    assistant = {"role": "assistant", "content": None, **message}
    result = {"role": "tool", "tool_call_id": "a", "content": "ok"}
    contents = sent(upstream, model=THIRD, messages=[*QUESTION, assistant, result])["contents"]
    assert [part.get("thoughtSignature") for part in contents[1]["parts"]] == ["c2ln"]


def test_refusals_and_free_text_tools_come_back(upstream: FakeUpstream) -> None:
    call = {"id": "a", "type": "custom", "custom": {"name": "c", "input": "free"}}
    said = {"role": "assistant", "content": None, "refusal": "No.", "tool_calls": [call]}
    empty = {"role": "assistant", "content": ""}
    result = {"role": "tool", "tool_call_id": "a", "content": "ok"}
    contents = sent(upstream, messages=[*QUESTION, said, empty, result])["contents"]
    assert contents[1]["parts"] == [
        {"text": "No."},
        {"functionCall": {"name": "c", "args": {"input": "free"}}},
    ]


def test_instructions_alone_become_the_users_words(upstream: FakeUpstream) -> None:
    body = sent(upstream, messages=[{"role": "system", "content": "Say hi."}])
    assert body["contents"] == [{"role": "user", "parts": [{"text": "Say hi."}]}]
    assert "systemInstruction" not in body


def test_a_model_without_a_system_role(upstream: FakeUpstream) -> None:
    messages = [{"role": "system", "content": "Be brief."}, *QUESTION]
    body = sent(upstream, messages=messages, facts={"system_role": False})
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "Be brief."}, {"text": "Hello, who are you?"}]}
    ]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png?x=1"}},
            {"fileData": {"fileUri": "https://example.com/a.png?x=1", "mimeType": "image/png"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AA==", "format": "mp3"}},
            {"inlineData": {"mimeType": "audio/mp3", "data": "AA=="}},
        ),
        (
            {"type": "file", "file": {"file_data": "data:application/pdf;base64,JVBERg=="}},
            {"inlineData": {"mimeType": "application/pdf", "data": "JVBERg=="}},
        ),
    ],
    ids=["image url", "audio", "pdf"],
)
def test_parts_that_are_no_text(
    upstream: FakeUpstream, part: dict[str, Any], expected: dict[str, Any]
) -> None:
    body = sent(upstream, messages=[{"role": "user", "content": [part]}])
    assert body["contents"] == [{"role": "user", "parts": [expected, {"text": " "}]}]


@pytest.mark.parametrize(
    ("message", "param"),
    [
        (
            {
                "role": "user",
                "content": [
                    {"type": "image_url", "image_url": {"url": "https://example.com/noname"}}
                ],
            },
            "messages[1].content[0]",
        ),
        (
            {"role": "user", "content": [{"type": "file", "file": {"file_id": "x"}}]},
            "messages[1].content[0]",
        ),
        ({"role": "user", "content": [{"type": "odd"}]}, "messages[1].content[0]"),
        ({"role": "tool", "tool_call_id": "x", "content": "y"}, "messages[1].tool_call_id"),
        (
            {
                "role": "assistant",
                "content": None,
                "tool_calls": [{"id": "a", "function": {"name": "f", "arguments": "{x"}}],
            },
            "messages[1].tool_calls[0].function.arguments",
        ),
        ({"role": "assistant", "content": None, "audio": {"id": "x"}}, "messages[1].audio"),
        ({"role": "function", "content": "x"}, "messages[1]"),
    ],
    ids=str,
)
def test_what_cannot_be_said_is_refused_by_place(message: dict[str, Any], param: str) -> None:
    error = refused(messages=[*QUESTION, message])
    assert (error.param, error.upstream_code) == (param, "unsupported_parameter")


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (
            {
                "temperature": 1.7,
                "top_p": 0.5,
                "top_k": 3,
                "seed": 1,
                "presence_penalty": 0.1,
                "frequency_penalty": 0.2,
            },
            {
                "temperature": 1.7,
                "topP": 0.5,
                "topK": 3,
                "seed": 1,
                "presencePenalty": 0.1,
                "frequencyPenalty": 0.2,
            },
        ),
        ({"n": 2}, {"candidateCount": 2}),
        ({"stop": "a"}, {"stopSequences": ["a"]}),
        ({"logprobs": True, "top_logprobs": 2}, {"responseLogprobs": True, "logprobs": 2}),
        ({"response_format": {"type": "text"}}, {}),
        (
            {"response_format": {"type": "json_object"}},
            {"responseMimeType": "application/json"},
        ),
        (
            {"response_format": {"type": "json_schema", "json_schema": {"schema": SCHEMA}}},
            {"responseMimeType": "application/json", "responseJsonSchema": SCHEMA},
        ),
        (
            {"reasoning_effort": "low"},
            {"thinkingConfig": {"thinkingBudget": 1024, "includeThoughts": True}},
        ),
        (
            {"reasoning_effort": "none"},
            {"thinkingConfig": {"thinkingBudget": 0, "includeThoughts": False}},
        ),
        (
            {"reasoning": {"effort": "high"}, "model": THIRD},
            {"thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True}},
        ),
        (
            {"reasoning_effort": "minimal", "model": THIRD},
            {"thinkingConfig": {"thinkingLevel": "MINIMAL", "includeThoughts": True}},
        ),
        (
            {"reasoning_effort": "minimal", "model": NEWEST},
            {"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": True}},
        ),
        (
            {"reasoning_effort": "max", "model": NEWEST},
            {"thinkingConfig": {"thinkingLevel": "HIGH", "includeThoughts": True}},
        ),
        ({"reasoning_effort": "none", "model": OLD}, {}),
    ],
    ids=str,
)
def test_parameters_that_can_be_said(
    upstream: FakeUpstream, asked: dict[str, Any], expected: dict[str, Any]
) -> None:
    assert config(upstream, **asked) == expected
    assert warned(upstream, **asked) == []


@pytest.mark.parametrize(
    ("asked", "warnings", "expected"),
    [
        ({"logit_bias": {"1": 2}, "user": "a"}, ["logit_bias", "user"], {}),
        ({"parallel_tool_calls": False}, ["parallel_tool_calls"], {}),
        ({"reasoning_effort": "high", "model": OLD}, ["reasoning_effort"], {}),
        (
            {"reasoning_effort": "none", "model": PRO},
            ["reasoning_effort"],
            {"thinkingConfig": {"thinkingBudget": 128, "includeThoughts": False}},
        ),
        (
            {"reasoning_effort": "none", "model": NEWEST},
            ["reasoning_effort"],
            {"thinkingConfig": {"thinkingLevel": "LOW", "includeThoughts": False}},
        ),
        ({"messages": [{**QUESTION[0], "name": "alice"}]}, ["messages[].name"], {}),
        (
            {"presence_penalty": 1, "capabilities": {"drop_params": ["presence_penalty"]}},
            ["presence_penalty"],
            {},
        ),
    ],
    ids=str,
)
def test_what_is_not_honoured_is_named(
    upstream: FakeUpstream, asked: dict[str, Any], warnings: list[str], expected: dict[str, Any]
) -> None:
    assert warned(upstream, **asked) == warnings
    assert config(upstream, **asked) == expected


@pytest.mark.parametrize(
    ("asked", "param"),
    [
        ({"n": 9}, "n"),
        ({"stop": list("abcdef")}, "stop"),
        ({"modalities": ["audio"]}, "modalities"),
        ({"service_tier": "flex"}, "service_tier"),
        ({"tool_choice": "required"}, "tool_choice"),
        ({"tools": [{"type": "web_search"}]}, "tools[0]"),
        ({"tools": [WEATHER], "tool_choice": "odd"}, "tool_choice"),
        ({"tools": [WEATHER], "response_format": {"type": "json_object"}}, "response_format"),
        ({"reasoning_effort": "enormous"}, "reasoning_effort"),
    ],
    ids=str,
)
def test_what_cannot_be_ignored_is_refused(asked: dict[str, Any], param: str) -> None:
    assert refused(**asked).param == param


@pytest.mark.parametrize(
    ("choice", "calling"),
    [
        (None, None),
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "weather"}},
            {"mode": "ANY", "allowedFunctionNames": ["weather"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [WEATHER]}},
            {"mode": "VALIDATED", "allowedFunctionNames": ["weather"]},
        ),
        (
            {"type": "allowed_tools", "allowed_tools": {"mode": "required", "tools": [WEATHER]}},
            {"mode": "ANY", "allowedFunctionNames": ["weather"]},
        ),
    ],
    ids=str,
)
def test_tools_and_their_choice(upstream: FakeUpstream, choice: Any, calling: Any) -> None:
    body = sent(upstream, tools=[WEATHER], tool_choice=choice)
    assert body["tools"] == WEATHER_SENT
    assert body.get("toolConfig") == (calling and {"functionCallingConfig": calling})


def test_tools_of_other_shapes(upstream: FakeUpstream) -> None:
    tools = [
        {"type": "function", "function": {"name": "f", "strict": True}},
        {"type": "custom", "custom": {"name": "c"}},
    ]
    body = sent(upstream, tools=tools)
    free = {"type": "object", "properties": {"input": {"type": "string"}}, "required": ["input"]}
    assert body["tools"][0]["functionDeclarations"] == [
        {"name": "f"},
        {"name": "c", "parametersJsonSchema": free},
    ]
    assert body["toolConfig"] == {"functionCallingConfig": {"mode": "VALIDATED"}}


# What comes back.


@BOTH
def test_text_thinking_and_tool_calls_arrive_whole(upstream: FakeUpstream, stream: bool) -> None:
    upstream.streams(
        "Grüß",
        " Gott",
        reasoning="Let me see",
        tool_calls=[
            {"name": "weather", "arguments": {"city": "København 🌧"}},
            {"name": "clock", "arguments": {}},
        ],
        usage=(100, 50),
        cached_tokens=60,
    )
    outcome = play("google", make_call(upstream.origin, stream=stream))
    assert outcome.error is None
    assert outcome.joined() == "Grüß Gott"
    assert outcome.joined("reasoning_content") == "Let me see"
    assert [call[1:] for call in outcome.tool_calls()] == [
        ("weather", '{"city":"København 🌧"}'),
        ("clock", "{}"),
    ]
    assert outcome.finish_reasons() == {0: "tool_calls"}
    assert outcome.usage == Usage(input=40, cache_read=60, output=50, reasoning=3)
    assert outcome.upstream_id


def heard(upstream: FakeUpstream, *events: Any) -> Outcome:
    upstream.plays(upstream.streams(events=events))
    return play("google", make_call(upstream.origin))


def said(*parts: Any, finish: str | None = None, **more: Any) -> dict[str, Any]:
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": list(parts)}}
    if finish:
        candidate["finishReason"] = finish
    return {"candidates": [{**candidate, **more}], "responseId": "r1"}


def both_ways(upstream: FakeUpstream, answer: dict[str, Any], *, stream: bool) -> Outcome:
    """The same answer as one event, or whole."""
    if stream:
        return heard(upstream, answer)
    upstream.answers(body=answer)
    return play("google", make_call(upstream.origin, stream=False))


@BOTH
def test_signatures_go_out_with_the_call(upstream: FakeUpstream, stream: bool) -> None:
    parts = [
        {"text": "hm", "thought": True},
        {"functionCall": {"name": "f", "args": {"x": 1}, "id": "c1"}, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "g"}},
    ]
    outcome = both_ways(upstream, said(*parts, finish="STOP"), stream=stream)
    assert outcome.finish_reasons() == {0: "tool_calls"}
    pieces = outcome._pieces(0)
    calls = [call for piece in pieces for call in piece.get("tool_calls", ())]
    assert calls[0]["id"] == "c1"
    assert calls[0]["extra_content"] == {"google": {"thought_signature": "c2ln"}}
    assert calls[1]["id"].startswith("call_")
    assert "extra_content" not in calls[1]
    details = [detail for piece in pieces for detail in piece.get("reasoning_details", ())]
    assert details == [
        {"type": "reasoning.encrypted", "data": "c2ln", "id": "c1", "format": "google-gemini-v1"}
    ]
    assert [call[1:] for call in outcome.tool_calls()] == [("f", '{"x":1}'), ("g", "{}")]


@BOTH
def test_a_drawn_image_is_content(upstream: FakeUpstream, stream: bool) -> None:
    image = {"inlineData": {"mimeType": "image/png", "data": "AA=="}}
    outcome = both_ways(upstream, said(image, image, finish="STOP"), stream=stream)
    images = [one for piece in outcome._pieces(0) for one in piece.get("images", ())]
    url = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}
    assert images == [url, url]
    assert outcome.content_count > 0


@BOTH
def test_log_probabilities(upstream: FakeUpstream, stream: bool) -> None:
    chosen = {"token": "é", "logProbability": -0.5}
    result = {
        "chosenCandidates": [chosen],
        "topCandidates": [{"candidates": [chosen, {"token": "b", "logProbability": -2}]}],
    }
    answer = said({"text": "é"}, finish="STOP", logprobsResult=result)
    outcome = both_ways(upstream, answer, stream=stream)
    told = [
        choice["logprobs"]
        for chunk in outcome.chunks
        for choice in chunk.payload["choices"]
        if choice["logprobs"]
    ]
    entry = {"token": "é", "logprob": -0.5, "bytes": [195, 169]}
    other = {"token": "b", "logprob": -2, "bytes": [98]}
    assert told == [{"content": [{**entry, "top_logprobs": [entry, other]}], "refusal": None}]


@BOTH
@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("STOP", "stop"),
        ("MAX_TOKENS", "length"),
        ("CONTINUATION", "length"),
        ("SAFETY", "content_filter"),
        ("RECITATION", "content_filter"),
        ("SOMETHING_NEW", "content_filter"),
        ("MALFORMED_FUNCTION_CALL", "stop"),
    ],
)
def test_finish_reasons(upstream: FakeUpstream, stream: bool, theirs: str, ours: str) -> None:
    outcome = both_ways(upstream, said({"text": "a"}, finish=theirs), stream=stream)
    assert outcome.finish_reasons() == {0: ours}


@BOTH
def test_a_stumble_without_a_word_is_a_fault(upstream: FakeUpstream, stream: bool) -> None:
    answer = said(finish="MALFORMED_FUNCTION_CALL", finishMessage="print(x)")
    error = both_ways(upstream, answer, stream=stream).error
    assert type(error) is UpstreamBroken
    assert "MALFORMED_FUNCTION_CALL" in error.message


@BOTH
def test_a_blocked_prompt_is_filtered_content(upstream: FakeUpstream, stream: bool) -> None:
    answer = {
        "promptFeedback": {"blockReason": "SAFETY"},
        "usageMetadata": {"promptTokenCount": 7},
    }
    outcome = both_ways(upstream, answer, stream=stream)
    assert outcome.error is None
    assert outcome.finish_reasons() == {0: "content_filter"}
    assert outcome.joined() == ""
    assert outcome.usage == Usage(input=7)


def test_several_candidates_each_finish(upstream: FakeUpstream) -> None:
    outcome = heard(
        upstream,
        {
            "candidates": [
                said({"text": "a"})["candidates"][0],
                {**said({"text": "b"}, finish="STOP")["candidates"][0], "index": 1},
            ]
        },
        said({"text": "c"}, finish="MAX_TOKENS"),
        {"usageMetadata": {"promptTokenCount": 1, "candidatesTokenCount": 3}},
    )
    assert outcome.finish_reasons() == {0: "length", 1: "stop"}
    assert [outcome.joined(index=index) for index in (0, 1)] == ["ac", "b"]
    assert outcome.usage == Usage(input=1, output=3)
    assert outcome.chunks[-1].payload["choices"] == []


def test_running_totals_are_not_summed(upstream: FakeUpstream) -> None:
    upstream.streams(*"abcdef", usage=(10, 6))
    assert play("google", make_call(upstream.origin)).usage == Usage(input=10, output=6)


def test_a_whole_answer_fits_openais_schema(upstream: FakeUpstream) -> None:
    upstream.answers(body=said({"text": "A"}, {"text": "B"}, finish="STOP"))
    outcome = play("google", make_call(upstream.origin, stream=False))
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
    assert (outcome.usage, outcome.upstream_id) == (None, "r1")


@pytest.mark.parametrize(
    "shape", [{"crlf": True}, {"split_bytes": 1}, {"blank_lines": False}], ids=str
)
def test_no_shape_of_a_stream_changes_the_answer(
    upstream: FakeUpstream, shape: dict[str, Any]
) -> None:
    upstream.streams("中文 😀 ", "a\u2028b", reasoning="hm", **shape)
    outcome = play("google", make_call(upstream.origin))
    assert outcome.error is None
    assert (outcome.joined(), outcome.joined("reasoning_content")) == ("中文 😀 a\u2028b", "hm")


# What breaks.

KEY_INVALID = {"message": "API key not valid.", "details": [{"reason": "API_KEY_INVALID"}]}


@BOTH
@pytest.mark.parametrize(
    ("status", "detail", "kind"),
    [
        (400, {}, UpstreamRefused),
        (400, KEY_INVALID, UpstreamDenied),
        (403, {}, UpstreamDenied),
        (404, {}, UpstreamDenied),
        (429, {}, UpstreamRateLimited),
        (500, {}, UpstreamBroken),
        (503, {}, UpstreamOverloaded),
        (504, {}, UpstreamBroken),
    ],
    ids=str,
)
def test_each_status_has_its_class(
    upstream: FakeUpstream,
    stream: bool,
    status: int,
    detail: dict[str, Any],
    kind: type[ProviderError],
) -> None:
    upstream.answers(status=status, error_body=detail)
    assert type(play("google", make_call(upstream.origin, stream=stream)).error) is kind


def test_the_wait_comes_from_the_details(upstream: FakeUpstream) -> None:
    upstream.answers(status=429, error_body={"details": [{"x": 1}, {"retryDelay": "12.5s"}]})
    error = play("google", make_call(upstream.origin)).error
    assert isinstance(error, UpstreamRateLimited)
    assert error.retry_after_s == 13


OVERLOAD = {"code": 503, "message": "Oops", "status": "UNAVAILABLE"}


@pytest.mark.parametrize(
    "events",
    [
        [said({"text": "a"}), {"error": OVERLOAD}],
        [[{"error": OVERLOAD}]],
        [said({"text": "a"}), {"error": {"message": "Oops", "status": "UNAVAILABLE"}}],
    ],
    ids=["after text", "as a list", "by word"],
)
def test_an_error_event_has_its_class(upstream: FakeUpstream, events: list[Any]) -> None:
    error = heard(upstream, *events).error
    assert type(error) is UpstreamOverloaded
    assert error.message == "Oops"


def test_an_error_as_bare_json_is_read(upstream: FakeUpstream) -> None:
    upstream.answers(body=[{"error": OVERLOAD}])
    assert type(play("google", make_call(upstream.origin)).error) is UpstreamOverloaded


@pytest.mark.parametrize("after_events", range(5))
def test_a_cut_at_any_event_is_told_or_came_after_the_finish(
    upstream: FakeUpstream, after_events: int
) -> None:
    upstream.answers("one two three", cut_after_events=after_events)
    outcome = play("google", make_call(upstream.origin))
    is_complete = outcome.finish_reasons() == {0: "stop"}
    assert (outcome.error is None) is is_complete
    assert is_complete or isinstance(outcome.error, UpstreamBroken)


def test_an_unfinished_stream_is_broken(upstream: FakeUpstream) -> None:
    assert type(heard(upstream, said({"text": "a"})).error) is UpstreamBroken


def test_an_end_without_a_word_is_empty(upstream: FakeUpstream) -> None:
    assert type(heard(upstream, {"candidates": []}).error) is UpstreamEmpty


@pytest.mark.parametrize(
    ("body", "kind"),
    [({"candidates": []}, UpstreamEmpty), (said({"text": "a"}), UpstreamBroken)],
    ids=str,
)
def test_an_unfinished_whole_answer_is_a_fault(
    upstream: FakeUpstream, body: Any, kind: type[ProviderError]
) -> None:
    upstream.answers(body=body)
    assert type(play("google", make_call(upstream.origin, stream=False)).error) is kind


# Usage.


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        ({"promptTokenCount": 5, "candidatesTokenCount": 3}, Usage(input=5, output=3)),
        (
            {
                "promptTokenCount": 100,
                "toolUsePromptTokenCount": 10,
                "cachedContentTokenCount": 60,
                "candidatesTokenCount": 7,
                "thoughtsTokenCount": 20,
            },
            Usage(input=50, cache_read=60, output=27, reasoning=20),
        ),
        (
            {
                "promptTokenCount": 100,
                "cachedContentTokenCount": 60,
                "promptTokensDetails": [
                    {"modality": "TEXT", "tokenCount": 50},
                    {"modality": "AUDIO", "tokenCount": 50},
                ],
                "cacheTokensDetails": [{"modality": "AUDIO", "tokenCount": 20}],
                "candidatesTokenCount": 1300,
                "candidatesTokensDetails": [
                    {"modality": "IMAGE", "tokenCount": 1290},
                    {"modality": "AUDIO", "tokenCount": 6},
                ],
            },
            Usage(
                input=10,
                cache_read=60,
                input_audio=30,
                output=4,
                output_image=1290,
                output_audio=6,
            ),
        ),
        ({"promptTokenCount": 5}, Usage(input=5)),
        ({"promptTokenCount": 5, "cachedContentTokenCount": 9}, Usage(cache_read=5)),
        ({"promptTokenCount": "5"}, None),
        ({"promptTokenCount": -5}, None),
        ({"promptTokenCount": 0}, None),
        ({"candidatesTokenCount": 5}, None),
        ({}, None),
        (None, None),
    ],
    ids=str,
)
def test_usage_falls_into_classes(told: Any, expected: Usage | None) -> None:
    assert usage_from_google(told) == expected


def test_no_text_and_no_first_word_of_the_user(upstream: FakeUpstream) -> None:
    messages = [
        {"role": "assistant", "content": [{"type": "text", "text": "Hi!"}]},
        {"role": "system", "content": ""},
        {
            "role": "user",
            "content": [{"type": "text", "text": ""}, {"type": "text", "text": "Yes"}],
        },
    ]
    assert sent(upstream, messages=messages)["contents"] == [
        {"role": "user", "parts": [{"text": " "}]},
        {"role": "model", "parts": [{"text": "Hi!"}]},
        {"role": "user", "parts": [{"text": "Yes"}]},
    ]
    outcome = play("google", make_call(upstream.origin, messages=[{"role": "user", "content": ""}]))
    assert getattr(outcome.error, "param", None) == "messages"


def test_a_call_without_content_is_a_turn(upstream: FakeUpstream) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
    ]
    assert [turn["role"] for turn in sent(upstream, messages=messages)["contents"]] == [
        "user",
        "model",
        "user",
    ]


PICTURE = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


@pytest.mark.parametrize(
    ("model", "parts"),
    [
        ("gemini-3.5-pro", 1),
        ("gemini-2.5-pro", 2),
    ],
)
def test_what_a_tool_shows_is_not_lost(upstream: FakeUpstream, model: str, parts: int) -> None:
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {
            "role": "tool",
            "tool_call_id": "a",
            "content": [{"type": "text", "text": "See:"}, PICTURE],
        },
    ]
    written = sent(upstream, model=model, messages=messages)["contents"][2]["parts"]
    assert len(written) == parts
    inline = {"inlineData": {"mimeType": "image/png", "data": "AAAA"}}
    assert inline in (written if parts == 2 else written[0]["functionResponse"]["parts"])
    assert written[0]["functionResponse"]["response"] == {"output": "See:"}


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize("text", ["Hi", ""], ids=["text", "no text"])
def test_a_signature_of_the_text_goes_out_and_comes_back(
    upstream: FakeUpstream, stream: bool, text: str
) -> None:
    parts = [{"text": text}, {"text": "", "thoughtSignature": "c2ln"}, {"text": ""}]
    body = {"candidates": [{"content": {"parts": parts}, "finishReason": "STOP"}]}
    upstream.answers(**({"events": [body]} if stream else {"body": body}), times=1)
    outcome = play("google", make_call(upstream.origin, stream=stream))
    (details,) = [
        piece["reasoning_details"]
        for chunk in outcome.chunks
        for choice in chunk.payload["choices"]
        if "reasoning_details" in (piece := choice.get("delta") or choice.get("message") or {})
    ]
    assert "id" not in details[0]
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": outcome.joined(), "reasoning_details": details},
        {"role": "user", "content": "Go on."},
    ]
    turn = sent(upstream, messages=messages)["contents"][1]
    assert turn == {"role": "model", "parts": [{"text": text, "thoughtSignature": "c2ln"}]}


def test_a_schema_is_cut_to_geminis_subset() -> None:
    schema = {
        "type": "object",
        "definitions": {"a": {"type": "string", "pattern": "x"}},
        "properties": {
            "pattern": {"const": 1},
            "ref": {"$ref": "#/definitions/a", "description": "gone"},
            "any": {"anyOf": [{"type": "string", "maxLength": 3}, {"const": None}]},
        },
        "required": ["pattern"],
    }
    assert supported_schema(schema) == {
        "type": "object",
        "$defs": {"a": {"type": "string", "description": 'Constraints: {"pattern":"x"}'}},
        "properties": {
            "pattern": {"enum": [1]},
            "ref": {"$ref": "#/$defs/a"},
            "any": {
                "anyOf": [
                    {"type": "string", "description": 'Constraints: {"maxLength":3}'},
                    {"description": 'Constraints: {"const":null}'},
                ]
            },
        },
        "required": ["pattern"],
    }


def test_strictly_asked_nothing_is_ignored(upstream: FakeUpstream) -> None:
    outcome = play("google", make_call(upstream.origin, user="u", is_strict=True))
    assert getattr(outcome.error, "param", None) == "user"
    assert upstream.requests == 0


def test_a_files_name_tells_its_type(upstream: FakeUpstream) -> None:
    file = {"file_data": "https://a.example/download?id=3", "filename": "report.pdf"}
    content = [{"type": "text", "text": "?"}, {"type": "file", "file": file}]
    parts = sent(upstream, messages=[{"role": "user", "content": content}])["contents"][0]["parts"]
    assert parts[1] == {"fileData": {"fileUri": file["file_data"], "mimeType": "application/pdf"}}
