"""The dialect most of the world speaks: what is sent, what comes back, what breaks."""

import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest

from solrouter.chat import Usage
from solrouter.providers import ADAPTERS
from solrouter.providers.base import Deadlines
from solrouter.providers.errors import (
    ProviderError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamEmpty,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimedOut,
)
from solrouter.providers.openai_compatible import usage_from_openai
from solrouter.providers.payloads import FINISH_REASONS
from solrouter.sse import EVENT_BYTES_MAX
from tests.fakes.upstream import FakeUpstream
from tests.providers.calls import KEY, QUESTION, Outcome, make_call, play
from tests.providers.raw_server import RawServer, answering

BOTH = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
CALLS = [
    {"id": "call_a", "name": "weather", "arguments": {"city": "København 🌧"}},
    {"id": "call_b", "name": "clock", "arguments": {}},
]


def sent(upstream: FakeUpstream, **say: Any) -> dict[str, Any]:
    """The body that a call makes us send."""
    play("openai", make_call(upstream.url, **say))
    body = upstream.last.body
    assert body is not None
    return body


def heard(upstream: FakeUpstream, *events: Any, **say: Any) -> Outcome:
    """What becomes of these recorded events."""
    upstream.plays(upstream.streams(events=events))
    return play("openai", make_call(upstream.url, **say))


def chunk(delta: dict[str, Any] | None = None, finish: Any = None, **more: Any) -> dict[str, Any]:
    choice = {"index": 0, "delta": delta or {}, "finish_reason": finish}
    return {"id": "up-1", "model": "their-name", "created": 1, "choices": [choice], **more}


# What is sent.


def test_the_request_is_written_anew(upstream: FakeUpstream) -> None:
    body = sent(
        upstream,
        model="llama-70b",
        temperature=0.2,
        max_tokens=7,
        max_completion_tokens=9,
        models=["b/c"],
        provider={"order": ["x"]},
        stream_options={"include_usage": False},
        usage={"include": True},
        stop=["x"],
        seed=None,
    )
    assert body == {
        "model": "llama-70b",
        "messages": QUESTION,
        "temperature": 0.2,
        "stop": ["x"],
        "max_tokens": 500,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    assert upstream.last.path == "/v1/chat/completions"
    assert upstream.last.headers["authorization"] == f"Bearer {KEY}"


def test_a_whole_answer_asks_for_no_stream(upstream: FakeUpstream) -> None:
    body = sent(upstream, stream=False)
    assert body.keys() == {"model", "messages", "max_tokens"}


@pytest.mark.parametrize(
    ("capabilities", "field"),
    [
        ({}, "max_tokens"),
        ({"max_tokens_field": "max_completion_tokens"}, "max_completion_tokens"),
    ],
)
def test_the_output_limit_goes_under_the_providers_word(
    upstream: FakeUpstream, capabilities: dict[str, Any], field: str
) -> None:
    body = sent(upstream, capabilities=capabilities, output_limit=33)
    limits = {name: body[name] for name in body if name.startswith("max_")}
    assert limits == {field: 33}


def test_capabilities_shape_the_request(upstream: FakeUpstream) -> None:
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "name": "alice", "content": "Hi"},
        {"role": "assistant", "content": None, "refusal": None, "tool_calls": []},
    ]
    capabilities = {
        "stream_usage": False,
        "developer_role": False,
        "drop_message_fields": ["name"],
        "drop_null": True,
        "seed_field": "random_seed",
        "drop_params": ["logit_bias"],
        "requires_reasoning_content": True,
    }
    body = sent(upstream, messages=messages, seed=1, logit_bias={"1": 2}, capabilities=capabilities)
    assert body == {
        "model": "some-model",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {"role": "user", "content": "Hi"},
            {"role": "assistant", "tool_calls": [], "reasoning_content": " "},
        ],
        "max_tokens": 500,
        "stream": True,
        "random_seed": 1,
    }


@BOTH
def test_what_was_left_out_is_named_at_the_end(upstream: FakeUpstream, stream: bool) -> None:
    messages = [{"role": "user", "content": "Hi", "mood": "good"}]
    outcome = play(
        "openai",
        make_call(
            upstream.url,
            stream=stream,
            messages=messages,
            logit_bias={"1": 2},
            min_p=0.1,
            capabilities={"drop_params": ["logit_bias"], "passes_unknown_fields": False},
        ),
    )
    assert [warning.split(":")[0] for warning in outcome.warnings] == [
        "logit_bias",
        "messages[].mood",
        "min_p",
    ]
    finishing = [chunk for chunk in outcome.chunks if chunk.warnings]
    assert [chunk.finish for chunk in finishing] == [True]
    assert upstream.last.body is not None
    assert upstream.last.body["messages"] == [{"role": "user", "content": "Hi"}]
    assert "min_p" not in upstream.last.body


