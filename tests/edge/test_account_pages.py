"""The account's pages: what people see of their own things, and of nobody else's."""

from collections.abc import Callable

import pytest
from flask import Flask

from solrouter.services import admission, billing, keys
from tests.browser import HTML, Browser, Page
from tests.edge.signed_in import HTMX, ask, browser_of
from tests.factories import Person, fund


def links(page: Page) -> list[str]:
    return [a.get("href", "") for a in page.all("a")]


def first_key(app: Flask, person: Person) -> keys.Key:
    with app.app_context():
        return keys.list_of(person.account_id)[0]


# Overview


def test_a_new_account_is_shown_its_first_steps(app: Flask, bob: Person) -> None:
    page = browser_of(app, bob).get("/account")
    assert "First steps" in page.text
    assert "Done: Create an API key" in page.text
    assert first_key(app, bob).hint in page.text
    assert "Done: Top up your balance" not in page.text


def test_the_steps_go_when_they_are_done(app: Flask, alice: Person) -> None:
    identifier = ask(app, alice)
    page = browser_of(app, alice).get("/account")
    assert "First steps" not in page.text
    assert f"/account/activity/{identifier}" in links(page)
    assert "1 request" in page.text


# API Keys


def test_keys_are_listed_by_their_hints(app: Flask, alice: Person) -> None:
    page = browser_of(app, alice).get("/account/keys")
    assert first_key(app, alice).hint in page.text
    assert alice.key_text not in page.html


def test_a_key_is_created_and_shown_once(app: Flask, alice: Person) -> None:
    browser = browser_of(app, alice)
    page = browser.post("/account/keys", {"name": "website", "limit": "25"}, status=200)
    assert page.is_whole
    assert page.headers["Cache-Control"] == "no-store"
    text = "".join(page.by_id("new-key-text").itertext())
    assert "".join(page.by_id("new-key-line").itertext()) == f"SOLROUTER_API_KEY={text}"
    with app.app_context():
        assert keys.authenticate(text).account_id == alice.account_id
    again = browser.get("/account/keys")
    assert text not in again.html
    assert "$25.00" in again.text


def test_htmx_gets_the_fragment_with_the_new_key(app: Flask, alice: Person) -> None:
    browser = browser_of(app, alice)
    page = browser.post("/account/keys", {"name": "website"}, status=200, headers=HTMX)
    assert not page.is_whole
    assert page.by_id("new-key") in list(page.by_id("keys").iter())
    assert "HX-Request" in page.headers["Vary"]


@pytest.mark.parametrize(
    ("form", "wrong", "said"),
    [
        ({"name": " ", "limit": "5"}, "name", "name"),
        ({"name": "website", "limit": "five"}, "limit", "amount in US dollars"),
        ({"name": "website", "limit": "-1"}, "limit", "negative"),
    ],
    ids=["no name", "no amount", "negative"],
)
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_a_refused_key_keeps_what_was_typed(
    app: Flask, alice: Person, form: dict[str, str], wrong: str, said: str, headers: dict[str, str]
) -> None:
    browser = browser_of(app, alice)
    page = browser.post("/account/keys", form, status=422, headers=headers)
    field = page.by_id(wrong)
    assert field.get("aria-invalid") == "true"
    assert said in "".join(page.by_id(f"{wrong}-error").itertext())
    assert page.by_id("limit").get("value") == form["limit"]
    with app.app_context():
        assert len(keys.list_of(alice.account_id)) == 1


def test_a_key_is_revoked_by_way_of_a_page_that_asks(app: Flask, alice: Person) -> None:
    browser, key = browser_of(app, alice), first_key(app, alice)
    address = f"/account/keys/{key.public_id}/revoke"
    assert address in links(browser.get("/account/keys"))
    assert key.name in browser.get(address).text
    assert browser.post(address).location == "/account/keys"
    page = browser.get("/account/keys")
    assert "is revoked" in page.text
    assert address not in links(page)
    assert first_key(app, alice).status == "revoked"


def test_htmx_revokes_in_place(app: Flask, alice: Person) -> None:
    browser, key = browser_of(app, alice), first_key(app, alice)
    address = f"/account/keys/{key.public_id}/revoke"
    [link] = [a for a in browser.get("/account/keys").all("a") if a.get("href") == address]
    assert key.name in link.get("hx-confirm", "")
    page = browser.post(address, status=200, headers=HTMX)
    assert page.by_id("keys").tag == f"{HTML}div"
    assert "is revoked" in page.text


def test_without_keys_the_page_says_what_to_do(app: Flask) -> None:
    browser = Browser(app)
    browser.client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    browser.post("/signup", {"email": "ada@example.com", "password": "engine of analysis"})
    assert "No keys yet" in browser.get("/account/keys").text


# Balance


def test_the_balance_shows_its_parts_and_its_history(app: Flask, alice: Person) -> None:
    ask(app, alice)
    page = browser_of(app, alice).get("/account/balance")
    assert "Credits granted" in page.text
    assert "+$5.00" in page.text
    assert "Usage" in page.text


