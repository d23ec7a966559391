"""Values of another type, anywhere in a request: a 400 that names the field, and never our 500.

SDKs try again after a 500, and nobody else is asked. The known slips stand in a table; the fuzz
puts values of every kind in the place of every field at every depth, for every dialect.
"""

import copy
import json
import random
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import product
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter import tokens
from solrouter.blueprints.api import bodies, schemas
from solrouter.chat import ChatRequest
from solrouter.clock import monotonic_s
from solrouter.errors import BadRequest, SolRouterError
from solrouter.interruptions import Wait
from solrouter.providers import support
from solrouter.providers.errors import UpstreamRefused
from solrouter.services import completions, keys
from tests.edge.test_chat import HELLO, balance, newest, post
from tests.factories import Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream
from tests.providers.calls import make_call

DIALECTS = ("openai", "anthropic", "google")
PATHS = ("/v1/chat/completions", "/v1/estimate")
UNWRITTEN = "could not be written"
SEED, BODIES, SECONDS_MAX = 20, 540, 10.0

FUNCTION = {
    "type": "function",
    "function": {"name": "f", "parameters": {"type": "object", "properties": {}}},
}
CUSTOM = {"type": "custom", "custom": {"name": "g", "description": "Free text."}}
CALLED = {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}
RESULT = {"role": "tool", "tool_call_id": "a", "content": "42"}
PNG = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}