def test_unknown_fields_pass_where_the_provider_takes_them(upstream: FakeUpstream) -> None:
    capabilities = {"passes_unknown_fields": True}
    assert sent(upstream, min_p=0.1, capabilities=capabilities)["min_p"] == 0.1


def test_cache_hints_and_our_own_echoes_are_kept_from_strangers(upstream: FakeUpstream) -> None:
    part = {"type": "text", "text": "Hi", "cache_control": {"type": "ephemeral"}}
    echo = {"role": "assistant", "content": "Yes", "reasoning_content": "hm", "annotations": []}
    messages = [{"role": "user", "content": [part]}, echo, QUESTION[0]]
    strict = {"passes_unknown_fields": False}
    call = make_call(upstream.url, messages=messages, capabilities=strict)
    outcome = play("openai", call)
    assert upstream.last.body is not None
    assert upstream.last.body["messages"] == [
        {"role": "user", "content": [{"type": "text", "text": "Hi"}]},
        {"role": "assistant", "content": "Yes"},
        QUESTION[0],
    ]
    assert [warning.split(":")[0] for warning in outcome.warnings] == ["cache_control"]
    assert part["cache_control"], "the caller's request is not ours to change"


def test_a_model_without_a_system_role_gets_one_leading_user_message(
    upstream: FakeUpstream,
) -> None:
    messages = [
        {"role": "system", "content": "Be brief."},
        {"role": "user", "content": "Hi"},
        {"role": "developer", "content": "Be kind."},
    ]
    body = sent(upstream, messages=messages, facts={"system_role": False})
    assert body["messages"] == [
        {"role": "user", "content": "Be brief.\n\nBe kind."},
        {"role": "user", "content": "Hi"},
    ]


# What comes back.


@BOTH
def test_text_thinking_and_tool_calls_arrive_whole(upstream: FakeUpstream, stream: bool) -> None:
    upstream.streams("Grüß", " Gott", reasoning="Let me see", tool_calls=CALLS, usage=(12, 5))
    outcome = play("openai", make_call(upstream.url, stream=stream))
    assert outcome.error is None
    assert outcome.joined() == "Grüß Gott"
    assert outcome.joined("reasoning_content") == "Let me see"
    assert outcome.tool_calls() == [
        ("call_a", "weather", '{"city":"København 🌧"}'),
        ("call_b", "clock", "{}"),
    ]
    assert outcome.finish_reasons() == {0: "tool_calls"}
    assert outcome.usage == Usage(input=12, output=5, reasoning=3)
    assert outcome.upstream_id == "chatcmpl-fake-1"
    bytes_said = sum(chunk.output_bytes for chunk in outcome.chunks)
    assert bytes_said == len('Grüß GottLet me seeweather{"city":"København 🌧"}clock{}'.encode())


def test_the_preamble_is_no_content_and_usage_comes_last(upstream: FakeUpstream) -> None:
    upstream.streams("one", "two")
    chunks = play("openai", make_call(upstream.url)).chunks
    assert [c.has_content for c in chunks] == [False, True, True, False, False]
    assert [c.finish for c in chunks] == [False, False, False, True, False]
    assert chunks[-1].payload["choices"] == []
    assert chunks[-1].usage is not None


@BOTH
def test_foreign_names_do_not_leak_and_unknown_fields_survive(
    upstream: FakeUpstream, stream: bool
) -> None:
    upstream.answers("Hi", extra={"timings": {"a": 1}})
    for c in play("openai", make_call(upstream.url, stream=stream)).chunks:
        assert not c.payload.keys() & {"id", "model", "created", "usage"}
        assert c.payload["object"] == f"chat.completion{'.chunk' if stream else ''}"
        assert c.payload["timings"] == {"a": 1}


def test_a_whole_answer_fits_openais_schema(upstream: FakeUpstream) -> None:
    message = {"content": "Hi", "tool_calls": None, "function_call": None, "reasoning": "hm"}
    choice = {"message": message, "finish_reason": "eos"}
    upstream.answers(body={"id": "x", "choices": [choice], "usage": None})
    outcome = play("openai", make_call(upstream.url, stream=False))
    assert outcome.chunks[0].payload == {
        "object": "chat.completion",
        "choices": [
            {
                "index": 0,
                "message": {
                    "role": "assistant",
                    "content": "Hi",
                    "refusal": None,
                    "reasoning_content": "hm",
                },
                "logprobs": None,
                "finish_reason": "stop",
            }
        ],
    }
    assert outcome.usage is None


