"""What a member may spend in an account: set by owners, kept by every key that they made there."""

import pytest
from flask import Flask
from sqlalchemy import select

from solrouter import database
from solrouter.errors import Forbidden, KeyLimitReached, MemberLimitReached, NotFound, Refused
from solrouter.models import Budget
from solrouter.money import parse_usd
from solrouter.services import accounts, activity, admission, keys, members
from tests.factories import Person, fund, make_offer, make_person
from tests.services.test_admission import ask, ending

COST = 1_000_000


@pytest.fixture
def alice(context_on_both: Flask) -> Person:
    """The owner of an account with money."""
    make_offer(context_on_both, "http://127.0.0.1:9/v1")
    admission.beat("test-worker")
    person = make_person(context_on_both, "alice@example.com")
    fund(person.account_id, "50")
    return person


@pytest.fixture
def bob(context_on_both: Flask, alice: Person) -> Person:
    """A developer in Alice's account, with a key that he made for it."""
    person = make_person(context_on_both, "bob@example.com")
    sent = members.invite(alice.account_id, person.email, "developer", by=alice.user_id)
    assert sent.link is not None
    members.accept(person.user_id, sent.link.rpartition("/")[2])
    return of_account(person, alice)


def of_account(person: Person, owner: Person, name: str = "Bob's") -> Person:
    """The person with a new key for the owner's account."""
    made = keys.create(owner.account_id, user_id=person.user_id, name=name, is_owner=False)
    where = (owner.account_id, owner.account_public_id)
    return Person(person.user_id, *where, person.email, person.password, made.text)


def public_id(person: Person) -> str:
    row = accounts.find_user(person.email)
    assert row is not None
    return str(row.public_id)


def give(owner: Person, person: Person, usd: str | None, resets: str = "never") -> members.Member:
    nanos = None if usd is None else parse_usd(usd)
    return members.set_budget(
        owner.account_id, public_id(person), limit_nanos=nanos, resets=resets, by=owner.user_id
    )


def spend(person: Person, cost_nanos: int = COST) -> admission.Admitted:
    admitted = admission.admit(ask(person))
    admission.settle(admitted, ending(admitted, cost_nanos))
    return admitted


def test_a_member_spends_their_budget_with_all_their_keys_and_no_more(
    alice: Person, bob: Person
) -> None:
    second = of_account(bob, alice, "Bob's other")
    one = admission.admit(ask(bob))
    admission.settle(one, ending(one, COST))
    give(alice, bob, f"{COST * 4 / 10**9:.9f}")
    spend(bob)
    spend(second)
    with pytest.raises(MemberLimitReached, match="owner"):
        admission.admit(ask(second))
    spend(alice)
    member = members.find(alice.account_id, public_id(bob))
    assert member.spent_nanos == 3 * COST, "what was spent before counts as well"


def test_the_tighter_of_both_limits_decides_and_says_which(alice: Person, bob: Person) -> None:
    give(alice, bob, "0.000001")
    [key] = [one for one in keys.list_of(alice.account_id) if one.name == "Bob's"]
    change = {"actor": "test", "name": key.name, "resets": "never"}
    keys.change(alice.account_id, key.public_id, limit_nanos=parse_usd("9"), **change)
    with pytest.raises(MemberLimitReached, match=r"^You have \$0\.000001 of your budget in this"):
        admission.admit(ask(bob))
    give(alice, bob, "9")
    keys.change(alice.account_id, key.public_id, limit_nanos=1, **change)
    with pytest.raises(KeyLimitReached, match=r"^This API key has \$0\.000000001 of its") as caught:
        admission.admit(ask(bob))
    assert not isinstance(caught.value, MemberLimitReached)


def test_what_runs_counts_and_is_given_back(alice: Person, bob: Person) -> None:
    running = admission.admit(ask(bob))
    member = give(alice, bob, "9")
    assert member.spent_nanos == running.held_nanos
    admission.settle(running, ending(running, COST))
    assert members.find(alice.account_id, public_id(bob)).spent_nanos == COST


def test_an_answer_ends_by_the_budget_when_its_hold_cannot_grow(alice: Person, bob: Person) -> None:
    wanted = ask(bob, output_limit=8_000, is_named=False)
    # As much as two requests hold at first, and a little.
    give(alice, bob, "0.02")
    running, other = admission.admit(wanted), admission.admit(wanted)
    assert not running.is_whole
    assert admission.grow(running) is None
    assert admission.why_no_more(running) == admission.MEMBER_LIMIT
    admission.settle(other, ending(other, 0))
    assert admission.grow(running) is not None
    admission.settle(running, ending(running, 0))


def test_a_budget_can_be_taken_away_and_goes_with_its_member(alice: Person, bob: Person) -> None:
    give(alice, bob, "0.000001")
    assert give(alice, bob, None).limit_nanos is None
    spend(bob)
    give(alice, bob, "1", "monthly")
    members.remove(alice.account_id, public_id(bob), by=alice.user_id)
    with database.read() as connection:
        subjects = connection.execute(select(Budget.subject)).scalars().all()
    assert [subject for subject in subjects if subject.startswith("member:")] == []


def test_only_owners_set_budgets_and_only_of_members(alice: Person, bob: Person) -> None:
    with pytest.raises(Forbidden):
        give(Person(bob.user_id, alice.account_id, "", "", "", ""), bob, "5")
    stranger = Person(0, 0, "", "alice@example.com", "", "")
    with pytest.raises(Refused):
        give(alice, bob, "5", "hourly")
    with pytest.raises(NotFound):
        members.set_budget(
            bob.account_id + 99,
            public_id(stranger),
            limit_nanos=1,
            resets="never",
            by=alice.user_id,
        )


def test_the_receipt_is_the_members(alice: Person, bob: Person) -> None:
    give(alice, bob, "9")
    admitted = spend(bob)
    receipt = activity.find(alice.account_id, activity.public_id(admitted.id))
    assert receipt.charge_nanos == COST
