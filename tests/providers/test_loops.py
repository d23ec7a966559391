"""Three turns of parallel tool calls through each adapter, as a client makes them.

No byte of an argument is lost on the way, and what a provider signed comes back to it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pytest

from solrouter.providers.google.messages import LOST_SIGNATURE
from solrouter.providers.keepsakes import Keepsakes
from tests.fakes.upstream import FakeUpstream
from tests.providers.calls import Outcome, make_call, play

TOOLS = [
    {"type": "function", "function": {"name": name, "parameters": {"type": "object"}}}
    for name in ("write", "read")
]
BOTH = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
DIALECTS = pytest.mark.parametrize(
    ("kind", "model"),
    [("anthropic", "claude-sonnet-4-5"), ("google", "gemini-3.5-pro"), ("openai", "gpt-4o")],
)
# Clients that bring back everything, and plain ones that know nothing but OpenAI's schema.
CLIENTS = pytest.mark.parametrize("is_plain", [False, True], ids=["echoing", "plain"])
HARD = 'a\\"b\n\t\u2028世界 👩‍👩‍👧 \x7f </script> \\u0000 {}[],:'


def told_calls(turn: int) -> list[dict[str, Any]]:
    """Arguments as text that must arrive as it is: large numbers, escapes, empty objects."""
    arguments = [
        {"path": f"{turn}/ü.txt", "content": HARD * 3, "mode": 0o644, "ratio": 0.1},
        {"nested": {"list": [1, None, True, {"a": []}]}, "emoji": "🙂" * turn},
        {},
    ]
    return [
        {"id": f"call_{turn}_{i}", "name": name, "arguments": json.dumps(one, ensure_ascii=False)}
        for i, (name, one) in enumerate(zip(("write", "read", "read"), arguments, strict=True))
    ]


def assistant_message(outcome: Outcome, *, is_plain: bool) -> dict[str, Any]:
    """The answer as a client keeps it."""
    calls = [
        {"id": id_, "type": "function", "function": {"name": name, "arguments": arguments}}
        for id_, name, arguments in outcome.tool_calls()
    ]
    message = {"role": "assistant", "content": outcome.joined() or None, "tool_calls": calls}
    if not is_plain:
        message["reasoning_content"] = outcome.joined("reasoning_content")
        message["reasoning_details"] = [
            detail
            for chunk in outcome.chunks
            for choice in chunk.payload["choices"]
            for detail in (choice.get("delta") or choice.get("message") or {}).get(
                "reasoning_details", ()
            )
        ]
    return message


def parsed(calls: list[tuple[str, str, str]]) -> list[tuple[str, str, Any]]:
    return [(id_, name, json.loads(arguments)) for id_, name, arguments in calls]


def sent_calls(kind: str, body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Every call in a request that the provider got, with its arguments."""
    if kind == "openai":
        return [
            (call["function"]["name"], json.loads(call["function"]["arguments"]))
            for message in body["messages"]
            for call in message.get("tool_calls", ())
        ]
    if kind == "anthropic":
        return [
            (block["name"], block["input"])
            for message in body["messages"]
            for block in message["content"]
            if block["type"] == "tool_use"
        ]
    return [
        (part["functionCall"]["name"], part["functionCall"]["args"])
        for content in body["contents"]
        for part in content["parts"]
        if "functionCall" in part
    ]


@DIALECTS
@CLIENTS
@BOTH
def test_three_turns_of_parallel_calls(
    upstream: FakeUpstream, kind: str, model: str, stream: bool, is_plain: bool
) -> None:
    url = upstream.url if kind == "openai" else upstream.origin
    messages: list[dict[str, Any]] = [{"role": "user", "content": "Do it."}]
    expected: list[tuple[str, Any]] = []
    for turn in (1, 2, 3):
        told = told_calls(turn)
        upstream.answers(tool_calls=told, reasoning="hm", fragment_chars=3, times=1)
        call = make_call(
            url,
            stream=stream,
            model=model,
            messages=messages,
            tools=TOOLS,
            output_limit=4000,
            reasoning_effort="low",
        )
        outcome = play(kind, call)
        assert outcome.error is None
        assert upstream.last.body is not None
        assert sent_calls(kind, upstream.last.body) == expected
        wanted = [(one["id"], one["name"], json.loads(one["arguments"])) for one in told]
        assert parsed(outcome.tool_calls()) == wanted
        if kind != "google":
            # Gemini's calls are objects; of the others, not even a space may differ in a stream.
            texts = [arguments for _, _, arguments in outcome.tool_calls()]
            assert not stream or texts == [one["arguments"] for one in told]
        messages.append(assistant_message(outcome, is_plain=is_plain))
        for one in told:
            result = {"role": "tool", "tool_call_id": one["id"], "content": f"done {one['id']}"}
            messages.append(result)
        expected += [(name, arguments) for _, name, arguments in wanted]


