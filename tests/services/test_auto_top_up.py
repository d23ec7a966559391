"""Automatic top-ups: one at a time, never above the cap, off after three failures, told by mail."""

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import insert, select, update

from solrouter import database
from solrouter.errors import Refused
from solrouter.models import AutoTopUp, Membership, OutgoingMail, Payment
from solrouter.models.columns import db_now
from solrouter.money import parse_usd
from solrouter.services import (
    accounts,
    billing,
    departures,
    letters,
    members,
    payments,
    webhooks,
)
from solrouter.services.payments import auto, standing
from solrouter.services.payments.auto import Terms
from tests.edge.test_stripe_webhooks import last, send
from tests.factories import Person, make_person
from tests.fakes.stripe import FakeStripe

TEN, TWENTY_FIVE = parse_usd("10"), parse_usd("25")


@pytest.fixture
def shop(make_app: Callable[..., Flask], database_url: str, stripe: FakeStripe) -> Flask:
    return make_app(database_url, **stripe.settings())


@pytest.fixture
def saver(shop: Flask, stripe: FakeStripe) -> Person:
    """Somebody who has paid ten dollars and saved the card."""
    person = make_person(shop, "pat@example.com")
    with shop.app_context():
        wish = payments.Wish(
            person.account_id,
            person.user_id,
            "stripe",
            "card",
            TEN,
            details={"saves_card": True},
        )
        order = payments.begin(wish)
        stripe.books.pay(str(order.payment.order_id))
        assert payments.check(order.payment).state == "paid"
    return person


def turn_on(person: Person, **more: int) -> None:
    terms = {
        "threshold_nanos": parse_usd("20"),
        "amount_nanos": TWENTY_FIVE,
        "monthly_cap_nanos": parse_usd("60"),
        **more,
    }
    auto.turn_on(Terms(person.account_id, person.user_id, **terms))


def automatic(person: Person) -> list[payments.Payment]:
    found = payments.of_account(person.account_id, limit=50)
    return [payment for payment in found if payment.is_automatic]


def try_now(person: Person) -> None:
    """The time of waiting is over."""
    over = update(AutoTopUp).where(AutoTopUp.account_id == person.account_id)
    database.transact(lambda connection: connection.execute(over.values(next_try_at=None)))


def mails() -> list[str]:
    with database.read() as connection:
        return list(
            connection.execute(select(OutgoingMail.kind).order_by(OutgoingMail.id)).scalars()
        )


def test_a_low_balance_is_topped_up_once(shop: Flask, stripe: FakeStripe, saver: Person) -> None:
    with shop.app_context():
        turn_on(saver)
        assert payments.run_automatic() == 1
        assert payments.run_automatic() == 0
        assert billing.balance(saver.account_id).paid_nanos == TEN + TWENTY_FIVE
        [payment] = automatic(saver)
        assert (payment.state, payment.details["paid_with"]) == ("paid", "Visa ending 4242")
        assert mails() == ["top_up_done"]
        assert list(billing.audit()) == []


def test_the_mail_tells_the_credits_and_the_charge_apart(
    make_app: Callable[..., Flask], stripe: FakeStripe
) -> None:
    app = make_app(**stripe.settings(), SOLROUTER_CARD_FEE_PERCENT="10")
    person = make_person(app, "pat@example.com")
    with app.app_context():
        wish = payments.Wish(
            person.account_id, person.user_id, "stripe", "card", TEN, details={"saves_card": True}
        )
        order = payments.begin(wish)
        stripe.books.pay(str(order.payment.order_id))
        payments.check(order.payment)
        turn_on(person)
        assert payments.run_automatic() == 1
        with database.read() as connection:
            [facts] = connection.execute(select(OutgoingMail.facts)).scalars()
    sent = {"email": person.email, "contact": "", "link": "https://ours.example/x", "at": "now"}
    letter = letters.compose("top_up_done", {**facts, **sent})
    assert letter.subject == "Your balance was topped up by $25.00"
    assert "charged $27.50" in " ".join(letter.text.split())


def test_many_at_the_same_time_charge_once(shop: Flask, stripe: FakeStripe, saver: Person) -> None:
    with shop.app_context():
        turn_on(saver)
        order = standing.find(saver.account_id)
        assert order is not None

    def cross(_: int) -> bool:
        with shop.app_context():
            return auto.top_up(order)

    with ThreadPoolExecutor(20) as pool:
        begun = list(pool.map(cross, range(100)))
    assert sum(begun) == 1
    charges = [
        path for method, path in stripe.calls if (method, path) == ("POST", "/v1/payment_intents")
    ]
    assert len(charges) == 1
    with shop.app_context():
        assert billing.balance(saver.account_id).paid_nanos == TEN + TWENTY_FIVE


def test_never_above_the_cap_of_a_month(shop: Flask, stripe: FakeStripe, saver: Person) -> None:
    with shop.app_context():
        turn_on(saver, threshold_nanos=parse_usd("500"))
        for _ in range(4):
            payments.run_automatic()
            try_now(saver)
        assert len(automatic(saver)) == 2
        order = standing.find(saver.account_id)
        assert order is not None and "The most in a month, $60.00, is reached." in order.problem


def test_off_after_three_failures(shop: Flask, stripe: FakeStripe, saver: Person) -> None:
    stripe.books.saved_card = "declined"
    with shop.app_context():
        turn_on(saver)
        hook = webhooks.add(
            saver.account_id, "https://h.example.com/", ["top_up.failed"], actor="test"
        ).endpoint
        assert payments.run_automatic() == 1
        # Not again at once.
        assert payments.run_automatic() == 0
        for _ in range(4):
            try_now(saver)
            payments.run_automatic()
        order = standing.find(saver.account_id)
        assert order is not None
        assert (order.is_on, order.failures) == (False, 3)
        assert {payment.state for payment in automatic(saver)} == {"failed"}
        assert len(automatic(saver)) == 3
        assert mails() == ["top_up_failed", "top_up_failed", "top_up_off"]
        told = [json.loads(each.body)["data"]["is_off"] for each in webhooks.deliveries(hook)]
        assert told == [True, False, False]
        assert billing.balance(saver.account_id).paid_nanos == TEN


