"""Real answers are what /openapi.json says of them, field by field."""

from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.test import TestResponse

from solrouter.blueprints.openapi.operations import OPERATIONS, Operation
from solrouter.services import keys, rotations
from solrouter.services.key_rules import MANAGE, SCOPES
from tests.edge.test_chat import HELLO, chunks, post
from tests.edge.test_keys_api import key_with
from tests.factories import Person, make_offer
from tests.fakes.upstream import FakeUpstream
from tests.openapi import complaints, told

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
        pieces = chunks(post(client, alice, offered, stream=True, **asked, **options))
        assert len(pieces) > 2
        for chunk in pieces:
            fits("ChatCompletionChunk", chunk)


def test_a_stream_that_ends_with_an_error(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams("One", " two", cut_after_events=2, counting="content")
    pieces = chunks(post(client, alice, offered, stream=True))
    assert pieces[-1]["error"]
    for chunk in pieces:
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
    fits("CurrentKey", client.get("/v1/key", headers=alice.bearer).json)
    with app.app_context():
        more = {"limit_nanos": 5_000_000_000, "resets": "daily"}
        key = keys.create(alice.account_id, user_id=alice.user_id, name="Limited", **more)
    limited = client.get("/v1/key", headers={"Authorization": f"Bearer {key.text}"}).json
    assert limited["data"]["limit_reset"] == "daily"
    fits("CurrentKey", limited)
    finished = post(client, alice, offered).headers["X-Generation-Id"]
    upstream.streams("One", cut_after_events=1, counting="content")
    failed = chunks(post(client, alice, offered, stream=True))[0]["id"]
    for identifier in (finished, failed):
        receipt = client.get(f"/v1/generation?id={identifier}", headers=alice.bearer)
        fits("Generation", receipt.json)
    fits("Generation", {"data": {"id": finished, "status": "pending"}})


RULED = {
    "name": "website",
    "limit": "2.5",
    "limit_reset": "weekly",
    "include_byok_in_limit": False,
    "expires_at": "2099-01-31T01:00:00+01:00",
    "scopes": ["inference", "read"],
    "models_allowed": ["acme/*", "free"],
    "networks_allowed": ["127.0.0.1"],
    "requests_per_minute": 60,
    "tokens_per_minute": 100_000,
    "concurrency": 4,
}


def answered(method: str, path: str, answer: TestResponse) -> Any:
    """The answer, once it is what the document says of this operation."""
    operation = told()["paths"][path][method]
    content = operation["responses"][str(answer.status_code)]["content"]
    fits(content[answer.mimetype]["schema"]["$ref"].rpartition("/")[2], answer.json)
    return answer.json


def test_keys(app: Flask, client: FlaskClient, alice: Person, offered: str) -> None:
    manager = key_with(app, alice, MANAGE)
    fits("CurrentKey", client.get("/v1/key", headers=manager).json)
    assert complaints("KeyCreation", RULED) == []
    made = answered("post", "/keys", client.post("/v1/keys", json=RULED, headers=manager))
    post(client, replace(alice, key_text=made["key"]), offered)
    address = f"/v1/keys/{made['data']['hash']}"
    change = {"limit": 7, "models_allowed": None, "expires_at": None, "disabled": True}
    assert complaints("KeyChange", change) == []
    changed = client.patch(address, json=change, headers=manager)
    assert answered("patch", "/keys/{hash}", changed)["data"]["status"] == "disabled"
    turn = {"overlap_s": 3600}
    assert complaints("KeyRotation", turn) == []
    for body in ({"json": turn}, {}):
        rotated = client.post(f"{address}/rotate", headers=manager, **body)
        answered("post", "/keys/{hash}/rotate", rotated)
    one = answered("get", "/keys/{hash}", client.get(address, headers=manager))
    assert len(one["data"]["former_secrets"]) == 2
    listed = client.get("/v1/keys?include_disabled=true", headers=manager)
    assert answered("get", "/keys", listed)["total_count"] == 3
    answered("delete", "/keys/{hash}", client.delete(address, headers=manager))


def test_refusals_of_keys(app: Flask, client: FlaskClient, alice: Person) -> None:
    manager = key_with(app, alice, MANAGE)
    twice = {**manager, "Idempotency-Key": "order"}
    made = client.post("/v1/keys", json={"name": "website"}, headers=twice).json["data"]
    own = client.get("/v1/key", headers=manager).json["data"]["hash"]
    address = f"/v1/keys/{made['hash']}/rotate"
    client.post(address, headers=twice)
    refused = [
        ("get", "/keys", client.get("/v1/keys?offset=x", headers=manager)),
        ("get", "/keys", client.get("/v1/keys")),
        ("post", "/keys", client.post("/v1/keys", json={"name": "other"}, headers=twice)),
        ("post", "/keys", client.post("/v1/keys", json={}, headers=manager)),
        ("post", "/keys", client.post("/v1/keys", data="x", headers=manager, mimetype="a/b")),
        ("get", "/keys/{hash}", client.get("/v1/keys/key_0", headers=manager)),
        ("patch", "/keys/{hash}", client.patch("/v1/keys/key_0", json={}, headers=manager)),
        ("patch", "/keys/{hash}", client.patch(f"/v1/keys/{own}", json={}, headers=manager)),
        ("delete", "/keys/{hash}", client.delete("/v1/keys/key_0", headers=manager)),
        ("delete", "/keys/{hash}", client.delete(f"/v1/keys/{own}", headers=manager)),
        ("post", "/keys/{hash}/rotate", client.post("/v1/keys/key_0/rotate", headers=manager)),
        ("post", "/keys/{hash}/rotate", client.post(address, json={}, headers=twice)),
    ]
    statuses = [answer.status_code for _, _, answer in refused]
    assert statuses == [400, 401, 409, 400, 415, 404, 404, 403, 404, 403, 404, 409]
    for method, path, answer in refused:
        assert str(answer.status_code) in told()["paths"][path][method]["responses"]
        fits(f"Error{answer.status_code}", answer.json)


@pytest.mark.parametrize(
    "body", [{"overlap_s": -1}, {"overlap_s": rotations.OVERLAP_S_MAX + 1}, {"overlap": 1}], ids=str
)
def test_a_rotation_is_described_as_it_is_checked(
    app: Flask, client: FlaskClient, alice: Person, body: dict[str, Any]
) -> None:
    manager = key_with(app, alice, MANAGE)
    with app.app_context():
        key = keys.create(alice.account_id, user_id=alice.user_id, name="website").key
    assert complaints("KeyRotation", body)
    refused = client.post(f"/v1/keys/{key.public_id}/rotate", json=body, headers=manager)
    assert refused.status_code == 400
    fits("Error400", refused.json)
    nothing = {"overlap_s": None}
    assert complaints("KeyRotation", nothing) == []
    rotated = client.post(f"/v1/keys/{key.public_id}/rotate", json=nothing, headers=manager)
    assert rotated.status_code == 200


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_a_key_needs_one_of_the_scopes_that_are_described(
    app: Flask, client: FlaskClient, alice: Person, offered: str, operation: Operation
) -> None:
    path = operation.path.format(author="acme", name="tiny", hash="key_0")
    described = told()["paths"][operation.path][operation.method].get("security", [{}])
    needed = {scope for way in described for roles in way.values() for scope in roles}
    for scope in SCOPES:
        answer = client.open(
            f"/v1{path}",
            method=operation.method.upper(),
            json={"model": offered, "messages": HELLO} if operation.body else None,
            headers=key_with(app, alice, scope, name=scope),
        )
        lacks = answer.status_code == 403 and answer.json["error"]["code"] == "scope_required"
        assert lacks is (bool(needed) and scope not in needed), scope


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
