"""Stripe's webhook and every fault of it: credit exactly once or not at all, never lost."""

import json
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from solrouter import database
from solrouter.models import PaymentEvent, PaymentMove
from solrouter.money import parse_usd
from solrouter.services import billing, payments
from solrouter.services.payments import reconciling, refund_rows, refunds
from tests.factories import Person, make_person
from tests.fakes.stripe import WEBHOOK_SECRET, Event, FakeStripe, signed

TEN = parse_usd("10")
THREE = parse_usd("3")
Make = Callable[..., Flask]


@pytest.fixture
def shop(make_app: Make, database_url: str, stripe: FakeStripe) -> Flask:
    """A server that takes cards, on each database."""
    return make_app(database_url, **stripe.settings())


@pytest.fixture
def pat(shop: Flask) -> Person:
    return make_person(shop, "pat@example.com")


def order(person: Person, amount: int = TEN, **more: Any) -> payments.Order:
    wish = payments.Wish(
        account_id=person.account_id,
        user_id=person.user_id,
        provider="stripe",
        method="card",
        amount_nanos=amount,
        **more,
    )
    return payments.begin(wish)


def ordered(app: Flask, person: Person, amount: int = TEN) -> payments.Payment:
    with app.app_context():
        return order(person, amount).payment


def send(client: FlaskClient, event: Event | dict[str, Any], **more: Any) -> int:
    body, headers = signed(event, **more)
    return client.post("/webhooks/stripe", data=body, headers=headers).status_code


def now(app: Flask, payment: payments.Payment) -> payments.Payment:
    with app.app_context():
        return payments.find(payment.public_id)


def paid_nanos(app: Flask, person: Person) -> int:
    with app.app_context():
        assert list(billing.audit()) == []
        return billing.balance(person.account_id).paid_nanos


def events_kept(app: Flask) -> int:
    with app.app_context(), database.read() as connection:
        count = select(func.count()).select_from(PaymentEvent)
        return int(connection.execute(count).scalar_one())


def last(stripe: FakeStripe, kind: str) -> Event:
    return next(event for event in reversed(stripe.books.events) if event.kind == kind)


def test_a_paid_checkout_is_credited_once(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    payment = ordered(shop, pat)
    assert payment.order_id is not None
    stripe.books.pay(payment.order_id)
    client = shop.test_client()
    for event in stripe.books.events * 10:
        assert send(client, event) == 200
    after = now(shop, payment)
    assert (after.state, after.received_nanos) == ("paid", TEN)
    assert after.details["paid_with"] == "Visa ending 4242"
    assert paid_nanos(shop, pat) == TEN
    assert events_kept(shop) == len(stripe.books.events)


def test_ten_at_the_same_time(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    payment = ordered(shop, pat)
    stripe.books.pay(str(payment.order_id))
    event = last(stripe, "checkout.session.completed")
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: send(shop.test_client(), event), range(10)))
    assert answers == [200] * 10
    assert paid_nanos(shop, pat) == TEN


@pytest.mark.parametrize("fault", ["forged", "stale", "unsigned", "rewritten", "garbage", "thin"])
def test_what_is_not_stripes_word_changes_nothing(
    shop: Flask, stripe: FakeStripe, pat: Person, fault: str
) -> None:
    payment = ordered(shop, pat)
    stripe.books.pay(str(payment.order_id))
    event = last(stripe, "checkout.session.completed")
    body, headers = signed(event)
    match fault:
        case "forged":
            body, headers = signed(event, "whsec_of_somebody_else")
        case "stale":
            body, headers = signed(event, at=int(time.time()) - 301)
        case "unsigned":
            headers = {"Content-Type": "application/json"}
        case "rewritten":
            body = json.dumps(json.loads(body), indent=1).encode()
        case "garbage":
            body, headers = signed({"id": "evt_1", "object": "event"})
        case "thin":
            body, headers = signed({**event.body, "object": "v2.core.event"})
    answer = shop.test_client().post("/webhooks/stripe", data=body, headers=headers)
    assert answer.status_code == 400
    assert (paid_nanos(shop, pat), events_kept(shop)) == (0, 0)
    assert now(shop, payment).state == "pending"


def test_either_secret_while_rotating(make_app: Make, sqlite_url: str, stripe: FakeStripe) -> None:
    both = {"STRIPE_WEBHOOK_SECRET": f"whsec_the_next_one,{WEBHOOK_SECRET}"}
    app = make_app(sqlite_url, **{**stripe.settings(), **both})
    payer = make_person(app, "pat@example.com")
    stripe.books.pay(str(ordered(app, payer).order_id))
    event = last(stripe, "checkout.session.completed")
    assert send(app.test_client(), event, secret="whsec_the_next_one") == 200
    assert send(app.test_client(), event) == 200
    assert send(app.test_client(), event, secret="whsec_a_former_one") == 400
    assert paid_nanos(app, payer) == TEN