@pytest.mark.parametrize("how", ["left", "lost the role", "was shut out"])
def test_who_consented_has_gone_and_the_owners_are_told(
    shop: Flask, stripe: FakeStripe, how: str
) -> None:
    """Nobody's card is charged on the word of somebody who has left."""
    owner, keeper = make_person(shop, "olga@example.com"), make_person(shop, "kim@example.com")
    with shop.app_context():
        join(owner, keeper)
        save_card(owner, keeper, stripe)
        turn_on(replace(owner, user_id=keeper.user_id))
        public_id = accounts.get_user(keeper.user_id).public_id
        match how:
            case "left":
                members.leave(owner.account_id, keeper.user_id)
            case "lost the role":
                members.change_role(owner.account_id, public_id, "developer", by=owner.user_id)
            case "was shut out":
                accounts.set_disabled(keeper.user_id, True)
        before = len(stripe.books.of_kind("payment_intent"))
        assert payments.run_automatic() == 0
        assert len(stripe.books.of_kind("payment_intent")) == before
        order = standing.find(owner.account_id)
        assert order is not None and not order.is_on and "Turn it on again" in order.problem
        with database.read() as connection:
            told = connection.execute(
                select(OutgoingMail.kind, OutgoingMail.recipient).where(
                    OutgoingMail.kind == "top_up_ended"
                )
            ).all()
        assert [tuple(row) for row in told] == [("top_up_ended", owner.email)]
        turn_on(owner)
        assert payments.run_automatic() == 1


def join(owner: Person, keeper: Person) -> None:
    row = {"user_id": keeper.user_id, "account_id": owner.account_id, "role": "billing"}
    new = insert(Membership).values(created_at=db_now(), **row)
    database.transact(lambda connection: connection.execute(new))


def save_card(owner: Person, keeper: Person, stripe: FakeStripe) -> None:
    details = {"saves_card": True}
    wish = payments.Wish(owner.account_id, keeper.user_id, "stripe", "card", TEN, details=details)
    payment = payments.begin(wish).payment
    stripe.books.pay(str(payment.order_id))
    assert payments.check(payment).state == "paid"


def test_the_bank_wants_the_person(shop: Flask, stripe: FakeStripe, saver: Person) -> None:
    stripe.books.saved_card = "authentication_required"
    with shop.app_context():
        turn_on(saver)
        payments.run_automatic()
        assert mails() == ["top_up_needs_you"]
        stripe.books.saved_card = "ok"
        try_now(saver)
        payments.run_automatic()
        order = standing.find(saver.account_id)
        assert order is not None and order.failures == 0 and order.problem == ""
        assert billing.balance(saver.account_id).paid_nanos == TEN + TWENTY_FIVE


def test_a_lost_answer_charges_once(shop: Flask, stripe: FakeStripe, saver: Person) -> None:
    with shop.app_context():
        turn_on(saver)
        stripe.forgets = 10
        assert payments.run_automatic() == 1
        assert payments.run_automatic() == 0
        stripe.forgets = 0
        due = update(Payment).values(due_at=db_now(-1))
        database.transact(lambda connection: connection.execute(due))
        payments.check_due()
        assert len(stripe.books.of_kind("payment_intent")) == 2
        assert billing.balance(saver.account_id).paid_nanos == TEN + TWENTY_FIVE
        assert list(billing.audit()) == []


def test_an_account_does_not_end_while_its_card_is_being_charged(
    shop: Flask, stripe: FakeStripe, saver: Person
) -> None:
    """The answer was lost: as far as we know nothing was ordered, and the money has been taken."""
    with shop.app_context():
        turn_on(saver)
        stripe.forgets = 10
        payments.run_automatic()
        assert [payment.state for payment in automatic(saver)] == ["created"]
        with pytest.raises(
            Refused, match=r"\$25\.00 is still under way: the card is being charged"
        ):
            departures.delete_user(saver.user_id, forfeit_nanos=TEN)
        stripe.forgets = 0
        due = update(Payment).values(due_at=db_now(-1))
        database.transact(lambda connection: connection.execute(due))
        payments.check_due()
        departures.delete_user(saver.user_id, forfeit_nanos=TEN + TWENTY_FIVE)
        assert list(billing.audit()) == []


def test_without_a_card_there_is_nothing_to_order(shop: Flask) -> None:
    person = make_person(shop, "bob@example.com")
    with shop.app_context(), pytest.raises(Refused, match="no saved card"):
        turn_on(person)


def test_a_card_that_is_gone_is_forgotten(shop: Flask, stripe: FakeStripe, saver: Person) -> None:
    [card] = [each for each in stripe.books.objects if each.startswith("pm_")]
    stripe.books.detach(card)
    assert send(shop.test_client(), last(stripe, "payment_method.detached")) == 200
    with shop.app_context():
        assert auto.card_of(saver.account_id) is None


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"amount_nanos": parse_usd("1")}, "amount"),
        ({"monthly_cap_nanos": parse_usd("24")}, "cap"),
        ({"threshold_nanos": -1}, "threshold"),
    ],
    ids=["amount", "cap", "threshold"],
)
def test_what_cannot_be_ordered(
    shop: Flask, saver: Person, more: dict[str, int], param: str
) -> None:
    with shop.app_context(), pytest.raises(Refused) as refused:
        turn_on(saver, **more)
    assert refused.value.param == param
