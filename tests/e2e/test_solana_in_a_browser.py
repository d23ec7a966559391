"""A top-up in USDC in a real browser on a phone's width: the page is paid and says so by itself."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from playwright.sync_api import Page

from solrouter.services import payments
from solrouter.services.payments.solana import readiness
from tests import served as serving
from tests.chromium import WITHOUT_SCRIPT, Window, chromium
from tests.factories import PASSWORD, Person, make_person
from tests.services.test_solana_payments import begun
from tests.solana import Shop, open_shop

PHONE = {"width": 360, "height": 740}


@pytest.fixture
def shop() -> Iterator[Shop]:
    with open_shop() as opened:
        yield opened


@pytest.fixture
def server(serve: Callable[..., serving.Served], shop: Shop) -> serving.Served:
    return serve(**shop.settings)


@pytest.fixture
def app(make_app: Callable[..., Flask], shop: Shop) -> Flask:
    return make_app(**shop.settings)


@pytest.fixture
def payer(app: Flask) -> Person:
    return make_person(app, "pat@example.com")


@pytest.fixture
def payment(app: Flask, payer: Person) -> payments.Payment:
    with app.app_context():
        readiness.look()
        return begun(payer)


def open_page(window: Window, payer: Person, payment: payments.Payment) -> Page:
    page = window.page
    page.set_viewport_size(PHONE)
    page.goto("/login")
    window.fill(email=payer.email, password=PASSWORD)
    window.press("Sign in")
    window.wait_for_heading("Account")
    page.goto(f"/account/payments/{payment.public_id}/solana")
    window.wait_for_heading("Pay in USDC")
    return page


def is_as_wide_as_the_phone(page: Page) -> bool:
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))


def link_on(page: Page) -> str:
    href = page.get_by_role("link", name="Open in your wallet").get_attribute("href")
    assert href is not None
    return href


def choose(window: Window, payer: Person) -> Page:
    """From signing in to the payment's page, by the form of the balance page."""
    page = window.page
    page.set_viewport_size(PHONE)
    page.goto("/login")
    window.fill(email=payer.email, password=PASSWORD)
    window.press("Sign in")
    window.wait_for_heading("Account")
    way = page.get_by_label("USDC on Solana")
    for _ in range(200):
        page.goto("/account/balance")
        # The server asks the nodes first whether they can be believed.
        if way.count():
            break
        page.wait_for_timeout(100)
    way.check()
    window.fill(amount="10")
    window.press("Continue to payment")
    window.wait_for_heading("Pay in USDC")
    page.wait_for_load_state()
    return page


@pytest.mark.chromium
def test_a_top_up_is_chosen_paid_and_seen_without_a_reload(
    server: serving.Served, shop: Shop, payer: Person
) -> None:
    customer = shop.customer()
    shop.chain.finalizes = False
    with chromium() as browser:
        window = Window(browser, server.url)
        page = choose(window, payer)
        page.evaluate("window.isTheSamePage = true")
        assert is_as_wide_as_the_phone(page)
        code = page.locator("svg.qr-code").bounding_box()
        assert code is not None and code["width"] >= 240
        page.get_by_text("Please pay within 59:").wait_for()
        assert page.inner_text("#balance").endswith("$0.00")

        customer.pay(link_on(page))
        page.get_by_text("Seen.", exact=True).wait_for(timeout=30_000)
        assert page.locator("#payment-steps .is-done").count() == 1
        shop.chain.finalize()
        page.get_by_text("Paid.", exact=True).wait_for(timeout=30_000)
        assert page.locator("#payment-steps .is-done").count() == 3
        assert "$10.00" in page.inner_text("#balance")
        assert page.locator("svg.qr-code").count() == 0
        assert page.locator("#look-again[hx-get]").count() == 0
        assert page.evaluate("window.isTheSamePage")
        assert is_as_wide_as_the_phone(page)
        window.press("Receipt")
        page.get_by_role("link", name="Download").first.wait_for()
        assert window.violations == []


@pytest.mark.chromium
def test_by_keyboard_the_amount_and_the_address_are_copied(
    server: serving.Served, payer: Person, payment: payments.Payment
) -> None:
    with chromium() as browser:
        window = Window(browser, server.url)
        window.page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page = open_page(window, payer, payment)
        for name, target in (("the amount", "pay-amount"), ("the address", "pay-address")):
            page.locator(f"[data-copy={target}]").focus()
            page.keyboard.press("Enter")
            page.get_by_role("button", name=f"Copied {name}").wait_for()
            copied = page.evaluate("navigator.clipboard.readText()")
            assert copied and copied in page.inner_text(f"#{target}")
        page.keyboard.press("Tab")
        assert page.evaluate("document.activeElement.textContent").strip() == "Look again"
        page.keyboard.press("Tab")
        page.keyboard.press("Enter")
        assert page.locator("details[open]").count() == 1
        page.keyboard.press("Tab")
        page.keyboard.type("nonsense")
        page.keyboard.press("Enter")
        page.locator(".field-error").wait_for()
        assert page.input_value("#signature") == "nonsense"


@pytest.mark.chromium
def test_without_script_the_page_is_looked_at_again(
    server: serving.Served, shop: Shop, payer: Person, payment: payments.Payment
) -> None:
    with chromium() as browser:
        window = Window(browser, server.url, WITHOUT_SCRIPT)
        page = open_page(window, payer, payment)
        page.get_by_text("Please pay within an hour").wait_for()
        paid = shop.customer().pay(link_on(page), references=[])
        page.get_by_text("You paid, and nothing shows?").click()
        window.fill(signature=paid.signature)
        window.press("Look for it")
        for _ in range(200):
            window.press("Look again")
            page.wait_for_load_state()
            if page.get_by_text("Paid.", exact=True).count():
                break
            page.wait_for_timeout(100)
        assert page.locator("#payment-steps .is-done").count() == 3
        assert is_as_wide_as_the_phone(page)
