"""A model's own page: what its offers did lately, what a use of it would cost, the reader's key."""

import pytest
from flask import Flask

from solrouter.services import catalogue, health, keys
from solrouter.services.catalogue import OfferTerms
from solrouter.services.health import FAULT, OK
from tests.browser import Browser, Page
from tests.edge.signed_in import HTMX, browser_of
from tests.factories import Person

USD = 10**9


def costs(page: Page) -> list[str]:
    """The cells of the calculator's rows."""
    rows = page.by_id("calculation").iter("{http://www.w3.org/1999/xhtml}td")
    return ["".join(cell.itertext()) for cell in rows if "number" in cell.get("class", "")]


def test_offers_show_what_they_did(app: Flask, browser: Browser, offered: str) -> None:
    with app.app_context():
        offer = catalogue.find(offered).offers[0]
        for _ in range(3):
            health.note(offer.id, OK, first_content_ms=500, output_tokens=200, duration_ms=2000)
        health.note(offer.id, FAULT)
        health.exchange()
    page = browser.get(f"/models/{offered}")
    assert "75.00 %" in page.text
    assert "Serving" in page.text
    assert "0.5" in page.text and "tokens/s" in page.text
    assert "requests on 1 of the last 90 days, 1 of them with trouble" in page.html


def test_a_model_that_nobody_asked_for_says_so(browser: Browser, offered: str) -> None:
    assert "Nobody has asked for this model lately" in browser.get(f"/models/{offered}").text


def test_the_calculator_has_an_answer_before_anything_is_asked(
    browser: Browser, offered: str
) -> None:
    # $1 and $2 a million: 2,000 and 500 tokens.
    assert costs(browser.get(f"/models/{offered}")) == ["$0.003", "$3.00"]


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_the_calculator_works_by_its_address(
    browser: Browser, offered: str, headers: dict[str, str]
) -> None:
    query = "prompt=1,000,000&cached=0&answer=1000000&requests=2"
    page = browser.get(f"/models/{offered}?{query}", headers=headers)
    assert costs(page) == ["$3", "$6.00"]
    assert page.is_whole is not bool(headers)
    # HTMX gets what came of it and no form: somebody may be typing into theirs.
    assert bool(page.all("form")) is page.is_whole
    if page.is_whole:
        assert page.by_id("prompt").get("value") == "1,000,000"


def test_what_is_read_from_the_cache_is_cheaper(app: Flask, browser: Browser) -> None:
    with app.app_context():
        rates = catalogue.find("openai/gpt-4o-mini").offers[0].sale.rates
    query = "prompt=1000000&cached=1000000&answer=0&requests=1"
    page = browser.get(f"/models/openai/gpt-4o-mini?{query}")
    assert rates["cache_read"] < rates["input"]
    assert costs(page)[0] == f"${rates['cache_read'] / USD:g}"


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("prompt=lots", "Write a whole number from 0 to 100,000,000."),
        ("answer=-1", "Write a whole number from 0"),
        ("requests=0", "Write a whole number from 1 to 1,000,000,000."),
        ("prompt=10&cached=11", "is part of the prompt"),
        ("prompt=9999999999999999999", "Write a whole number"),
    ],
)
def test_what_makes_no_sense_is_said_by_the_fields_name(
    browser: Browser, offered: str, query: str, said: str
) -> None:
    page = browser.get(f"/models/{offered}?{query}")
    assert said in page.text
    assert costs(page) == []


def test_every_offer_is_priced_the_cheapest_first(
    app: Flask, browser: Browser, offered: str
) -> None:
    with app.app_context():
        catalogue.add_provider(slug="cheap", kind="openai", base_url="http://localhost:9/v1")
        catalogue.add_offer(OfferTerms(offered, "cheap", "tiny", USD // 2, USD, 100_000))
    assert costs(browser.get(f"/models/{offered}"))[::2] == ["$0.0015", "$0.003"]


def test_samples_come_in_four_languages_with_the_readers_hint(
    app: Flask, browser: Browser, offered: str, alice: Person
) -> None:
    page = browser.get(f"/models/{offered}")
    assert "await fetch(" in page.text
    assert "SOLROUTER_API_KEY=sr_YOUR_API_KEY" in page.text
    with app.app_context():
        newest = keys.create(alice.account_id, user_id=alice.user_id, name="newest")
    mine = browser_of(app, alice).get(f"/models/{offered}")
    assert f"SOLROUTER_API_KEY={newest.key.hint}" in mine.text
    assert newest.text not in mine.html
