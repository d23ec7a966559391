"""Plans that payments reach: at once, only upwards, and never from what an operator has given."""

import pytest
from flask import Flask

from solrouter.money import parse_usd
from solrouter.services import accounts, plans
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