def test_usage_leads_to_its_receipt(app: Flask, alice: Person) -> None:
    identifier = ask(app, alice)
    assert f"/account/activity/{identifier}" in links(
        browser_of(app, alice).get("/account/balance")
    )


def test_adding_credits_says_honestly_what_is_not_there(
    make_app: Callable[..., Flask], bob: Person, operator: Person
) -> None:
    app = make_app(SOLROUTER_ENV="production", SOLROUTER_BASE_URL="https://llm.example.com")
    page = browser_of(app, bob).get("/account/balance")
    assert "Card and crypto payments are not set up on this server yet." in page.text
    assert not [href for href in links(page) if href.startswith("/admin")]
    page = browser_of(app, operator).get("/account/balance")
    assert f"/admin/accounts/{operator.account_public_id}" in links(page)


def test_old_transactions_are_a_page_away(app: Flask, bob: Person) -> None:
    with app.app_context():
        for cents in range(1, 28):
            admission.credit(bob.account_id, cents * 10**7, actor="test", note=f"note {cents}")
    browser = browser_of(app, bob)
    page = browser.get("/account/balance")
    assert "note 27" in page.text
    assert "note 1 " not in page.text
    [older] = [a for a in page.all("a") if a.get("rel") == "next"]
    fragment = browser.get(older.get("hx-get", ""), headers=HTMX)
    assert not fragment.is_whole
    assert "note 1 " in fragment.text
    assert "note 27" not in browser.get(older.get("href", "")).text


@pytest.mark.parametrize("path", ["/account/balance", "/account/activity"])
def test_a_cursor_that_is_none_of_ours_is_no_fault(app: Flask, alice: Person, path: str) -> None:
    assert browser_of(app, alice).client.get(f"{path}?before=x%00y").status_code in (200, 400, 404)


# Activity


def test_a_receipt_explains_its_cost(app: Flask, alice: Person) -> None:
    identifier = ask(app, alice)
    browser = browser_of(app, alice)
    assert f"/account/activity/{identifier}" in links(browser.get("/account/activity"))
    page = browser.get(f"/account/activity/{identifier}")
    assert "The answer was complete." in page.text
    assert "Input" in page.text
    assert "$0.15" in page.text
    assert identifier in page.text
    assert "First key" in page.text


def test_the_lines_of_a_receipt_add_up_to_what_was_paid(app: Flask, alice: Person) -> None:
    identifier = ask(app, alice)
    page = browser_of(app, alice).get(f"/account/activity/{identifier}")
    assert "You paid" in page.text
    with app.app_context():
        [usage, _] = billing.statement(alice.account_id, limit=2)
    [total] = [row for row in page.all("tr") if "total" in row.get("class", "")]
    assert "".join(list(total)[-1].itertext()) == f"${-usage.amount_nanos / 10**9:.9f}".rstrip("0")


def test_a_failure_costs_nothing_and_says_why(app: Flask, alice: Person) -> None:
    ask(app, alice, messages=[{"role": "user", "content": "[[fail:500]] hello"}])
    browser = browser_of(app, alice)
    page = browser.get("/account/activity")
    assert "Failed" in page.text
    [link] = [href for href in links(page) if "/account/activity/chatcmpl-" in href]
    assert "You pay nothing." in browser.get(link).text


def test_an_account_without_requests_is_told_what_to_do(app: Flask, bob: Person) -> None:
    page = browser_of(app, bob).get("/account/activity")
    assert "No requests yet" in page.text
    assert "/docs/quickstart" in links(page)


def test_an_unknown_receipt_is_not_found(app: Flask, alice: Person) -> None:
    browser = browser_of(app, alice)
    for name in ("chatcmpl-" + "0" * 32, "nonsense"):
        assert browser.client.get(f"/account/activity/{name}").status_code == 404


# Charlie


def test_charlie_never_sees_alices_things(app: Flask, alice: Person, charlie: Person) -> None:
    identifier = ask(app, alice)
    key = first_key(app, alice)
    with app.app_context():
        fund(alice.account_id, "77.77")
    browser = browser_of(app, charlie)
    for path in ("/account", "/account/keys", "/account/balance", "/account/activity"):
        page = browser.get(path)
        for secret in (alice.email, key.hint, key.public_id, identifier, "77.77", "82.77"):
            assert secret not in page.html, f"{path} shows {secret}"


def test_charlie_cannot_reach_alices_things(app: Flask, alice: Person, charlie: Person) -> None:
    identifier = ask(app, alice)
    key = first_key(app, alice)
    client = browser_of(app, charlie).client
    assert client.get(f"/account/activity/{identifier}").status_code == 404
    assert client.get(f"/account/keys/{key.public_id}/revoke").status_code == 404
    assert client.post(f"/account/keys/{key.public_id}/revoke").status_code == 404
    assert first_key(app, alice).status == "active"