def test_whole_tool_calls_are_repaired(upstream: FakeUpstream) -> None:
    calls = [
        {"index": 0, "id": "", "function": {"name": "a", "arguments": {"x": 1}}},
        {"id": "call_b", "type": "function", "function": {"name": "b", "arguments": ""}},
        "nonsense",
    ]
    message = {"role": "assistant", "content": None, "tool_calls": calls}
    choice = {"message": message, "finish_reason": "tool_calls"}
    upstream.answers(body={"choices": [choice]})
    outcome = play("openai", make_call(upstream.url, stream=False))
    (first_id, *first), second = outcome.tool_calls()
    assert first_id.startswith("call_")
    assert first == ["a", '{"x":1}']
    assert second == ("call_b", "b", "{}")
    assert outcome.chunks[0].payload["choices"][0]["message"]["content"] is None


@pytest.mark.parametrize("word", sorted(FINISH_REASONS))
def test_openais_finish_reasons_stay(upstream: FakeUpstream, word: str) -> None:
    upstream.answers("Hi", finish_reason=word)
    assert play("openai", make_call(upstream.url)).finish_reasons() == {0: word}


@BOTH
@pytest.mark.parametrize(
    ("foreign", "ours"),
    [("eos", "stop"), ("model_length", "length"), ("tool_use", "tool_calls"), ("odd", "stop")],
)
def test_foreign_finish_reasons_are_mapped(
    upstream: FakeUpstream, stream: bool, foreign: str, ours: str
) -> None:
    upstream.answers("Hi", finish_reason=foreign)
    assert play("openai", make_call(upstream.url, stream=stream)).finish_reasons() == {0: ours}


def test_an_empty_finish_reason_is_none(upstream: FakeUpstream) -> None:
    outcome = heard(upstream, chunk({"content": "a"}, finish=""), chunk(finish="stop"), "[DONE]")
    assert outcome.finish_reasons() == {0: "stop"}
    assert outcome.chunks[0].payload["choices"][0]["finish_reason"] is None


@pytest.mark.parametrize(
    "pieces",
    [
        # Mistral and Ollama: whole calls, no index.
        [
            [
                {"id": "a", "function": {"name": "f", "arguments": '{"x":1}'}},
                {"id": "b", "function": {"name": "g", "arguments": "{}"}},
            ]
        ],
        # Parallel calls that collide on one index.
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x":1}'}}],
            [{"index": 0, "id": "b", "function": {"name": "g", "arguments": "{}"}}],
        ],
        # Id and name in every piece.
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ""}}],
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}],
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": ":1}"}}],
            [{"index": 1, "id": "b", "function": {"name": "g", "arguments": "{}"}}],
        ],
        # No index in the pieces that follow.
        [
            [{"index": 0, "id": "a", "function": {"name": "f"}}],
            [{"function": {"arguments": '{"x":1}'}}],
            [{"id": "b", "function": {"name": "g", "arguments": None}}],
            [{"function": {"arguments": "{}"}}],
        ],
        # Indexes that begin at one, and pieces that cross.
        [
            [{"index": 1, "id": "a", "function": {"name": "f", "arguments": '{"x"'}}],
            [{"index": 2, "id": "b", "function": {"name": "g", "arguments": "{"}}],
            [{"index": 1, "function": {"arguments": ":1}"}}],
            [{"index": 2, "function": {"arguments": "}"}}],
        ],
        # Arguments as an object.
        [
            [{"index": 0, "id": "a", "function": {"name": "f", "arguments": {"x": 1}}}],
            [{"index": 1, "id": "b", "function": {"name": "g", "arguments": {}}}],
        ],
    ],
    ids=["no index", "collision", "repeated id", "lost index", "crossed", "object"],
)
def test_damaged_tool_calls_are_repaired(upstream: FakeUpstream, pieces: list[Any]) -> None:
    deltas = [chunk({"tool_calls": piece}) for piece in pieces]
    outcome = heard(upstream, *deltas, chunk(finish="tool_calls"), "[DONE]")
    assert outcome.tool_calls() == [("a", "f", '{"x":1}'), ("b", "g", "{}")]


def test_parallel_calls_without_ids_get_some(upstream: FakeUpstream) -> None:
    call = {"index": 0, "function": {"name": "f", "arguments": "{}"}}
    outcome = heard(
        upstream,
        chunk({"tool_calls": [call]}),
        chunk({"tool_calls": [call]}),
        chunk(finish="tool_calls"),
    )
    calls = outcome.tool_calls()
    assert [call[1:] for call in calls] == [("f", "{}")] * 2
    assert len({call[0] for call in calls}) == 2


def test_null_and_empty_tool_calls_vanish(upstream: FakeUpstream) -> None:
    outcome = heard(
        upstream,
        chunk({"content": "a", "tool_calls": None}),
        chunk({"content": "b", "tool_calls": [], "function_call": None}),
        chunk(finish="stop"),
    )
    for c in outcome.chunks[:2]:
        assert c.payload["choices"][0]["delta"].keys() == {"content"}


