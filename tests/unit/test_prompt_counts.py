"""Counting a prompt: nothing that it says is left out, and it never exceeds the bound."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from solrouter import media_tokens, tokens
from solrouter.blueprints.api.schemas import prompt_bound

WORDS = " apple river seven" * 40
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
values = st.recursive(
    words | st.integers(-9, 9) | st.booleans() | st.none(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
sizes = st.integers(0, 9_000)
parts = st.one_of(
    st.builds(lambda text, more: {"type": "text", "text": text, "more": more}, words, values),
    st.builds(lambda text: {"type": "refusal", "refusal": text}, words),
    st.just({"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}),
    st.builds(lambda n: {"type": "input_audio", "input_audio": {"data": "A" * n}}, sizes),
    st.builds(lambda n: {"type": "file", "file": {"file_data": "A" * n}}, sizes),
    st.just({"type": "file", "file": {"file_id": "file-1"}}),
)  # fmt: skip
messages = st.fixed_dictionaries(
    {"role": st.just("user"), "content": words | st.none() | st.lists(parts, max_size=3)},
    optional={"name": words, "tool_calls": values, "refusal": words, "odd": values},
)
bodies = st.builds(
    lambda told, fields: {**fields, "messages": told},
    st.lists(messages, min_size=1, max_size=3),
    st.dictionaries(
        st.sampled_from(["tools", "functions", "response_format", "user", "odd"]), values
    ),
)


@settings(max_examples=200, deadline=None)
@given(bodies)
def test_a_count_stays_within_the_bound(body: dict[str, Any]) -> None:
    most = tokens.count_prompt(body, media=media_tokens.most)
    assert 0 < tokens.count_prompt(body) <= most <= prompt_bound(body, {})


@settings(max_examples=100, deadline=None)
@given(
    bodies, st.sampled_from(["tools", "functions", "function_call", "response_format", "anything"])
)
def test_a_count_grows_with_every_field(body: dict[str, Any], name: str) -> None:
    grown = {**body, name: {"schema": [body.get(name), WORDS]}}
    assert tokens.count_prompt(grown) >= tokens.count_prompt(body) + 100


@settings(max_examples=100, deadline=None)
@given(bodies, st.sampled_from(["name", "tool_calls", "function_call", "refusal", "anything"]))
def test_a_count_grows_with_all_that_a_message_says(body: dict[str, Any], name: str) -> None:
    first, *others = body["messages"]
    grown = {**body, "messages": [{**first, name: [first.get(name), WORDS]}, *others]}
    assert tokens.count_prompt(grown) >= tokens.count_prompt(body) + 100


@pytest.mark.parametrize(("kind", "name"), [("file", "file_data"), ("input_audio", "data")])
def test_a_count_grows_with_a_file_and_a_sound(kind: str, name: str) -> None:
    def body(size: int) -> dict[str, Any]:
        part = {"type": kind, kind: {name: "A" * size}}
        return {"messages": [{"role": "user", "content": [part]}]}

    for media in (media_tokens.likely, media_tokens.most):
        counts = [tokens.count_prompt(body(size), media=media) for size in (10, 10**5, 10**6)]
        assert counts == sorted(set(counts))


def test_numbers_and_switches_say_nothing() -> None:
    body = {"messages": [{"role": "user", "content": "hello"}]}
    plain = tokens.count_prompt(body)
    assert tokens.count_prompt({**body, "temperature": 0.7, "seed": 7, "logprobs": True}) == plain
