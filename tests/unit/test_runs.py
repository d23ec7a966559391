"""Runs of like events are taken from the bytes; whatever differs is read in full."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solrouter.chat import CHAT_COMPLETION_CHUNK, Chunk, Usage
from solrouter.providers.runs import Template, learn


def event(text: str, *, field: str = "content", **more: object) -> bytes:
    choice = {"index": 0, "delta": {field: text}, "finish_reason": None}
    return json.dumps({"id": "x", "choices": [choice], **more}, ensure_ascii=False).encode()


def chunk(text: str, *, field: str = "content", **more: object) -> Chunk:
    choice = {"index": 0, "delta": {field: text}, "finish_reason": None, **more}
    return Chunk({"object": CHAT_COMPLETION_CHUNK, "choices": [choice]})


def framed(data: bytes, line_end: bytes = b"\n") -> bytes:
    return b"data: " + data + line_end * 2


def template(text: str = "one") -> Template:
    found = learn(framed(event(text)), chunk(text))
    assert found is not None
    return found


def block(*texts: str) -> bytes:
    return b"".join(framed(event(text)) for text in texts)


def taken(whole: bytes) -> tuple[list[bytes], bytes]:
    literals, position = template().take(whole)
    return literals, whole[position:]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_what_is_taken_is_what_was_said(texts: list[str]) -> None:
    literals, rest = taken(block(*texts))
    assert [json.loads(literal) for literal in literals] == texts
    assert rest == b""


@given(st.lists(st.text(), min_size=1, max_size=3), st.data())
def test_a_block_that_is_cut_anywhere_leaves_the_rest(
    texts: list[str], data: st.DataObject
) -> None:
    whole = block(*texts)
    cut = data.draw(st.integers(0, len(whole)))
    literals, rest = taken(whole[:cut])
    said = [json.loads(literal) for literal in literals]
    assert said == texts[: len(said)]
    assert block(*said) + rest == whole[:cut]


@pytest.mark.parametrize(
    "different",
    [
        b'data: {"id": "y", "choices": [{"index": 0, "delta": {"content": "b"}',
        b": ping\n\n",
        b"data: [DONE]\n\n",
        block("b").replace(b'"index": 0', b'"index": 1'),
        block("b").replace(b"null", b'"stop"'),
        block("b").replace(b'"b"', b"7"),
        block("b").replace(b'"b"', b'"\\q"'),
        block("b").replace(b'"b"', b'"\\ud800"'),
        block("b").replace(b'"b"', b'"\x01"'),
        block("b").replace(b'"b"', b'"b", "extra": "c"'),
    ],
)
def test_what_differs_is_left(different: bytes) -> None:
    assert taken(block("a") + different + block("z")) == (
        [b'"a"'],
        different + block("z"),
    )


def test_text_that_is_no_utf8_is_left_to_the_parser() -> None:
    broken = block("b").replace(b'"b"', b'"\xff"')
    assert taken(broken) == ([], broken)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (event("one", note="one"), chunk("one")),
        (event("o/ne").replace(b"/", b"\\/"), chunk("o/ne")),
        (event("one"), chunk("one", finish_reason="stop")),
        (event("one"), chunk("one", logprobs={"content": []})),
        (event("", field="content"), chunk("")),
        (event("one", field="refusal"), chunk("one", field="refusal")),
    ],
)
def test_what_may_not_be_a_template(data: bytes, said: Chunk) -> None:
    assert learn(framed(data), said) is None


def test_an_event_with_usage_is_no_template() -> None:
    said = chunk("one")
    said.usage = Usage(input=1)
    assert learn(framed(event("one")), said) is None


def test_thinking_runs_too_by_either_name() -> None:
    for spelling in ("reasoning", "reasoning_content"):
        said = chunk("hm", field="reasoning_content")
        found = learn(framed(event("hm", field=spelling), b"\r\n"), said)
        assert found is not None
        assert found.field == "reasoning_content"
        assert found.after.endswith(b"\r\n\r\n")


def test_only_what_may_become_such_an_event_is_waited_for() -> None:
    whole = block("a")
    assert all(template().may_begin(whole[:cut]) for cut in range(len(whole)))
    assert not template().may_begin(whole)
    assert not template().may_begin(b"data: [DONE]")
    assert not template().may_begin(b": ping")
    assert not template().may_begin(whole[:-2] + b"x" * 100_000)


def test_an_event_of_another_dialect_runs_too() -> None:
    data = b'{"type":"content_block_delta","index":0,"delta":{"type":"text_delta","text":"%s"}}'
    said = [b"event: content_block_delta\ndata: " + data % word + b"\n\n" for word in (b"a", b"b")]
    found = learn(said[0], chunk("a"))
    assert found is not None
    assert found.take(said[1] * 3) == ([b'"b"'] * 3, 3 * len(said[1]))
