"""What operators do to models, prices, providers and plans, and when it holds."""

from datetime import timedelta

import pytest
from flask import Flask

from solrouter import clock
from solrouter.errors import Refused
from solrouter.money import parse_usd
from solrouter.services import catalogue, plans, trail
from solrouter.services.catalogue import price_history
from solrouter.services.catalogue.price_history import NewPrice
from tests.browser import Browser, Page
from tests.edge.signed_in import HTMX, ask, browser_of
from tests.factories import MODEL, Person
from tests.fakes.upstream import FakeUpstream

PRICES = f"/admin/models/{MODEL}/prices"


@pytest.fixture
def desk(app: Flask, operator: Person, offered: str) -> Browser:
    """Olivia's browser."""
    assert offered == MODEL
    return browser_of(app, operator)


def offer_id(app: Flask) -> int:
    with app.app_context():
        return catalogue.find(MODEL).offers[0].id


def price(app: Flask, name: str = "input") -> int:
    with app.app_context():
        return catalogue.find(MODEL).offers[0].sale.rate(name)


def amounts(page: Page) -> list[str]:
    """All that is money in the page's tables."""
    cells = ["".join(cell.itertext()) for cell in page.all("td")]
    return [cell for cell in cells if "$" in cell]


def last_act(app: Flask) -> trail.Event:
    with app.app_context():
        return trail.of_all(limit=1)[0]


def test_a_margin_makes_a_price_of_the_cost(app: Flask, desk: Browser) -> None:
    desk.post(PRICES, {"offer": str(offer_id(app)), "margin": "12.5"})
    assert (price(app), price(app, "output")) == (parse_usd("1.125"), parse_usd("2.25"))
    page = desk.get(PRICES)
    assert "Margin 12.50 %" in page.text and "Past" in page.text
    event = last_act(app)
    assert (event.action, event.details["input"]) == ("price.set", ["$1.00", "$1.125"])


def test_a_price_of_tomorrow_holds_tomorrow(app: Flask, desk: Browser) -> None:
    begins = (clock.utcnow() + timedelta(days=1)).strftime("%Y-%m-%dT%H:%M")
    form = {"offer": str(offer_id(app)), "input": "3", "output": "4", "begins": begins}
    desk.post(PRICES, {**form, "side": "sale"})
    assert price(app) == parse_usd("1")
    assert "To come" in desk.get(PRICES).text
    with app.app_context():
        model = price_history.of_model(MODEL)
    coming = [card for card in model.offers[0].cards if card.state == price_history.COMING]
    assert [card.rates["input"] for card in coming] == [parse_usd("3")]


def test_what_was_sold_before_keeps_its_price(app: Flask, desk: Browser, alice: Person) -> None:
    identifier = ask(app, alice, MODEL)
    before = amounts(desk.get(f"/admin/requests/{identifier}"))
    desk.post(PRICES, {"offer": str(offer_id(app)), "margin": "50"})
    assert before and before == amounts(desk.get(f"/admin/requests/{identifier}"))


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({"margin": "lots"}, "margin-1"),
        ({"margin": "-100"}, "margin-1"),
        ({"margin": "1001"}, "margin-1"),
        ({}, "margin-1"),
        ({"input": "cheap", "output": "1"}, "input-1"),
        ({"input": "1"}, "input-1"),
        ({"input": "1", "output": "2", "begins": "2001-01-01T00:00"}, "begins-1"),
        ({"input": "1", "output": "2", "begins": "tomorrow"}, "begins-1"),
        ({"input": "1", "output": "2", "side": "mine"}, "side-1"),
    ],
)
def test_a_price_that_makes_no_sense_is_told_beside_its_field(
    app: Flask, desk: Browser, form: dict[str, str], wrong: str
) -> None:
    page = desk.post(PRICES, {"offer": str(offer_id(app)), **form}, status=422)
    assert page.by_id(wrong).get("aria-invalid") == "true"
    assert price(app) == parse_usd("1")


def test_a_slip_of_the_comma_is_asked_about(app: Flask, desk: Browser) -> None:
    form = {"offer": str(offer_id(app)), "input": "100", "output": "200", "side": "sale"}
    page = desk.post(PRICES, form, status=422)
    assert "If that is meant, say so below." in page.text
    assert price(app) == parse_usd("1")
    desk.post(PRICES, {**form, "sure": "1"})
    assert price(app) == parse_usd("100")


