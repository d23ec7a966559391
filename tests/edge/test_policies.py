"""Terms, privacy, refunds and contact: templates that say so, until the operator writes their own.
Pricing, and the choice between light and dark.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from solrouter.blueprints.policies import NAMES, TEMPLATES
from tests.browser import Browser
from tests.edge.signed_in import browser_of
from tests.factories import Person

MakeApp = Callable[..., Flask]
OWN_PAGE = {"Sec-Fetch-Site": "same-origin"}


@pytest.mark.parametrize("name", NAMES)
def test_what_ships_says_that_it_is_a_template(browser: Browser, name: str) -> None:
    page = browser.get(f"/{name}")
    assert "This is a template." in page.text
    assert "{{" not in page.html
    assert (TEMPLATES / f"{name}.md").is_file()


@pytest.mark.parametrize("name", NAMES)
def test_the_footer_of_every_page_leads_there(browser: Browser, name: str) -> None:
    assert f"/{name}" in {a.get("href") for a in browser.get("/login").all("a")}


def test_the_checkout_leads_there(app: Flask, alice: Person) -> None:
    page = browser_of(app, alice).get("/account/balance")
    links = {a.get("href") for a in page.by_id("top-up").iter("{http://www.w3.org/1999/xhtml}a")}
    assert {"/terms", "/refunds", "/privacy", "/contact"} <= links


def test_an_operators_text_takes_its_place_at_once(make_app: MakeApp, tmp_path: Path) -> None:
    browser = Browser(make_app(SOLROUTER_CONTACT_EMAIL="help@example.com"))
    folder = tmp_path / "policies"
    folder.mkdir()
    own = (
        "---\ntitle: Our terms\n---\n\n## Be kind\n\nAsk {{ contact_email }}. <script>x</script>\n"
    )
    (folder / "terms.md").write_text(own)
    page = browser.get("/terms")
    assert "Our terms" in page.text and "Ask help@example.com." in page.text
    assert "This is a template." not in page.text
    assert "This is a template." in browser.get("/privacy").text
    (folder / "terms.md").write_text("Be kinder.")
    assert "Be kinder." in browser.get("/terms").text


def test_the_folder_can_be_elsewhere(make_app: MakeApp, tmp_path: Path) -> None:
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "contact.md").write_text("Ring the bell.")
    browser = Browser(make_app(SOLROUTER_POLICIES_PATH=str(folder)))
    assert "Ring the bell." in browser.get("/contact").text


def test_templates_say_what_the_settings_say(make_app: MakeApp) -> None:
    browser = Browser(
        make_app(
            SOLROUTER_SELLER="Acme Ltd|1 High Street",
            SOLROUTER_CONTACT_EMAIL="help@example.com",
            SOLROUTER_REFUND_DAYS="30",
        )
    )
    assert "offered by Acme Ltd, 1 High Street." in browser.get("/terms").text
    assert "For 30 days after a payment" in browser.get("/refunds").text
    assert "mailto:help@example.com" in {a.get("href") for a in browser.get("/contact").all("a")}
    assert "Write to us, and we give back" in (
        Browser(make_app(SOLROUTER_REFUND_DAYS="0")).get("/refunds").text
    )


def test_only_operators_are_told_where_the_file_goes(
    app: Flask, alice: Person, operator: Person, tmp_path: Path
) -> None:
    path = str(tmp_path / "policies" / "terms.md")
    assert path in browser_of(app, operator).get("/terms").text
    assert path not in browser_of(app, alice).get("/terms").text


def test_pricing_shows_what_can_be_asked_for(browser: Browser, offered: str) -> None:
    page = browser.get("/pricing")
    assert offered in page.text and "openai/gpt-4o-mini" not in page.text
    assert "Pay as you go" in page.text
    assert "for 14 days" in page.text


def test_pricing_shows_fees(make_app: MakeApp) -> None:
    app = make_app(
        STRIPE_SECRET_KEY="sk_test_nothing",
        STRIPE_WEBHOOK_SECRET="whsec_nothing",
        SOLROUTER_CARD_FEE_PERCENT="2.5",
        SOLROUTER_CARD_FEE_MIN="0.30",
        SOLROUTER_STRIPE_TEST_MODE="1",
        SOLROUTER_BASE_URL="https://llm.example.com",
    )
    assert "2.5 %, at least $0.30" in Browser(app).get("/pricing").text


def test_a_server_that_sells_nothing_says_so(make_app: MakeApp) -> None:
    page = Browser(make_app(SOLROUTER_ENV="production")).get("/pricing")
    assert "No way to pay is set up" in page.text
    assert "Nothing is served yet" in page.text


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_theme_is_remembered_and_taken_back(browser: Browser, theme: str) -> None:
    chosen = browser.post("/theme", {"theme": theme, "back": "/models?q=gpt"})
    assert chosen.location == "/models?q=gpt"
    page = browser.get("/pricing")
    assert page.root.get("data-theme") == theme
    [pressed] = [b for b in page.all("button") if b.get("aria-pressed") == "true"]
    assert pressed.get("value") == theme
    browser.post("/theme", {"theme": "", "back": "/"}, headers=OWN_PAGE)
    assert browser.get("/").root.get("data-theme") is None


def test_a_theme_leads_to_no_other_site(browser: Browser) -> None:
    assert browser.post("/theme", {"theme": "dark", "back": "//evil.example"}).location == "/"


def test_an_unknown_theme_is_none(browser: Browser) -> None:
    browser.post("/theme", {"theme": '"><script>'})
    browser.client.set_cookie("theme", '"><script>')
    assert browser.get("/").root.get("data-theme") is None
