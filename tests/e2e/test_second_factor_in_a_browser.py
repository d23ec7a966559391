"""Two-step sign-in and recent proof in a real browser, with JavaScript and without."""

from collections.abc import Callable
from pathlib import Path

import pytest
from flask import Flask

from tests import served as serving
from tests.authenticator import Authenticator
from tests.chromium import VIEWS, View, Window, chromium
from tests.edge.test_recent_proof import let_time_pass
from tests.factories import PASSWORD

EMAIL = "ada@example.com"


@pytest.fixture
def server(serve: Callable[..., serving.Served]) -> serving.Served:
    served = serve()
    made = served.flask("users", "create", EMAIL, "--password", PASSWORD)
    assert made.returncode == 0, made.stderr
    return served


def sign_in(window: Window) -> None:
    window.page.goto("/login")
    window.fill(email=EMAIL, password=PASSWORD)
    window.press("Sign in")


def set_up(window: Window) -> tuple[Authenticator, list[str]]:
    window.page.goto("/account/settings")
    window.press("Set up")
    window.press("Begin")
    assert window.page.locator("svg.qr-code").bounding_box() is not None
    phone = Authenticator(window.page.inner_text("#totp-secret"))
    turn_on(window, phone)
    if window.page.locator(".field-error").is_visible():
        # A busy machine took so long that the code was of two steps ago.
        turn_on(window, phone)
    window.wait_for_heading("Two-step sign-in is on")
    return phone, window.page.inner_text("#recovery-codes").split()


def turn_on(window: Window, phone: Authenticator) -> None:
    # The step before, so that the next code is new when it is asked for.
    window.fill(code=phone.code(-1))
    window.press("Turn on")
    refusal = window.page.locator(".field-error")
    refusal.or_(window.page.locator("#recovery-codes")).first.wait_for()


@pytest.mark.chromium
@VIEWS
def test_two_steps_from_set_up_to_turning_it_off(
    server: serving.Served, view: View, tmp_path: Path
) -> None:
    with chromium() as browser:
        window = Window(browser, server.url, view)
        sign_in(window)
        window.wait_for_heading("Account")
        phone, codes = set_up(window)
        assert len(codes) == 10
        with window.page.expect_download() as downloading:
            window.press("Download")
        downloading.value.save_as(tmp_path / "codes.txt")
        assert codes[9] in (tmp_path / "codes.txt").read_text()
        window.page.get_by_role("button", name="Sign out").first.click()
        window.wait_for_heading("Sign in")

        sign_in(window)
        window.wait_for_heading("Enter your code")
        window.fill(code=phone.wrong_code())
        window.press("Sign in")
        window.page.locator(".field-error").wait_for()
        window.page.goto("/account/keys")
        window.wait_for_heading("Enter your code")
        window.fill(code=phone.code())
        window.press("Sign in")
        window.wait_for_heading("API Keys")

        window.page.goto("/account/settings")
        window.page.get_by_text("Turn it off").click()
        window.fill(off_current=PASSWORD, off_code=codes[0])
        window.press("Turn off")
        window.page.get_by_role("link", name="Set up", exact=True).wait_for()
        assert window.violations == []


@pytest.mark.chromium
@VIEWS
def test_what_was_typed_outlives_the_question_who_is_there(
    server: serving.Served, make_app: Callable[..., Flask], view: View
) -> None:
    app = make_app()
    with chromium() as browser:
        window = Window(browser, server.url, view)
        sign_in(window)
        window.wait_for_heading("Account")
        window.page.goto("/account/keys")
        let_time_pass(app)
        window.fill(name="laptop", limit="2.50")
        window.press("Create key")
        window.wait_for_heading("Confirm it is you")
        window.fill(current="not this one")
        window.press("Confirm")
        window.page.locator(".field-error").wait_for()
        window.fill(current=PASSWORD)
        window.press("Confirm")
        window.page.get_by_text("Copy your new key “laptop” now").wait_for()
        assert window.page.inner_text("#new-key-text").startswith("sr_")
        assert "$2.50" in window.page.inner_text("#keys")
        assert window.violations == []
