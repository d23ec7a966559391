"""The operator's first page says what came in, what it cost and what failed."""

from flask import Flask

from tests.edge.signed_in import ask, browser_of
from tests.factories import Person


def test_revenue_cost_and_margin_are_told(
    app: Flask, operator: Person, alice: Person, offered: str
) -> None:
    browser = browser_of(app, operator)
    assert "Nothing to draw" in browser.get("/admin").text
    ask(app, alice, offered)
    page = browser.get("/admin")
    assert (
        "Revenue today" in page.text and "1 request" in page.text and "0.00 % of all" in page.text
    )
    assert "acme" in ["".join(each.itertext()) for each in page.all("th")]
