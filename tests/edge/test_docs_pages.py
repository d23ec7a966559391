"""The documentation as pages: this server's addresses, the reader's key hint, living anchors."""

import re
from collections.abc import Callable

import pytest
from flask import Flask

from solrouter.blueprints.docs import FOLDER, entries
from solrouter.services import keys
from tests.browser import Browser
from tests.edge.signed_in import browser_of
from tests.factories import Person

NAMES = sorted(path.stem for path in FOLDER.glob("*.md"))


def test_the_contents_lead_to_every_page(browser: Browser) -> None:
    page = browser.get("/docs")
    hrefs = {a.get("href") for a in page.all("a")}
    assert {f"/docs/{name}" for name in NAMES} <= hrefs


def test_the_quickstart_comes_first() -> None:
    assert entries()[0].name == "quickstart"


@pytest.mark.parametrize("name", NAMES)
def test_no_placeholder_is_left(browser: Browser, name: str) -> None:
    assert not re.search(r"\{\{ ?[a-z_]+ ?\}\}", browser.get(f"/docs/{name}").html)


@pytest.mark.parametrize("name", NAMES)
def test_the_contents_of_a_page_lead_to_its_headings(browser: Browser, name: str) -> None:
    page = browser.get(f"/docs/{name}")
    anchors = [a.get("href", "")[1:] for a in page.all("a") if a.get("href", "").startswith("#")]
    assert len(anchors) > 1
    for anchor in anchors:
        page.by_id(anchor)


@pytest.mark.parametrize("name", NAMES)
def test_links_between_pages_lead_somewhere(browser: Browser, name: str) -> None:
    hrefs = {a.get("href", "") for a in browser.get(f"/docs/{name}").all("a")}
    for href in hrefs:
        if not href.startswith("/"):
            continue
        path, _, anchor = href.partition("#")
        assert browser.client.get(path).status_code in (200, 303), href
        if anchor and path.startswith("/docs/"):
            browser.get(path).by_id(anchor)


def test_each_sample_can_be_copied(browser: Browser) -> None:
    page = browser.get("/docs/quickstart")
    targets = [b.get("data-copy", "") for b in page.all("button") if b.get("data-copy")]
    assert len(targets) == len(page.all("pre"))
    for target in targets:
        page.by_id(target)


def test_samples_carry_this_servers_address(browser: Browser) -> None:
    page = browser.get("/docs/quickstart")
    assert 'base_url="http://localhost/v1"' in page.text
    assert "solrouter.io" not in page.text


def test_samples_carry_the_settings_address(make_app: Callable[..., Flask]) -> None:
    app = make_app(SOLROUTER_BASE_URL="https://llm.example.com")
    assert 'base_url="https://llm.example.com/v1"' in Browser(app).get("/docs/quickstart").text


def test_strangers_see_a_placeholder_for_the_key(browser: Browser) -> None:
    assert "SOLROUTER_API_KEY=sr_YOUR_API_KEY" in browser.get("/docs/quickstart").text


def test_readers_see_the_hint_of_their_newest_key(app: Flask, alice: Person) -> None:
    with app.app_context():
        newest = keys.create(alice.account_id, user_id=alice.user_id, name="newest")
    page = browser_of(app, alice).get("/docs/quickstart")
    assert f"SOLROUTER_API_KEY={newest.key.hint}" in page.text
    assert newest.text not in page.html


def test_pages_have_neighbours(browser: Browser) -> None:
    page = browser.get("/docs/authentication")
    rels = {a.get("rel") for a in page.all("a")}
    assert {"prev", "next"} <= rels


@pytest.mark.parametrize("name", ["nothing", "..%2f..%2fconfig", "nothing.md", "..%2fconfig.md"])
def test_only_pages_of_the_docs_are_served(browser: Browser, name: str) -> None:
    assert browser.client.get(f"/docs/{name}").status_code == 404