def test_two_prices_do_not_begin_at_one_time(app: Flask, offered: str) -> None:
    begins_at = clock.utcnow() + timedelta(hours=1)
    with app.app_context():
        rates = {"input": parse_usd("1.5"), "output": parse_usd("2")}
        wanted = NewPrice(offer_id(app), begins_at, rates=rates)
        price_history.change(wanted, actor="test")
        with pytest.raises(Refused):
            price_history.change(wanted, actor="test")


def test_models_and_offers_are_switched(app: Flask, desk: Browser, alice: Person) -> None:
    for path in (f"/admin/models/{MODEL}", f"/admin/models/{MODEL}/offers/{offer_id(app)}"):
        assert ask(app, alice, MODEL)
        desk.post(f"{path}/switch", {"to": "off"})
        assert not ask(app, alice, MODEL)
        assert MODEL in desk.get("/admin/models").text
        desk.post(f"{path}/switch", {"to": "on"})
        assert ask(app, alice, MODEL)
    desk.post(f"/admin/models/{MODEL}/switch", {"to": ""}, status=422)
    desk.post("/admin/models/acme/none/switch", {"to": "on"}, status=404)
    desk.post(f"/admin/models/{MODEL}/offers/x/switch", {"to": "on"}, status=404)
    desk.get("/admin/models/acme/none/prices", status=404)


def test_a_provider_is_tried(app: Flask, desk: Browser, upstream: FakeUpstream) -> None:
    page = desk.post("/admin/providers/acme/try", {"model": MODEL}, status=200, headers=HTMX)
    assert "It answered." in page.text
    assert last_act(app).details["result"] == "answered"
    upstream.answers(status=401, error_body={"error": {"message": "Incorrect API key"}})
    page = desk.post("/admin/providers/acme/try", {"model": MODEL}, status=200)
    assert "It did not answer." in page.text
    assert "upstream-key" not in page.html
    desk.post("/admin/providers/acme/try", {"model": "acme/none"}, status=422)


def test_a_provider_is_switched_off_and_on(app: Flask, desk: Browser, alice: Person) -> None:
    desk.post("/admin/providers/acme/switch", {"to": "off"})
    assert not ask(app, alice, MODEL)
    page = desk.post("/admin/providers/acme/try", {"model": MODEL}, status=422)
    assert "there is nothing to try" in page.text
    desk.post("/admin/providers/acme/switch", {"to": "on"})
    assert ask(app, alice, MODEL)
    desk.get("/admin/providers/none", status=404)


def test_a_provider_gets_another_key_which_nobody_sees(
    app: Flask, desk: Browser, alice: Person, upstream: FakeUpstream
) -> None:
    desk.post("/admin/providers/acme/key", {"api_key": "sk-another-one"})
    page = desk.get("/admin/providers/acme")
    assert "Stored here, encrypted" in page.text and "sk-another-one" not in page.html
    ask(app, alice, MODEL)
    assert upstream.last.headers["authorization"] == "Bearer sk-another-one"
    assert "another" not in str(last_act(app).details)
    desk.post("/admin/providers/acme/key", {"api_key": ""}, status=422)
    desk.post("/admin/providers/acme/forget-key")
    assert "None needed" in desk.get("/admin/providers/acme").text


def test_an_operator_says_who_keeps_prompts(app: Flask, desk: Browser) -> None:
    for said, shown in (("yes", "Keeps or trains"), ("no", "Keeps none"), ("", "Not known")):
        desk.post("/admin/providers/acme/data", {"collects": said})
        assert shown in desk.get("/admin/providers/acme").text


def test_a_plan_is_made_and_changed(app: Flask, desk: Browser) -> None:
    form = {"slug": "team", "name": "Team", "requests_per_minute": "1,200", "min_paid": "50"}
    desk.post("/admin/plans", form)
    with app.app_context():
        [team] = [plan for plan in plans.list_of() if plan.slug == "team"]
    assert (team.requests_per_minute, team.tokens_per_minute) == (1200, None)
    assert team.min_paid_nanos == parse_usd("50")
    page = desk.get("/admin/plans/team")
    assert page.by_id("requests_per_minute").get("value") == "1200"
    page = desk.post("/admin/plans", {**form, "concurrency": "many"}, status=422)
    assert page.by_id("concurrency").get("aria-invalid") == "true"
    assert page.by_id("slug").get("value") == "team"
    desk.post("/admin/plans", {"slug": "No Slug"}, status=422)
    desk.get("/admin/plans/none", status=404)
