"""Payments against localstripe, a stateful Stripe of somebody else's, on real sockets: a saved card
is charged by the served server, its signed webhook credits, and what is unused goes back.
"""

import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select

from solrouter import database
from solrouter.models import PaymentEvent
from solrouter.money import parse_usd
from solrouter.services import billing, payments
from solrouter.services.payments import auto, customers, refund_rows, refunds, standing
from solrouter.services.payments.auto import Terms
from solrouter.services.payments.methods import SavedCard
from tests import served as serving
from tests.conftest import require
from tests.factories import Person, make_person, pay_in
from tests.fakes.stripe import FakeStripe
from tests.fakes.stripe.fronted import FrontedStripe

PYTHON = serving.ROOT / ".venv-stripe" / "bin" / "python"
PROGRAM = serving.ROOT / "tests" / "e2e" / "localstripe_server.py"
GOOD, DECLINED = "4242424242424242", "4000000000000341"
TEN, TWENTY_FIVE = parse_usd("10"), parse_usd("25")
PATIENCE_S = 30.0

pytestmark = pytest.mark.real


@pytest.fixture
def stripe(tmp_path: Path) -> Iterator[FakeStripe]:
    """localstripe behind our front."""
    require("localstripe (make test-real installs it)", PYTHON.exists())
    with (
        (tmp_path / "localstripe.log").open("wb") as log,
        subprocess.Popen(
            [PYTHON, PROGRAM, str(serving.free_port())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        url = process.stdout.readline().strip()
        with FrontedStripe(url) as front:
            yield front
        process.stdin.close()
        process.wait(PATIENCE_S)


def save_card(app: Flask, stripe: FrontedStripe, number: str) -> Person:
    """Somebody with ten dollars and a card at localstripe."""
    person = make_person(app, "pat@example.com")
    customer, method = stripe.save_card(number)
    with app.app_context():
        pay_in(person.account_id, TEN)
        first = payments.of_account(person.account_id, limit=1)[0]
        card = SavedCard(customer, method, "A card")
        as_stripe = {"provider": "stripe", "is_live": False}
        database.transact(
            lambda connection: customers.keep(connection, _of(first, **as_stripe), card)
        )
        auto.turn_on(
            Terms(person.account_id, person.user_id, parse_usd("20"), TWENTY_FIVE, 4 * TWENTY_FIVE)
        )
    return person


def _of(payment: payments.Payment, **changes: object) -> payments.Payment:
    return replace(payment, **changes)  # type: ignore[arg-type]


def until(what: Callable[[], bool]) -> None:
    end_s = time.monotonic() + PATIENCE_S
    while not what():
        assert time.monotonic() < end_s, "waited too long"
        time.sleep(0.2)


def test_a_saved_card_pays_and_what_is_unused_goes_back(
    make_app: Callable[..., Flask], serve: Callable[..., serving.Served], stripe: FrontedStripe
) -> None:
    app = make_app(**stripe.settings())
    served = serve(**stripe.settings())
    stripe.tell_by_itself(f"{served.url}/webhooks/stripe")
    person = save_card(app, stripe, GOOD)

    def kinds() -> set[str]:
        with app.app_context(), database.read() as connection:
            return set(connection.execute(select(PaymentEvent.kind)).scalars())

    def balance() -> int:
        with app.app_context():
            return billing.balance(person.account_id).paid_nanos

    # The server's own housekeeping sees the low balance.
    until(lambda: balance() == TEN + TWENTY_FIVE)
    # Their events, signed by them, were taken, and credit nothing twice.
    until(lambda: "payment_intent.succeeded" in kinds())
    assert balance() == TEN + TWENTY_FIVE
    with app.app_context():
        payment = payments.of_account(person.account_id, limit=1)[0]
        assert (payment.provider, payment.state, payment.is_automatic) == ("stripe", "paid", True)
        refund = refunds.ask(payment, parse_usd("4"), actor=f"user:{person.user_id}")
        assert refund.state == "done"
        assert refund.refund_id is not None and refund.refund_id.startswith("re_")
        payments.check(payment)
        payments.check(payment)
        assert [each.state for each in refund_rows.of_payment(payment.id)] == ["done"]
        rest = refunds.ask(payment, actor=f"user:{person.user_id}")
        assert rest.amount_nanos == TWENTY_FIVE - parse_usd("4")
        # They refuse what was not left, and its credit comes back.
        assert payments.find(payment.public_id).state == "refunded"
        assert list(billing.audit()) == []
    assert balance() == TEN


def test_a_declined_card_is_no_credit(
    make_app: Callable[..., Flask], stripe: FrontedStripe
) -> None:
    app = make_app(**stripe.settings())
    person = save_card(app, stripe, DECLINED)
    with app.app_context():
        assert payments.run_automatic() == 1
        order = standing.find(person.account_id)
        assert order is not None and order.failures == 1
        assert "declined" in order.problem
        assert billing.balance(person.account_id).paid_nanos == TEN
        assert payments.of_account(person.account_id, limit=1)[0].state == "failed"
        assert list(billing.audit()) == []
