"""The pages that belong to nobody, and what every page has in common."""

import sqlite3
from collections.abc import Callable
from contextlib import closing

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter import process
from solrouter.services import housekeeping
from tests.browser import Browser
from tests.edge.signed_in import browser_of
from tests.factories import Person, fund

PUBLIC = (
    "/",
    "/docs",
    "/docs/quickstart",
    "/login",
    "/signup",
    "/pricing",
    "/status",
    "/terms",
    "/privacy",
    "/refunds",
    "/contact",
)


def links(browser: Browser, path: str) -> set[str]:
    return {a.get("href", "") for a in browser.get(path).all("a")}


def test_the_landing_page_shows_a_sample_with_this_servers_address(browser: Browser) -> None:
    page = browser.get("/")
    assert "curl http://localhost/v1/chat/completions" in page.text
    assert 'base_url="http://localhost/v1"' in page.text


def test_the_landing_page_shows_models_with_prices(browser: Browser) -> None:
    page = browser.get("/")
    assert "demo/echo" in page.text
    assert "$0.15" in page.text


def test_the_api_may_have_an_address_of_its_own(make_app: Callable[..., Flask]) -> None:
    app = make_app(SOLROUTER_API_BASE_URL="https://api.example.com/v1")
    assert "curl https://api.example.com/v1/chat" in Browser(app).get("/").text


def test_the_base_url_is_the_settings(make_app: Callable[..., Flask]) -> None:
    app = make_app(SOLROUTER_BASE_URL="https://llm.example.com")
    assert "curl https://llm.example.com/v1/chat" in Browser(app).get("/").text


@pytest.mark.parametrize("path", PUBLIC)
def test_public_pages_link_only_to_pages_that_exist(browser: Browser, path: str) -> None:
    own = {href.partition("#")[0] for href in links(browser, path) if href.startswith("/")}
    for href in own - {""}:
        assert browser.client.get(href).status_code in (200, 303), href


def test_strangers_are_offered_to_sign_up(browser: Browser) -> None:
    assert {"/login", "/signup"} <= links(browser, "/")


def test_sign_up_is_not_offered_where_it_is_closed(make_app: Callable[..., Flask]) -> None:
    assert "/signup" not in links(Browser(make_app(SOLROUTER_SIGNUP="closed")), "/")


def test_the_header_shows_whole_cents_rounded_down(app: Flask, bob: Person) -> None:
    with app.app_context():
        fund(bob.account_id, "4.999999")
    chip = browser_of(app, bob).get("/").by_id("balance")
    assert "".join(chip.itertext()) == "Balance: $4.99"
    assert chip.get("title") == "$4.999999"


def test_the_header_never_hides_a_balance_below_a_cent(app: Flask, bob: Person) -> None:
    with app.app_context():
        fund(bob.account_id, "0.004")
    assert "$0.004" in "".join(browser_of(app, bob).get("/").by_id("balance").itertext())


def test_only_operators_see_the_way_to_admin(app: Flask, alice: Person, operator: Person) -> None:
    assert "/admin" not in links(browser_of(app, alice), "/")
    assert "/admin" in links(browser_of(app, operator), "/")


def test_health_needs_nothing(client: FlaskClient) -> None:
    answer = client.get("/healthz")
    assert (answer.status_code, answer.text, answer.mimetype) == (200, "ok", "text/plain")


def test_ready_when_the_database_answers(client: FlaskClient) -> None:
    assert client.get("/readyz").status_code == 200


def test_not_ready_when_the_database_has_no_tables(
    make_app: Callable[..., Flask], tmp_path_factory: pytest.TempPathFactory
) -> None:
    empty = tmp_path_factory.mktemp("empty") / "empty.sqlite3"
    app = make_app(f"sqlite:///{empty}")
    assert app.test_client().get("/readyz").status_code == 503
    assert app.test_client().get("/healthz").status_code == 200


def test_not_ready_when_the_database_takes_no_writes(app: Flask, sqlite_url: str) -> None:
    """It goes on answering, as one does whose disk is full; a lock is what a test can take."""
    client = app.test_client()
    with closing(sqlite3.connect(sqlite_url.removeprefix("sqlite:///"))) as other:
        other.execute("BEGIN IMMEDIATE")
        with app.app_context():
            housekeeping.tick()
        answer = client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "the database takes no writes")
        assert client.get("/healthz").status_code == 200
    with app.app_context():
        housekeeping.tick()
    assert client.get("/readyz").status_code == 200


def test_a_process_that_is_told_to_stop_is_not_ready(client: FlaskClient) -> None:
    process.attach(lambda: False)
    try:
        answer = client.get("/readyz")
        assert (answer.status_code, answer.text) == (503, "this process is about to end")
        assert client.get("/healthz").status_code == 200
    finally:
        process.attach(lambda: True)
    assert client.get("/readyz").status_code == 200


def test_patterns_are_for_developers(
    browser: Browser, make_app: Callable[..., Flask], tmp_path_factory: pytest.TempPathFactory
) -> None:
    assert "Buttons" in browser.get("/patterns").text
    production = make_app(SOLROUTER_ENV="production")
    assert production.test_client().get("/patterns").status_code == 404


def test_private_pages_ask_not_to_be_indexed(app: Flask, alice: Person) -> None:
    page = browser_of(app, alice).get("/account")
    assert [
        m for m in page.all("meta") if (m.get("name"), m.get("content")) == ("robots", "noindex")
    ]


def test_files_that_every_page_asks_for_are_there(browser: Browser) -> None:
    page = browser.get("/")
    links = [e for e in page.all("link") if e.get("rel") != "canonical"]
    files = [e.get("src") for e in page.all("script")] + [e.get("href") for e in links]
    assert len(files) == 5
    for file in files:
        with browser.client.get(str(file)) as answer:
            assert answer.status_code == 200