@BOTH
@CLIENTS
def test_geminis_signatures_come_back_with_the_call_they_came_with(
    upstream: FakeUpstream, stream: bool, is_plain: bool
) -> None:
    """Of parallel calls only the first is signed; a plain client brings nothing but its id."""
    upstream.answers(tool_calls=told_calls(1), reasoning="hm", signature="c2lnLTE=", times=1)
    asked: dict[str, Any] = {"stream": stream, "model": "gemini-3.5-pro", "tools": TOOLS}
    first = play("google", make_call(upstream.origin, **asked))
    messages: list[Any] = [
        {"role": "user", "content": "Do it."},
        assistant_message(first, is_plain=is_plain),
        *({"role": "tool", "tool_call_id": f"call_1_{i}", "content": "ok"} for i in range(3)),
    ]
    play("google", make_call(upstream.origin, messages=messages, **asked))
    assert upstream.last.body is not None
    parts = upstream.last.body["contents"][1]["parts"]
    assert [part.get("thoughtSignature") for part in parts] == ["c2lnLTE=", None, None]
    # Another model signed nothing of it: Google's own word stands in.
    play("google", make_call(upstream.origin, messages=messages, **{**asked, "model": "gemini-4"}))
    if is_plain:
        parts = upstream.last.body["contents"][1]["parts"]
        assert parts[0]["thoughtSignature"] == LOST_SIGNATURE


@BOTH
def test_anthropics_thinking_comes_back_signed_and_first(
    upstream: FakeUpstream, stream: bool
) -> None:
    upstream.answers(tool_calls=told_calls(1), reasoning="hm hm", signature="c2ln", times=1)
    asked: dict[str, Any] = {
        "stream": stream,
        "model": "claude-sonnet-4-5",
        "tools": TOOLS,
        "output_limit": 4000,
        "reasoning_effort": "low",
    }
    first = play("anthropic", make_call(upstream.origin, **asked))
    messages: list[Any] = [
        {"role": "user", "content": "Do it."},
        assistant_message(first, is_plain=False),
        *({"role": "tool", "tool_call_id": f"call_1_{i}", "content": "ok"} for i in range(3)),
    ]
    second = play("anthropic", make_call(upstream.origin, messages=messages, **asked))
    assert second.warnings == []
    assert upstream.last.body is not None
    blocks = upstream.last.body["messages"][1]["content"]
    assert blocks[0] == {"type": "thinking", "thinking": "hm hm", "signature": "c2ln"}
    assert [block["type"] for block in blocks[1:]] == ["tool_use"] * 3
    assert upstream.last.body["thinking"]["type"] == "enabled"


def test_thinking_between_texts_and_calls_keeps_its_place(upstream: FakeUpstream) -> None:
    """Interleaved thinking: some models refuse it anywhere else."""
    content = [
        {"type": "thinking", "thinking": "one", "signature": "MQ=="},
        {"type": "text", "text": "So."},
        {"type": "thinking", "thinking": "two", "signature": "Mg=="},
        {"type": "tool_use", "id": "t", "name": "read", "input": {"a": 1}},
    ]
    body = {"id": "m", "type": "message", "content": content, "stop_reason": "tool_use"}
    upstream.answers(body=body, times=1)
    asked: dict[str, Any] = {"stream": False, "model": "claude-opus-4-8", "tools": TOOLS}
    first = play("anthropic", make_call(upstream.origin, **asked))
    messages: list[Any] = [
        {"role": "user", "content": "Do it."},
        assistant_message(first, is_plain=False),
        {"role": "tool", "tool_call_id": "t", "content": "ok"},
    ]
    play("anthropic", make_call(upstream.origin, messages=messages, **asked))
    assert upstream.last.body is not None
    assert upstream.last.body["messages"][1]["content"] == content


