"""What is kept of a prompt and its answer: bounded, and honest about what is not there."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solrouter.services.excerpts import (
    CONTENT_BYTES_MAX,
    LEFT_OUT,
    TEXT_CHARACTERS_MAX,
    fitted,
)

ANSWER = {"choices": [{"message": {"role": "assistant", "content": "Forty-two."}}]}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(max_size=40),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=20,
)


def kept(request: dict[str, Any], answer: dict[str, Any] | None = ANSWER) -> dict[str, Any]:
    dumped = fitted(request, answer)
    assert len(dumped) <= CONTENT_BYTES_MAX
    content: dict[str, Any] = orjson.loads(dumped)
    return content


def said(*texts: str) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": text} for text in texts]}


@given(st.dictionaries(st.text(max_size=9), JSON), JSON)
def test_what_is_small_is_kept_as_it_is(request: dict[str, Any], answer: Any) -> None:
    assert kept({"body": request}, {"choices": answer}) == {
        "request": {"body": request},
        "answer": {"choices": answer},
    }


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 5000}},
        {"type": "input_audio", "input_audio": {"data": "A" * 5000, "format": "wav"}},
        {"type": "file", "file": {"file_data": "A" * 5000, "filename": "a.pdf"}},
    ],
    ids=["picture", "sound", "file"],
)
def test_bytes_are_not_kept(part: dict[str, Any]) -> None:
    content = kept({"messages": [{"role": "user", "content": [part]}]})
    told = str(content["request"])
    assert "AAAA" not in told and "not kept" in told


def test_a_picture_elsewhere_is_kept_by_its_address() -> None:
    part = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    assert part in kept({"messages": [{"content": [part]}]})["request"]["messages"][0]["content"]


def test_a_long_text_is_cut_and_says_so() -> None:
    [message] = kept(said("é" * (TEXT_CHARACTERS_MAX + 7)))["request"]["messages"]
    assert message["content"].endswith("… [7 more characters, not kept]")


def test_of_too_many_messages_the_oldest_but_the_first_go() -> None:
    texts = [f"{number} " + "x" * 9000 for number in range(100)]
    content = kept(said(*texts))
    shown = [message["content"] for message in content["request"]["messages"]]
    gone = content[LEFT_OUT]
    assert 0 < gone < 99 and shown == [texts[0], *texts[gone + 1 :]]
    # No more than had to.
    assert len(fitted(said(texts[0], *texts[gone:]), ANSWER)) <= CONTENT_BYTES_MAX
    assert kept(said(texts[0], *texts[gone:])).get(LEFT_OUT) == 1


@pytest.mark.parametrize(
    "request_",
    [
        {"tools": [{"description": "\u0001" * 60_000}] * 40, **said("hello")},
        said(*["\u0001" * 60_000] * 2),
        {f"field {number}": "x" * 60 for number in range(20_000)},
        {"messages": "\u0001" * 900_000},
    ],
    ids=["tools", "messages that cannot go", "many fields", "no list"],
)
def test_however_large_it_fits(request_: dict[str, Any]) -> None:
    kept(request_)


def test_depth_ends() -> None:
    deep: Any = "bottom"
    for _ in range(200):
        deep = [deep]
    assert "bottom" not in str(kept({"deep": deep}))