@pytest.mark.parametrize("has_key", [True, False])
def test_there_is_no_webhook_without_its_secret(
    make_app: Make, sqlite_url: str, stripe: FakeStripe, has_key: bool
) -> None:
    without = {"STRIPE_WEBHOOK_SECRET": ""} | ({} if has_key else {"STRIPE_SECRET_KEY": ""})
    app = make_app(sqlite_url, **{**stripe.settings(), **without})
    body, headers = signed({"id": "evt_1", "object": "event"}, "")
    answer = app.test_client().post("/webhooks/stripe", data=body, headers=headers)
    assert answer.status_code == 404


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("amount_total", 1),
        ("currency", "eur"),
        ("livemode", True),
        ("client_reference_id", "pay_of_somebody_else"),
    ],
)
def test_what_is_not_as_ordered_is_not_credited(
    shop: Flask, stripe: FakeStripe, pat: Person, field: str, value: object
) -> None:
    payment = ordered(shop, pat)
    session = stripe.books.pay(str(payment.order_id))
    session[field] = value
    for event in stripe.books.events:
        send(shop.test_client(), event)
    assert paid_nanos(shop, pat) == 0
    assert now(shop, payment).problem.startswith("Not what was ordered")


@pytest.mark.parametrize("field", ["amount", "amount_received", "currency", "metadata"])
def test_an_intent_that_is_not_as_ordered_is_not_credited(
    shop: Flask, stripe: FakeStripe, pat: Person, field: str
) -> None:
    payment = ordered(shop, pat)
    session = stripe.books.pay(str(payment.order_id))
    wrong = {"amount": 1, "amount_received": 1, "currency": "eur", "metadata": {}}
    stripe.books.objects[session["payment_intent"]][field] = wrong[field]
    send(shop.test_client(), last(stripe, "checkout.session.completed"))
    assert paid_nanos(shop, pat) == 0
    assert now(shop, payment).problem.startswith("Not what was ordered")


