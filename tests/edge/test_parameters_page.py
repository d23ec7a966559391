"""The public table of request fields: what becomes of each, by dialect and by model."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.blueprints.api import schemas
from solrouter.services import catalogue
from solrouter.services.catalogue import parameters
from tests.browser import Browser
from tests.edge.signed_in import HTMX
from tests.factories import Person


def row(browser: Browser, model: str) -> str:
    page = browser.get(f"/models/parameters?q={model}")
    return " ".join("".join(page.by_id("parameters").itertext()).split())


def test_each_dialect_has_a_word_for_each_field(browser: Browser) -> None:
    page = browser.get("/models/parameters")
    for name in parameters.NAMES:
        assert name in page.text
    for dialect in ("OpenAI’s dialect", "Anthropic", "Gemini", "Demo"):
        assert dialect in page.text


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_models_can_be_searched(browser: Browser, headers: dict[str, str]) -> None:
    page = browser.get("/models/parameters?q=openai/gpt-4o-mini", headers=headers)
    assert page.is_whole is not bool(headers)
    assert "1 of" in "".join(page.by_id("parameters").itertext())


def test_no_match_says_what_to_do(browser: Browser) -> None:
    assert "No model matches" in row(browser, "no-such-thing-anywhere")


def test_available_models_only(browser: Browser) -> None:
    page = browser.get("/models/parameters?available=1")
    assert "1 of" in "".join(page.by_id("parameters").itertext())


def test_fields_that_are_refused_everywhere_are_named(
    browser: Browser, client: FlaskClient, alice: Person
) -> None:
    page = browser.get("/models/parameters")
    said = " ".join("".join(page.by_id("refused").itertext()).split())
    assert "service_tier " in said
    assert '"auto", "default"' in said
    for name in schemas.refused_everywhere():
        assert name in said
        field, _, inner = name.partition(".")
        body = {"model": "demo/echo", "messages": [{"role": "user", "content": "Hi"}]}
        body |= {field: {inner: "other"} if inner else "other"}
        answer = client.post("/v1/chat/completions", json=body, headers=alice.bearer)
        assert answer.json["error"]["code"] == "unsupported_parameter"
        assert answer.json["error"]["param"] == name


def test_the_lists_the_routing_and_the_table_agree(app: Flask) -> None:
    with app.app_context():
        live = [model for model in catalogue.listing() if model.status == "live"]
    assert live
    for model in live:
        for offer in model.offers:
            words = parameters.of_offer(offer, model.facts)
            assert offer.parameters == parameters.honoured(words), (model.id, offer.provider_slug)
            assert set(model.parameters) <= (offer.parameters or set())


def test_words_of_some_models(app: Flask) -> None:
    with app.app_context():
        words = {
            model: parameters.of_offer(found.offers[0], found.facts)
            for model in ("openai/gpt-4o-mini", "openai/gpt-5", "anthropic/claude-sonnet-5-5")
            for found in [catalogue.find(model)]
        }
    assert words["openai/gpt-4o-mini"]["temperature"] == parameters.HONOURED
    assert words["openai/gpt-4o-mini"]["reasoning_effort"] == parameters.IGNORED
    assert words["openai/gpt-5"]["temperature"] == parameters.IGNORED
    assert words["openai/gpt-5"]["reasoning_effort"] == parameters.HONOURED
    assert words["anthropic/claude-sonnet-5-5"]["seed"] == parameters.IGNORED
    assert words["anthropic/claude-sonnet-5-5"]["functions"] == parameters.REFUSED
    assert words["anthropic/claude-sonnet-5-5"]["response_format"] == parameters.PARTLY
    assert words["anthropic/claude-sonnet-5-5"]["n"] == parameters.HONOURED