@pytest.mark.parametrize("kind", ["anthropic", "google"])
def test_arguments_go_up_byte_for_byte(upstream: FakeUpstream, kind: str) -> None:
    """Numbers beyond 64 bits and beyond a double's precision, and the caller's own spaces."""
    arguments = '{"id": 123456789012345678901234567890, "x": 0.10000000000000000001, "e": 1E2}'
    call = {"id": "a", "type": "function", "function": {"name": "f", "arguments": arguments}}
    messages = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": None, "tool_calls": [call]},
        {"role": "tool", "tool_call_id": "a", "content": "ok"},
    ]
    outcome = play(kind, make_call(upstream.origin, messages=messages))
    assert outcome.error is None
    assert arguments.encode() in upstream.last.raw


@BOTH
@pytest.mark.parametrize("model", ["claude-sonnet-4-5", "claude-opus-4-8"])
def test_anthropics_thinking_is_kept_for_plain_clients(
    upstream: FakeUpstream, stream: bool, model: str
) -> None:
    """Only for models that refuse to think on without it; newer ones refuse a changed prefix."""
    upstream.answers(tool_calls=told_calls(9), reasoning="hm", signature="c2ln", times=1)
    asked: dict[str, Any] = {
        "stream": stream,
        "model": model,
        "tools": TOOLS,
        "output_limit": 4000,
        "reasoning_effort": "low",
    }
    first = play("anthropic", make_call(upstream.origin, **asked))
    messages = [
        {"role": "user", "content": "Do it."},
        assistant_message(first, is_plain=True),
        *({"role": "tool", "tool_call_id": f"call_9_{i}", "content": "ok"} for i in range(3)),
    ]
    second = play("anthropic", make_call(upstream.origin, messages=messages, **asked))
    assert second.warnings == []
    assert upstream.last.body is not None
    kinds = [block["type"] for block in upstream.last.body["messages"][1]["content"]]
    is_on_budget = model == "claude-sonnet-4-5"
    assert kinds == (["thinking"] if is_on_budget else []) + ["tool_use"] * 3


def test_keepsakes_are_bounded_and_age() -> None:
    call, kept = make_call(), Keepsakes(bytes_max=120)
    for position in range(30):
        kept.keep(call, str(position), "f", "eightby" + str(position % 10))
    recall = kept.recaller(call)
    found = [position for position in range(30) if recall(str(position), "f")]
    assert found == list(range(18, 30))
    kept.keep(call, "29", "f", "again")
    assert recall("29", "f") == "again"
    kept.keep(call, "huge", "f", "x" * 10**6)
    assert recall("huge", "f") is None
    assert kept.recaller(make_call(provider="other"))("29", "f") is None
    old = Keepsakes(kept_s=-1)
    old.keep(call, "1", "f", "x")
    assert old.recaller(call)("1", "f") is None


def test_no_more_is_recalled_than_was_asked_for() -> None:
    kept, call = Keepsakes(), make_call()
    for name in ("a", "b", "c"):
        kept.keep(call, name, "f", "x" * 100)
    recall = kept.recaller(call, bytes_max=250)
    assert [bool(recall(name, "f")) for name in ("c", "b", "a")] == [True, True, False]
    assert kept.recaller(call, bytes_max=0)("a", "f") is None


class OneShelf:
    """A shelf that counts how often it is asked."""

    def __init__(self, owner: str) -> None:
        self.owner = owner
        self.things: dict[bytes, bytes] = {}
        self.asked = 0

    def put(self, digest: bytes, value: bytes) -> None:
        self.things[digest] = value

    def find(self, digests: Sequence[bytes]) -> Mapping[bytes, bytes]:
        self.asked += 1
        return {digest: self.things[digest] for digest in digests if digest in self.things}


def test_what_another_process_kept_is_found_on_the_owners_shelf() -> None:
    shelf = OneShelf("alice")
    messages = [
        {"role": "assistant", "tool_calls": [{"id": id_, "function": {"name": "f"}}]}
        for id_ in ("a", "b", "unsigned")
    ]
    call = replace(make_call(messages=messages), shelf=shelf)
    there, here = Keepsakes(), Keepsakes()
    there.keep(call, "a", "f", "of a")
    there.keep(call, "b", "f", ["of b"])
    recall = here.recaller(call)
    assert [recall(id_, "f") for id_ in ("a", "b", "unsigned")] == ["of a", ["of b"], None]
    assert shelf.asked == 1, "once for the whole conversation"
    assert there.recaller(call)("a", "f") == "of a"
    assert shelf.asked == 1, "what is remembered is not asked for"
    other = replace(call, shelf=OneShelf("bob"))
    assert there.recaller(other)("a", "f") is None, "nobody else's"
