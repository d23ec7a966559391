"""What is typed stays, and what is pressed is done, whatever else a page swaps meanwhile."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

import pytest
from flask import Flask
from playwright.sync_api import Page, Route

from solrouter.services import keys, second_factors
from tests import served as serving
from tests.chromium import HAND_MS, Window, chromium
from tests.edge.signed_in import ask
from tests.factories import MODEL, PASSWORD, Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream

# What a network takes that is far away.
FAR_MS = 600


@dataclass(frozen=True)
class Desk:
    """A running server and Olivia, who runs it and is a customer, too."""

    url: str
    app: Flask
    olivia: Person


@pytest.fixture
def desk(make_app: Callable[..., Flask], serve: Callable[..., serving.Served]) -> Iterator[Desk]:
    with FakeUpstream() as upstream:
        app = make_app()
        olivia = make_person(app, "olivia@example.com", credit="5", operator=True)
        make_offer(app, upstream.url, model=MODEL)
        with app.app_context():
            # Else the first sign-in leads there.
            second_factors.ask_once(olivia.user_id)
        yield Desk(serve().url, app, olivia)


@pytest.fixture
def window(desk: Desk) -> Iterator[Window]:
    """Olivia's."""
    with chromium() as browser:
        window = Window(browser, desk.url)
        window.page.on("dialog", lambda dialog: dialog.accept())
        window.page.goto("/login")
        window.fill(email="olivia@example.com", password=PASSWORD)
        window.press("Sign in")
        window.page.wait_for_url("**/account")
        yield window
        assert window.violations == []


def far_away(page: Page) -> None:
    """Lets each answer to HTMX take its time."""

    def wait(route: Route) -> None:
        if "hx-request" in route.request.headers:
            page.wait_for_timeout(FAR_MS)
        route.continue_()

    page.route("**/*", wait)


@pytest.mark.chromium
def test_a_new_key_stays_to_be_copied_while_others_are_revoked(desk: Desk, window: Window) -> None:
    with desk.app.app_context():
        for name in ("old", "older"):
            keys.create(desk.olivia.account_id, user_id=desk.olivia.user_id, name=name)
    page = window.page
    page.goto("/account/keys")
    window.fill(name="website", limit="12")
    page.locator("a:has-text('Revoke older')").click()
    page.get_by_text("“older” is revoked.").wait_for()
    assert page.input_value("#name") == "website" and page.input_value("#limit") == "12"
    window.press("Create key")
    text = page.locator("#new-key-text").inner_text()
    assert page.input_value("#name") == ""
    page.locator("a[href$='/revoke']:has-text('Revoke old')").click()
    page.get_by_text("“old” is revoked.").wait_for()
    assert page.locator("#new-key-text").inner_text() == text
    # A second one that is refused takes nothing away; one that is made takes its place.
    window.fill(name="laptop", limit="lots")
    window.press("Create key")
    page.locator("#limit-error").wait_for()
    assert page.locator("#new-key-text").inner_text() == text
    window.fill(limit="")
    window.press("Create key")
    page.get_by_role("heading", name="Copy your new key “laptop” now").wait_for()
    assert page.locator("#new-key-text").inner_text() != text


@pytest.mark.chromium
def test_one_amount_is_saved_and_the_other_stays_typed(window: Window) -> None:
    page = window.page
    page.goto("/account/settings")
    page.fill("#low_balance", "3")
    page.fill("#spend", "40")
    page.locator("#low-balance-form button").click()
    page.get_by_text("You get a mail below that balance.").wait_for()
    assert page.input_value("#spend") == "40"
    page.fill("#low_balance", "4")
    page.fill("#spend", "lots")
    page.locator("#spend-form button").click()
    page.locator("#spend-error").wait_for()
    assert page.input_value("#low_balance") == "4"


@pytest.mark.chromium
def test_a_trial_of_a_provider_leaves_its_new_key_typed(window: Window) -> None:
    page = window.page
    page.goto("/admin/providers/acme")
    page.fill("#api_key", "sk-new")
    page.get_by_role("button", name=f"Test {MODEL}").click()
    page.get_by_text("It answered.").wait_for()
    assert page.input_value("#api_key") == "sk-new"


@pytest.mark.chromium
@pytest.mark.parametrize(
    ("path", "field", "link"),
    [
        ("/admin/requests", "#filter-model", "#requests tbody a"),
        ("/admin/ledger", "#filter-account", "#ledger tbody a"),
    ],
)
def test_what_a_filter_has_found_is_pressed_at_once(
    desk: Desk, window: Window, path: str, field: str, link: str
) -> None:
    assert ask(desk.app, desk.olivia, MODEL)
    page = window.page
    page.goto(path)
    typed = MODEL if field == "#filter-model" else desk.olivia.account_public_id
    with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
        page.locator(field).press_sequentially(typed)
    page.wait_for_timeout(HAND_MS)
    window.press_slowly(page.locator(link).first)
    page.wait_for_url(lambda url: urlsplit(url).path != path)