def test_mistrals_thinking_lists_become_text(upstream: FakeUpstream) -> None:
    thinking = {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]}
    outcome = heard(
        upstream,
        chunk({"content": [thinking, {"type": "text", "text": "Hi"}]}),
        chunk(finish="stop"),
    )
    assert (outcome.joined("reasoning_content"), outcome.joined()) == ("hm", "Hi")


def test_several_choices_each_finish(upstream: FakeUpstream) -> None:
    upstream.streams("Hi")
    outcome = play("openai", make_call(upstream.url, n=2))
    assert outcome.finish_reasons() == {0: "stop", 1: "stop"}
    assert [outcome.joined(index=i) for i in (0, 1)] == ["Hi", "Hi"]


def test_groqs_usage_and_azures_preamble(upstream: FakeUpstream) -> None:
    usage = {"prompt_tokens": 3, "completion_tokens": 2}
    outcome = heard(
        upstream,
        {"choices": [], "prompt_filter_results": []},
        chunk({"content": "Hi"}),
        chunk(finish="stop", x_groq={"usage": usage}),
        "[DONE]",
    )
    assert len(outcome.chunks) == 2
    assert outcome.usage == Usage(input=3, output=2)


def test_growing_usage_is_not_summed(upstream: FakeUpstream) -> None:
    upstream.streams(*"abcdefgh", usage=(10, 8), usage_mode="every_chunk")
    outcome = play("openai", make_call(upstream.url))
    assert outcome.usage == Usage(input=10, output=8)


@pytest.mark.parametrize("mode", ["none", "null", "negative", "absurd"])
@BOTH
def test_no_believable_usage_is_none(upstream: FakeUpstream, mode: Any, stream: bool) -> None:
    upstream.streams("Hi", usage_mode=mode)
    outcome = play("openai", make_call(upstream.url, stream=stream))
    assert outcome.error is None
    assert outcome.usage is None


@pytest.mark.parametrize(
    "shape",
    [
        {"crlf": True},
        {"comments": True},
        {"blank_lines": False},
        {"data_space": False},
        {"split_bytes": 1},
        {"no_done": True},
        {"close_delimited": True},
        {"framing": "content_length"},
        {"reasoning_field": "reasoning"},
        {"huge_line_bytes": 10_000_000},
    ],
    ids=str,
)
def test_no_shape_of_a_stream_changes_the_answer(
    upstream: FakeUpstream, shape: dict[str, Any]
) -> None:
    upstream.streams("中文 😀 ", "a\u2028b", reasoning="hm", tool_calls=CALLS[:1], **shape)
    outcome = play("openai", make_call(upstream.url))
    assert outcome.error is None
    assert outcome.joined().lstrip("x") == "中文 😀 a\u2028b"
    assert outcome.joined("reasoning_content") == "hm"
    assert outcome.tool_calls() == [("call_a", "weather", '{"city":"København 🌧"}')]


def test_finished_streams_share_one_connection(upstream: FakeUpstream) -> None:
    for stream in (True, False, True, True):
        assert play("openai", make_call(upstream.url, stream=stream)).error is None
    assert upstream.connections.accepted == 1


# What breaks.


def broken(upstream: FakeUpstream, *, stream: bool = True, **script: Any) -> ProviderError:
    upstream.answers(**script)
    error = play("openai", make_call(upstream.url, stream=stream)).error
    assert error is not None
    return error


REFUSAL = {"message": "No.", "param": "temperature", "code": "bad_value"}


@BOTH
@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ({"status": 400, "error_body": REFUSAL}, UpstreamRefused),
        ({"status": 413}, UpstreamRefused),
        ({"status": 422}, UpstreamRefused),
        ({"status": 404, "error_body": {"param": "file_id", "code": None}}, UpstreamRefused),
        ({"status": 401}, UpstreamDenied),
        ({"status": 402}, UpstreamDenied),
        ({"status": 403}, UpstreamDenied),
        ({"status": 404}, UpstreamDenied),
        ({"status": 405}, UpstreamDenied),
        ({"status": 400, "error_body": {"code": "model_decommissioned"}}, UpstreamDenied),
        (
            {"status": 400, "error_body": {"message": "Your credit balance is too low."}},
            UpstreamDenied,
        ),
        ({"status": 429, "error_body": {"code": "insufficient_quota"}}, UpstreamDenied),
        ({"status": 307, "body": {}}, UpstreamDenied),
        ({"status": 408}, UpstreamBroken),
        ({"status": 409}, UpstreamBroken),
        ({"status": 500}, UpstreamBroken),
        ({"status": 502, "body": "<html>"}, UpstreamBroken),
        ({"status": 504}, UpstreamBroken),
        ({"status": 503}, UpstreamOverloaded),
        ({"status": 529}, UpstreamOverloaded),
        ({"status": 429}, UpstreamRateLimited),
    ],
    ids=str,
)
def test_each_status_has_its_class(
    upstream: FakeUpstream, stream: bool, script: dict[str, Any], kind: type[ProviderError]
) -> None:
    error = broken(upstream, stream=stream, **script)
    assert type(error) is kind
    assert error.status == script["status"]
    assert error.message


