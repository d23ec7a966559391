"""Real answers are what /openapi.json says of them, field by field."""

from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from solrouter.services import keys
from tests.edge.test_chat import HELLO, chunks, post
from tests.factories import Person, make_offer
from tests.fakes.upstream import FakeUpstream
from tests.openapi import complaints

CALL = {"id": "call_1", "name": "f", "arguments": '{"a": 1}'}
TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}]


def fits(name: str, value: Any) -> None:
    assert complaints(name, value, is_closed=True) == []


def test_the_document_is_served_with_this_servers_address(client: FlaskClient) -> None:
    answer = client.get("/openapi.json", base_url="https://router.example")
    assert answer.mimetype == "application/json"
    assert answer.json["servers"] == [{"url": "https://router.example/v1"}]
    OpenAPIV31SpecValidator(answer.json).validate()
    again = client.get(
        "/openapi.json",
        base_url="https://router.example",
        headers={"If-None-Match": answer.headers["ETag"]},
    )
    assert again.status_code == 304


@pytest.mark.parametrize(
    "says",
    [
        {"text": "Hi"},
        {"text": "Hi", "reasoning": "hm", "logprobs": True},
        {"tool_calls": [CALL], "reasoning": "hm"},
        {"text": "Hi", "finish_reason": "content_filter"},
    ],
    ids=["text", "reasoning", "tools", "filtered"],
)
def test_answers_of_chats(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream, says: dict[str, Any]
) -> None:
    upstream.answers(**says)
    asked = {"tools": TOOLS, "n": 2, "provider": {"unheard_of": 1}}
    request = {"model": offered, "messages": HELLO, **asked}
    assert complaints("ChatCompletionRequest", request) == []
    whole = post(client, alice, offered, **asked)
    assert whole.json["warnings"]
    fits("ChatCompletion", whole.json)
    for options in ({}, {"stream_options": {"include_usage": True}}):
        told = chunks(post(client, alice, offered, stream=True, **asked, **options))
        assert len(told) > 2
        for chunk in told:
            fits("ChatCompletionChunk", chunk)


def test_a_stream_that_ends_with_an_error(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams("One", " two", cut_after_events=2, counting="content")
    told = chunks(post(client, alice, offered, stream=True))
    assert told[-1]["error"]
    for chunk in told:
        fits("ChatCompletionChunk", chunk)


@pytest.mark.parametrize("kind", ["anthropic", "google"])
def test_answers_of_the_other_dialects(
    app: Flask, client: FlaskClient, alice: Person, upstream: FakeUpstream, kind: str
) -> None:
    model = make_offer(app, upstream.origin, model="acme/other", provider=f"my-{kind}", kind=kind)
    upstream.answers(tool_calls=[CALL], reasoning="hm")
    fits("ChatCompletion", post(client, alice, model, tools=TOOLS).json)
    for chunk in chunks(post(client, alice, model, tools=TOOLS, stream=True)):
        fits("ChatCompletionChunk", chunk)


def test_models(client: FlaskClient, offered: str, alice: Person) -> None:
    fits("ModelList", client.get("/v1/models").json)
    fits("ModelList", client.get("/v1/models?limit=2&sort=newest").json)
    fits("Model", client.get(f"/v1/models/{offered}").json)
    post(client, alice, offered)
    fits("ModelEndpoints", client.get(f"/v1/models/{offered}/endpoints").json)
    everything = client.get("/v1/models").json["data"]
    tiered = [model["id"] for model in everything if "overrides" in model["pricing"]]
    assert tiered, "some prices depend on the size or the hour"
    for identifier in tiered:
        fits("ModelEndpoints", client.get(f"/v1/models/{identifier}/endpoints").json)


def test_account_and_receipts(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    fits("Credits", client.get("/v1/credits", headers=alice.bearer).json)
    fits("Key", client.get("/v1/key", headers=alice.bearer).json)
    with app.app_context():
        more = {"limit_nanos": 5_000_000_000, "resets": "daily"}
        key = keys.create(alice.account_id, user_id=alice.user_id, name="Limited", **more)
    limited = client.get("/v1/key", headers={"Authorization": f"Bearer {key.text}"}).json
    assert limited["data"]["limit_reset"] == "daily"
    fits("Key", limited)
    finished = post(client, alice, offered).headers["X-Generation-Id"]
    upstream.streams("One", cut_after_events=1, counting="content")
    failed = chunks(post(client, alice, offered, stream=True))[0]["id"]
    for identifier in (finished, failed):
        receipt = client.get(f"/v1/generation?id={identifier}", headers=alice.bearer)
        fits("Generation", receipt.json)
    fits("Generation", {"data": {"id": finished, "status": "pending"}})


def test_estimates(client: FlaskClient, alice: Person, offered: str) -> None:
    body = {"model": offered, "messages": HELLO, "provider": {"ignore": ["nobody"]}}
    answer = client.post("/v1/estimate", json=body, headers=alice.bearer)
    fits("Estimate", answer.json)


def test_errors(
    client: FlaskClient, alice: Person, bob: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(status=500)
    answers = [
        post(client, alice, offered, temperature=9),
        post(client, alice, "no/such"),
        client.get("/v1/credits"),
        post(client, bob, offered),
        client.get("/v1/models/no/such"),
        client.get("/v1/models?sort=x"),
        client.get("/v1/nowhere"),
        client.put("/v1/models"),
        client.post("/v1/chat/completions", data="x", headers=alice.bearer, mimetype="text/plain"),
        post(client, alice, offered),
    ]
    statuses = [answer.status_code for answer in answers]
    assert statuses == [400, 400, 401, 402, 404, 400, 404, 405, 415, 502]
    for answer in answers:
        fits(f"Error{answer.status_code}", answer.json)