def test_an_event_cannot_say_what_is_not_true(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    """Even well signed: it is a hint which order to look at, and the order is not paid."""
    payment = ordered(shop, pat)
    paid_by_other = ordered(shop, make_person(shop, "charlie@example.com"))
    stripe.books.pay(str(paid_by_other.order_id))
    event = json.loads(json.dumps(last(stripe, "checkout.session.completed").body))
    event["data"]["object"] |= {"id": payment.order_id, "client_reference_id": payment.public_id}
    assert send(shop.test_client(), event) == 200
    assert paid_nanos(shop, pat) == 0


def test_others_orders_at_the_same_stripe_are_let_be(
    shop: Flask, stripe: FakeStripe, pat: Person
) -> None:
    theirs = stripe.books.open_session(
        {
            "mode": "payment",
            "line_items": [{"quantity": 1, "price_data": {"currency": "usd", "unit_amount": 1000}}],
            "client_reference_id": "order-of-another-shop",
            "expires_at": 0,
            "success_url": "",
            "cancel_url": "",
        }
    )
    stripe.books.pay(theirs["id"])
    stripe.books.dispute(theirs["payment_intent"])
    for event in stripe.books.events:
        assert send(shop.test_client(), event) == 200
    assert paid_nanos(shop, pat) == 0


def test_a_bank_takes_its_time(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    payment, bounced = ordered(shop, pat), ordered(shop, pat)
    for each in (payment, bounced):
        stripe.books.pay_slowly(str(each.order_id))
        send(shop.test_client(), last(stripe, "checkout.session.completed"))
        assert now(shop, each).state == "pending"
    assert paid_nanos(shop, pat) == 0
    stripe.books.arrive(str(payment.order_id))
    send(shop.test_client(), last(stripe, "checkout.session.async_payment_succeeded"))
    stripe.books.bounce(str(bounced.order_id))
    send(shop.test_client(), last(stripe, "checkout.session.async_payment_failed"))
    assert now(shop, payment).state == "paid"
    assert (now(shop, bounced).state, now(shop, bounced).problem) == (
        "failed",
        "The bank sent it back.",
    )
    assert paid_nanos(shop, pat) == TEN


def test_an_abandoned_checkout_expires(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    payment = ordered(shop, pat)
    stripe.books.expire(str(payment.order_id))
    send(shop.test_client(), last(stripe, "checkout.session.expired"))
    assert now(shop, payment).state == "expired"


def test_stripe_is_down_when_its_event_comes(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    payment = ordered(shop, pat)
    stripe.books.pay(str(payment.order_id))
    event = last(stripe, "checkout.session.completed")
    stripe.is_down = True
    assert send(shop.test_client(), event) == 503
    assert events_kept(shop) == 0
    stripe.is_down = False
    assert send(shop.test_client(), event) == 200
    assert paid_nanos(shop, pat) == TEN


def test_refunds_count_each_once(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    payment = ordered(shop, pat)
    intent = stripe.books.pay(str(payment.order_id))["payment_intent"]
    first = stripe.books.refund(intent, 300, {})
    second = stripe.books.refund(intent, 200, {})
    for event in stripe.books.events * 2:
        send(shop.test_client(), event)
    assert now(shop, payment).refunded_nanos == parse_usd("5")
    assert now(shop, payment).state == "refunded_in_part"
    stripe.books.fail_refund(second["id"])
    send(shop.test_client(), last(stripe, "refund.failed"))
    send(shop.test_client(), last(stripe, "refund.created"))
    assert now(shop, payment).refunded_nanos == THREE
    assert paid_nanos(shop, pat) == TEN - THREE
    assert first["id"] != second["id"]


def test_an_inquiry_is_no_dispute(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    payment = ordered(shop, pat)
    intent = stripe.books.pay(str(payment.order_id))["payment_intent"]
    stripe.books.dispute(intent, is_inquiry=True)
    for event in stripe.books.events:
        send(shop.test_client(), event)
    assert now(shop, payment).state == "paid"


@pytest.mark.parametrize("is_won", [True, False])
def test_a_dispute_takes_the_money_and_may_bring_it_back(
    shop: Flask, stripe: FakeStripe, pat: Person, is_won: bool
) -> None:
    payment = ordered(shop, pat)
    intent = stripe.books.pay(str(payment.order_id))["payment_intent"]
    dispute = stripe.books.dispute(intent)["id"]
    stripe.books.withdraw(dispute)
    for event in stripe.books.events:
        send(shop.test_client(), event)
    assert (now(shop, payment).state, paid_nanos(shop, pat)) == ("disputed", 0)
    with shop.app_context(), pytest.raises(Exception, match="frozen"):
        order(pat)
    stripe.books.close_dispute(dispute, is_won=is_won)
    for event in stripe.books.events:
        send(shop.test_client(), event)
    assert paid_nanos(shop, pat) == (TEN if is_won else 0)
    assert now(shop, payment).state == ("paid" if is_won else "disputed")
    with shop.app_context():
        order(pat)


LIFE = ("pay", "refund", "dispute", "withdraw", "win")


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(data=st.data())
def test_any_order_of_the_same_news_ends_alike(
    make_app: Make, database_url: str, data: st.DataObject
) -> None:
    """Events arrive in any order, repeated, some never, while the life goes on: the end is the
    same.
    """
    with FakeStripe() as stripe:
        app = make_app(database_url, **stripe.settings(), SOLROUTER_TOP_UPS_PER_HOUR="100000")
        app.config["SOLROUTER_TOP_UP_ACCOUNT_DAY_MAX"] = 0
        name = f"pat-{len(stripe.url)}-{time.time_ns()}@example.com"
        payer = make_person(app, name)
        payment = ordered(app, payer)
        client, live = app.test_client(), stripe.books
        dispute = ""
        for step in LIFE:
            match step:
                case "pay":
                    intent = live.pay(str(payment.order_id))["payment_intent"]
                case "refund":
                    live.refund(intent, 300, {})
                case "dispute":
                    dispute = live.dispute(intent)["id"]
                case "withdraw":
                    live.withdraw(dispute)
                case "win":
                    live.close_dispute(dispute, is_won=True)
            known = len(live.events)
            for number in data.draw(st.lists(st.integers(0, known - 1), max_size=4)):
                assert send(client, live.events[number]) == 200
        for number in data.draw(st.permutations(range(len(live.events)))):
            assert send(client, live.events[number]) == 200
        after = now(app, payment)
        assert (after.received_nanos, after.refunded_nanos, after.disputed_nanos) == (TEN, THREE, 0)
        assert after.state == "refunded_in_part"
        assert paid_nanos(app, payer) == TEN - THREE


def test_webhook_return_page_and_reconciliation_credit_once(
    shop: Flask, stripe: FakeStripe, pat: Person
) -> None:
    payment = ordered(shop, pat)
    stripe.books.pay(str(payment.order_id))
    with shop.app_context():
        for _ in range(2):
            payments.check(payments.find(payment.public_id))
            report = reconciling.reconcile()
            send(shop.test_client(), last(stripe, "checkout.session.completed"))
        assert report.lines == ()
    assert paid_nanos(shop, pat) == TEN


def test_reconciliation_finds_what_no_webhook_said(
    shop: Flask, stripe: FakeStripe, pat: Person
) -> None:
    payment = ordered(shop, pat)
    intent = stripe.books.pay(str(payment.order_id))["payment_intent"]
    with shop.app_context():
        report = reconciling.reconcile()
        assert report.lines == (f"{payment.public_id}: was pending, is paid",)
        stripe.books.refund(intent, 300, {})
        assert reconciling.reconcile().lines == (
            f"{payment.public_id}: was paid, is refunded_in_part",
        )
        assert reconciling.reconcile().lines == ()
    assert paid_nanos(shop, pat) == TEN - THREE


def test_a_lost_answer_is_found_again(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    """Stripe made the checkout and we never heard of it."""
    stripe.forgets = 10
    with shop.app_context():
        with pytest.raises(payments.ProviderUnavailable):
            order(pat, idempotency="form-1")
        stripe.forgets = 0
        again = order(pat, idempotency="form-1")
        assert len(stripe.books.of_kind("checkout.session")) == 1
        stripe.books.pay(str(again.payment.order_id))
        assert payments.check(again.payment).state == "paid"


def test_an_order_that_never_left_is_closed(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    stripe.is_down = True
    with shop.app_context():
        with pytest.raises(payments.ProviderUnavailable):
            order(pat)
        stripe.is_down = False
        payment = payments.of_account(pat.account_id, limit=1)[0]
        assert payments.check(payment).state == "expired"


class TestRefundsOfOurs:
    def paid(self, app: Flask, stripe: FakeStripe, person: Person) -> payments.Payment:
        payment = ordered(app, person)
        stripe.books.pay(str(payment.order_id))
        with app.app_context():
            return payments.check(payment)

    def test_the_unused_part_goes_back(self, shop: Flask, stripe: FakeStripe, pat: Person) -> None:
        payment = self.paid(shop, stripe, pat)
        with shop.app_context():
            refund = refunds.ask(payment, actor="user:1")
            assert (refund.state, refund.amount_nanos) == ("done", TEN)
        for event in stripe.books.events:
            send(shop.test_client(), event)
        assert now(shop, payment).state == "refunded"
        assert paid_nanos(shop, pat) == 0
        assert [made["amount"] for made in stripe.books.of_kind("refund")] == [1000]

    def test_when_the_answer_is_lost(self, shop: Flask, stripe: FakeStripe, pat: Person) -> None:
        payment = self.paid(shop, stripe, pat)
        stripe.forgets = 10
        with shop.app_context():
            refund = refunds.ask(payment, actor="user:1")
            assert refund.state == "asked"
            assert billing.balance(pat.account_id).paid_nanos == 0
            stripe.forgets = 0
            payments.check(payment)
            assert refund_rows.of_payment(payment.id)[0].state == "done"
            assert refunds.send(payment, refund_rows.of_payment(payment.id)[0]).state == "done"
        assert len(stripe.books.of_kind("refund")) == 1
        assert paid_nanos(shop, pat) == 0

    def test_when_stripe_declines(self, shop: Flask, stripe: FakeStripe, pat: Person) -> None:
        payment = self.paid(shop, stripe, pat)
        stripe.books.objects[stripe.books.objects[str(payment.charge_id)]["latest_charge"]][
            "amount_refunded"
        ] = 1000
        with shop.app_context():
            refund = refunds.ask(payment, actor="user:1")
            assert refund.state == "failed"
        assert paid_nanos(shop, pat) == TEN


def test_moves_have_one_row_each(shop: Flask, stripe: FakeStripe, pat: Person) -> None:
    payment = ordered(shop, pat)
    stripe.books.pay(str(payment.order_id))
    for event in stripe.books.events:
        send(shop.test_client(), event)
    with shop.app_context(), database.read() as connection:
        rows = connection.execute(select(PaymentMove.kind, PaymentMove.evidence_id)).all()
    assert [tuple(row) for row in rows] == [("top-up", now(shop, payment).charge_id)]


def test_the_database_is_away_when_an_event_comes(
    shop: Flask, make_app: Make, stripe: FakeStripe, pat: Person
) -> None:
    payment = ordered(shop, pat)
    stripe.books.pay(str(payment.order_id))
    event = last(stripe, "checkout.session.completed")
    nowhere = "postgresql://postgres@127.0.0.1:1/nowhere"
    cut_off = make_app(nowhere, **stripe.settings(), SOLROUTER_DB_TIMEOUT_S="1")
    assert send(cut_off.test_client(), event) == 503
    assert send(shop.test_client(), event) == 200
    assert paid_nanos(shop, pat) == TEN
