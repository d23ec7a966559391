"""GET /v1/models: public, complete, in the keys that clients know."""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.services import catalogue, health
from tests.factories import Person, make_offer
from tests.fakes.upstream import FakeUpstream

DOCUMENT_IDS = [
    "openai/gpt-4o",
    "openai/gpt-4o-mini",
    "anthropic/claude-sonnet-4",
    "anthropic/claude-haiku-3-5",
    "google/gemini-2.5-pro",
    "google/gemini-2.5-flash",
    "meta-llama/llama-4-maverick",
    "deepseek/deepseek-r2",
]


def test_the_list_needs_no_key_and_holds_every_id_of_the_document(client: FlaskClient) -> None:
    body = client.get("/v1/models").json
    assert body["object"] == "list"
    assert body["total_count"] == len(body["data"])
    ids = {model["id"] for model in body["data"]}
    assert ids.issuperset(DOCUMENT_IDS)
    authors = {identifier.partition("/")[0] for identifier in ids}
    assert authors.issuperset(
        ("openai", "anthropic", "google", "meta-llama", "deepseek", "mistralai", "x-ai", "qwen")
    )


@pytest.mark.parametrize("path", ["openai/gpt-4o-mini", "openai%2Fgpt-4o-mini"])
def test_one_model_is_a_bare_object(client: FlaskClient, path: str) -> None:
    model = client.get(f"/v1/models/{path}").json
    assert (model["id"], model["object"]) == ("openai/gpt-4o-mini", "model")
    assert model["context_length"] == 128_000
    assert model["pricing"]["prompt"] == "0.00000015"
    assert model["pricing"]["completion"] == "0.0000006"
    assert model["available"] is False


def test_the_offers_of_a_model_are_listed(client: FlaskClient) -> None:
    data = client.get("/v1/models/openai/gpt-4o-mini/endpoints").json["data"]
    assert data["endpoints"][0]["provider_name"] == "OpenAI"


def test_a_wrong_key_is_a_401_on_a_public_route_too(client: FlaskClient, alice: Person) -> None:
    assert client.get("/v1/models", headers=alice.bearer).status_code == 200
    wrong = {"Authorization": "Bearer sr_nonsense"}
    assert client.get("/v1/models", headers=wrong).status_code == 401


@pytest.mark.parametrize("model", DOCUMENT_IDS)
def test_a_model_without_a_provider_key_says_that_it_is_unavailable(
    client: FlaskClient, alice: Person, model: str
) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "Hi"}]}
    answer = client.post("/v1/chat/completions", json=body, headers=alice.bearer)
    error = answer.json["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        400,
        "model_unavailable",
        "model",
    )


def listed(client: FlaskClient, query: str) -> list[dict[str, Any]]:
    answer = client.get(f"/v1/models?{query}")
    assert answer.status_code == 200, answer.text
    return list(answer.json["data"])


def test_every_model_has_the_keys_of_both_worlds(client: FlaskClient) -> None:
    for model in listed(client, ""):
        assert {
            "id", "object", "created", "owned_by", "name", "canonical_slug", "description",
            "context_length", "architecture", "pricing", "top_provider", "supported_parameters",
            "default_parameters", "per_request_limits", "expiration_date", "hugging_face_id",
            "knowledge_cutoff", "supported_voices", "alias_target", "links",
        } <= set(model)  # fmt: skip
        assert {"prompt", "completion"} <= set(model["pricing"])
        assert all(isinstance(v, str | list) for v in model["pricing"].values())
        assert {"context_length", "max_completion_tokens", "is_moderated"} == set(
            model["top_provider"]
        )
        assert "max_tokens" in model["supported_parameters"]


def test_a_model_is_dated_by_its_release(client: FlaskClient) -> None:
    model = client.get("/v1/models/openai/gpt-4o-mini").json
    assert model["created"] == 1721260800


