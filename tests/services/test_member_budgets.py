"""What a member may spend in an account: set by owners, kept by every key that they made there."""

from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import Connection, select, update

from solrouter import database
from solrouter.clock import first_id_at, utcnow
from solrouter.errors import Forbidden, KeyLimitReached, MemberLimitReached, NotFound, Refused
from solrouter.models import Budget, Hold
from solrouter.money import parse_usd
from solrouter.services import accounts, activity, admission, keys, members
from solrouter.services.admission import releasing
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


# A period that turns while a request runs.


def limited(alice: Person, bob: Person, resets: str, nanos: int = 10**9) -> None:
    """A budget for Bob and a limit for his key, alike."""
    give(alice, bob, f"{nanos / 10**9:.9f}", resets)
    [key] = [one for one in keys.list_of(alice.account_id) if one.name == "Bob's"]
    terms = {"actor": "test", "name": key.name, "limit_nanos": nanos, "resets": resets}
    keys.change(alice.account_id, key.public_id, **terms)


def spent(alice: Person, bob: Person) -> tuple[int, int]:
    """What is spent of Bob's budget and of his key's limit."""
    [key] = [one for one in keys.list_of(alice.account_id) if one.name == "Bob's"]
    return members.find(alice.account_id, public_id(bob)).spent_nanos, key.spent_nanos


def let_the_period_turn() -> None:
    """All that there is happened in a period before; lifetimes last."""
    long = timedelta(days=40)

    def verb(connection: Connection) -> None:
        for hold_id, began in connection.execute(select(Hold.id, Hold.created_at)).all():
            aged = update(Hold).where(Hold.id == hold_id)
            connection.execute(aged.values(created_at=began - long))
        for subject, began in connection.execute(select(Budget.subject, Budget.period_start)).all():
            passed = update(Budget).where(Budget.subject == subject, Budget.period != "lifetime")
            connection.execute(passed.values(period_start=began - long))

    database.transact(verb)


def long_ask(person: Person) -> admission.Ask:
    """Of a request whose hold grows three times, to 16,384 tokens."""
    return ask(person, output_limit=50_000, is_named=False)


@pytest.mark.parametrize("has_begun", [False, True], ids=["nothing since", "others since"])
@pytest.mark.parametrize("resets", ["never", "daily", "weekly", "monthly"])
def test_a_request_counts_in_the_period_in_which_it_was_admitted_with_all_it_grows_to(
    alice: Person, bob: Person, resets: str, has_begun: bool
) -> None:
    limited(alice, bob, resets)
    running = admission.admit(long_ask(bob))
    grown = admission.grow(running)
    assert grown is not None
    assert spent(alice, bob) == (grown.held_nanos, grown.held_nanos)
    let_the_period_turn()
    since = 0
    if has_begun:
        spend(bob)
        since = COST
    grown = admission.grow(grown)
    assert grown is not None
    lasting = grown.held_nanos if resets == "never" else 0
    assert spent(alice, bob) == (lasting + since, lasting + since)
    admission.settle(grown, ending(grown, 2 * COST))
    lasting = 2 * COST if resets == "never" else 0
    assert spent(alice, bob) == (lasting + since, lasting + since)


@pytest.mark.parametrize("end", ["settled beyond its hold", "released", "expired", "undone"])
def test_what_another_period_began_with_stands_however_an_old_request_ends(
    alice: Person, bob: Person, end: str
) -> None:
    limited(alice, bob, "daily")
    running = admission.admit(long_ask(bob))
    let_the_period_turn()
    spend(bob)
    running = admission.grow(running) or running
    if end == "settled beyond its hold":
        admission.settle(running, ending(running, running.held_nanos + COST))
    elif end == "released":
        admission.settle(running, ending(running, 0, admission.FAILED))
    elif end == "expired":
        too_late = update(Hold).values(deadline_at=utcnow() - timedelta(seconds=1))
        database.transact(lambda connection: connection.execute(too_late))
        assert admission.expire() == 1
    else:
        database.transact(lambda c: releasing.forget(c, alice.account_id, running.id))
    assert spent(alice, bob) == (COST, COST)


def test_the_next_period_does_not_refuse_what_an_old_request_grows_to(
    alice: Person, bob: Person
) -> None:
    wanted = long_ask(bob)
    first = wanted.cost_bound(admission.OUTPUT_TOKENS_ASSUMED)
    limited(alice, bob, "daily", nanos=2 * first)
    old = [admission.admit(wanted) for _ in range(2)]
    assert admission.grow(old[0]) is None
    let_the_period_turn()
    new = [admission.admit(wanted) for _ in range(2)]
    grown = admission.grow(old[0])
    assert grown is not None, "the new period is spent, but this is none of its requests"
    assert admission.grow(new[0]) is None
    assert admission.why_no_more(new[0]) in (admission.KEY_LIMIT, admission.MEMBER_LIMIT)
    for one in (grown, old[1], *new):
        admission.settle(one, ending(one, 0))
    assert spent(alice, bob) == (0, 0)


def test_a_dearer_offer_of_an_old_request_counts_for_no_later_period(
    alice: Person, bob: Person
) -> None:
    limited(alice, bob, "daily")
    running = admission.admit(ask(bob))
    let_the_period_turn()
    dearer = admission.cover(replace(running, ask=replace(running.ask, prompt_bound=5_000)))
    assert dearer is not None
    assert dearer.held_nanos > running.held_nanos
    assert spent(alice, bob) == (0, 0)
    admission.settle(dearer, ending(dearer, COST))
    assert spent(alice, bob) == (0, 0)


def test_an_old_request_is_stopped_by_the_balance_and_not_by_the_next_period(
    alice: Person, bob: Person
) -> None:
    limited(alice, bob, "daily")
    running = admission.admit(long_ask(bob))
    let_the_period_turn()
    give(alice, bob, "0.000001", "daily")
    assert admission.why_no_more(running) == admission.BALANCE
    admission.settle(running, ending(running, 0))
    assert admission.why_no_more(running) == admission.BALANCE


def test_what_old_requests_hold_is_no_room_in_the_next_period(alice: Person, bob: Person) -> None:
    """It frees nothing there when they end: to wait for them is no use."""
    limited(alice, bob, "daily", nanos=20 * COST)
    old = admission.admit(long_ask(bob))
    let_the_period_turn()
    spend(bob, 20 * COST)
    with pytest.raises(KeyLimitReached):
        admission.admit(ask(bob))
    admission.settle(old, ending(old, 0))


@pytest.mark.parametrize(("days_ago", "counted"), [(0, COST), (40, 0)])
def test_a_settlement_without_its_hold_counts_in_the_period_of_its_request(
    alice: Person, bob: Person, days_ago: int, counted: int
) -> None:
    limited(alice, bob, "daily")
    lost = admission.admit(ask(bob))
    database.transact(lambda connection: releasing.forget(connection, alice.account_id, lost.id))
    if days_ago:
        lost = replace(lost, id=first_id_at(utcnow() - timedelta(days=days_ago)))
    else:
        # The turn of the row was lost with the hold.
        let_the_period_turn()
    admission.settle(lost, ending(lost, COST))
    assert spent(alice, bob) == (counted, counted)


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
