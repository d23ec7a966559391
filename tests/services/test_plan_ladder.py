"""Plans that payments reach, at once, and refunds lead back from; what an operator gave stays."""

import pytest
from flask import Flask
from sqlalchemy import Connection

from solrouter import database
from solrouter.money import parse_usd
from solrouter.services import accounts, billing, plans, trail
from solrouter.services.payments import moving
from tests.factories import Person, fund, make_person, pay_in


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "gina@example.com")


def plan_of(person: Person) -> str:
    return plans.standing(person.account_id).plan.slug


def test_the_sum_paid_reaches_the_next_plan_at_once(person: Person) -> None:
    fund(person.account_id, "500")
    assert plan_of(person) == "pay-as-you-go", "a gift is no payment"
    pay_in(person.account_id, parse_usd("40"))
    after = plans.standing(person.account_id)
    assert after.plan.slug == "pay-as-you-go" and after.next is not None
    assert (after.next.slug, after.missing_nanos) == ("pro", parse_usd("60"))
    pay_in(person.account_id, parse_usd("60"))
    last = plans.standing(person.account_id)
    assert (last.plan.slug, last.next, last.missing_nanos) == ("pro", None, 0)


def test_a_first_plan_without_a_price_is_left_by_the_first_payment(
    person: Person, context_on_both: Flask
) -> None:
    accounts.ensure_user(person.email, None, plan="free")
    pay_in(person.account_id, parse_usd("5"))
    assert plan_of(person) == "free", "here the operator gave it"
    context_on_both.config["SOLROUTER_DEFAULT_PLAN"] = "free"
    standing = plans.standing(person.account_id)
    assert standing.next is not None
    assert (standing.next.slug, standing.missing_nanos) == ("pay-as-you-go", 0)
    pay_in(person.account_id, parse_usd("5"))
    assert plan_of(person) == "pay-as-you-go"


def test_one_large_payment_leaps(person: Person) -> None:
    pay_in(person.account_id, parse_usd("1000"))
    assert plan_of(person) == "pro"


def test_what_the_operator_gave_stays(person: Person, context_on_both: Flask) -> None:
    accounts.ensure_user(person.email, None, plan="unlimited")
    pay_in(person.account_id, parse_usd("1000"))
    standing = plans.standing(person.account_id)
    assert standing.plan.slug == "unlimited" and standing.next is None


def test_the_operator_says_what_a_plan_costs(person: Person) -> None:
    plans.define("mid", {"concurrency": 9, "min_paid_nanos": parse_usd("50")}, name="Mid")
    pay_in(person.account_id, parse_usd("50"))
    assert plan_of(person) == "mid"
    with pytest.raises(plans.Refused):
        plans.define("mid", {"min_paid_nanos": -1})


def moved(payment_id: int, kind: str, amount: str, evidence: str) -> None:
    """So much of a payment moved once more."""
    amount_nanos = parse_usd(amount)

    def verb(connection: Connection) -> None:
        payment = moving.locked(connection, payment_id)
        moving.move(connection, payment, kind, amount_nanos, evidence)

    database.transact(verb)


@pytest.mark.parametrize(
    ("goes", "comes"),
    [
        (billing.REFUND, billing.REFUND_FAILED),
        (billing.DISPUTE, billing.DISPUTE_WON),
    ],
    ids=["refund", "dispute"],
)
def test_money_that_goes_takes_the_plan_that_it_brought(
    person: Person, goes: str, comes: str
) -> None:
    pay_in(person.account_id, parse_usd("40"))
    payment_id = pay_in(person.account_id, parse_usd("70"))
    assert plan_of(person) == "pro"
    moved(payment_id, goes, "5", "a part")
    assert plan_of(person) == "pro", "105 dollars are still enough"
    moved(payment_id, goes, "65", "the rest")
    assert plan_of(person) == "pay-as-you-go"
    standing = plans.standing(person.account_id)
    assert (standing.paid_nanos, standing.missing_nanos) == (parse_usd("40"), parse_usd("60"))
    told = [
        event
        for event in trail.of_account(person.account_id, limit=20)
        if event.action == "account.plan"
    ]
    assert [event.details["plan"] for event in told if event.details] == [
        ["pro", "pay-as-you-go"],
        ["pay-as-you-go", "pro"],
    ]
    moved(payment_id, comes, "65", "not gone after all")
    assert plan_of(person) == "pro"


def test_a_refund_leads_to_the_highest_plan_that_is_still_reached(person: Person) -> None:
    plans.define("mid", {"concurrency": 9, "min_paid_nanos": parse_usd("50")}, name="Mid")
    first = pay_in(person.account_id, parse_usd("60"))
    second = pay_in(person.account_id, parse_usd("60"))
    assert plan_of(person) == "pro"
    moved(second, billing.REFUND, "60", "second")
    assert plan_of(person) == "mid"
    moved(first, billing.REFUND, "60", "first")
    assert plan_of(person) == "pay-as-you-go"
    pay_in(person.account_id, parse_usd("60"))
    assert plan_of(person) == "mid"


@pytest.mark.parametrize("is_given_first", [True, False], ids=["before", "after"])
def test_no_refund_takes_what_the_operator_gave(person: Person, is_given_first: bool) -> None:
    if is_given_first:
        accounts.set_plan(person.account_id, "pro")
    payment_id = pay_in(person.account_id, parse_usd("100"))
    accounts.set_plan(person.account_id, "pro")
    moved(payment_id, billing.REFUND, "100", "all of it")
    assert plan_of(person) == "pro"


def test_a_refund_leads_back_to_the_given_plan_and_no_lower(person: Person) -> None:
    plans.define("top", {"concurrency": 99, "min_paid_nanos": parse_usd("500")}, name="Top")
    accounts.set_plan(person.account_id, "pro")
    payment_id = pay_in(person.account_id, parse_usd("500"))
    assert plan_of(person) == "top"
    moved(payment_id, billing.REFUND, "500", "all of it")
    assert plan_of(person) == "pro"


def test_a_dearer_plan_is_kept_when_more_is_paid_in(person: Person) -> None:
    pay_in(person.account_id, parse_usd("100"))
    plans.define("pro", {"min_paid_nanos": parse_usd("200")})
    pay_in(person.account_id, parse_usd("10"))
    assert plan_of(person) == "pro"