def test_a_refusal_names_parameter_and_code(upstream: FakeUpstream) -> None:
    error = broken(upstream, status=400, error_body=REFUSAL)
    assert isinstance(error, UpstreamRefused)
    assert (error.message, error.param, error.upstream_code) == ("No.", "temperature", "bad_value")


@pytest.mark.parametrize(
    "detail",
    [
        {"code": "context_length_exceeded", "message": "No."},
        {"message": "This model's maximum context length is 8192 tokens."},
        {"type": "exceed_context_size_error", "message": "No."},
        {"message": "prompt is too long: 210000 tokens > 200000 maximum"},
        {"message": "The input token count (40000) exceeds the maximum"},
    ],
    ids=str,
)
def test_a_prompt_too_long_is_recognised(upstream: FakeUpstream, detail: dict[str, Any]) -> None:
    error = broken(upstream, status=400, error_body=detail)
    assert isinstance(error, UpstreamRefused)
    assert error.upstream_code == "context_length_exceeded"


@pytest.mark.parametrize(
    ("body", "message", "param"),
    [
        ({"error": {"message": "Bad.", "param": "n"}}, "Bad.", "n"),
        ({"error": "Bad."}, "Bad.", None),
        ({"object": "error", "message": "Bad.", "code": 400}, "Bad.", None),
        ({"detail": [{"msg": "Bad.", "loc": ["body", "tools", 0]}]}, "Bad.", "tools.0"),
        ({"detail": "Bad."}, "Bad.", None),
        ([{"error": {"message": "Bad.", "code": 400}}], "Bad.", None),
        ({"error": {"message": {"odd": 1}}}, "The provider answered 400.", None),
        ("<html>", "The provider answered 400.", None),
        ([], "The provider answered 400.", None),
        (b"\xff\xfe", "The provider answered 400.", None),
    ],
    ids=str,
)
def test_every_shape_of_an_error_is_read(
    upstream: FakeUpstream, body: Any, message: str, param: str | None
) -> None:
    error = broken(upstream, status=400, body=body)
    assert isinstance(error, UpstreamRefused)
    assert (error.message, error.param) == (message, param)


def test_a_message_is_cut_and_holds_no_key(upstream: FakeUpstream) -> None:
    said = f"Incorrect API key provided: {KEY} or sk-proj-abc***********xyz.\n" + "very " * 200
    error = broken(upstream, status=401, error_body={"message": said})
    assert KEY not in error.detail
    assert "xyz" not in error.detail
    assert error.detail.startswith("Incorrect API key provided: [key] or [key]")
    assert len(error.detail) == 300
    # What a provider says of our account is for the operator alone.
    assert "key" not in error.message
    assert KEY not in repr(error)


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "7"}, 7),
        ({"retry-after": "0.2"}, 1),
        ({"retry-after-ms": "2500", "retry-after": "9"}, 3),
        ({"retry-after": "99999999"}, 86_400),
        ({"retry-after": "-5"}, 0),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "nan"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_the_wait_is_told(
    upstream: FakeUpstream, headers: dict[str, str], seconds: int | None
) -> None:
    assert broken(upstream, status=429, headers=headers).retry_after_s == seconds


def test_the_wait_may_be_a_date(upstream: FakeUpstream) -> None:
    moment = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    waited = broken(upstream, status=503, headers={"retry-after": moment}).retry_after_s
    assert waited is not None
    assert 95 <= waited <= 100


@BOTH
@pytest.mark.parametrize(
    ("error", "kind"),
    [
        ({"message": "Oops"}, UpstreamBroken),
        ("Oops", UpstreamBroken),
        ({"message": "Oops", "code": 502}, UpstreamBroken),
        ({"message": "Oops", "type": "server_error"}, UpstreamBroken),
        ({"message": "Oops", "code": "server_overloaded"}, UpstreamOverloaded),
        ({"message": "Oops", "code": 503}, UpstreamOverloaded),
        ({"message": "Oops", "code": 429}, UpstreamRateLimited),
        ({"message": "Oops", "code": 400}, UpstreamRefused),
        ({"message": "Oops", "code": "401"}, UpstreamDenied),
    ],
    ids=str,
)
def test_an_error_inside_a_success_is_an_error(
    upstream: FakeUpstream, stream: bool, error: Any, kind: type[ProviderError]
) -> None:
    if stream:
        outcome = heard(upstream, chunk({"content": "a"}), {"error": error})
    else:
        upstream.answers(body={"error": error})
        outcome = play("openai", make_call(upstream.url, stream=False))
    assert type(outcome.error) is kind
    assert (outcome.error.detail or outcome.error.message) == "Oops"


