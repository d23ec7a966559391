"""Wherever a stream is torn on its way, the same bytes of content come out, in every dialect."""

from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from solrouter import sse
from solrouter.providers.anthropic.response import AnthropicReader
from solrouter.providers.exchange import Reader
from solrouter.providers.google.response import GoogleReader
from solrouter.providers.openai_compatible.response import OpenAIReader
from tests.fakes.upstream import FakeUpstream
from tests.providers.calls import make_call, play

TEXT = "Grüße, 世界! 👩‍👩‍👧\u2028\u2029\x85 𝄞\r\n\r\ndata: no event\n\nend"
ARGUMENTS = '{"text":"データ 🙂\\u2028\\r\\n"}'
KINDS = pytest.mark.parametrize("kind", ["anthropic", "google", "openai"])
ENDS = pytest.mark.parametrize("line_end", ["\n", "\r\n", "\r"], ids=["lf", "crlf", "cr"])


def reader_for(kind: str) -> Reader:
    if kind == "anthropic":
        return AnthropicReader()
    if kind == "google":
        return GoogleReader()
    return OpenAIReader({})


def events_of(kind: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """A short answer: text that is hard to tear, and a call."""
    if kind == "openai":
        for delta in (
            {"role": "assistant", "content": ""},
            {"reasoning_content": "思"},
            {"content": TEXT},
            {"tool_calls": [{"index": 0, "id": "a", "function": {"name": "f"}}]},
            {"tool_calls": [{"index": 0, "function": {"arguments": ARGUMENTS}}]},
        ):
            yield "", {"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}
        yield "", {"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}
    elif kind == "google":
        call = {"functionCall": {"id": "a", "name": "f", "args": orjson.loads(ARGUMENTS)}}
        for part in ({"text": "思", "thought": True}, {"text": TEXT}, call):
            yield "", {"candidates": [{"content": {"parts": [part]}}]}
        yield "", {"candidates": [{"content": {"parts": []}, "finishReason": "STOP"}]}
    else:
        yield from anthropic_events()


def anthropic_events() -> Iterator[tuple[str, dict[str, Any]]]:
    blocks = [
        ({"type": "thinking", "thinking": ""}, {"type": "thinking_delta", "thinking": "思"}),
        ({"type": "text", "text": ""}, {"type": "text_delta", "text": TEXT}),
        (
            {"type": "tool_use", "id": "a", "name": "f", "input": {}},
            {"type": "input_json_delta", "partial_json": ARGUMENTS},
        ),
    ]
    yield "message_start", {"message": {"id": "m"}}
    for index, (block, delta) in enumerate(blocks):
        yield "content_block_start", {"index": index, "content_block": block}
        yield "content_block_delta", {"index": index, "delta": delta}
        yield "content_block_stop", {"index": index}
    yield "message_delta", {"delta": {"stop_reason": "tool_use"}}
    yield "message_stop", {}


def stream_of(kind: str, line_end: str) -> bytes:
    lines = []
    for name, body in events_of(kind):
        lines += [f"event: {name}"] if name else []
        said = {"type": name, **body} if name else body
        lines += [f"data: {orjson.dumps(said).decode()}", "", ": a comment", ""]
    return "".join(line + line_end for line in lines).encode()


def read(kind: str, pieces: list[bytes]) -> dict[str, str]:
    """Everything that a reader makes of these pieces, joined by what it is."""
    decoder, reader = sse.Decoder(), reader_for(kind)
    events = [event for piece in pieces for event in decoder.feed(piece)] + decoder.end()
    said = {"content": "", "reasoning_content": "", "arguments": "", "finish": ""}
    for event in events:
        for chunk in reader.event(event.name, orjson.loads(event.data)):
            for choice in chunk.payload["choices"]:
                delta = choice["delta"]
                said["content"] += delta.get("content") or ""
                said["reasoning_content"] += delta.get("reasoning_content") or ""
                for call in delta.get("tool_calls", ()):
                    said["arguments"] += call["function"].get("arguments", "")
                said["finish"] += choice["finish_reason"] or ""
    return said


@KINDS
@ENDS
def test_every_split_brings_the_same_bytes(kind: str, line_end: str) -> None:
    whole = stream_of(kind, line_end)
    expected = read(kind, [whole])
    assert expected["content"] == TEXT
    assert expected["reasoning_content"] == "思"
    assert orjson.loads(expected["arguments"]) == orjson.loads(ARGUMENTS)
    assert expected["finish"] == "tool_calls"
    for cut in range(1, len(whole)):
        assert read(kind, [whole[:cut], whole[cut:]]) == expected, f"torn at byte {cut}"


@KINDS
@ENDS
@pytest.mark.parametrize("size", [1, 2, 3, 5, 7, 64])
def test_small_pieces_bring_the_same_bytes(kind: str, line_end: str, size: int) -> None:
    whole = stream_of(kind, line_end)
    pieces = [whole[start : start + size] for start in range(0, len(whole), size)]
    assert read(kind, pieces) == read(kind, [whole])


@KINDS
@pytest.mark.parametrize("crlf", [False, True], ids=["lf", "crlf"])
def test_the_wire_may_tear_it_at_every_byte(upstream: FakeUpstream, kind: str, crlf: bool) -> None:
    upstream.streams(TEXT, "世" * 5, split_bytes=1, crlf=crlf, comments=True)
    url = upstream.url if kind == "openai" else upstream.origin
    outcome = play(kind, make_call(url))
    assert outcome.error is None
    assert outcome.joined() == TEXT + "世" * 5
