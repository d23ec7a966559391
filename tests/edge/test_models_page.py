"""The models page and its search; the page of each model."""

import pytest
from flask import Flask

from solrouter.services import catalogue
from solrouter.services.catalogue import OfferTerms
from tests.browser import Browser, Page
from tests.edge.signed_in import HTMX

USD = 10**9


def ids(page: Page) -> set[str]:
    return {
        "".join(e.itertext()) for e in page.all("span") if (e.get("id") or "").startswith("model-")
    }


def test_every_model_is_listed_with_its_price(browser: Browser, offered: str) -> None:
    page = browser.get("/models")
    assert {offered, "demo/echo", "openai/gpt-4o-mini"} <= ids(page)
    assert "$1.00" in page.text


def test_a_model_without_a_key_is_marked(browser: Browser) -> None:
    page = browser.get("/models?q=openai/gpt-4o-mini")
    assert "Not set up here" in page.text


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_search_finds_by_words(browser: Browser, headers: dict[str, str]) -> None:
    page = browser.get("/models?q=claude+sonnet", headers=headers)
    assert page.is_whole is not bool(headers)
    assert ids(page)
    assert all("sonnet" in identifier for identifier in ids(page))
    assert "HX-Request" in page.headers["Vary"]


def test_search_keeps_what_was_asked(browser: Browser) -> None:
    page = browser.get("/models?q=gpt&author=openai&available=1")
    assert page.by_id("filter-q").get("value") == "gpt"
    assert page.by_id("filter-available").get("checked") is not None
    chosen = [o.get("value") for o in page.all("option") if o.get("selected") is not None]
    assert chosen == ["openai"]


def test_only_available_models_if_so_asked(browser: Browser, offered: str) -> None:
    assert ids(browser.get("/models?available=1")) == {offered, "demo/echo"}


def test_no_match_says_what_to_do(browser: Browser) -> None:
    page = browser.get("/models?q=no-such-thing-anywhere")
    assert "No model matches" in page.text


def test_what_was_searched_is_shown_as_text(browser: Browser) -> None:
    page = browser.get("/models?q=<script>alert(1)</script>&author=%22%3E<b>")
    assert not [s for s in page.all("script") if not s.get("src")]


def test_a_model_page_has_prices_and_samples(browser: Browser, offered: str) -> None:
    page = browser.get(f"/models/{offered}")
    assert f'"model": "{offered}"' in page.text
    assert "100,000 tokens" in page.text
    assert "8,000 tokens" in page.text
    assert "$2.00" in page.text
    assert "Available" in page.text


def test_a_model_page_shows_each_offer(app: Flask, browser: Browser, offered: str) -> None:
    with app.app_context():
        catalogue.add_provider(slug="second", kind="openai", base_url="http://localhost:9/v1")
        catalogue.add_offer(
            OfferTerms(offered, "second", "tiny-at-second", 3 * USD, 4 * USD, 100_000)
        )
    page = browser.get(f"/models/{offered}")
    assert "tiny-at-second" in page.text
    assert "$4.00" in page.text


def test_a_model_that_cannot_be_served_says_so(browser: Browser) -> None:
    assert "has a key on this server" in browser.get("/models/openai/gpt-4o-mini").text


def test_size_tiers_have_their_own_prices(app: Flask, browser: Browser) -> None:
    with app.app_context():
        tiered = [
            m
            for m in catalogue.listing()
            if m.status == "live" and m.cheapest and m.cheapest.sale.tiers
        ]
    page = browser.get(f"/models/{tiered[0].id}")
    assert "Prompts over" in page.text


def test_a_retired_model_names_its_replacement(browser: Browser) -> None:
    page = browser.get("/models/deepseek/deepseek-r2")
    hrefs = [a.get("href", "") for a in page.all("a")]
    assert [href for href in hrefs if href.startswith("/models/deepseek/")]
    assert "The model behind this id is" in page.text


def test_every_model_of_the_catalogue_has_a_page(app: Flask, browser: Browser) -> None:
    with app.app_context():
        everything = [model.id for model in catalogue.listing()]
    for identifier in everything:
        assert browser.client.get(f"/models/{identifier}").status_code == 200, identifier


def test_what_can_be_asked_for_now_comes_first(browser: Browser, offered: str) -> None:
    hrefs = [a.get("href", "") for a in browser.get("/models").all("a")]
    models = [href for href in hrefs if href.startswith("/models/")]
    assert set(models[:2]) == {f"/models/{offered}", "/models/demo/echo"}


def test_an_unknown_model_is_not_found(browser: Browser) -> None:
    assert browser.client.get("/models/nobody/nothing").status_code == 404
