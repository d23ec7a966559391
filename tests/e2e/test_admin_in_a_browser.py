"""What operators do in their pages, in a real browser, with JavaScript and without."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest
from flask import Flask
from playwright.sync_api import Page

from solrouter.services import second_factors
from tests import axe
from tests import served as serving
from tests.chromium import VIEWS, View, Window, chromium
from tests.edge.signed_in import ask
from tests.factories import MODEL, PASSWORD, Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream


@dataclass(frozen=True)
class Desk:
    """A server with traffic, money and notices; Olivia runs it, Alice is a customer."""

    url: str
    app: Flask
    alice: Person


@pytest.fixture
def desk(make_app: Callable[..., Flask], serve: Callable[..., serving.Served]) -> Iterator[Desk]:
    with FakeUpstream() as upstream:
        app = make_app()
        olivia = make_person(app, "olivia@example.com", operator=True)
        alice = make_person(app, "alice@example.com", credit="5")
        for name in (MODEL, "acme/grand"):
            make_offer(app, upstream.url, model=name)
        assert ask(app, alice, MODEL)
        with app.app_context():
            # Else the first sign-in leads there.
            second_factors.ask_once(olivia.user_id)
        yield Desk(serve().url, app, alice)


def signed_in(window: Window, email: str = "olivia@example.com") -> Page:
    window.page.goto("/login")
    window.fill(email=email, password=PASSWORD)
    window.press("Sign in")
    window.page.wait_for_url("**/account")
    return window.page


@pytest.mark.chromium
@VIEWS
def test_an_operator_looks_at_an_account_and_goes_back(desk: Desk, view: View) -> None:
    axe.require_axe()
    with chromium() as browser:
        judge = axe.judge(browser, desk.url, with_script=view.with_script)
        window = Window(browser, desk.url, view)
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
        assert page.locator("main form, main [hx-post]").count() == 0
        page.get_by_role("button", name="Stop looking").click()
        window.wait_for_heading("alice")
        assert window.violations == []


@pytest.mark.chromium
@VIEWS
def test_an_account_is_suspended_and_told_so(desk: Desk, view: View) -> None:
    with chromium() as browser:
        window = Window(browser, desk.url, view)
        page = signed_in(window)
        page.goto("/admin/users")
        page.fill("#user-q", "alice")
        if not view.with_script:
            window.press("Search")
        page.locator("#users").get_by_text("olivia@example.com").wait_for(state="detached")
        window.press_slowly(page.get_by_role("link", name="alice@example.com"))
        page.click("summary:has-text('Suspend')")
        window.fill(suspend_reason="Stolen cards")
        window.press("Suspend account")
        page.locator(".badge:has-text('Suspended')").wait_for()
        assert not ask(desk.app, desk.alice, MODEL)
        hers = signed_in(Window(browser, desk.url, view), "alice@example.com")
        assert "Stolen cards" in hers.locator("main").inner_text()
        page.click("summary:has-text('Let it spend again')")
        window.fill(reason="Cleared up")
        window.press("Lift")
        page.locator("summary:has-text('Suspend')").wait_for()
        assert ask(desk.app, desk.alice, MODEL)
        assert window.violations == []


@pytest.mark.chromium
@VIEWS
def test_a_price_is_set_and_a_provider_tried(desk: Desk, view: View) -> None:
    with chromium() as browser:
        window = Window(browser, desk.url, view)
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
@VIEWS
def test_an_announcement_is_made_seen_and_ended(desk: Desk, view: View) -> None:
    with chromium() as browser:
        window = Window(browser, desk.url, view)
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