def said(*parts: Any, role: str = "user", **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": role, "content": list(parts), **more}]}


def chosen(choice: Any) -> dict[str, Any]:
    return {"messages": HELLO, "tools": [FUNCTION], "tool_choice": choice}


def told(tool: Any) -> dict[str, Any]:
    return {"messages": HELLO, "tools": [tool]}


def turned(**more: Any) -> dict[str, Any]:
    """A conversation that goes on from a turn of the assistant."""
    return {"messages": [*HELLO, {"role": "assistant", "content": "Hm", **more}, *HELLO]}


def function(**more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": "f", **more}}


# Each slip, and the field that its refusal names.
SLIPS: dict[str, tuple[dict[str, Any], str]] = {
    "a choice of a name": (
        chosen({"type": "function", "function": "f"}),
        "tool_choice.function.name",
    ),
    "a choice of a custom name": (
        chosen({"type": "custom", "custom": ["f"]}),
        "tool_choice.custom.name",
    ),
    "allowed names": (
        chosen({"type": "allowed_tools", "allowed_tools": {"tools": ["f"]}}),
        "tool_choice.allowed_tools.tools[0]",
    ),
    "an allowed number": (
        chosen({"type": "allowed_tools", "allowed_tools": 5}),
        "tool_choice.allowed_tools",
    ),
    "allowed tools that are none": (
        chosen({"type": "allowed_tools", "allowed_tools": {"tools": 5}}),
        "tool_choice.allowed_tools.tools",
    ),
    "an allowed function of no name": (
        chosen({"type": "allowed_tools", "allowed_tools": {"tools": [{"function": 5}]}}),
        "tool_choice.allowed_tools.tools[0].function.name",
    ),
    "parameters of text": (told(function(parameters="x")), "tools[0].function.parameters"),
    "parameters in a list": (told(function(parameters=[1])), "tools[0].function.parameters"),
    "parameters of true": (told(function(parameters=True)), "tools[0].function.parameters"),
    "a custom tool's function": (told({**CUSTOM, "function": 5}), "tools[0].function.name"),
    "a tool's hint": (
        told({**FUNCTION, "cache_control": {"ttl": []}}),
        "tools[0].cache_control.ttl",
    ),
    "an address of no host": (
        said({"type": "image_url", "image_url": {"url": "http://[x"}}),
        "messages[0].content[0].image_url.url",
    ),
    "a file of no host": (
        said({"type": "file", "file": {"file_data": "https://[x"}}),
        "messages[0].content[0].file.file_data",
    ),
    "a sound's format": (
        said({"type": "input_audio", "input_audio": {"data": "AAAA", "format": []}}),
        "messages[0].content[0].input_audio.format",
    ),
    "details that are a number": (
        turned(reasoning_details=5),
        "messages[1].reasoning_details",
    ),
    "a call of two kinds": (
        turned(tool_calls=[{"id": "a", "function": 5, "custom": {"name": "f"}}]),
        "messages[1].tool_calls[0].function.name",
    ),
    "a call's input": (
        turned(tool_calls=[{"id": "a", "type": "custom", "custom": {"name": "f", "input": 5}}]),
        "messages[1].tool_calls[0].custom.input",
    ),
    "a refusal that is a number": (
        {"messages": [*HELLO, {"role": "assistant", "content": "x", "refusal": 5}]},
        "messages[1].refusal",
    ),
    "a text beside a refusal": (
        said({"type": "refusal", "refusal": "x", "text": 5}, role="assistant"),
        "messages[0].content[0].text",
    ),
    "a part's hint": (
        said({"type": "text", "text": "x", "cache_control": {"ttl": []}}),
        "messages[0].content[0].cache_control.ttl",
    ),
    "a message's hint": (
        said({"type": "text", "text": "x"}, cache_control=5),
        "messages[0].cache_control",
    ),
    "a name": (said({"type": "text", "text": "x"}, name={}), "messages[0].name"),
}


@pytest.mark.parametrize(("body", "param"), SLIPS.values(), ids=SLIPS)
def test_a_slip_is_refused_by_its_name(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as refused:
        schemas.parse_chat({"model": "a/b", **body}, messages_max=10)
    assert refused.value.param == param


def offer_of(app: Flask, upstream: FakeUpstream, kind: str, **terms: Any) -> str:
    url = upstream.url if kind == "openai" else upstream.origin
    return make_offer(app, url, provider=f"a-{kind}", kind=kind, **terms)


def test_a_text_that_is_no_base64_is_refused_by_its_part(
    app: Flask, client: FlaskClient, alice: Person, upstream: FakeUpstream
) -> None:
    offered = offer_of(app, upstream, "anthropic")
    file = {"type": "file", "file": {"file_data": "data:text/plain;base64,é"}}
    answer = post(client, alice, offered, **said(file))
    error = answer.json["error"]
    assert (answer.status_code, error["param"]) == (400, "messages[0].content[0]")
    assert upstream.requests == 0


UNTHOUGHT_OF = {"messages": HELLO, "tools": [function(parameters="x")]}


@pytest.mark.parametrize("choices", [1, 2])
def test_what_no_check_thought_of_is_a_refusal(
    app: Flask, alice: Person, upstream: FakeUpstream, choices: int
) -> None:
    """A request that no check has seen, to a dialect whose writer stumbles over it."""
    offered = offer_of(app, upstream, "anthropic")
    request = request_of(offered, choices)
    with app.app_context():
        principal = keys.authenticate(alice.key_text)
        for attempt in (
            lambda: completions.estimate(principal, request),
            lambda: completions.start(principal, request, Wait()),
        ):
            with pytest.raises(BadRequest):
                attempt()
    assert upstream.requests == 0
    assert newest(app, alice).outcome == "failed"
    assert balance(app, alice).held_nanos == 0


def test_what_one_writer_stumbles_over_another_may_say(
    app: Flask, alice: Person, upstream: FakeUpstream
) -> None:
    offered = offer_of(app, upstream, "anthropic", input_usd="0.1", output_usd="0.1")
    offer_of(app, upstream, "openai", model=offered)
    upstream.answers(text="Hi", usage=(10, 1))
    order = {"order": ["a-anthropic", "a-openai"]}
    request = request_of(offered, 1, provider=order)
    with app.app_context():
        principal = keys.authenticate(alice.key_text)
        estimate = completions.estimate(principal, request)
        assert [c.offer.provider_slug for c in estimate.candidates] == ["a-openai"]
        assert [s.why for s in estimate.skipped] == ["cannot say the request"]
        completion = completions.start(principal, request, Wait())
        [answer] = [told for told in completion.answer() if told is not None]
        completion.close()
    assert answer["choices"][0]["message"]["content"] == "Hi"


def request_of(model: str, choices: int, **more: Any) -> ChatRequest:
    body = {"model": model, "messages": HELLO, "n": choices, **more}
    parsed = schemas.parse_chat(body, messages_max=1)
    return replace(parsed, body={**parsed.body, **UNTHOUGHT_OF})


# What is replaced: requests that every dialect can say, or has to refuse in its own words.
WHOLE: tuple[dict[str, Any], ...] = (
    said({"type": "text", "text": "x", "cache_control": {"type": "ephemeral", "ttl": "5m"}}, PNG),
    said({"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}),
    said({"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}),
    said({"type": "file", "file": {"file_data": "data:text/plain;base64,eA==", "filename": "a"}}),
    said({"type": "text", "text": "x"}, role="system", name="me", cache_control={"ttl": "1h"}),
    turned(
        tool_calls=[CALLED, {"id": "b", "type": "custom", "custom": {"name": "g", "input": "x"}}],
        reasoning_details=[
            {"type": "reasoning.text", "text": "x", "signature": "x", "index": 0,
             "format": "anthropic-claude-v1"},
            {"type": "reasoning.encrypted", "data": "x", "id": "a", "format": "google-gemini-v1"},
        ],
    ),
    {"messages": [*HELLO, {"role": "assistant", "tool_calls": [CALLED]}, RESULT]},
    {"messages": [
        *HELLO,
        {"role": "assistant", "content": [], "refusal": "x",
         "tool_calls": [{**CALLED, "extra_content": {"google": {"thought_signature": "x"}}}]},
        {**RESULT, "content": [{"type": "text", "text": "x"}, PNG]},
    ]},
    {"messages": [*HELLO, {"role": "assistant", "content": "x", "refusal": "no"}]},
    {"messages": [*HELLO, {"role": "assistant", "function_call": {"name": "f", "arguments": "{}"}},
                  {"role": "function", "name": "f", "content": "x"}]},
    said({"type": "refusal", "refusal": "x"}, role="assistant", audio={"id": "x"}),
    {"messages": HELLO, "tools": [{**FUNCTION, "cache_control": {"ttl": "1h"}}, CUSTOM],
     "parallel_tool_calls": False},
    told(function(strict=True, description="x", parameters={
        "type": "object", "properties": {"a": {"type": "string", "minLength": 1}},
        "required": ["a"], "$defs": {"b": {"const": 1}}})),
    chosen({"type": "function", "function": {"name": "f"}}),
    {**chosen({"type": "custom", "custom": {"name": "g"}}), "tools": [CUSTOM]},
    chosen({"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": [FUNCTION]}}),
    {"messages": HELLO, "functions": [{"name": "f"}], "function_call": {"name": "f"}},
    {"messages": HELLO, "response_format": {"type": "json_schema", "json_schema": {
        "name": "a", "strict": True, "schema": {"type": "object", "oneOf": [{"const": 1}],
                                                "properties": {"a": {"$ref": "#/$defs/b"}}}}}},
    {"messages": HELLO, "response_format": {"type": "json_object"}},
    {"messages": HELLO, "reasoning": {"effort": "low", "max_tokens": 2000, "exclude": True,
                                      "enabled": True}, "max_tokens": 4000},
    {"messages": HELLO, "reasoning_effort": "low", "verbosity": "low", "seed": 1, "user": "x",
     "safety_identifier": "x", "prompt_cache_key": "x", "metadata": {"a": "b"}, "top_k": 1},
    {"messages": HELLO, "temperature": 1, "top_p": 0.5, "stop": ["x"], "logit_bias": {"1": 1},
     "logprobs": True, "top_logprobs": 1, "frequency_penalty": 1, "presence_penalty": 1, "n": 2},
    {"messages": HELLO, "max_completion_tokens": 5, "max_tokens": 5, "store": False, "audio": None,
     "modalities": ["text"], "service_tier": "auto", "plugins": [], "transforms": []},
    {"model": "acme/openai", "messages": HELLO},
    {"messages": HELLO, "stream": True, "stream_options": {"include_usage": True},
     "usage": {"include": True}},
    {"messages": HELLO, "models": ["acme/openai"], "route": "fallback", "max_cost": "1",
     "strict": False, "unheard_of": {"a": [1]}, "provider": {
         "order": ["a-openai"], "only": ["a-openai", "a-anthropic", "a-google"], "ignore": ["x"],
         "allow_fallbacks": True, "sort": {"by": "price"}, "max_price": {"prompt": "100"},
         "require_parameters": False, "data_collection": "allow", "zdr": False}},
)  # fmt: skip


def nested(depth: int) -> Any:
    value: Any = "x"
    for level in range(depth):
        value = [value] if level % 2 else {"a": value}
    return value


WRONG: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 5, 1.5, 1e300, 2**63, 2**64, 10**30),
    *("", "x", "\x00", "http://[x", "https://é[", "data:text/plain;base64,é", "data:,"),
    *("x" * 50_000, "{}", "[", "auto"),
    *([], [None], [1], ["x"], [[]], [{}], [{"type": "text"}], ["x"] * 600),
    *({}, {"": None}, {"x": 1}, {"type": []}, {"type": {}}, {"name": 5}, {"function": 5}),
    *({"type": "function"}, {"tools": ["f"]}, {"ttl": []}, {"text": 5}, {"format": []}),
    *(nested(20), nested(60), nested(80)),
)


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in a body, at every depth."""
    inner: Any = ()
    if isinstance(value, dict):
        inner = value.items()
    elif isinstance(value, list):
        inner = enumerate(value)
    for key, child in inner:
        yield (*path, key)
        yield from places(child, (*path, key))


def with_wrong(body: dict[str, Any], path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    body = copy.deepcopy(body)
    holder: Any = body
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    return body


def slips() -> list[tuple[dict[str, Any], tuple[Any, ...], Any]]:
    """Every body with every place in it and every value to put there."""
    return [(body, path, value) for body in WHOLE for path in places(body) for value in WRONG]


def test_no_value_in_any_place_is_a_fault_of_ours(
    app: Flask, caplog: pytest.LogCaptureFixture
) -> None:
    alice = make_person(app, "alice@example.com", credit="500.00", plan="unlimited")
    client, offered = app.test_client(), {}
    with ExitStack() as stack:
        for kind in DIALECTS:
            upstream = stack.enter_context(FakeUpstream(strict=False))
            upstream.answers(text="Hi", usage=(1, 1))
            offered[kind] = offer_of(app, upstream, kind, model=f"acme/{kind}")
        for slip in random.Random(SEED).sample(slips(), BODIES):
            body = with_wrong(*slip)
            for kind, path in product(DIALECTS, PATHS):
                data = json.dumps({"model": offered[kind], **body})
                began_s = monotonic_s()
                answer = client.post(
                    path, data=data, headers=alice.bearer, content_type="application/json"
                )
                facts = (kind, path, data[:1000], answer.get_data()[:1000])
                assert answer.status_code < 500, facts
                assert b"internal_error" not in answer.get_data(), facts
                assert monotonic_s() - began_s < SECONDS_MAX, facts
    assert balance(app, alice).held_nanos == 0
    assert UNWRITTEN not in caplog.text, "what is caught by the net wants a check of its own"


def test_what_passes_the_checks_can_be_written() -> None:
    """All of them, without a line between: what is no refusal raises."""
    for slip in slips():
        body = json.dumps({"model": "acme/model", **with_wrong(*slip)}).encode()
        try:
            request = schemas.parse_chat(bodies.json_object(body), messages_max=100)
        except SolRouterError:
            continue
        tokens.count_prompt({**request.body, **request.unknown})
        call = replace(make_call(), request=request)
        for kind in DIALECTS:
            with suppress(UpstreamRefused):
                support.warnings_of(kind, call)
