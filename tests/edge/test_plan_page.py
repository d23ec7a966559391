"""The plan's page: what it allows, what is missing for the next, and what sends people there."""

from flask import Flask

from solrouter.money import parse_usd
from solrouter.services import plans
from tests.browser import Browser
from tests.edge.signed_in import QUESTION, browser_of
from tests.factories import Person, pay_in


def test_it_says_what_is_missing_for_the_next_plan(app: Flask, alice: Person) -> None:
    browser = browser_of(app, alice)
    page = browser.get("/account/plan")
    assert "Pay as you go" in page.text and "$100.00 more" in page.text
    with app.app_context():
        pay_in(alice.account_id, parse_usd("30"))
    page = browser.get("/account/plan")
    [bar] = page.all("progress")
    assert bar.get("value") == str(parse_usd("30")) and "$70.00 more" in page.text
    with app.app_context():
        pay_in(alice.account_id, parse_usd("70"))
    page = browser.get("/account/plan")
    assert "highest plan that payments reach" in page.text and page.all("progress") == []


def test_a_429_names_the_plan_and_where_to_read_of_it(
    app: Flask, alice: Person, offered: str
) -> None:
    with app.app_context():
        plans.define("pay-as-you-go", {"requests_per_minute": 1})
    body = {"model": offered, "messages": QUESTION}
    for _ in range(3):
        answer = app.test_client().post("/v1/chat/completions", json=body, headers=alice.bearer)
    assert answer.status_code == 429
    error = answer.json["error"]
    assert error["metadata"]["plan"] == "Pay as you go" and "/account/plan" in error["message"]


def test_pricing_says_how_each_plan_is_reached(app: Flask) -> None:
    words = " ".join(Browser(app).get("/pricing").text.split())
    assert "Pay as you go New accounts Nothing yet" in words
    assert "Pro $100.00" in words and "Unlimited Given by the operator" in words