@pytest.mark.parametrize(
    "script",
    [
        {"cut_before_status": True},
        {"cut_after_events": 1},
        {"cut_after_events": 3},
        {"cut_after_events": 3, "cut_with_fin": True},
        {"cut_after_events": 2, "cut_mid_event": True},
        {"cut_after_events": 3, "close_delimited": True, "cut_with_fin": True},
        {"garbage": True},
        {"garbage": True, "garbage_after": 2},
        {"error_event": (2, {"message": "Oops"})},
        {"no_finish": True},
        {"finish_reason": "error"},
        {"body": "<html>not an event</html>"},
        {"body": b""},
        {"events": ["[1, 2]", "[DONE]"]},
        {"events": ["17", "[DONE]"]},
    ],
    ids=str,
)
def test_a_broken_stream_is_never_a_finished_one(
    upstream: FakeUpstream, script: dict[str, Any]
) -> None:
    upstream.answers("one two three four", **script)
    outcome = play("openai", make_call(upstream.url))
    assert isinstance(outcome.error, UpstreamBroken)
    assert outcome.finish_reasons() == {}


@pytest.mark.parametrize("after_events", range(8))
def test_a_cut_at_any_event_is_told_or_came_after_the_finish(
    upstream: FakeUpstream, after_events: int
) -> None:
    upstream.answers("one two three", cut_after_events=after_events)
    outcome = play("openai", make_call(upstream.url))
    # role, three words, finish, usage, done.
    is_complete = after_events >= 5
    assert (outcome.finish_reasons() == {0: "stop"}) is is_complete
    assert (outcome.error is None) is is_complete


@pytest.mark.parametrize("script", [{"empty": True, "no_finish": True}, {"events": ["[DONE]"]}])
def test_an_end_without_a_word_is_empty(upstream: FakeUpstream, script: dict[str, Any]) -> None:
    upstream.answers(**script)
    assert type(play("openai", make_call(upstream.url)).error) is UpstreamEmpty


def test_a_whole_answer_without_choices_is_empty(upstream: FakeUpstream) -> None:
    assert type(broken(upstream, stream=False, body={"choices": []})) is UpstreamEmpty


@pytest.mark.parametrize(
    "body",
    [
        b"{half",
        [],
        {"choices": [{"message": {"content": "Hi"}, "finish_reason": None}]},
        {"choices": [{"finish_reason": "stop"}]},
        {"choices": [{"message": {"content": "Hi"}, "finish_reason": "error"}]},
    ],
    ids=str,
)
def test_a_whole_answer_that_makes_no_sense_is_broken(upstream: FakeUpstream, body: Any) -> None:
    assert type(broken(upstream, stream=False, body=body)) is UpstreamBroken


def test_a_finish_without_text_is_an_answer(upstream: FakeUpstream) -> None:
    upstream.answers("", usage=(5, 1))
    outcome = play("openai", make_call(upstream.url))
    assert outcome.error is None
    assert outcome.finish_reasons() == {0: "stop"}
    assert outcome.content_count == 0


@pytest.mark.parametrize(
    ("script", "stream", "change", "phase"),
    [
        ({"stall_before_s": 60}, True, {"first_token_s": 0.2}, "first_token"),
        ({"stall_after_headers_s": 60}, True, {"first_token_s": 0.2}, "first_token"),
        ({"stall_after": (1, 60)}, True, {"first_token_s": 0.2}, "first_token"),
        ({"stall_after": (2, 60)}, True, {"between_chunks_s": 0.2}, "between_chunks"),
        ({"stall_after": (2, 60)}, True, {"total_s": 0.3}, "total"),
        ({"endless": True}, True, {"total_s": 0.3}, "total"),
        ({"stall_before_s": 60}, False, {"total_s": 0.2}, "total"),
    ],
    ids=str,
)
def test_each_deadline_is_named(
    upstream: FakeUpstream,
    script: dict[str, Any],
    stream: bool,
    change: dict[str, Any],
    phase: str,
) -> None:
    upstream.answers(**script)
    waits = {"connect_s": 5, "first_token_s": 5, "between_chunks_s": 5, "total_s": 20} | change
    call = make_call(upstream.url, stream=stream, deadlines=Deadlines(**waits))
    error = play("openai", call).error
    assert isinstance(error, UpstreamTimedOut)
    assert error.phase == phase
    upstream.wait_for(lambda: upstream.aborted)


def test_pings_do_not_move_the_first_token_deadline(upstream: FakeUpstream) -> None:
    empty = [chunk({"content": ""}) for _ in range(100)]
    upstream.plays(upstream.streams(events=empty, stall_between_s=0.05, comments=True))
    deadlines = Deadlines(connect_s=5, first_token_s=0.3, between_chunks_s=5, total_s=20)
    error = play("openai", make_call(upstream.url, deadlines=deadlines)).error
    assert isinstance(error, UpstreamTimedOut)
    assert error.phase == "first_token"


