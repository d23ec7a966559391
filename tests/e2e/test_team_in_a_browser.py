"""A team in a real browser, with JavaScript and without: invited, joined, moved, removed."""

from collections.abc import Callable
from urllib.parse import urlsplit

import pytest
from flask import Flask

from tests import served as serving
from tests.chromium import VIEWS, View, Window, chromium
from tests.factories import PASSWORD, make_person

ALICE, BOB = "alice@example.com", "bob@example.com"


def sign_in(window: Window, email: str) -> None:
    window.page.goto("/login")
    window.fill(email=email, password=PASSWORD)
    window.press("Sign in")
    window.wait_for_heading("Account")


@pytest.mark.chromium
@VIEWS
def test_from_the_invitation_to_the_end(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served], view: View
) -> None:
    app = make_app()
    for email in (ALICE, BOB):
        make_person(app, email)
    served = serve()
    with chromium() as browser:
        owner = Window(browser, served.url, view)
        sign_in(owner, ALICE)
        owner.page.goto("/account/team")
        owner.page.fill("#email", BOB)
        owner.page.click("form[action$='/invitations'] button")
        link = owner.page.locator("#invitation-link").inner_text()
        guest = Window(browser, served.url, view)
        sign_in(guest, BOB)
        guest.page.goto(urlsplit(link).path)
        guest.press("Join “alice”")
        guest.wait_for_heading("Account")
        guest.page.click("#accounts summary")
        assert guest.page.locator("#accounts button[aria-current]").inner_text().startswith("alice")
        guest.page.click("#accounts button:has-text('bob')")
        guest.page.wait_for_selector("#accounts summary:has-text('bob')")
        owner.page.goto("/account/team")
        owner.page.click("a:has-text('Remove')")
        owner.wait_for_heading(f"Remove {BOB}?")
        owner.press("Remove member")
        owner.wait_for_heading("Team")
        assert BOB not in owner.page.locator("#team").inner_text()
        guest.page.reload()
        assert guest.page.locator("#accounts").count() == 0
        assert owner.violations == [] and guest.violations == []
