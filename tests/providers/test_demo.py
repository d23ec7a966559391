"""The provider inside the process: the same question, the same answer, and failures on request."""

import threading
import time
from typing import Any

import orjson
import pytest

from solrouter.chat import Usage
from solrouter.providers.base import Deadlines
from solrouter.providers.demo import Demo
from solrouter.providers.demo.answer import token_count_of
from solrouter.providers.demo.example import example_of
from solrouter.providers.errors import (
    ProviderError,
    UpstreamBroken,
    UpstreamEmpty,
    UpstreamRateLimited,
    UpstreamTimedOut,
)
from tests.providers.calls import PATIENT, Outcome, make_call, play

BOTH = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "days": {"type": "integer", "minimum": 1}},
    "required": ["city", "days"],
}
TOOLS = [
    {"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}},
    {"type": "function", "function": {"name": "get_time"}},
]


def ask(text: str, **say: Any) -> Outcome:
    say.setdefault("messages", [{"role": "user", "content": text}])
    return play("demo", make_call(**say))


@BOTH
def test_it_answers_what_it_was_asked(stream: bool) -> None:
    outcome = ask("How tall is the Eiffel tower?", stream=stream)
    assert outcome.error is None
    assert "How tall is the Eiffel tower?" in outcome.joined()
    assert outcome.finish_reasons() == {0: "stop"}
    assert outcome.upstream_id
    assert outcome.upstream_id.startswith("demo-")


def test_it_quotes_a_long_question_in_part_and_greets_silence() -> None:
    assert "x" * 200 + "…" in ask("x" * 300).joined()
    assert "Send me a message" in ask("").joined()


def test_a_cut_may_come_before_the_third_word() -> None:
    outcome = ask("What is the meaning of life? [[fail:cut]]", stop=["found"])
    assert type(outcome.error) is UpstreamBroken


def test_it_knows_the_meaning_of_life() -> None:
    assert "42" in ask("What is the meaning of life?").joined()


@pytest.mark.parametrize(
    "say",
    [
        {},
        {"n": 2},
        {"reasoning_effort": "high"},
        {"tools": TOOLS, "tool_choice": "required"},
        {"output_limit": 7},
        {"response_format": {"type": "json_object"}},
    ],
    ids=str,
)
def test_streamed_and_whole_say_and_cost_the_same(say: dict[str, Any]) -> None:
    streamed, whole, again = (ask("Héllo 😀", stream=s, **say) for s in (True, False, True))
    for index in range(say.get("n", 1)):
        for field in ("content", "reasoning_content"):
            assert streamed.joined(field, index) == whole.joined(field, index)
            assert streamed.joined(field, index) == again.joined(field, index)
    assert streamed.tool_calls() == whole.tool_calls() == again.tool_calls()
    assert streamed.finish_reasons() == whole.finish_reasons()
    assert streamed.usage == whole.usage
    bytes_said = [sum(chunk.output_bytes for chunk in o.chunks) for o in (streamed, whole)]
    assert bytes_said[0] == bytes_said[1]


def test_the_order_of_a_stream() -> None:
    chunks = ask("Hi").chunks
    assert chunks[0].payload["choices"][0]["delta"] == {"role": "assistant", "content": ""}
    assert not chunks[0].has_content
    assert all(chunk.has_content for chunk in chunks[1:-2])
    assert chunks[-2].finish
    assert chunks[-1].payload["choices"] == []
    assert chunks[-1].usage is not None


def test_it_counts_by_its_rule() -> None:
    outcome = ask("Héllo 😀", stream=False)
    assert outcome.usage == Usage(
        input=token_count_of("Héllo 😀"), output=token_count_of(outcome.joined())
    )
    assert [token_count_of(text) for text in ("", "a", "abcd", "abcde", "😀😀")] == [1, 1, 1, 2, 2]


@BOTH
@pytest.mark.parametrize("limit", [1, 2, 5, 10])
@pytest.mark.parametrize("effort", ["none", "high"])
def test_the_output_limit_holds(stream: bool, limit: int, effort: str) -> None:
    outcome = ask("😀" * 50, stream=stream, output_limit=limit, reasoning_effort=effort)
    assert outcome.finish_reasons() == {0: "length"}
    assert outcome.usage is not None
    assert outcome.usage.output <= limit


def test_a_stop_sequence_ends_it_unsaid() -> None:
    outcome = ask("What is the meaning of life?", stop=["work", "wonder"])
    assert outcome.joined() == "People have found it in love, in "
    assert outcome.finish_reasons() == {0: "stop"}
    assert ask("What is the meaning of life?", stop="People").joined() == ""


def test_several_choices_differ_and_each_finish() -> None:
    outcome = ask("Hi", n=3)
    assert outcome.finish_reasons() == dict.fromkeys(range(3), "stop")
    assert len({outcome.joined(index=index) for index in range(3)}) == 3


def test_thinking_comes_first() -> None:
    chunks = ask("Hi", reasoning_effort="high").chunks
    assert "reasoning_content" in chunks[1].payload["choices"][0]["delta"]
    assert ask("Hi", reasoning_effort="none").joined("reasoning_content") == ""
    usage = ask("Hi", reasoning_effort="low").usage
    assert usage is not None
    assert 0 < usage.reasoning < usage.output


@pytest.mark.parametrize(
    ("text", "say", "names"),
    [
        ("Please use get_weather.", {}, ["get_weather"]),
        ("get_weather and get_time", {}, ["get_weather", "get_time"]),
        ("get_weather and get_time", {"parallel_tool_calls": False}, ["get_weather"]),
        ("Hello", {}, []),
        ("Hello", {"tool_choice": "required"}, ["get_weather"]),
        ("get_weather", {"tool_choice": "none"}, []),
        (
            "Hello",
            {"tool_choice": {"type": "function", "function": {"name": "get_time"}}},
            ["get_time"],
        ),
    ],
    ids=str,
)
def test_it_calls_tools(text: str, say: dict[str, Any], names: list[str]) -> None:
    outcome = ask(text, tools=TOOLS, **say)
    calls = outcome.tool_calls()
    assert [name for _, name, _ in calls] == names
    assert len({identifier for identifier, _, _ in calls}) == len(names)
    assert outcome.finish_reasons() == {0: "tool_calls" if names else "stop"}
    for _, name, arguments in calls:
        expected = {"city": "example", "days": 1} if name == "get_weather" else {}
        assert orjson.loads(arguments) == expected


def test_after_a_tools_result_it_talks() -> None:
    call = {"id": "a", "type": "function", "function": {"name": "get_time", "arguments": "{}"}}
    messages = [
        {"role": "user", "content": "get_time"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "twelve o'clock"},
    ]
    outcome = ask("", messages=messages, tools=TOOLS, tool_choice="required")
    assert "twelve o'clock" in outcome.joined()
    assert outcome.finish_reasons() == {0: "stop"}


def test_it_writes_json() -> None:
    answer = orjson.loads(ask("Hi", response_format={"type": "json_object"}).joined())
    assert "Hi" in answer["answer"]
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}
    answer = orjson.loads(ask("Hi", response_format=form, n=2).joined(index=1))
    assert answer == {"city": "example", "days": 1}