@pytest.mark.parametrize(
    ("query", "holds"),
    [
        ("q=claude+sonnet", lambda m: "sonnet" in m["id"]),
        ("author=openai", lambda m: m["owned_by"] == "openai"),
        ("model_authors=openai,google", lambda m: m["owned_by"] in ("openai", "google")),
        ("context=1000000", lambda m: m["context_length"] >= 1_000_000),
        (
            "supported_parameters=tools,seed",
            lambda m: {"tools", "seed"} <= set(m["supported_parameters"]),
        ),
        (
            "input_modalities=image&input_modalities=file",
            lambda m: {"image", "file"} <= set(m["architecture"]["input_modalities"]),
        ),
        ("min_price=2", lambda m: float(m["pricing"]["prompt"]) >= 2e-6),
        ("max_price=0.15", lambda m: float(m["pricing"]["prompt"]) <= 0.15e-6),
        ("min_output_price=10", lambda m: float(m["pricing"]["completion"]) >= 10e-6),
        ("max_output_price=0.6", lambda m: float(m["pricing"]["completion"]) <= 0.6e-6),
        ("available=true", lambda m: m["available"]),
        ("available=false", lambda m: not m["available"]),
        ("providers=Groq", lambda m: True),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_filters(client: FlaskClient, query: str, holds: Callable[[Any], bool]) -> None:
    found = listed(client, query)
    assert 0 < len(found) < len(listed(client, ""))
    assert all(holds(model) for model in found)


def test_only_free_models(app: Flask, client: FlaskClient, upstream: FakeUpstream) -> None:
    make_offer(app, upstream.url, model="acme/free", input_usd="0", output_usd="0")
    assert [model["id"] for model in listed(client, "free=true")] == ["acme/free"]
    assert "acme/free" not in {model["id"] for model in listed(client, "free=0")}


def _prompt(model: dict[str, Any]) -> Decimal:
    pricing = model["pricing"]
    return 3 * Decimal(pricing["prompt"]) + Decimal(pricing["completion"])


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("pricing-low-to-high", _prompt),
        ("pricing-high-to-low", lambda m: -_prompt(m)),
        ("context-high-to-low", lambda m: -m["context_length"]),
        ("newest", lambda m: -m["created"]),
        ("name", lambda m: m["name"].casefold()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_sorts(client: FlaskClient, sort: str, key: Callable[[Any], Any]) -> None:
    keys = [key(model) for model in listed(client, f"sort={sort}")]
    assert keys == sorted(keys)


def test_pages_follow_each_other(client: FlaskClient) -> None:
    everything = [model["id"] for model in listed(client, "")]
    found: list[str] = []
    path = "/v1/models?limit=40"
    while path:
        body = client.get(path).json
        assert body["total_count"] == len(everything)
        found += [model["id"] for model in body["data"]]
        path = body["links"]["next"]
    assert found == everything


@pytest.mark.parametrize(
    ("query", "param", "code"),
    [
        ("sort=cheapest", "sort", "invalid_request"),
        ("context=many", "context", "invalid_request"),
        ("context=-1", "context", "invalid_request"),
        ("limit=0", "limit", "invalid_request"),
        ("limit=1001", "limit", "invalid_request"),
        ("offset=1.5", "offset", "invalid_request"),
        ("offset=²", "offset", "invalid_request"),
        ("max_price=cheap", "max_price", "invalid_request"),
        ("max_price=-1", "max_price", "invalid_request"),
        ("max_price=1e999999999", "max_price", "invalid_request"),
        ("min_output_price=NaN", "min_output_price", "invalid_request"),
        ("free=perhaps", "free", "invalid_request"),
        ("q=" + "a" * 501, "q", "invalid_request"),
        ("zdr=true", "zdr", "unsupported_parameter"),
    ],
    ids=lambda value: value[:40],
)
def test_a_bad_query_is_named(client: FlaskClient, query: str, param: str, code: str) -> None:
    answer = client.get(f"/v1/models?{query}")
    error = answer.json["error"]
    assert (answer.status_code, error["param"], error["code"]) == (400, param, code)


@pytest.mark.parametrize(
    "path", ["/v1/models", "/v1/models?q=gpt", "/v1/models/openai/gpt-4o-mini"]
)
def test_what_has_not_changed_is_not_sent_again(client: FlaskClient, path: str) -> None:
    first = client.get(path)
    assert first.headers["ETag"].startswith('"')
    assert first.headers["Cache-Control"].startswith("public, max-age=")
    assert "Authorization" in first.headers["Vary"]
    again = client.get(path, headers={"If-None-Match": first.headers["ETag"]})
    assert (again.status_code, again.data) == (304, b"")
    assert again.headers["ETag"] == first.headers["ETag"]


def test_a_change_of_the_catalogue_changes_the_tag(
    app: Flask, client: FlaskClient, upstream: FakeUpstream
) -> None:
    tag = client.get("/v1/models").headers["ETag"]
    other = client.get("/v1/models?q=gpt").headers["ETag"]
    assert tag != other
    make_offer(app, upstream.url)
    answer = client.get("/v1/models", headers={"If-None-Match": tag})
    assert answer.status_code == 200
    assert answer.headers["ETag"] != tag
    assert client.get("/v1/models?q=gpt").headers["ETag"] == other


def test_with_a_key_no_shared_cache_may_answer(client: FlaskClient, alice: Person) -> None:
    answer = client.get("/v1/models", headers=alice.bearer)
    assert answer.headers["Cache-Control"] == "private, no-cache"
    tag = {"If-None-Match": answer.headers["ETag"]}
    assert client.get("/v1/models", headers={**alice.bearer, **tag}).status_code == 304
    wrong = {"Authorization": "Bearer sr_nonsense", **tag}
    assert client.get("/v1/models", headers=wrong).status_code == 401


@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/openai/gpt-4o-mini/endpoints"])
def test_head_says_what_get_would(client: FlaskClient, path: str) -> None:
    answer, whole = client.head(path), client.get(path)
    assert (answer.status_code, answer.data) == (200, b"")
    assert answer.headers["ETag"] == whole.headers["ETag"]
    assert answer.headers["Content-Length"] == str(len(whole.data))


@pytest.mark.parametrize("slash", ["/", "%2F"])
def test_each_offer_has_its_own_limits_and_price(client: FlaskClient, slash: str) -> None:
    data = client.get(f"/v1/models/deepseek{slash}deepseek-flash/endpoints").json["data"]
    limits = {
        endpoint["tag"]: (endpoint["context_length"], endpoint["max_completion_tokens"])
        for endpoint in data["endpoints"]
    }
    assert limits["deepseek"] == (1_000_000, 393_216)
    assert limits["deepinfra"] == (1_048_576, 131_072)
    assert data["context_length"] == max(context for context, _ in limits.values())
    for endpoint in data["endpoints"]:
        assert endpoint["pricing"]["prompt"]
        assert (endpoint["state"], endpoint["status"]) == ("unavailable", -10)
        assert endpoint["uptime_last_30m"] is None
        honoured = {n for n, word in endpoint["parameter_support"].items() if word != "ignored"}
        assert set(endpoint["supported_parameters"]) <= honoured
        assert set(data["supported_parameters"]) <= set(endpoint["supported_parameters"])


def test_each_offer_tells_its_uptime_from_what_was_counted(
    app: Flask, client: FlaskClient, offered: str
) -> None:
    path = f"/v1/models/{offered}/endpoints"
    names = ("uptime_last_5m", "uptime_last_30m", "uptime_last_1d")
    [before] = client.get(path).json["data"]["endpoints"]
    assert [before[name] for name in names] == [None] * 3
    with app.app_context():
        offer = catalogue.find(offered).offers[0]
        for outcome in (*[health.OK] * 5, health.FAULT):
            health.note(offer.id, outcome, duration_ms=900)
        health.exchange()
    [after] = client.get(path).json["data"]["endpoints"]
    assert [after[name] for name in names] == [83.33] * 3


def test_the_offers_of_an_unknown_model_are_a_404(client: FlaskClient) -> None:
    answer = client.get("/v1/models/nobody/nothing/endpoints")
    assert (answer.status_code, answer.json["error"]["code"]) == (404, "model_not_found")


def test_who_may_keep_data_is_said_and_unknown_counts_as_yes(
    app: Flask, client: FlaskClient, offered: str
) -> None:
    def collects() -> bool:
        data = client.get(f"/v1/models/{offered}/endpoints").json["data"]
        return bool(data["endpoints"][0]["collects_data"])

    assert collects()
    with app.app_context():
        catalogue.set_data_collection("acme", False, actor="test")
    assert not collects()
    demo = client.get("/v1/models/demo/echo/endpoints").json["data"]["endpoints"][0]
    assert not demo["collects_data"]
