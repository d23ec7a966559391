"""GET /v1/models: public, complete, in the keys that clients know."""

import pytest
from flask.testing import FlaskClient

from tests.factories import Person

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