@BOTH
@pytest.mark.parametrize(
    ("order", "kind"),
    [
        ("429", UpstreamRateLimited),
        ("500", UpstreamBroken),
        ("timeout", UpstreamTimedOut),
        ("cut", UpstreamBroken),
        ("empty", UpstreamEmpty),
    ],
)
def test_it_fails_on_request(stream: bool, order: str, kind: type[ProviderError]) -> None:
    outcome = ask(f"Please [[fail:{order}]] now", stream=stream)
    assert type(outcome.error) is kind
    assert outcome.finish_reasons() == {}
    assert (outcome.content_count > 0) is (stream and order == "cut")


def test_only_the_last_user_message_gives_orders() -> None:
    messages = [
        {"role": "user", "content": "[[fail:500]]"},
        {"role": "assistant", "content": "[[fail:429]]"},
        {"role": "user", "content": [{"type": "text", "text": "Hi again"}]},
    ]
    assert ask("", messages=messages).error is None
    assert ask("", messages=[{"role": "system", "content": "[[fail:500]]"}]).error is None


def test_it_is_silent_on_request() -> None:
    started = time.monotonic()
    assert ask("[[slow:0.2]]").error is None
    assert time.monotonic() - started >= 0.2


@pytest.mark.parametrize(
    ("stream", "change", "phase"),
    [
        (True, {"first_token_s": 0.1}, "first_token"),
        (True, {"total_s": 0.1}, "total"),
        (False, {"total_s": 0.1}, "total"),
    ],
    ids=str,
)
def test_its_silence_has_deadlines(stream: bool, change: dict[str, float], phase: str) -> None:
    waits = {"connect_s": 5, "first_token_s": 5, "between_chunks_s": 5, "total_s": 20} | change
    error = ask("[[slow:60]]", stream=stream, deadlines=Deadlines(**waits)).error
    assert isinstance(error, UpstreamTimedOut)
    assert error.phase == phase


def test_closing_ends_its_silence() -> None:
    messages = [{"role": "user", "content": "[[slow:60]]"}]
    running = Demo().open(make_call(messages=messages, deadlines=PATIENT))
    threading.Timer(0.1, running.close).start()
    with pytest.raises(UpstreamBroken):
        list(running)


@pytest.mark.parametrize(
    ("schema", "value"),
    [
        ({}, {}),
        (True, {}),
        ({"const": 3}, 3),
        ({"default": [1]}, [1]),
        ({"enum": ["a", "b"]}, "a"),
        ({"type": ["null", "string"]}, None),
        ({"type": "boolean"}, False),
        ({"type": "number", "exclusiveMinimum": 2}, 3),
        ({"type": "integer", "maximum": -4}, -4),
        ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000000"),
        ({"type": "string", "minLength": 9, "maxLength": 9}, "example.."),
        ({"type": "string", "maxLength": 2}, "ex"),
        ({"type": "array", "items": {"type": "null"}, "minItems": 2}, [None, None]),
        ({"type": "array"}, []),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, 0),
        ({"properties": {"a": {"type": "null"}, "b": {}}, "required": ["a"]}, {"a": None}),
        ({"$ref": "#/$defs/x", "$defs": {"x": {"type": "boolean"}}}, False),
        ({"$ref": "#/nowhere"}, {}),
    ],
    ids=str,
)
def test_the_smallest_value_of_a_schema(schema: Any, value: Any) -> None:
    assert example_of(schema) == value


def test_an_example_is_small_however_its_schema_multiplies_itself() -> None:
    lists = {"type": "array", "minItems": 10, "items": {"$ref": "#"}}
    twice = {"properties": {"a": {"$ref": "#"}, "b": {"$ref": "#"}}}
    long = {"type": "string", "minLength": 2**31}
    for schema in (lists, twice, long):
        assert len(orjson.dumps(example_of(schema))) < 20_000


def test_a_schema_that_refers_to_itself_ends() -> None:
    schema = {"type": "object", "properties": {"child": {"$ref": "#"}}}
    assert "child" in example_of(schema)
