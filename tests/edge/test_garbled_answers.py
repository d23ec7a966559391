"""Providers that send what no answer is made of: it is settled, and never a fault of ours."""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.blueprints.api import schemas
from solrouter.clock import monotonic_s
from solrouter.interruptions import Wait
from solrouter.services import admission, catalogue, health, keys
from solrouter.services.billing import Balance
from solrouter.services.completions import Completion, planning
from solrouter.services.completions.tally import Tally
from tests.edge.test_chat import HELLO, balance, chunks, newest, post
from tests.factories import Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream

ARGUMENTS = "{}"
WHOLE_FINISH = {"index": 0, "finish_reason": "tool_calls"}
UNNAMED: dict[str, tuple[str, dict[str, Any]]] = {
    "a number for a name": (
        "openai",
        {"tool_calls": [{"id": "a", "function": {"name": 5, "arguments": ARGUMENTS}}]},
    ),
    "an object for an input": (
        "openai",
        {"tool_calls": [{"id": "a", "type": "custom", "custom": {"name": "f", "input": {"x": 1}}}]},
    ),
    "a number beside a custom call": (
        "openai",
        {"tool_calls": [{"id": "a", "function": 0, "custom": {"name": ["f"], "input": "x"}}]},
    ),
    "gemini": ("google", {"functionCall": {"name": 5, "args": {}}}),
    "anthropic": ("anthropic", {"type": "tool_use", "id": "a", "name": 6, "input": {}}),
}


def whole(kind: str, said: dict[str, Any]) -> dict[str, Any]:
    """An answer in one piece that holds this and tells no usage."""
    if kind == "openai":
        return {"id": "c", "choices": [{**WHOLE_FINISH, "message": {"content": None, **said}}]}
    if kind == "google":
        candidate = {"content": {"role": "model", "parts": [said]}, "finishReason": "STOP"}
        return {"candidates": [candidate]}
    return {"id": "m", "type": "message", "content": [said], "stop_reason": "tool_use"}


def streamed(kind: str, said: dict[str, Any]) -> list[dict[str, Any] | str]:
    """The same as events."""
    if kind == "openai":
        calls = [{"index": 0, **call} for call in said["tool_calls"]]
        begun = {"index": 0, "delta": {"tool_calls": calls}, "finish_reason": None}
        return [{"choices": [begun]}, {"choices": [{**WHOLE_FINISH, "delta": {}}]}, "[DONE]"]
    if kind == "google":
        return [whole(kind, said)]
    return [
        {"type": "message_start", "message": {"id": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": said},
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "tool_use"}},
        {"type": "message_stop"},
    ]


def offer_of(app: Flask, upstream: FakeUpstream, kind: str, **terms: Any) -> str:
    url = upstream.url if kind == "openai" else upstream.origin
    return make_offer(app, url, provider=f"a-{kind}", kind=kind, **terms)


@pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
@pytest.mark.parametrize(("kind", "said"), UNNAMED.values(), ids=UNNAMED)
def test_a_call_whose_name_is_no_text_is_settled(
    app: Flask, client: FlaskClient, alice: Person, upstream: FakeUpstream,
    kind: str, said: dict[str, Any], stream: bool,
) -> None:  # fmt: skip
    offered = offer_of(app, upstream, kind)
    upstream.answers(
        **({"events": streamed(kind, said)} if stream else {"body": whole(kind, said)})
    )
    answer = post(client, alice, offered, stream=stream)
    assert answer.status_code == 200
    last = chunks(answer)[-1] if stream else answer.json
    assert last["choices"][0]["finish_reason"] == "tool_calls"
    receipt = newest(app, alice)
    assert (receipt.outcome, receipt.usage_source) == ("finished", "estimated")
    assert balance(app, alice).held_nanos == 0


@pytest.mark.parametrize("leaves", [True, False], ids=["left", "read"])
def test_what_cannot_be_counted_is_settled_as_nothing(
    app: Flask, alice: Person, upstream: FakeUpstream, caplog: pytest.LogCaptureFixture,
    leaves: bool,
) -> None:  # fmt: skip
    offered = offer_of(app, upstream, "openai")
    upstream.streams("Hel", "lo", usage_mode="none")
    with app.app_context():
        body = {"model": offered, "messages": HELLO, "stream": True}
        request = schemas.parse_chat(body, messages_max=1)
        principal = keys.authenticate(alice.key_text)
        plan = planning.plan(catalogue.fresh(), principal, request)
        admitted = admission.admit(plan.ask_for(plan.candidates[0]))
        uncountable: list[Any] = [5]
        tally = Tally(monotonic_s(), texts=uncountable)
        completion = Completion(plan, request, admitted, Wait(), tally, quiet_s=None)
        completion.begin()
        said: Iterator[Any] = completion.chunks()
        next(said)
        if not leaves:
            assert list(said)[-1]["usage"]["completion_tokens"] == 0
        completion.close()
    receipt = newest(app, alice)
    assert receipt.outcome == ("cancelled" if leaves else "finished")
    assert (receipt.usage_source, receipt.charge_nanos) == ("none", 0)
    assert balance(app, alice).held_nanos == 0
    assert "cannot be counted" in caplog.text


