"""Payments looked after: what is due, what is left behind, once a day, and by command."""

from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import func, insert, select, update

from solrouter import database
from solrouter.models import Payment, PaymentEvent
from solrouter.models.columns import db_now
from solrouter.money import parse_usd
from solrouter.services import billing, housekeeping, payments
from solrouter.services.payments import reconciling, rows
from tests.edge.test_stripe_webhooks import order
from tests.factories import Person, make_person
from tests.fakes.stripe import FakeStripe

TEN = parse_usd("10")


@pytest.fixture
def shop(make_app: Callable[..., Flask], database_url: str, stripe: FakeStripe) -> Flask:
    return make_app(database_url, **stripe.settings())


@pytest.fixture
def pat(shop: Flask) -> Person:
    return make_person(shop, "pat@example.com")


def make_due(seconds: int = -1) -> None:
    due = update(Payment).values(due_at=db_now(seconds))
    database.transact(lambda connection: connection.execute(due))


def due_in_the_future() -> bool:
    query = select(func.count()).where(Payment.due_at > db_now(60))
    with database.read() as connection:
        return bool(connection.execute(query).scalar())


def test_a_payment_that_is_due_is_asked_about(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    with shop.app_context():
        begun = order(pat).payment
        stripe.books.pay(str(begun.order_id))
        calls = len(stripe.calls)
        housekeeping.watch_payments()
        make_due(3600)
        housekeeping.watch_payments()
        make_due()
        housekeeping.watch_payments()
        assert len(stripe.calls) > calls
        assert payments.find(begun.public_id).state == "paid"
        assert billing.balance(pat.account_id).paid_nanos == TEN


def test_what_cannot_be_asked_is_asked_later(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    with shop.app_context():
        begun = order(pat).payment
        stripe.is_down = True
        make_due()
        housekeeping.watch_payments()
        assert payments.find(begun.public_id).state == "pending"
        assert due_in_the_future()


def test_a_key_of_the_other_mode_ends_nothing(
    make_app: Callable[..., Flask], shop: Flask, stripe: FakeStripe, pat: Person, database_url: str
) -> None:
    with shop.app_context():
        begun = order(pat).payment
    live = make_app(database_url, **{**stripe.settings(), "STRIPE_SECRET_KEY": "sk_live_other"})
    with live.app_context():
        assert payments.check(begun).state == "pending"


def test_once_a_day(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    with shop.app_context():
        begun = order(pat).payment
        stripe.books.pay(str(begun.order_id))
        reconciling._next_try_s.set(float("-inf"))
        payments.reconcile_daily()
        assert payments.find(begun.public_id).state == "paid"
        calls = len(stripe.calls)
        reconciling._next_try_s.set(float("-inf"))
        payments.reconcile_daily()
        assert len(stripe.calls) == calls


def test_a_day_on_which_it_failed_is_tried_again(
    shop: Flask, stripe: FakeStripe, pat: Person
) -> None:
    with shop.app_context():
        begun = order(pat).payment
        stripe.books.pay(str(begun.order_id))
        stripe.is_down = True
        reconciling._next_try_s.set(float("-inf"))
        with pytest.raises(payments.ProviderUnavailable):
            payments.reconcile_daily()
        stripe.is_down = False
        # Not at once.
        payments.reconcile_daily()
        assert payments.find(begun.public_id).state == "pending"
        reconciling._next_try_s.set(float("-inf"))
        payments.reconcile_daily()
        assert payments.find(begun.public_id).state == "paid"


def test_old_events_are_forgotten(shop: Flask) -> None:
    old = insert(PaymentEvent).values(
        provider="stripe", event_id="evt_old", kind="x", created_at=db_now(-181 * 86_400)
    )
    with shop.app_context():
        database.transact(lambda connection: connection.execute(old))
        reconciling._next_try_s.set(float("-inf"))
        payments.reconcile_daily()
        with database.read() as connection:
            kept = connection.execute(select(PaymentEvent.event_id)).scalars().all()
        assert "evt_old" not in kept


def test_the_commands(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    with shop.app_context():
        begun = order(pat).payment
        stripe.books.pay(str(begun.order_id))
    runner = shop.test_cli_runner()
    told = runner.invoke(args=["payments", "reconcile"])
    assert told.exit_code == 0, told.output
    assert f"{begun.public_id}: was pending, is paid" in told.output
    assert "Compared 1 payments; 1 were not in line." in told.output
    told = runner.invoke(args=["payments", "make-code", "7", "--uses", "3"])
    assert "SR-" in told.output
    told = runner.invoke(args=["payments", "make-code", "0"])
    assert told.exit_code == 1
    for wrong in (["reconcile", "--hours", "99999999999"], ["reconcile", "--hours", "-5"]):
        told = runner.invoke(args=["payments", *wrong])
        assert told.exit_code == 2 and "1<=x<=8760" in told.stderr
    told = runner.invoke(args=["payments", "make-code", "7", "--days", "99999999999"])
    assert told.exit_code == 2
    stripe.is_down = True
    told = runner.invoke(args=["payments", "reconcile"])
    assert told.exit_code == 1 and "Stripe did not answer" in told.output


def test_a_payment_that_is_stripes_alone_is_told(
    shop: Flask, stripe: FakeStripe, pat: Person
) -> None:
    """A backup was restored: Stripe knows an order that we do not."""
    with shop.app_context():
        begun = order(pat).payment
        session = stripe.books.objects[str(begun.order_id)]
        session["client_reference_id"] = "pay_of_a_time_that_is_lost"
        lines = payments.reconcile().lines
    assert "pay_of_a_time_that_is_lost: the provider has it and we do not" in lines


def test_a_customer_who_was_deleted_at_stripe_can_pay_again(
    shop: Flask, stripe: FakeStripe, pat: Person
) -> None:
    with shop.app_context():
        first = order(pat, details={"saves_card": True}).payment
        stripe.books.pay(str(first.order_id))
        assert payments.check(first).state == "paid"
        [customer] = stripe.books.of_kind("customer")
        del stripe.books.objects[customer["id"]]
        again = order(pat).payment
        stripe.books.pay(str(again.order_id))
        assert payments.check(again).state == "paid"
        assert rows.find(again.public_id).received_nanos == TEN
