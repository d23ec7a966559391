"""Accounts that an operator stops, beside those that a dispute stops; gifts that are taken back."""

import pytest
from flask import Flask
from sqlalchemy import Connection, text

from solrouter import database
from solrouter.errors import Refused
from solrouter.money import parse_usd
from solrouter.services import admission, billing, payments, suspensions, trail
from solrouter.services.payments.methods import DisputeNews, Evidence, Finding
from tests.factories import Person, fund, make_offer, make_person
from tests.services.test_admission import ask, ending

TEN = parse_usd("10")


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "pat@example.com")


def stopped_for(person: Person) -> str | None:
    query = text("SELECT frozen_at, frozen_for FROM accounts WHERE id = :id")
    with database.read() as connection:
        frozen_at, frozen_for = connection.execute(query, {"id": person.account_id}).one()
    assert (frozen_at is None) == (frozen_for is None)
    return str(frozen_for) if frozen_for else None


def disputed(person: Person, *, is_closed: bool = False) -> None:
    """A payment of this account whose payer asks their bank for the money."""
    wish = payments.Wish(person.account_id, person.user_id, "test", "test", TEN, "once")
    payment = payments.begin(wish).payment
    payments.take(payment.id, Finding((Evidence("e_1", TEN),)))
    news = DisputeNews("dp_1", TEN, False, False, is_closed)
    payments.take(payment.id, Finding(disputes=(news,)))


def test_a_suspended_account_goes_on_once_it_is_lifted(person: Person) -> None:
    suspensions.suspend(person.account_id, "Stolen cards", actor="test")
    assert stopped_for(person) == "operator"
    suspensions.lift(person.account_id, "Cleared up", actor="test")
    assert stopped_for(person) is None
    acts = [event.action for event in trail.of_account(person.account_id, limit=2)]
    assert acts == ["account.lifted", "account.suspended"]


@pytest.mark.parametrize("reason", ["", "  ", "x" * 201], ids=["none", "blank", "too long"])
def test_it_takes_a_reason(person: Person, reason: str) -> None:
    for act in (suspensions.suspend, suspensions.lift):
        with pytest.raises(Refused) as refused:
            act(person.account_id, reason, actor="test")
        assert refused.value.param == "reason"
    assert stopped_for(person) is None


def test_what_is_not_suspended_is_not_lifted_nor_twice_suspended(person: Person) -> None:
    with pytest.raises(Refused):
        suspensions.lift(person.account_id, "Why not", actor="test")
    suspensions.suspend(person.account_id, "Stolen cards", actor="test")
    with pytest.raises(Refused):
        suspensions.suspend(person.account_id, "Stolen cards", actor="test")


def test_the_end_of_a_dispute_lifts_no_suspension(person: Person) -> None:
    disputed(person)
    assert stopped_for(person) == "dispute"
    suspensions.suspend(person.account_id, "Stolen cards", actor="test")
    disputed(person, is_closed=True)
    assert stopped_for(person) == "operator"
    suspensions.lift(person.account_id, "Cleared up", actor="test")
    assert stopped_for(person) is None


def test_a_lifted_suspension_leaves_an_open_dispute(person: Person) -> None:
    disputed(person)
    suspensions.suspend(person.account_id, "Stolen cards", actor="test")
    suspensions.lift(person.account_id, "Only the dispute is left", actor="test")
    assert stopped_for(person) == "dispute"
    suspensions.lift(person.account_id, "We trust them", actor="test")
    assert stopped_for(person) is None


def test_a_closed_account_stays_closed(person: Person) -> None:
    def close(connection: Connection) -> None:
        admission.forfeit(connection, person.account_id, expected_nanos=0, actor="test")

    database.transact(close)
    for act in (suspensions.suspend, suspensions.lift):
        with pytest.raises(Refused):
            act(person.account_id, "Stolen cards", actor="test")


def test_gifts_are_taken_back_but_nothing_that_was_paid_for(person: Person) -> None:
    disputed(person, is_closed=True)
    payments.grant(person.account_id, parse_usd("3"), actor="test", note="Hello")
    payments.take_back(person.account_id, parse_usd("1"), actor="test", note="Too much")
    balance = billing.balance(person.account_id)
    assert (balance.paid_nanos, balance.granted_nanos) == (TEN, parse_usd("2"))
    with pytest.raises(Refused, match=r"\$2\.00"):
        payments.take_back(person.account_id, parse_usd("2.01"), actor="test", note="More")
    [entry, *_] = billing.statement(person.account_id, limit=1)
    assert (entry.kind, entry.amount_nanos) == ("grant-taken", -parse_usd("1"))


@pytest.mark.parametrize(("amount", "note"), [("0", "why"), ("1", " ")], ids=["nothing", "no why"])
def test_taking_back_needs_an_amount_and_a_reason(person: Person, amount: str, note: str) -> None:
    fund(person.account_id, "5")
    with pytest.raises(Refused):
        payments.take_back(person.account_id, parse_usd(amount), actor="test", note=note)


def test_what_running_requests_hold_is_not_taken(context_on_both: Flask, person: Person) -> None:
    make_offer(context_on_both, "http://127.0.0.1:9/v1")
    admission.beat("test-worker")
    fund(person.account_id, "1")
    admitted = admission.admit(ask(person))
    free = billing.balance(person.account_id).available_nanos
    with pytest.raises(Refused):
        payments.take_back(person.account_id, free + 1, actor="test", note="All")
    payments.take_back(person.account_id, free, actor="test", note="All that is free")
    admission.settle(admitted, ending(admitted, 20_000))
    assert billing.balance(person.account_id).available_nanos >= 0
