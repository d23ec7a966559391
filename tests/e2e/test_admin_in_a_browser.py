"""The operators' pages in a real browser, and an account's as an operator sees it: small, middle
and wide, light and dark, with JavaScript and without. axe finds nothing, the console says nothing,
nothing is wider than the window.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from flask import Flask
from playwright.sync_api import Page

from solrouter.money import parse_usd
from solrouter.services import alerts, announcements, health, incidents, payments, second_factors
from solrouter.services.catalogue import switches
from tests import axe
from tests import served as serving
from tests.chromium import Window, chromium
from tests.edge.signed_in import ask
from tests.factories import MODEL, PASSWORD, Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream

BOTH = pytest.mark.parametrize("with_script", [False, True], ids=["without script", "with script"])
# Scripts change no colour: without them one scheme is enough.
VIEWS = (
    ("light", (320, 768, 1440), True),
    ("dark", (320, 1440), True),
    ("light", (320, 1440), False),
)
ANNOUNCEMENT = "A new model is here."


@dataclass(frozen=True)
class Desk:
    """A server with traffic, money and notices; Olivia runs it, Alice is a customer."""

    url: str
    app: Flask
    alice: Person
    pages: tuple[str, ...]


@pytest.fixture
def desk(make_app: Callable[..., Flask], serve: Callable[..., serving.Served]) -> Iterator[Desk]:
    with FakeUpstream() as upstream:
        app = make_app()
        olivia = make_person(app, "olivia@example.com", operator=True)
        alice = make_person(app, "alice@example.com", credit="5")
        for name in (MODEL, "acme/grand"):
            make_offer(app, upstream.url, model=name)
        receipt = ask(app, alice, MODEL)
        with app.app_context():
            # Else the first sign-in leads there.
            second_factors.ask_once(olivia.user_id)
            payment_id = _things(alice)
        yield Desk(serve().url, app, alice, _pages(alice, receipt, payment_id))


def _things(alice: Person) -> str:
    """One of everything that a page can list; the public id of a payment."""
    announcements.announce(ANNOUNCEMENT, tone="warning", link="/models", actor="test")
    incidents.open_one("Slow answers", "We look.", kind="degraded", affects=[MODEL], actor="test")
    switches.set_model("acme/grand", False, actor="test")
    alerts.set_threshold(alice.account_id, parse_usd("50"), actor="test")
    health.exchange()
    wish = payments.Wish(alice.account_id, alice.user_id, "test", "test", parse_usd("20"))
    return payments.answer_trial(payments.begin(wish).payment, "paid").public_id


def _pages(alice: Person, receipt: str, payment_id: str) -> tuple[str, ...]:
    return (
        "/admin",
        "/admin/users",
        "/admin/users?q=nobody",
        f"/admin/accounts/{alice.account_public_id}",
        "/admin/requests",
        "/admin/requests?outcome=failed",
        f"/admin/requests/{receipt}",
        "/admin/ledger?kind=all",
        "/admin/ledger?kind=refund",
        "/admin/payments",
        f"/admin/payments/{payment_id}",
        "/admin/codes",
        "/admin/models",
        f"/admin/models/{MODEL}/prices",
        "/admin/providers",
        "/admin/providers/acme",
        "/admin/plans",
        "/admin/plans/pro",
        "/admin/notices",
        "/admin/invitations",
        "/admin/audit",
        "/admin/audit?about=keys&account=none",
        "/admin/settings",
    )


def signed_in(window: Window, email: str = "olivia@example.com") -> Page:
    window.page.goto("/login")
    window.fill(email=email, password=PASSWORD)
    window.press("Sign in")
    window.page.wait_for_url("**/account")
    return window.page


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("scheme", "widths_px", "with_script"), VIEWS, ids=["light", "dark", "without script"]
)
def test_no_page_of_operators_has_a_fault(
    desk: Desk, tmp_path: Path, scheme: str, widths_px: tuple[int, ...], with_script: bool
) -> None:
    axe.require_axe()
    found: list[str] = []
    with chromium() as browser:
        judge = axe.judge(browser, desk.url, with_script=with_script, scheme=scheme)
        window = Window(browser, desk.url, with_script=with_script, scheme=scheme)
        page = signed_in(window)
        for number, path in enumerate(desk.pages):
            page.goto(path)
            for width_px in widths_px:
                page.set_viewport_size({"width": width_px, "height": 900})
                found += [f"{width_px} px: {text}" for text in judge(page)]
                if page.evaluate("document.documentElement.scrollWidth > window.innerWidth"):
                    found.append(f"{path} is wider than {width_px} px")
                picture = f"{number:02}-{width_px}-{scheme}-{with_script}.png"
                page.screenshot(path=tmp_path / picture, full_page=True)
        found += window.complaints
    assert found == [], "\n".join(found)


@pytest.mark.chromium
@BOTH
def test_an_operator_looks_at_an_account_and_goes_back(desk: Desk, with_script: bool) -> None:
    axe.require_axe()
    with chromium() as browser:
        judge = axe.judge(browser, desk.url, with_script=with_script)
        window = Window(browser, desk.url, with_script=with_script)
        page = signed_in(window)
        page.goto(f"/admin/accounts/{desk.alice.account_public_id}")
        page.click("summary:has-text('Look at it as its owner')")
        window.fill(view_why="They asked for help")
        window.press("Look at it")
        window.wait_for_heading("Account")
        for path in ("/account", "/account/keys", "/account/balance", "/account/activity"):
            page.goto(path)
            assert "You look at alice" in page.locator("body").inner_text()
            assert judge(page) == []
        page.goto("/account/keys")
        page.fill("#name", "Mine")
        window.press("Create key")
        page.get_by_text("Stop looking first").wait_for()
        page.get_by_role("button", name="Stop looking").click()
        window.wait_for_heading("alice")
        assert window.violations == []


@pytest.mark.chromium
@BOTH
def test_an_account_is_suspended_and_told_so(desk: Desk, with_script: bool) -> None:
    with chromium() as browser:
        window = Window(browser, desk.url, with_script=with_script)
        page = signed_in(window)
        page.goto("/admin/users")
        page.fill("#user-q", "alice")
        if not with_script:
            window.press("Search")
        page.get_by_role("link", name="alice@example.com").click()
        page.click("summary:has-text('Suspend')")
        window.fill(suspend_reason="Stolen cards")
        window.press("Suspend account")
        page.locator(".badge:has-text('Suspended')").wait_for()
        assert not ask(desk.app, desk.alice, MODEL)
        hers = signed_in(Window(browser, desk.url, with_script=with_script), "alice@example.com")
        assert "Stolen cards" in hers.locator("main").inner_text()
        page.click("summary:has-text('Let it spend again')")
        window.fill(reason="Cleared up")
        window.press("Lift")
        page.locator("summary:has-text('Suspend')").wait_for()
        assert ask(desk.app, desk.alice, MODEL)
        assert window.violations == []


@pytest.mark.chromium
@BOTH
def test_a_price_is_set_and_a_provider_tried(desk: Desk, with_script: bool) -> None:
    with chromium() as browser:
        window = Window(browser, desk.url, with_script=with_script)
        page = signed_in(window)
        page.goto("/admin/models")
        page.get_by_role("link", name=MODEL, exact=True).click()
        page.click("summary:has-text('Set a price')")
        window.fill(margin_1="25")
        window.press("Set price")
        page.get_by_text("Margin 25.00 %").wait_for()
        page.goto("/admin/providers/acme")
        page.get_by_role("button", name=f"Test {MODEL}").click()
        page.get_by_text("It answered.").wait_for()
        assert window.violations == []


@pytest.mark.chromium
@BOTH
def test_an_announcement_is_made_seen_and_ended(desk: Desk, with_script: bool) -> None:
    with chromium() as browser:
        window = Window(browser, desk.url, with_script=with_script)
        page = signed_in(window)
        page.on("dialog", lambda dialog: dialog.accept())
        page.goto("/admin/notices")
        window.fill(announcement_text="We move on Friday.")
        window.press("Announce")
        page.locator(".banner:has-text('We move on Friday.')").wait_for()
        page.locator("tr:has-text('We move on Friday.') button").click()
        page.locator("tr:has-text('We move on Friday.') .badge:has-text('Over')").wait_for()
        assert page.locator(".banner:has-text('We move on Friday.')").count() == 0
        assert window.violations == []
