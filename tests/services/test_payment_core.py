"""The core of payments: one door to the ledger, once for each evidence, whatever comes when."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from itertools import permutations
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import Connection, text, update

from solrouter import clock, database
from solrouter.errors import NotFound, RateLimited, Refused
from solrouter.models import Account, Payment, User
from solrouter.money import AT_ONCE_NANOS_MAX, parse_usd
from solrouter.services import billing, payments
from solrouter.services.payments import codes, orders, refund_rows, states
from solrouter.services.payments.methods import (
    DisputeNews,
    Evidence,
    Finding,
    RefundNews,
    Started,
)
from tests.factories import Person, make_person

TEN = parse_usd("10")
THREE = parse_usd("3")
SLOW_S = 0.4


def wish(person: Person, amount: int = TEN, **more: Any) -> payments.Wish:
    return payments.Wish(
        account_id=person.account_id,
        user_id=person.user_id,
        provider="test",
        method="test",
        amount_nanos=amount,
        **more,
    )


def begun(person: Person, amount: int = TEN, **more: Any) -> payments.Payment:
    return payments.begin(wish(person, amount, **more)).payment


def paid(person: Person, amount: int = TEN) -> payments.Payment:
    payment = begun(person, amount)
    return payments.take(payment.id, Finding((Evidence(f"e_{payment.public_id}", amount),)))


@pytest.fixture
def payer(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "pat@example.com")


def test_an_evidence_is_credited_once(payer: Person) -> None:
    payment = begun(payer)
    assert payment.state == states.PENDING
    for expected in (True, False, False):
        moved = database.transact(
            lambda connection: payments.credit(connection, payment.id, TEN, "sig-1")
        )
        assert moved is expected
    after = payments.find(payment.public_id)
    assert (after.state, after.received_nanos) == (states.PAID, TEN)
    assert after.paid_at is not None
    assert billing.balance(payer.account_id).paid_nanos == TEN


def test_one_evidence_pays_one_payment_only(payer: Person) -> None:
    first, second = begun(payer), begun(payer)
    evidence = Finding((Evidence("sig-1", TEN),))
    payments.take(first.id, evidence)
    assert payments.take(second.id, evidence).received_nanos == 0
    assert billing.balance(payer.account_id).paid_nanos == TEN


def test_many_at_once_credit_once(payer: Person, context_on_both: Flask) -> None:
    payment = begun(payer)
    finding = Finding((Evidence("sig-1", TEN),))

    def tell(number: int) -> bool:
        with context_on_both.app_context():
            return payments.take_event(
                "test", f"event-{number % 3}", "told", payment_id=payment.id, finding=finding
            )

    with ThreadPoolExecutor(12) as pool:
        news = list(pool.map(tell, range(24)))
    assert sum(news) == 3
    assert billing.balance(payer.account_id).paid_nanos == TEN


@pytest.mark.postgresql
def test_the_answer_to_an_order_undoes_nothing_that_was_heard_meanwhile(
    make_app: Callable[..., Flask], postgresql_url: str
) -> None:
    """Stripe's event can come sooner than Stripe's answer; SQLite lets one at a time write."""
    app = make_app(postgresql_url)
    payer = make_person(app, "pat@example.com")
    has_heard, has_asked = threading.Event(), threading.Event()
    with app.app_context():
        payment = begun(payer)
        back = update(Payment).where(Payment.id == payment.id).values(state=states.CREATED)
        database.transact(lambda connection: connection.execute(back))

    def hear(connection: Connection) -> None:
        found = Finding((Evidence("sig-1", TEN),), details={"paid_with": "Visa"})
        payments.apply(connection, payment.id, found)
        has_heard.set()
        has_asked.wait(5)
        # The answer is at the row by now, and reads it or waits.
        time.sleep(SLOW_S)

    def first() -> None:
        with app.app_context():
            database.transact(hear)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first)
        assert has_heard.wait(5)
        has_asked.set()
        with app.app_context():
            after = orders.started(payment.id, Started("order-1", pay_url="https://pay.example"))
        running.result()
    assert (after.state, after.received_nanos) == (states.PAID, TEN)
    assert after.details["paid_with"] == "Visa"


def test_too_little_too_much_and_too_late_are_credited_as_they_came(payer: Person) -> None:
    payment = begun(payer)
    payments.take(payment.id, Finding(state=states.EXPIRED))
    assert payments.find(payment.public_id).state == states.EXPIRED
    short = payments.take(payment.id, Finding((Evidence("a", THREE),)))
    assert (short.state, short.is_short) == (states.PAID, True)
    over = payments.take(payment.id, Finding((Evidence("a", THREE), Evidence("b", TEN))))
    assert (over.received_nanos, over.is_over) == (TEN + THREE, True)


def test_an_older_word_changes_nothing(payer: Person) -> None:
    payment = begun(payer)
    payments.take(payment.id, Finding(state=states.FAILED, problem="declined"))
    assert payments.take(payment.id, Finding(state=states.PENDING)).state == states.FAILED
    assert payments.take(payment.id, Finding((Evidence("a", TEN),))).state == states.PAID
    assert payments.take(payment.id, Finding(state=states.FAILED)).state == states.PAID


REFUND = RefundNews("re_1", THREE)
UNREFUND = RefundNews("re_1", THREE, is_failed=True)
WHOLE = TEN


def dispute(*, withdrawn: bool, reinstated: bool, closed: bool) -> DisputeNews:
    return DisputeNews("dp_1", WHOLE, withdrawn, reinstated, closed)


NEWS = (
    Finding((Evidence("charge", TEN),)),
    Finding(refunds=(REFUND,)),
    Finding(refunds=(UNREFUND,)),
    Finding(disputes=(dispute(withdrawn=True, reinstated=False, closed=False),)),
    Finding(disputes=(dispute(withdrawn=True, reinstated=True, closed=True),)),
)


@pytest.mark.parametrize("order", list(permutations(range(len(NEWS))))[::7])
def test_every_order_of_news_ends_alike(app: Flask, order: tuple[int, ...]) -> None:
    payer = make_person(app, "pat@example.com")
    with app.app_context():
        payment = begun(payer)
        for number in (*order, *order[:2]):
            payments.take(payment.id, NEWS[number])
        after = payments.find(payment.public_id)
        assert (after.received_nanos, after.refunded_nanos, after.disputed_nanos) == (TEN, 0, 0)
        assert after.state == states.PAID
        assert list(billing.audit()) == []


def test_a_dispute_freezes_and_flags_until_it_ends(payer: Person) -> None:
    payment = paid(payer)
    payments.take(
        payment.id,
        Finding(disputes=(dispute(withdrawn=True, reinstated=False, closed=False),)),
    )
    assert payments.find(payment.public_id).state == states.DISPUTED
    assert billing.balance(payer.account_id).paid_nanos == 0
    assert frozen(payer) == (True, "dispute", True)
    payments.take(
        payment.id, Finding(disputes=(dispute(withdrawn=True, reinstated=True, closed=True),))
    )
    assert frozen(payer) == (False, None, True)
    assert billing.balance(payer.account_id).paid_nanos == TEN
    assert payments.find(payment.public_id).state == states.PAID


def frozen(person: Person) -> tuple[bool, str | None, bool]:
    with database.read() as connection:
        row = connection.execute(
            text("SELECT frozen_at, frozen_for, flagged_at FROM accounts WHERE id = :id"),
            {"id": person.account_id},
        ).one()
    return row[0] is not None, row[1], row[2] is not None


def test_a_refund_made_at_the_provider_takes_credit_once(payer: Person) -> None:
    payment = paid(payer)
    for _ in range(3):
        payments.take(payment.id, Finding(refunds=(REFUND, RefundNews("re_2", TEN))))
    after = payments.find(payment.public_id)
    # The second one gave the fee back too: no more credit goes than the payment brought.
    assert (after.refunded_nanos, after.state) == (TEN, states.REFUNDED)
    assert [refund.amount_nanos for refund in refund_rows.of_payment(payment.id)] == [
        THREE,
        TEN - THREE,
    ]


def test_the_brakes(payer: Person, context_on_both: Flask) -> None:
    context_on_both.config["SOLROUTER_TOP_UP_ACCOUNT_DAY_MAX"] = parse_usd("25")
    for amount, param in (("4.99", "amount"), ("1000.01", "amount"), ("5.001", "amount")):
        with pytest.raises(Refused) as refused:
            begun(payer, parse_usd(amount))
        assert refused.value.param == param
    begun(payer)
    begun(payer)
    with pytest.raises(Refused, match=r"\$25.00 in 24 hours"):
        begun(payer)
    context_on_both.config["SOLROUTER_TOP_UP_ACCOUNT_DAY_MAX"] = 0
    context_on_both.config["SOLROUTER_TOP_UP_SERVER_DAY_MAX"] = parse_usd("20")
    with pytest.raises(Refused, match="no such sum today"):
        begun(payer)


def test_nothing_comes_in_that_sums_could_not_hold(payer: Person) -> None:
    """Past 64 bits SQLite would go on with floats, and PostgreSQL not at all."""
    for act in (
        lambda amount: payments.grant(payer.account_id, amount, actor="test", note="Too much"),
        lambda amount: codes.make(amount, actor="test"),
    ):
        act(AT_ONCE_NANOS_MAX)
        with pytest.raises(Refused, match=r"At most \$1,000,000"):
            act(AT_ONCE_NANOS_MAX + 1)
    assert billing.balance(payer.account_id).granted_nanos == AT_ONCE_NANOS_MAX


def test_the_velocity_throttle(payer: Person, context_on_both: Flask) -> None:
    context_on_both.config["SOLROUTER_TOP_UPS_PER_HOUR"] = 2
    begun(payer)
    begun(payer)
    with pytest.raises(RateLimited):
        begun(payer)


def test_who_may_not_pay(payer: Person) -> None:
    unverified = update(User).where(User.id == payer.user_id).values(email_verified_at=None)
    database.transact(lambda connection: connection.execute(unverified))
    with pytest.raises(Refused, match="Confirm your e-mail"):
        begun(payer)
    again = update(User).where(User.id == payer.user_id)
    again = again.values(email_verified_at=clock.utcnow())
    frozen_now = update(Account).where(Account.id == payer.account_id)
    frozen_now = frozen_now.values(frozen_at=clock.utcnow())
    database.transact(lambda connection: connection.execute(again))
    database.transact(lambda connection: connection.execute(frozen_now))
    with pytest.raises(Refused, match="frozen"):
        begun(payer)


def test_a_large_first_top_up_may_have_to_wait(payer: Person, context_on_both: Flask) -> None:
    context_on_both.config["SOLROUTER_FIRST_DAY_HOLD_ABOVE"] = parse_usd("9")
    finding = Finding((Evidence("sig-1", TEN),))
    payment = begun(payer)
    held = payments.take(payment.id, finding)
    assert (held.state, held.received_nanos) == (states.HELD, 0)
    assert held.held_until is not None
    over = update(Payment).where(Payment.id == payment.id)
    over = over.values(held_until=clock.utcnow() - timedelta(seconds=1))
    database.transact(lambda connection: connection.execute(over))
    assert payments.take(payment.id, finding).state == states.PAID
    assert billing.balance(payer.account_id).paid_nanos == TEN


def test_the_same_form_twice_is_one_payment(payer: Person) -> None:
    first = begun(payer, idempotency="form-1")
    assert begun(payer, idempotency="form-1").id == first.id
    with pytest.raises(Refused, match="another amount"):
        begun(payer, THREE * 2, idempotency="form-1")


def test_others_payments_are_not_found(payer: Person, context_on_both: Flask) -> None:
    charlie = make_person(context_on_both, "charlie@example.com")
    payment = begun(payer)
    with pytest.raises(NotFound):
        payments.find(payment.public_id, account_id=charlie.account_id)


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE payments SET received_nanos = received_nanos + 1", "its moves say"),
        ("UPDATE payment_moves SET amount_nanos = amount_nanos + 1", "the ledger says"),
        ("DELETE FROM payment_moves", "belongs to no payment"),
        ("UPDATE payments SET account_id = 2", "the ledger says"),
    ],
    ids=["sum", "move", "no move", "account"],
)
def test_the_audit_finds_payments_that_drift(app: Flask, damage: str, found: str) -> None:
    payer = make_person(app, "pat@example.com")
    make_person(app, "charlie@example.com")
    with app.app_context():
        paid(payer)
        assert list(billing.audit()) == []
        database.transact(lambda connection: connection.execute(text(damage)))
        assert any(found in sentence for sentence in billing.audit())