@pytest.mark.chromium
def test_the_calculator_takes_what_is_typed_while_it_reckons(window: Window) -> None:
    page = window.page
    page.goto(f"/models/{MODEL}")
    far_away(page)
    page.fill("#prompt", "1000000")
    page.press("#prompt", "Tab")
    page.press("#cached", "Tab")
    page.locator("#answer").press_sequentially("x", delay=FAR_MS)
    page.wait_for_timeout(FAR_MS)
    assert page.input_value("#answer") == "x"
    assert page.evaluate("document.activeElement.id") == "answer"
    page.press("#answer", "Tab")
    page.locator("#calculation", has_text="Answer: Write a whole number").wait_for()
    page.fill("#answer", "1000000")
    page.press("#answer", "Tab")
    page.locator("#calculation td:has-text('$3,000.00')").wait_for()


def is_in_sight(page: Page, selector: str) -> bool:
    """Whether it is within the window."""
    box = page.locator(selector).bounding_box()
    return box is not None and 0 <= box["y"] <= page.evaluate("innerHeight") - box["height"]


@pytest.mark.chromium
def test_a_form_that_comes_back_shows_what_is_wrong(window: Window) -> None:
    page = window.page
    page.set_viewport_size({"width": 360, "height": 640})
    page.goto("/account/balance")
    for field, button in (("amount", "Continue to payment"), ("code", "Redeem")):
        page.fill(f"#{field}", "lots")
        window.press(button)
        page.locator(f"#{field}-error").wait_for()
        page.wait_for_function("id => document.activeElement.id === id", arg=field)
        assert is_in_sight(page, f"#{field}-error")
    page.goto("/account/settings/second-factor")
    window.press("Begin")
    page.fill("#code", "1")
    window.press("Turn on")
    page.locator("#code-error").wait_for()
    page.wait_for_function("document.activeElement.id === 'code'")
    assert is_in_sight(page, "#code-error")


@pytest.mark.chromium
def test_the_keyboard_goes_on_where_it_was(desk: Desk, window: Window) -> None:
    with desk.app.app_context():
        keys.create(desk.olivia.account_id, user_id=desk.olivia.user_id, name="old")
    page = window.page
    page.goto("/account/keys")
    page.locator("a:has-text('Revoke old')").focus()
    page.keyboard.press("Enter")
    page.get_by_text("“old” is revoked.").wait_for()
    page.wait_for_function("document.activeElement.id === 'keys'")
    page.goto("/admin/providers/acme")
    page.get_by_role("button", name=f"Test {MODEL}").focus()
    page.keyboard.press("Enter")
    page.get_by_text("It answered.").wait_for()
    page.wait_for_function("document.activeElement.id === 'provider'")


@pytest.mark.chromium
def test_the_quote_moves_no_button(window: Window) -> None:
    page = window.page
    top = """Math.round([...document.querySelectorAll("#top-up button")]
      .find((button) => button.textContent === "Continue to payment")
      .getBoundingClientRect().top + scrollY)"""
    for width in (320, 360, 414):
        page.set_viewport_size({"width": width, "height": 740})
        page.goto("/account/balance")
        before = page.evaluate(top)
        for typed, said in (("1", "between"), ("543.21", "$543.21")):
            page.fill("#amount", typed)
            page.locator("#quote", has_text=said).wait_for()
            assert page.evaluate(top) == before, (width, typed)


@pytest.mark.chromium
def test_typing_is_one_step_of_the_history(window: Window) -> None:
    page = window.page
    page.goto("/models")
    before = page.evaluate("history.length")
    for text in ("t", "ti", "tiny"):
        page.fill("#filter-q", text)
        page.wait_for_url(f"**/models?q={text}")
    assert page.evaluate("history.length") == before


@pytest.mark.chromium
def test_a_phones_menu_closes_by_escape_and_by_a_press_elsewhere(window: Window) -> None:
    page = window.page
    page.set_viewport_size({"width": 360, "height": 640})
    page.goto("/account/settings")
    menu = page.locator(".tabs-list")
    page.click(".tabs-menu summary")
    assert menu.is_visible()
    page.keyboard.press("Escape")
    assert menu.is_hidden()
    assert page.evaluate("document.activeElement.nodeName") == "SUMMARY"
    page.click(".tabs-menu summary")
    page.mouse.click(350, 600)
    menu.wait_for(state="hidden")
