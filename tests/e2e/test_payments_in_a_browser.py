"""Paying in a real browser on a phone's width, with JavaScript and without: top up by card and by
test, see the balance change without reloading, download the receipt, take the rest back.
"""

import re
from collections.abc import Callable

import pytest
from flask import Flask

from tests import served as serving
from tests.chromium import VIEWS, View, Window, chromium
from tests.factories import PASSWORD, make_person
from tests.fakes.stripe import FakeStripe

PAT = "pat@example.com"
PHONE = {"width": 360, "height": 740}


def sign_in(window: Window) -> None:
    window.page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    window.page.goto("/login")
    window.fill(email=PAT, password=PASSWORD)
    window.press("Sign in")
    window.wait_for_heading("Account")


def fits(window: Window) -> bool:
    """Whether nothing is wider than the phone."""
    return bool(window.page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def prints_well(window: Window) -> bool:
    """Whether paper gets dark ink from a dark screen, and nothing that can only be pressed."""
    page = window.page
    page.emulate_media(media="print", color_scheme="dark")
    ink = page.evaluate("getComputedStyle(document.querySelector('#receipt-body')).color")
    buttons = page.locator(".button:visible, nav:visible").count()
    page.emulate_media(media="screen", color_scheme="light")
    return all(int(part) < 128 for part in re.findall(r"\d+", ink)) and buttons == 0


@pytest.mark.chromium
@VIEWS
def test_top_up_by_card_and_refund(
    make_app: Callable[..., Flask],
    serve: Callable[..., serving.Served],
    stripe: FakeStripe,
    view: View,
) -> None:
    make_person(make_app(), PAT)
    served = serve(**stripe.settings(), SOLROUTER_CARD_FEE_PERCENT="5")
    stripe.webhook_url = f"{served.url}/webhooks/stripe"
    with chromium() as browser:
        # Under the name to which the way back from Stripe leads.
        window = Window(browser, f"http://localhost:{served.port}", view)
        page = window.page
        sign_in(window)
        page.goto("/account/balance")
        if view.with_script:
            assert fits(window)
            page.check("input[value='$25.00']")
            page.wait_for_selector("#quote:has-text('$26.25')")
        else:
            page.check("input[value='$25.00']")
        window.press("Continue to payment")
        page.get_by_role("heading", name="Pay $26.25").wait_for()
        # They come back without having paid, and pay in another window.
        page.get_by_role("button", name="Back").click()
        window.wait_for_heading("Payment")
        assert "Waiting" in page.locator("#payment").inner_text()
        [session] = stripe.books.of_kind("checkout.session")
        stripe.books.pay(session["id"])
        assert stripe.deliver(stripe.books.events[-1]) == 200
        if view.with_script:
            assert fits(window)
        else:
            page.reload()
        page.wait_for_selector("#payment:has-text('The credits are in your balance.')")
        assert "$25.00" in page.locator("#balance").inner_text()
        window.press("Receipt")
        window.wait_for_heading("Receipt")
        assert prints_well(window)
        with page.expect_download() as downloading:
            window.press("Download")
        receipt = downloading.value.path().read_text()
        assert re.search(r"Total paid +\$26\.25", receipt)
        page.goto(page.url.removesuffix("/receipt"))
        window.press("Refund")
        window.wait_for_heading("Refund this payment?")
        window.press("Refund")
        window.wait_for_heading("Payment")
        page.wait_for_selector("#payment:has-text('All of it was given back.')")
        assert "$0.00" in page.locator("#balance").inner_text()
        if view.with_script:
            assert fits(window)
            page.goto("/account/statements")
            assert fits(window)
        assert window.violations == []
    assert [made["amount"] for made in stripe.books.of_kind("refund")] == [2500]


@pytest.mark.chromium
def test_the_test_payment_needs_no_network(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served]
) -> None:
    make_person(make_app(), PAT)
    served = serve()
    with chromium() as browser:
        window = Window(browser, served.url)
        sign_in(window)
        window.page.goto("/account/balance")
        assert "No money moves." in window.page.locator("#top-up").inner_text()
        window.press("Continue to payment")
        window.wait_for_heading("Payment")
        window.press("Pay $10.00 as a test")
        window.page.wait_for_selector("#payment:has-text('The credits are in your balance.')")
        assert "$10.00" in window.page.locator("#balance").inner_text()
        assert fits(window)
        assert window.violations == []