def openai_events(delta: dict[str, Any], **choice: Any) -> list[dict[str, Any] | str]:
    begun = {"index": 0, "delta": {"content": "Hi", **delta}, "finish_reason": None, **choice}
    end = {"index": 0, "delta": {}, "finish_reason": "stop"}
    return [{"choices": [begun]}, {"choices": [end]}, "[DONE]"]


def anthropic_events(block: dict[str, Any], delta: dict[str, Any]) -> list[dict[str, Any] | str]:
    return [
        {"type": "message_start", "message": {"id": "m"}},
        {"type": "content_block_start", "index": 0, "content_block": block},
        {"type": "content_block_delta", "index": 0, "delta": delta},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn"}},
        {"type": "message_stop"},
    ]


TEXT_BLOCK = {"type": "text", "text": ""}
GARBAGE: dict[str, tuple[str, list[dict[str, Any] | str]]] = {
    "refusal": ("openai", openai_events({"refusal": ["a"]})),
    "reasoning": ("openai", openai_events({"reasoning_content": 5})),
    "reasoning_details": ("openai", openai_events({"reasoning_details": 5})),
    "images": ("openai", openai_events({"images": 5})),
    "images as text": ("openai", openai_events({"images": "abc"})),
    "annotations": ("openai", openai_events({"annotations": {"a": 1}})),
    "logprobs": ("openai", openai_events({}, logprobs=5)),
    "logprobs within": ("openai", openai_events({}, logprobs={"content": 5})),
    "a block": ("anthropic", anthropic_events({"type": "text", "text": 5}, {})),
    "a text": ("anthropic", anthropic_events(TEXT_BLOCK, {"type": "text_delta", "text": 5})),
    "a thought": (
        "anthropic",
        anthropic_events({"type": "thinking"}, {"type": "thinking_delta", "thinking": [5]}),
    ),
    "arguments": (
        "anthropic",
        anthropic_events(
            {"type": "tool_use", "id": "a", "name": "f"},
            {"type": "input_json_delta", "partial_json": {"x": 1}},
        ),
    ),
}
# A balance that could not hold a long answer, so that even a whole one goes upstream as a stream.
LONG = {"output_usd": "2", "max_output": 50_000}


@pytest.mark.parametrize(("kind", "events"), GARBAGE.values(), ids=GARBAGE)
def test_garbage_in_an_answer_that_is_put_together_is_the_providers_fault(
    app: Flask, client: FlaskClient, upstream: FakeUpstream,
    kind: str, events: list[dict[str, Any] | str],
) -> None:  # fmt: skip
    bob = make_person(app, "bob@example.com", credit="0.15")
    offered = offer_of(app, upstream, kind, **LONG)
    upstream.answers(events=events)
    answer = post(client, bob, offered)
    assert upstream.last.body["stream"], "the balance is scarce"
    assert (answer.status_code, answer.json["error"]["code"]) == (502, "upstream_error")
    receipt = newest(app, bob)
    assert (receipt.outcome, receipt.reason) == ("failed", "upstream_error")
    assert balance(app, bob) == Balance(0, 150_000_000, 0)
    with app.app_context():
        [condition] = health.conditions().values()
    assert condition.error_rate > 0


CALL = {"id": "a", "type": "function", "function": {"name": "f", "arguments": ARGUMENTS}}


@pytest.mark.parametrize("credit", ["5.00", "0.15"], ids=["whole", "put together"])
def test_an_empty_content_beside_calls_is_null(
    app: Flask, client: FlaskClient, upstream: FakeUpstream, credit: str
) -> None:
    bob = make_person(app, "bob@example.com", credit=credit)
    offered = offer_of(app, upstream, "openai", **LONG)
    message = {"role": "assistant", "content": "", "tool_calls": [CALL]}
    whole_answer = {"id": "c", "choices": [{**WHOLE_FINISH, "message": message}]}
    delta = {"role": "assistant", "content": "", "tool_calls": [{"index": 0, **CALL}]}
    begun = {"index": 0, "delta": delta, "finish_reason": None}
    end = {**WHOLE_FINISH, "delta": {}}
    is_streamed = credit == "0.15"
    events = [{"choices": [begun]}, {"choices": [end]}, "[DONE]"]
    upstream.answers(**({"events": events} if is_streamed else {"body": whole_answer}))
    [choice] = post(client, bob, offered).json["choices"]
    assert upstream.last.body.get("stream", False) is is_streamed
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [CALL]


def test_an_empty_block_of_text_beside_a_call_is_null(
    app: Flask, client: FlaskClient, alice: Person, upstream: FakeUpstream
) -> None:
    offered = offer_of(app, upstream, "anthropic")
    use = {"type": "tool_use", "id": "a", "name": "f", "input": {}}
    body = {**whole("anthropic", use), "content": [TEXT_BLOCK, use]}
    upstream.answers(body=body)
    [choice] = post(client, alice, offered).json["choices"]
    assert choice["message"]["content"] is None
    assert choice["message"]["tool_calls"] == [CALL]
