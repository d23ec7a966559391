"""kill −9 between each two steps of a payment and its refund: what follows finds the rest.

The fake Stripe kills the process that pays, before or after it does the n-th thing that it is asked
for. Afterwards the reconciliation and the left-behind refunds are run as housekeeping runs them:
what Stripe took is credited once, what was refunded is taken once, and nothing is in between.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from datetime import timedelta
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import update

from solrouter import clock, database
from solrouter.models import Payment, PaymentRefund
from solrouter.models.columns import db_now
from solrouter.services import billing, payments
from solrouter.services.payments import Wish, auto, refund_rows
from solrouter.services.payments.auto import Terms
from tests.conftest import settings
from tests.e2e.payer import ALONE, AMOUNT, BACK, BY_HAND
from tests.factories import Person, make_person
from tests.fakes.stripe import FakeStripe

ROOT = Path(__file__).resolve().parents[2]
CALLS_MAX = 30
PATIENCE_S = 60


class Killer:
    """Kills the payer at the n-th call, on one side of the act."""

    def __init__(self, stripe: FakeStripe, at: int, side: str) -> None:
        self.stripe, self.at, self.side = stripe, at, side
        self.calls, self.pid = 0, 0
        stripe.before, stripe.after = self.before, self.after

    def before(self, method: str, path: str) -> None:
        self.calls += 1
        if self.calls == self.at and self.side == "before":
            os.kill(self.pid, signal.SIGKILL)

    def after(self, method: str, path: str) -> None:
        if path == "/v1/checkout/sessions" and method == "POST":
            # The person pays at once.
            session = self.stripe.books.of_kind("checkout.session")[0]
            if session["status"] == "open":
                self.stripe.books.pay(session["id"])
        if self.calls == self.at and self.side == "after":
            os.kill(self.pid, signal.SIGKILL)

    def rest(self) -> None:
        self.stripe.before = self.stripe.after = None


def pay(killer: Killer, environ: Mapping[str, str], person: Person, how: str = BY_HAND) -> int:
    """The exit code of a payer, negative when it was killed."""
    command = [
        sys.executable,
        "-m",
        "tests.e2e.payer",
        how,
        str(person.account_id),
        str(person.user_id),
    ]
    kept = {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ}
    payer = subprocess.Popen(command, cwd=ROOT, env={**kept, **environ}, stdout=subprocess.DEVNULL)
    killer.pid = payer.pid
    return payer.wait(timeout=PATIENCE_S)


def let_time_pass() -> None:
    """What is left behind is taken up after a while."""
    due = update(Payment).where(Payment.due_at.is_not(None)).values(due_at=db_now(-1))
    old = update(PaymentRefund).values(created_at=clock.utcnow() - timedelta(hours=1))
    database.transact(lambda connection: connection.execute(due))
    database.transact(lambda connection: connection.execute(old))


def keep_house() -> None:
    for _ in range(2):
        let_time_pass()
        payments.check_due()
        payments.send_waiting_refunds()
    payments.reconcile()


def assert_whole(person: Person, stripe: FakeStripe) -> None:
    """Stripe's books and ours say the same."""
    assert list(billing.audit()) == []
    taken = [each for each in stripe.books.of_kind("payment_intent") if each["amount_received"]]
    given = stripe.books.of_kind("refund")
    cents = sum(each["amount_received"] for each in taken) - sum(each["amount"] for each in given)
    assert billing.balance(person.account_id).paid_nanos == cents * 10**7
    for payment in payments.of_account(person.account_id, limit=5):
        assert payment.state in ("paid", "refunded_in_part", "expired")
        states = [refund.state for refund in refund_rows.of_payment(payment.id)]
        assert states in ([], ["done"])
        assert len(given) == len(states)


@pytest.mark.parametrize("side", ["before", "after"])
def test_the_rest_is_found(
    make_app: Callable[..., Flask], database_url: str, tmp_path: Path, side: str
) -> None:
    killed, ended = 0, False
    for at in range(1, CALLS_MAX):
        with FakeStripe() as stripe:
            app = make_app(database_url, **stripe.settings())
            person = make_person(app, f"pat-{at}@example.com")
            killer = Killer(stripe, at, side)
            environ = settings(database_url, tmp_path, **stripe.settings())
            code = pay(killer, environ, person)
            killer.rest()
            with app.app_context():
                keep_house()
                assert_whole(person, stripe)
                balance = billing.balance(person.account_id).paid_nanos
                assert balance in (0, AMOUNT, AMOUNT - BACK)
            killed += code == -signal.SIGKILL
            if code == 0:
                ended = True
                assert balance == AMOUNT - BACK
                break
    assert ended and killed >= 5, f"the payer was killed {killed} times"


@pytest.mark.parametrize("side", ["before", "after"])
def test_a_saved_card_is_charged_once(
    make_app: Callable[..., Flask], database_url: str, tmp_path: Path, side: str
) -> None:
    killed, ended = 0, False
    for at in range(1, CALLS_MAX):
        with FakeStripe() as stripe:
            app = make_app(database_url, **stripe.settings())
            person = make_person(app, f"pat-{at}@example.com")
            with app.app_context():
                save_card(person, stripe)
            killer = Killer(stripe, at, side)
            environ = settings(database_url, tmp_path, **stripe.settings())
            code = pay(killer, environ, person, ALONE)
            killer.rest()
            with app.app_context():
                # Whoever comes next tops up, if that has not happened.
                for _ in range(2):
                    keep_house()
                    payments.run_automatic()
                assert_whole(person, stripe)
                assert billing.balance(person.account_id).paid_nanos == 2 * AMOUNT
                auto.turn_off(person.account_id, actor="test")
            killed += code == -signal.SIGKILL
            if code == 0:
                ended = True
                break
    assert ended and killed >= 2, f"the payer was killed {killed} times"


def save_card(person: Person, stripe: FakeStripe) -> None:
    """Ten dollars by a card that may be charged again when they are too few."""
    details = {"saves_card": True}
    wish = Wish(person.account_id, person.user_id, "stripe", "card", AMOUNT, details=details)
    payment = payments.begin(wish).payment
    stripe.books.pay(str(payment.order_id))
    assert payments.check(payment).state == "paid"
    auto.turn_on(Terms(person.account_id, person.user_id, AMOUNT + 1, AMOUNT, 10 * AMOUNT))
