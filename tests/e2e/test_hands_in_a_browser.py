"""What a page does by itself it does not do under a hand: a press that has begun, a marked text,
the place of the keyboard and what was opened outlive each look that the page takes again.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from playwright.sync_api import Locator, Page
from sqlalchemy import update

from solrouter import database
from solrouter.models import Job, Payment, WebhookMessage
from solrouter.models.columns import db_now
from solrouter.services import jobs, operator_alerts, second_factors, webhooks
from tests import served as serving
from tests.chromium import Window, chromium
from tests.e2e.place import until
from tests.edge.signed_in import ask
from tests.factories import MODEL, PASSWORD, Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream

FOCUSED = "document.activeElement.id"
MARK = "getSelection().selectAllChildren(document.getElementById('payment-id'))"
MARKED = "getSelection().toString()"
AN_HOUR_S = 3600


@dataclass(frozen=True)
class House:
    """A running server and Olivia, who runs it and is a customer, too."""

    url: str
    app: Flask
    olivia: Person

    def write(self, statement: Any) -> None:
        """Changes what the pages tell, beside the server."""
        with self.app.app_context():
            database.transact(lambda connection: connection.execute(statement).rowcount)

    def begin_payment(self, page: Page) -> str:
        """The id of a payment that waits; its page is open."""
        page.goto("/account/balance")
        page.get_by_role("button", name="Continue to payment").click()
        page.get_by_role("heading", level=1, name="Payment", exact=True).wait_for()
        return page.locator("#payment-id").inner_text()


@pytest.fixture
def house(make_app: Callable[..., Flask], serve: Callable[..., serving.Served]) -> Iterator[House]:
    with FakeUpstream() as upstream:
        app = make_app()
        olivia = make_person(app, "olivia@example.com", credit="5", operator=True)
        make_offer(app, upstream.url, model=MODEL)
        with app.app_context():
            # Else the first sign-in leads there.
            second_factors.ask_once(olivia.user_id)
        yield House(serve().url, app, olivia)


@pytest.fixture
def page(house: House) -> Iterator[Page]:
    """Olivia's window."""
    with chromium() as browser:
        window = Window(browser, house.url)
        window.page.goto("/login")
        window.fill(email="olivia@example.com", password=PASSWORD)
        window.press("Sign in")
        window.page.wait_for_url("**/account")
        yield window.page
        assert window.violations == []


def polled(page: Page, times: int = 2) -> None:
    """Until the page has looked again by itself, and what came of it is drawn."""
    for _ in range(times):
        with page.expect_response(lambda answer: "hx-request" in answer.request.headers):
            pass
    page.wait_for_timeout(100)


def hold(page: Page, what: Locator) -> None:
    """Puts the finger on it, and keeps it there while the page looks again."""
    what.hover()
    page.mouse.down()
    polled(page)
    page.mouse.up()


def other_hour(payment_id: str) -> Any:
    """Lets a payment wait for longer than its page says."""
    mine = update(Payment).where(Payment.public_id == payment_id)
    return mine.values(expires_at=db_now(2 * AN_HOUR_S))


@pytest.mark.chromium
def test_a_waiting_payment_lets_the_hand_work(house: House, page: Page) -> None:
    payment_id = house.begin_payment(page)
    page.focus("#pay-test")
    page.evaluate(MARK)
    polled(page)
    assert page.evaluate(MARKED).strip() == payment_id
    assert page.evaluate(FOCUSED) == "pay-test"
    # What has changed waits for who has marked something, and comes after.
    house.write(other_hour(payment_id))
    polled(page)
    assert page.evaluate(MARKED).strip() == payment_id
    before = page.locator("#payment").inner_text()
    page.evaluate("getSelection().removeAllRanges()")
    page.wait_for_function("before => document.getElementById('payment').innerText !== before",
                           arg=before)  # fmt: skip
    assert page.evaluate(FOCUSED) == "pay-test"


@pytest.mark.chromium
def test_a_press_is_not_lost_to_a_page_that_changes(house: House, page: Page) -> None:
    payment_id = house.begin_payment(page)
    button = page.get_by_role("button", name="Pay $10.00 as a test")
    button.hover()
    page.mouse.down()
    house.write(other_hour(payment_id))
    polled(page)
    page.mouse.up()
    page.get_by_text("The credits are in your balance.").wait_for()


@pytest.mark.chromium
def test_the_balance_page_keeps_the_place_in_its_payments(house: House, page: Page) -> None:
    payment_id, other_id = house.begin_payment(page), house.begin_payment(page)
    page.goto("/account/balance")
    page.focus(f"#{payment_id}")
    polled(page)
    assert page.evaluate(FOCUSED) == payment_id
    failed = update(Payment).where(Payment.public_id == other_id).values(state="failed")
    house.write(failed)
    page.locator("#recent-payments .badge-bad").wait_for()
    assert page.evaluate(FOCUSED) == payment_id
    hold(page, page.locator(f"#{payment_id}"))
    page.wait_for_url(f"**/payments/{payment_id}")


@pytest.mark.chromium
def test_the_live_view_keeps_the_place_and_outlives_a_filter(house: House, page: Page) -> None:
    first = ask(house.app, house.olivia, MODEL)
    page.goto("/account/activity?live=1")
    page.focus("#requests tbody a")
    ask(house.app, house.olivia, MODEL)
    page.locator("#requests tbody tr").nth(1).wait_for()
    assert page.evaluate("document.activeElement.pathname").endswith(first)
    page.select_option("#period", "7")
    page.get_by_role("button", name="Show", exact=True).click()
    page.wait_for_url("**period=7**")
    page.get_by_role("link", name="Pause").wait_for()


@pytest.mark.chromium
def test_a_webhooks_messages_stay_open_for_reading(house: House, page: Page) -> None:
    with house.app.app_context():
        url, kinds = "https://hooks.example.com/", ["key.created"]
        made = webhooks.add(house.olivia.account_id, url, kinds, actor="test")
        webhooks.send_test(made.endpoint)
        house.write(update(WebhookMessage).values(due_at=db_now(AN_HOUR_S)))
    page.goto(f"/account/webhooks/{made.endpoint.public_id}")
    page.click("#deliveries summary")
    polled(page)
    assert page.locator("#deliveries pre").is_visible()
    house.write(update(WebhookMessage).values(problem="it said no", status=500))
    page.get_by_text("Will be tried again").wait_for()
    assert page.locator("#deliveries pre").is_visible()
    assert page.evaluate("document.activeElement.nodeName") == "SUMMARY"


@pytest.mark.chromium
def test_the_system_page_keeps_the_place_while_a_job_runs(house: House, page: Page) -> None:
    with house.app.app_context():
        overview = jobs.overview
        until(lambda: all(row.state and row.state.succeeded_at for row in overview()), within_s=60)
    # As one that takes long, of a process that has just died.
    house.write(update(Job).where(Job.name == "ledger").values(ended_at=None))
    page.goto("/admin/system")
    page.focus("#run-sessions")
    polled(page)
    assert page.evaluate(FOCUSED) == "run-sessions"
    stuck = operator_alerts.Condition(
        operator_alerts.STUCK_HOLDS, True, title="1 hold is stuck", text="Nobody releases it."
    )
    with house.app.app_context():
        operator_alerts.settle(stuck)
    page.get_by_text("1 hold is stuck").wait_for()
    assert page.evaluate(FOCUSED) == "run-sessions"
