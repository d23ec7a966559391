"""The operators' pages: closed to others, and what they do is in the books."""

import pytest
from flask import Flask

from solrouter.money import parse_usd
from solrouter.services import billing, catalogue
from tests.browser import Page
from tests.edge.signed_in import HTMX, ask, browser_of
from tests.factories import Person

PATHS = ("/admin", "/admin/users", "/admin/providers", "/admin/models", "/admin/requests")
PROVIDER = {"slug": "mine", "kind": "openai", "base_url": "http://localhost:9/v1", "api_key": "k-1"}
OFFER = {
    "model": "acme/new-1",
    "provider": "demo",
    "upstream": "echo",
    "input": "1.50",
    "output": "2",
    "context": "128,000",
    "max_output": "",
}


def links(page: Page) -> list[str]:
    return [a.get("href", "") for a in page.all("a")]


@pytest.mark.parametrize("path", PATHS)
def test_operators_see_their_pages(app: Flask, operator: Person, alice: Person, path: str) -> None:
    ask(app, alice)
    browser_of(app, operator).get(path)


@pytest.mark.parametrize("path", PATHS)
def test_nobody_else_finds_anything_there(app: Flask, charlie: Person, path: str) -> None:
    assert browser_of(app, charlie).client.get(path).status_code == 404


def test_nobody_else_grants_credit(app: Flask, charlie: Person) -> None:
    path = f"/admin/accounts/{charlie.account_public_id}/credit"
    form = {"amount": "100", "note": "please"}
    assert browser_of(app, charlie).client.post(path, data=form).status_code == 404
    with app.app_context():
        assert billing.balance(charlie.account_id).posted_nanos == 5 * 10**9


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_users_are_found(
    app: Flask, operator: Person, alice: Person, bob: Person, headers: dict[str, str]
) -> None:
    page = browser_of(app, operator).get("/admin/users?q=alice", headers=headers)
    assert f"/admin/accounts/{alice.account_public_id}" in links(page)
    assert bob.email not in page.text


def test_credit_is_granted_with_a_reason(app: Flask, operator: Person, bob: Person) -> None:
    browser = browser_of(app, operator)
    path = f"/admin/accounts/{bob.account_public_id}"
    done = browser.post(f"{path}/credit", {"amount": "12.50", "note": "Goodwill"})
    assert done.location == path
    page = browser.get(path)
    assert "$12.50 granted." in page.text
    assert "Goodwill" in page.text
    with app.app_context():
        [entry] = billing.statement(bob.account_id, limit=5)
        assert (entry.amount_nanos, entry.actor) == (12_500_000_000, f"user:{operator.user_id}")
        assert list(billing.audit()) == []


def test_a_grant_that_is_sent_twice_is_given_once(
    app: Flask, operator: Person, bob: Person
) -> None:
    browser = browser_of(app, operator)
    path = f"/admin/accounts/{bob.account_public_id}"
    form = {"amount": "3", "note": "Twice", "form_id": browser.get(path).by_name("form_id")}
    for _ in range(2):
        browser.post(f"{path}/credit", form)
    with app.app_context():
        assert billing.balance(bob.account_id).granted_nanos == parse_usd("3")


def test_an_operators_own_credit_is_in_the_header_at_once(app: Flask, operator: Person) -> None:
    path = f"/admin/accounts/{operator.account_public_id}"
    form = {"amount": "3", "note": "For trying it out"}
    browser = browser_of(app, operator)
    done = browser.post(f"{path}/credit", form, status=200, headers=HTMX)
    assert done.headers["HX-Redirect"] == path
    page = browser.get(path)
    assert "$3.00 granted." in page.text
    assert "$3.00" in "".join(page.by_id("balance").itertext())


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({"amount": "lots", "note": "x"}, "amount"),
        ({"amount": "0", "note": "x"}, "amount"),
        ({"amount": "5", "note": " "}, "note"),
    ],
    ids=["no amount", "nothing", "no reason"],
)
def test_a_refused_grant_keeps_what_was_typed(
    app: Flask, operator: Person, bob: Person, form: dict[str, str], wrong: str
) -> None:
    path = f"/admin/accounts/{bob.account_public_id}/credit"
    page = browser_of(app, operator).post(path, form, status=422)
    assert page.by_id(wrong).get("aria-invalid") == "true"
    assert page.by_id("amount").get("value") == form["amount"]
    with app.app_context():
        assert billing.balance(bob.account_id).posted_nanos == 0


def test_an_unknown_account_is_not_found(app: Flask, operator: Person) -> None:
    assert browser_of(app, operator).client.get("/admin/accounts/acct_0").status_code == 404


def test_a_provider_is_added_and_its_key_never_shown(app: Flask, operator: Person) -> None:
    browser = browser_of(app, operator)
    assert browser.post("/admin/providers", PROVIDER).location == "/admin/providers"
    page = browser.get("/admin/providers")
    assert "“mine” is added." in page.text
    assert "Stored here" in page.text
    assert "k-1" not in page.html
    again = browser.post("/admin/providers", PROVIDER, status=200, headers=HTMX)
    assert "already there" in again.text


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"slug": "Not A Slug"}, "slug"),
        ({"base_url": "localhost"}, "base_url"),
        ({"kind": "x"}, "kind"),
    ],
    ids=["slug", "base url", "kind"],
)
def test_a_refused_provider_keeps_what_was_typed_but_not_its_key(
    app: Flask, operator: Person, change: dict[str, str], wrong: str
) -> None:
    page = browser_of(app, operator).post("/admin/providers", PROVIDER | change, status=422)
    assert page.by_id(wrong).get("aria-invalid") == "true"
    assert page.by_id("slug").get("value") == (PROVIDER | change)["slug"]
    assert "k-1" not in page.html


def test_an_offer_is_added_and_can_be_seen_by_all(app: Flask, operator: Person) -> None:
    browser = browser_of(app, operator)
    assert browser.post("/admin/models", OFFER).location == "/admin/models"
    assert "“acme/new-1” is offered." in browser.get("/admin/models").text
    assert "$1.50" in browser.get("/models/acme/new-1").text
    with app.app_context():
        assert catalogue.find("acme/new-1").context_tokens == 128_000
    again = browser.post("/admin/models", OFFER, status=200, headers=HTMX)
    assert "already there" in again.text


@pytest.mark.parametrize(
    ("change", "wrong"),
    [
        ({"model": "nameless"}, "model"),
        ({"input": "cheap"}, "input"),
        ({"output": ""}, "output"),
        ({"context": "long"}, "context"),
        ({"max_output": "long"}, "max_output"),
        ({"provider": "nobody"}, "provider"),
        ({"upstream": ""}, "upstream"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_refused_offer_keeps_what_was_typed(
    app: Flask, operator: Person, change: dict[str, str], wrong: str
) -> None:
    page = browser_of(app, operator).post("/admin/models", OFFER | change, status=422)
    assert page.by_id(wrong).get("aria-invalid") == "true"
    assert page.by_id("input").get("value", "") == (OFFER | change)["input"]


def test_requests_of_all_are_seen_with_whose_they_are(
    app: Flask, operator: Person, alice: Person
) -> None:
    ask(app, alice)
    page = browser_of(app, operator).get("/admin/requests")
    assert alice.email in page.text
    assert "demo/echo" in page.text