def test_silence_after_the_finish_ends_the_answer(upstream: FakeUpstream) -> None:
    upstream.answers("one", stall_after=(3, 60))
    deadlines = Deadlines(connect_s=5, first_token_s=5, between_chunks_s=0.2, total_s=20)
    outcome = play("openai", make_call(upstream.url, deadlines=deadlines))
    assert outcome.error is None
    assert outcome.finish_reasons() == {0: "stop"}


def test_no_connection_has_a_name() -> None:
    error = play("openai", make_call("http://127.0.0.1:9/v1")).error
    assert isinstance(error, UpstreamBroken)
    assert "refused" in error.message


def test_a_key_with_a_line_break_is_our_own_fault_and_stays_secret() -> None:
    call = make_call("http://127.0.0.1:9/v1")
    error = play("openai", type(call)(**{**_fields(call), "api_key": f"{KEY}\n"})).error
    assert isinstance(error, UpstreamDenied)
    assert KEY not in error.message


def _fields(call: Any) -> dict[str, Any]:
    return {name: getattr(call, name) for name in call.__dataclass_fields__}


def test_closing_from_elsewhere_ends_a_silent_stream(upstream: FakeUpstream) -> None:
    upstream.streams("one", "two", stall_after=(2, 60.0))
    running = ADAPTERS["openai"].open(make_call(upstream.url))
    threading.Timer(0.1, running.close).start()
    started = time.monotonic()
    with pytest.raises(UpstreamBroken):
        for _ in running:
            pass
    upstream.wait_for(lambda: upstream.aborted)
    assert time.monotonic() - started < 2


def test_leaving_the_loop_aborts_the_upstream(upstream: FakeUpstream) -> None:
    upstream.streams("one", "two", stall_after=(2, 60.0))
    running = ADAPTERS["openai"].open(make_call(upstream.url))
    for piece in running:
        if piece.has_content:
            break
    running.close()
    upstream.wait_for(lambda: upstream.aborted)


# Usage.


@pytest.mark.parametrize(
    ("told", "flags", "expected"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, {}, Usage(input=10, output=5)),
        (
            {
                "prompt_tokens": 1000,
                "completion_tokens": 300,
                "prompt_tokens_details": {
                    "cached_tokens": 600,
                    "cache_write_tokens": 100,
                    "audio_tokens": 50,
                    "image_tokens": 30,
                },
                "completion_tokens_details": {"reasoning_tokens": 200, "audio_tokens": 40},
            },
            {},
            Usage(
                input=220,
                cache_read=600,
                cache_write_5m=100,
                input_audio=50,
                input_image=30,
                output=260,
                output_audio=40,
                reasoning=200,
            ),
        ),
        (
            {"prompt_tokens": 100, "prompt_cache_hit_tokens": 64, "completion_tokens": 1},
            {},
            Usage(input=36, cache_read=64, output=1),
        ),
        (
            {"prompt_tokens": 100, "cached_tokens": 64, "completion_tokens": 1},
            {},
            Usage(input=36, cache_read=64, output=1),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "total_tokens": 115,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            {"reasoning_tokens_outside": True},
            Usage(input=10, output=105, reasoning=100),
        ),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 105,
                "total_tokens": 115,
                "completion_tokens_details": {"reasoning_tokens": 100},
            },
            {"reasoning_tokens_outside": True},
            Usage(input=10, output=105, reasoning=100),
        ),
        ({"prompt_tokens": 10, "total_tokens": 15}, {}, Usage(input=10, output=5)),
        ({"completion_tokens": 5, "total_tokens": 15}, {}, Usage(input=10, output=5)),
        ({"prompt_tokens": 10.0, "completion_tokens": 5.0}, {}, Usage(input=10, output=5)),
        (
            {
                "prompt_tokens": 10,
                "completion_tokens": 5,
                "prompt_tokens_details": {"cached_tokens": 99, "audio_tokens": -1},
                "completion_tokens_details": {"reasoning_tokens": 99, "audio_tokens": "3"},
            },
            {},
            Usage(cache_read=10, output=5, reasoning=5),
        ),
        ({"prompt_tokens": 0, "completion_tokens": 0}, {}, None),
        ({"prompt_tokens": "10", "completion_tokens": 5}, {}, None),
        ({"prompt_tokens": True, "completion_tokens": 5}, {}, None),
        ({"prompt_tokens": float("nan"), "completion_tokens": 5}, {}, None),
        ({"prompt_tokens": float("inf"), "completion_tokens": 5}, {}, None),
        ({"prompt_tokens": 1.5, "completion_tokens": 5}, {}, None),
        ({"prompt_tokens": 10, "completion_tokens": -5}, {}, None),
        ({"prompt_tokens": 10**12, "completion_tokens": 5}, {}, None),
        ({"completion_tokens": 50, "total_tokens": 15}, {}, None),
        ({"prompt_tokens": 10}, {}, None),
        ({}, {}, None),
        ("usage", {}, None),
        (None, {}, None),
    ],
    ids=str,
)
def test_usage_falls_into_classes_that_do_not_overlap(
    told: Any, flags: dict[str, Any], expected: Usage | None
) -> None:
    assert usage_from_openai(told, flags) == expected


