"""Filters of the models page, its shareable addresses, and models side by side."""

import pytest
from flask import Flask

from solrouter.services import catalogue
from tests.browser import Browser, Page
from tests.edge.signed_in import HTMX


def ids(page: Page) -> list[str]:
    found = [e for e in page.all("span") if (e.get("id") or "").startswith("model-")]
    return ["".join(e.itertext()) for e in found]


@pytest.mark.parametrize(
    ("query", "is_right"),
    [
        ("author=anthropic", lambda model: model.author == "anthropic"),
        ("input_modalities=audio", lambda model: "audio" in model.input_modalities),
        (
            "supported_parameters=reasoning&supported_parameters=seed",
            lambda model: {"reasoning", "seed"} <= set(model.parameters),
        ),
        ("context=1000000", lambda model: model.context_tokens >= 1_000_000),
        ("max_price=0.1", lambda model: model.input_nanos <= 10**8),
        ("max_output_price=0.5", lambda model: model.output_nanos <= 5 * 10**8),
        ("available=1", lambda model: model.is_available),
        ("q=sonnet&author=&context=", lambda model: "sonnet" in model.id),
    ],
)
def test_a_filter_keeps_what_fits_and_nothing_else(
    app: Flask, browser: Browser, offered: str, query: str, is_right: object
) -> None:
    assert callable(is_right)
    with app.app_context():
        wanted = {model.id for model in catalogue.listing() if is_right(model)}
    assert wanted
    assert set(ids(browser.get(f"/models?{query}"))) == wanted


def test_the_list_can_be_ordered_by_price(app: Flask, browser: Browser) -> None:
    found = ids(browser.get("/models?sort=pricing-low-to-high"))
    with app.app_context():
        prices = [catalogue.find(identifier).output_nanos for identifier in found]
    assert prices[0] < prices[-1]
    assert ids(browser.get("/models?sort=pricing-high-to-low"))[0] != found[0]


def test_what_was_chosen_stays_chosen(browser: Browser) -> None:
    page = browser.get("/models?input_modalities=image&context=128000&free=1&sort=newest")
    assert page.by_id("input_modalities-image").get("checked") is not None
    assert page.by_id("filter-free").get("checked") is not None
    chosen = {o.get("value") for o in page.all("option") if o.get("selected") is not None}
    assert {"128000", "newest"} <= chosen


def test_htmx_is_told_an_address_without_what_is_empty(browser: Browser) -> None:
    page = browser.get("/models?q=gpt&author=&context=&sort=&junk=1", headers=HTMX)
    assert page.headers["HX-Push-Url"] == "/models?q=gpt"


def test_a_filter_that_makes_no_sense_is_named(browser: Browser) -> None:
    page = browser.get("/models?context=many")
    assert "'context' must be a whole number" in page.text
    assert len(ids(page)) > 100


def test_nothing_free_says_so(browser: Browser) -> None:
    assert "No model is free here" in browser.get("/models?free=1").text


def test_ticked_models_are_kept_and_lead_to_the_comparison(browser: Browser, offered: str) -> None:
    query = f"q=nothing-like-it&compare={offered}&compare=demo/echo"
    page = browser.get(f"/models?{query}")
    hrefs = [a.get("href") for a in page.all("a")]
    assert f"/models/compare?model={offered}&model=demo/echo" in hrefs


def test_a_fifth_model_cannot_be_ticked(browser: Browser) -> None:
    four = ids(browser.get("/models"))[:4]
    page = browser.get("/models?" + "&".join(f"compare={each}" for each in four))
    boxes = [i for i in page.all("input") if i.get("name") == "compare"]
    assert {b.get("value") for b in boxes if b.get("disabled") is None} == set(four)


def test_models_stand_side_by_side(app: Flask, browser: Browser, offered: str) -> None:
    page = browser.get(f"/models/compare?model={offered}&model=openai/gpt-4o-mini&model=no/such")
    heads = ["".join(th.itertext()) for th in page.all("th") if th.get("scope") == "col"]
    assert [head for head in heads if "gpt-4o-mini" in head]
    assert len(heads) == 2
    assert "$2.00" in page.text and "$0.60" in page.text
    # A price that only one of them names is absent at the other, not nothing.
    with app.app_context():
        sale = catalogue.find("openai/gpt-4o-mini").cheapest
    assert sale and "cache_read" in sale.sale.rates
    [row] = [tr for tr in page.all("tr") if "Cache read" in "".join(tr.itertext())]
    assert "–" in "".join(row.itertext())


def test_a_comparison_can_be_made_smaller_and_larger(browser: Browser) -> None:
    page = browser.get("/models/compare?model=demo/echo&model=openai/gpt-4o-mini")
    hrefs = {a.get("href") for a in page.all("a")}
    assert {"/models/compare?model=demo/echo", "/models/compare?model=openai/gpt-4o-mini"} <= hrefs
    assert page.by_id("another").get("name") == "model"


def test_at_most_four_are_compared(browser: Browser) -> None:
    many = "&".join(f"model={each}" for each in ids(browser.get("/models"))[:6])
    page = browser.get(f"/models/compare?{many}")
    assert len([th for th in page.all("th") if th.get("scope") == "col"]) == 4
    assert not [s for s in page.all("select") if s.get("id") == "another"]


def test_nothing_to_compare_says_what_to_do(browser: Browser) -> None:
    assert "Nothing to compare yet" in browser.get("/models/compare").text