# Corners.


@pytest.mark.parametrize(
    "late", ["{half", {"error": {"message": "Oops"}}, "[1]"], ids=["garbage", "error", "a list"]
)
def test_what_comes_after_the_finish_spoils_nothing(upstream: FakeUpstream, late: Any) -> None:
    outcome = heard(upstream, chunk({"content": "Hi"}), chunk(finish="stop"), late, "[DONE]")
    assert outcome.error is None
    assert outcome.finish_reasons() == {0: "stop"}


def test_an_event_without_end_is_broken(upstream: FakeUpstream) -> None:
    upstream.answers(huge_line_bytes=EVENT_BYTES_MAX + 1)
    error = play("openai", make_call(upstream.url)).error
    assert type(error) is UpstreamBroken
    assert "too large" in error.message


def test_a_whole_answer_that_is_cut_is_broken(upstream: FakeUpstream) -> None:
    upstream.answers(cut_mid_event=True, cut_with_fin=True)
    error = play("openai", make_call(upstream.url, stream=False)).error
    assert type(error) is UpstreamBroken


def test_an_error_whose_body_never_comes_is_told_by_its_status(upstream: FakeUpstream) -> None:
    assert broken(upstream, status=503, cut_after_events=0).message == "The provider answered 503."


def test_endless_headers_are_a_fault_of_the_provider() -> None:
    answer = b"HTTP/1.1 200 OK\r\n" + b"X: " + b"y" * 300_000
    with RawServer(answering(answer)) as server:
        error = play("openai", make_call(server.url)).error
    assert type(error) is UpstreamBroken
    assert "too large" in error.message


def test_a_short_plain_answer_is_shown() -> None:
    answer = b"HTTP/1.1 500 No\r\nContent-Type: text/plain\r\nContent-Length: 9\r\n\r\nno  luck\n"
    with RawServer(answering(answer)) as server:
        error = play("openai", make_call(server.url)).error
    assert type(error) is UpstreamBroken
    assert error.message == "no luck"


def test_a_date_without_a_zone_is_no_date(upstream: FakeUpstream) -> None:
    headers = {"retry-after": "Mon, 01 Jan 2035 00:00:00 -0000"}
    assert broken(upstream, status=429, headers=headers).retry_after_s is None


@BOTH
def test_sound_and_old_function_calls_are_content(upstream: FakeUpstream, stream: bool) -> None:
    said = {
        "audio": {"transcript": "Hey"},
        "function_call": {"name": "f", "arguments": "{}"},
        "tool_calls": "nonsense",
    }
    if stream:
        outcome = heard(
            upstream, chunk(said, system_fingerprint=None), chunk(finish="function_call")
        )
    else:
        choice = {"index": 0, "message": said, "finish_reason": "function_call"}
        upstream.answers(body={"choices": [choice], "system_fingerprint": None})
        outcome = play("openai", make_call(upstream.url, stream=False))
    assert outcome.finish_reasons() == {0: "function_call"}
    assert outcome.content_count == 1
    assert sum(c.output_bytes for c in outcome.chunks) == len("Heyf{}")
    assert all("system_fingerprint" not in c.payload for c in outcome.chunks)


def test_a_name_repeated_in_half_a_call_begins_no_other(upstream: FakeUpstream) -> None:
    pieces = ['{"x"', ":1}"]
    calls = [{"index": 0, "function": {"name": "f", "arguments": piece}} for piece in pieces]
    outcome = heard(
        upstream, *(chunk({"tool_calls": [call]}) for call in calls), chunk(finish="tool_calls")
    )
    assert [call[1:] for call in outcome.tool_calls()] == [("f", '{"x":1}')]


def test_parts_of_instructions_stay_parts(upstream: FakeUpstream) -> None:
    part = {"type": "text", "text": "Be brief."}
    messages = [{"role": "system", "content": [part]}, {"role": "system", "content": "Be kind."}]
    body = sent(upstream, messages=[*messages, *QUESTION], facts={"system_role": False})
    assert body["messages"][0]["content"] == [part, {"type": "text", "text": "Be kind."}]
    strict = {"passes_unknown_fields": False}
    plain = sent(upstream, facts={"system_role": False}, capabilities=strict)
    assert plain["messages"] == QUESTION
    parts = [{"role": "user", "content": [part]}]
    assert sent(upstream, messages=parts, capabilities=strict)["messages"] == parts
