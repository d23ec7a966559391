"""The one transaction of each step, on both databases: whole or nothing, once, and the audit
agrees.
"""

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import Connection, delete, select, text, update
from sqlalchemy.exc import DBAPIError

from solrouter import database, process
from solrouter.chat import Usage
from solrouter.clock import utcnow
from solrouter.errors import (
    BadRequest,
    BalanceInUse,
    InsufficientCredit,
    KeyLimitReached,
    KeyRevoked,
    RateLimited,
    Refused,
)
from solrouter.models import (
    Account,
    ApiKey,
    Budget,
    Completion,
    Hold,
    Lease,
    Plan,
    Transfer,
    Worker,
)
from solrouter.money import parse_usd
from solrouter.services import accounts, activity, admission, billing, budgets, catalogue, keys
from solrouter.services.admission import Admitted, Ask, CatalogueChanged, Ending
from tests.factories import Person, fund, make_offer, make_person, pay_in

PROMPT, OUTPUT = 1_000, 1_000
# At $1 and $2 a million: the hold of an ask with a named limit.
HOLD = 1_000 * 1_000 + 1_000 * 2_000


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    make_offer(context_on_both, "http://127.0.0.1:9/v1")
    admission.beat("test-worker")
    return make_person(context_on_both, "alice@example.com")


def ask(person: Person, **changes: object) -> Ask:
    """A request for at most 1,000 tokens in and 1,000 out, with its limit named."""
    principal = keys.authenticate(person.key_text)
    snapshot = catalogue.current()
    wanted = Ask(
        principal=principal,
        requested_model="acme/tiny",
        offer=snapshot.models["acme/tiny"].offers[0],
        catalogue_version=snapshot.version,
        prompt_bound=PROMPT,
        output_limit=OUTPUT,
        is_named=True,
        choices=1,
        streamed=False,
        worker_id="test-worker",
        lifetime_s=60,
        at=utcnow(),
    )
    return replace(wanted, **changes)  # type: ignore[arg-type]


def ending(admitted: Admitted, cost_nanos: int, outcome: str = "finished") -> Ending:
    return Ending(
        model="acme/tiny",
        offer=admitted.ask.offer,
        outcome=outcome,
        reason="stop",
        usage=Usage(input=10, output=5),
        usage_source="upstream",
        cost_nanos=cost_nanos,
        upstream_cost_nanos=cost_nanos,
        attempts=[],
        duration_ms=1,
    )


def test_a_request_is_held_then_charged_what_it_cost(person: Person) -> None:
    fund(person.account_id, "1")
    admitted = admission.admit(ask(person))
    assert admitted.held_nanos == HOLD
    assert billing.balance(person.account_id).held_nanos == HOLD
    charge = admission.settle(admitted, ending(admitted, 20_000))
    balance = billing.balance(person.account_id)
    assert charge.total_nanos == 20_000
    assert (balance.held_nanos, balance.posted_nanos) == (0, parse_usd("1") - 20_000)


def test_a_second_settlement_changes_nothing(person: Person) -> None:
    fund(person.account_id, "1")
    admitted = admission.admit(ask(person))
    admission.settle(admitted, ending(admitted, 20_000))
    again = admission.settle(admitted, ending(admitted, 999_999))
    assert again.total_nanos == 20_000
    assert billing.balance(person.account_id).posted_nanos == parse_usd("1") - 20_000


def test_exactly_the_affordable_number_is_admitted_by_many_at_once(
    context_on_both: Flask, person: Person
) -> None:
    affordable = 7
    fund(person.account_id, f"{affordable * HOLD / 10**9:.9f}")

    def attempt(_: int) -> Admitted | None:
        with context_on_both.app_context():
            try:
                return admission.admit(ask(person))
            except (InsufficientCredit, BalanceInUse):
                return None

    with ThreadPoolExecutor(16) as pool:
        admitted = [result for result in pool.map(attempt, range(40)) if result is not None]
    assert len(admitted) == affordable
    assert billing.balance(person.account_id).available_nanos == 0
    for one in admitted:
        admission.settle(one, ending(one, HOLD))
    assert billing.balance(person.account_id).posted_nanos == 0


def test_what_an_empty_balance_is_told(person: Person) -> None:
    with pytest.raises(InsufficientCredit) as refused:
        admission.admit(ask(person))
    assert refused.value.code == "insufficient_balance"
    assert refused.value.metadata == {
        "required": "0.001512",
        "available": "0",
        "held": "0",
        "balance": "0",
        "affordable_tokens": 0,
    }


def test_own_running_requests_are_a_429_and_not_a_402(person: Person) -> None:
    fund(person.account_id, f"{HOLD / 10**9:.9f}")
    admission.admit(ask(person))
    with pytest.raises(BalanceInUse) as refused:
        admission.admit(ask(person))
    assert refused.value.retry_after_s == 1
    assert refused.value.metadata["held"] == "0.003"


def test_a_small_balance_lowers_the_output_limit_to_what_it_pays(person: Person) -> None:
    fund(person.account_id, "0.002")
    admitted = admission.admit(ask(person, output_limit=8_000))
    assert admitted.output_limit == 500
    assert admitted.held_nanos == parse_usd("0.002")


def test_below_the_floor_a_request_is_refused(person: Person) -> None:
    fund(person.account_id, "0.0015")
    with pytest.raises(InsufficientCredit) as refused:
        admission.admit(ask(person, output_limit=8_000))
    assert refused.value.metadata["affordable_tokens"] == 250


def test_an_unnamed_limit_does_not_shut_out_the_next_requests(person: Person) -> None:
    fund(person.account_id, "0.05")
    first = admission.admit(ask(person, output_limit=20_000, is_named=False))
    assert (first.output_limit, first.is_whole) == (20_000, False)
    assert first.covered_tokens == admission.OUTPUT_TOKENS_ASSUMED
    assert admission.admit(ask(person, output_limit=20_000, is_named=False)).held_nanos > 0


def test_a_hold_grows_ahead_of_the_output_while_the_balance_follows(person: Person) -> None:
    fund(person.account_id, "0.05")
    first = admission.admit(ask(person, output_limit=20_000, is_named=False))
    grown = admission.grow(first)
    assert grown is not None
    assert grown.covered_tokens == 2 * admission.OUTPUT_TOKENS_ASSUMED
    assert billing.balance(person.account_id).held_nanos == grown.held_nanos
    admission.admit(ask(person, output_limit=10_000))
    assert admission.grow(grown) is None
    admission.settle(grown, ending(grown, grown.held_nanos))


def test_a_hold_that_has_expired_grows_no_more(person: Person) -> None:
    fund(person.account_id, "0.05")
    wanted = ask(person, output_limit=20_000, is_named=False, worker_id="dead-worker")
    first = admission.admit(wanted)
    assert admission.expire() == 1
    assert admission.grow(first) is None
    assert billing.balance(person.account_id).held_nanos == 0


def test_a_cost_above_the_hold_takes_what_is_free_and_writes_off_the_rest(person: Person) -> None:
    fund(person.account_id, f"{(HOLD + 500) / 10**9:.9f}")
    admitted = admission.admit(ask(person))
    charge = admission.settle(admitted, ending(admitted, HOLD + 2_000))
    assert (charge.total_nanos, charge.write_off_nanos) == (HOLD + 500, 1_500)
    assert billing.balance(person.account_id).posted_nanos == 0


def test_a_cost_above_the_hold_never_touches_what_others_hold(person: Person) -> None:
    fund(person.account_id, f"{2 * HOLD / 10**9:.9f}")
    first, second = admission.admit(ask(person)), admission.admit(ask(person))
    charge = admission.settle(first, ending(first, 2 * HOLD))
    assert (charge.total_nanos, charge.write_off_nanos) == (HOLD, HOLD)
    assert admission.settle(second, ending(second, HOLD)).total_nanos == HOLD


def test_gifts_are_spent_before_what_was_paid(person: Person) -> None:
    fund(person.account_id, "1")
    pay_in(person.account_id, parse_usd("1"))
    admitted = admission.admit(ask(person))
    charge = admission.settle(admitted, ending(admitted, HOLD))
    assert (charge.granted_nanos, charge.paid_nanos) == (HOLD, 0)


def test_a_settlement_without_its_hold_still_charges_from_what_is_free(person: Person) -> None:
    fund(person.account_id, "1")
    admitted = admission.admit(ask(person))
    lose_hold(person)
    charge = admission.settle(admitted, ending(admitted, 20_000))
    assert charge.total_nanos == 20_000
    assert billing.balance(person.account_id).held_nanos == 0


def test_a_refused_request_takes_nothing(person: Person) -> None:
    fund(person.account_id, "1")
    set_plan(requests_per_minute=1)
    admission.settle(first := admission.admit(ask(person)), ending(first, 0))
    before = billing.balance(person.account_id)
    with pytest.raises(RateLimited) as refused:
        admission.admit(ask(person))
    assert refused.value.code == "requests_per_minute"
    assert 1 <= refused.value.retry_after_s <= 60
    assert billing.balance(person.account_id) == before


def test_a_rate_limit_is_exact_for_many_at_once(context_on_both: Flask, person: Person) -> None:
    fund(person.account_id, "5")
    set_plan(requests_per_minute=9)

    def attempt(_: int) -> bool:
        with context_on_both.app_context():
            try:
                admission.admit(ask(person))
            except RateLimited:
                return False
            return True

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(attempt, range(30))) == 9


def test_tokens_are_taken_as_bound_and_given_back_as_used(person: Person) -> None:
    fund(person.account_id, "5")
    set_plan(tokens_per_minute=3_000)
    admitted = admission.admit(ask(person))
    assert admitted.rates[-1].remaining == 1_000
    with pytest.raises(RateLimited) as refused:
        admission.admit(ask(person))
    assert refused.value.code == "tokens_per_minute"
    admission.settle(admitted, ending(admitted, 20))
    assert admission.admit(ask(person)).rates[-1].remaining >= 980


def test_a_request_larger_than_its_whole_token_limit_is_not_told_to_wait(person: Person) -> None:
    fund(person.account_id, "5")
    set_plan(tokens_per_minute=1_999)
    with pytest.raises(BadRequest) as refused:
        admission.admit(ask(person))
    assert refused.value.code == "request_exceeds_limit"


def test_concurrency_is_limited_and_freed_by_the_end(person: Person) -> None:
    fund(person.account_id, "5")
    set_plan(concurrency=1)
    admitted = admission.admit(ask(person))
    with pytest.raises(RateLimited) as refused:
        admission.admit(ask(person))
    assert refused.value.code == "concurrency"
    admission.settle(admitted, ending(admitted, 0))
    admission.admit(ask(person))


def test_a_revoked_key_is_dead_in_the_admission_itself(person: Person) -> None:
    fund(person.account_id, "1")
    wanted = ask(person)
    keys.revoke(person.account_id, wanted.principal.key_public_id)
    with pytest.raises(KeyRevoked):
        admission.admit(wanted)


def test_a_changed_catalogue_is_noticed_and_changes_nothing(person: Person) -> None:
    fund(person.account_id, "1")
    with pytest.raises(CatalogueChanged):
        admission.admit(ask(person, catalogue_version=0))
    assert billing.balance(person.account_id).held_nanos == 0


def test_a_key_spends_its_own_limit_and_no_more(person: Person) -> None:
    fund(person.account_id, "1")
    limited = limited_key(person, limit_nanos=HOLD)
    admitted = admission.admit(ask(limited))
    with pytest.raises(BalanceInUse):
        admission.admit(ask(limited))
    admission.settle(admitted, ending(admitted, 1_000))
    shown = keys.find(person.account_id, admitted.ask.principal.key_public_id)
    assert (shown.limit_nanos, shown.spent_nanos) == (HOLD, 1_000)
    admission.settle(second := admission.admit(ask(limited)), ending(second, HOLD - 1_000))
    with pytest.raises(KeyLimitReached):
        admission.admit(ask(limited))


def test_a_key_with_a_small_limit_may_ask_a_large_model(person: Person) -> None:
    fund(person.account_id, "5")
    limited = limited_key(person, limit_nanos=10_000_000)
    admitted = admission.admit(ask(limited, output_limit=100_000, is_named=False))
    assert admitted.output_limit == (10_000_000 - 1_000_000) // 2_000


def test_an_unnamed_limit_binds_no_more_tokens_than_the_plan_has(person: Person) -> None:
    fund(person.account_id, "5")
    set_plan(tokens_per_minute=3_000)
    admitted = admission.admit(ask(person, output_limit=100_000, is_named=False))
    assert (admitted.output_limit, admitted.covered_tokens) == (100_000, 2_000)


def test_a_disabled_users_key_is_dead(person: Person) -> None:
    fund(person.account_id, "1")
    wanted = ask(person)
    accounts.set_disabled(person.user_id, True)
    with pytest.raises(KeyRevoked):
        admission.admit(wanted)
    with pytest.raises(KeyRevoked):
        keys.authenticate(person.key_text)


@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_a_budget_begins_anew_with_its_period_and_without_a_job(
    person: Person, period: str
) -> None:
    fund(person.account_id, "1")
    limited = limited_key(person, limit_nanos=HOLD)
    key_id = keys.authenticate(limited.key_text).key_id
    long_ago = utcnow() - timedelta(days=40)
    change = (
        update(Budget)
        .where(Budget.subject == budgets.subject(key_id))
        .values(period=period, spent_nanos=HOLD, period_start=long_ago)
    )
    database.transact(lambda connection: connection.execute(change))
    admitted = admission.admit(ask(limited))
    admission.settle(admitted, ending(admitted, HOLD))
    with pytest.raises(KeyLimitReached):
        admission.admit(ask(limited))


def test_the_requests_of_a_dead_worker_are_released_uncharged(person: Person) -> None:
    fund(person.account_id, "1")
    admitted = admission.admit(ask(person, worker_id="dead-worker"))
    assert admission.expire() == 1
    assert admission.expire() == 0
    balance = billing.balance(person.account_id)
    assert (balance.held_nanos, balance.posted_nanos) == (0, parse_usd("1"))
    receipt = activity.find(person.account_id, activity.public_id(admitted.id))
    assert (receipt.outcome, receipt.charge_nanos) == ("interrupted", 0)


def test_a_settlement_after_the_expiry_replaces_its_receipt_once(person: Person) -> None:
    fund(person.account_id, "1")
    admitted = admission.admit(ask(person, worker_id="dead-worker"))
    admission.expire()
    assert admission.settle(admitted, ending(admitted, 20_000)).total_nanos == 20_000
    assert admission.settle(admitted, ending(admitted, 30_000)).total_nanos == 20_000
    receipt = activity.find(person.account_id, activity.public_id(admitted.id))
    assert (receipt.outcome, receipt.charge_nanos) == ("finished", 20_000)
    assert billing.balance(person.account_id).posted_nanos == parse_usd("1") - 20_000


def test_a_late_settlement_is_charged_to_the_keys_limit_too(person: Person) -> None:
    fund(person.account_id, "1")
    limited = limited_key(person, limit_nanos=10_000_000)
    admitted = admission.admit(ask(limited, worker_id="dead-worker"))
    admission.expire()
    admission.settle(admitted, ending(admitted, 20_000))
    shown = keys.find(person.account_id, admitted.ask.principal.key_public_id)
    assert shown.spent_nanos == 20_000


def test_the_requests_of_a_living_worker_stay(person: Person) -> None:
    fund(person.account_id, "1")
    admission.admit(ask(person))
    assert admission.expire() == 0
    assert billing.balance(person.account_id).held_nanos == HOLD


def test_a_request_past_its_deadline_is_released_though_its_worker_lives(person: Person) -> None:
    fund(person.account_id, "1")
    admission.admit(ask(person, lifetime_s=-1))
    assert admission.expire() == 1


def test_what_the_dead_hold_does_not_stand_in_the_way(person: Person) -> None:
    fund(person.account_id, f"{HOLD / 10**9:.9f}")
    admission.admit(ask(person, worker_id="dead-worker"))
    assert admission.admit(ask(person)).held_nanos == HOLD


def test_a_worker_silent_for_its_lease_is_dead(person: Person) -> None:
    fund(person.account_id, "1")
    silent = update(Worker).values(seen_at=utcnow() - timedelta(seconds=31))
    database.transact(lambda connection: connection.execute(silent))
    admission.admit(ask(person))
    assert admission.expire() == 1


def stand_still(seconds: float) -> None:
    """As after a while in which nobody was heard: the machine asleep, or the database gone."""
    at = utcnow() - timedelta(seconds=seconds)

    def verb(connection: Connection) -> None:
        connection.execute(update(Worker).values(seen_at=at))
        connection.execute(update(Lease).values(expires_at=at + timedelta(seconds=15)))

    database.transact(verb)


@pytest.mark.parametrize("is_former", [True, False], ids=["the former leader", "another"])
def test_after_a_gap_everybody_may_report_before_anybody_is_dead(
    person: Person, is_former: bool
) -> None:
    """Whoever comes first, be it an admission that wants for money."""
    fund(person.account_id, f"{HOLD / 10**9:.9f}")
    admission.admit(ask(person))
    stand_still(31)
    with pytest.raises(BalanceInUse):
        admission.admit(ask(person))
    assert admission.expire() == 0
    assert admission.lead(process.worker_id() if is_former else "test-worker")
    assert admission.expire() == 0
    with pytest.raises(BalanceInUse):
        admission.admit(ask(person))
    # Half a lease from now, in which each process has a round.
    with database.read() as connection:
        [*seen] = connection.execute(select(Worker.seen_at)).scalars()
    assert all(14 <= (utcnow() - at).total_seconds() < 20 for at in seen)


def test_the_silent_get_no_time_from_a_leader_who_is_on_time(person: Person) -> None:
    fund(person.account_id, "1")
    admission.admit(ask(person))
    silent = update(Worker).values(seen_at=utcnow() - timedelta(seconds=31))
    database.transact(lambda connection: connection.execute(silent))
    assert admission.lead(process.worker_id())
    assert admission.expire() == 1


@pytest.mark.parametrize(("amount", "note"), [(0, "why"), (-5, "why"), (5, "  ")])
def test_credit_needs_an_amount_and_a_reason(person: Person, amount: int, note: str) -> None:
    with pytest.raises(Refused):
        admission.credit(person.account_id, amount, actor="test", note=note)


def test_history_cannot_be_rewritten(person: Person) -> None:
    fund(person.account_id, "1")
    for statement in (update(Transfer).values(amount_nanos=1), delete(Transfer)):
        with pytest.raises(DBAPIError, match="append-only"):
            database.transact(lambda connection, s=statement: connection.execute(s))


def test_the_statement_adds_up_to_the_balance(person: Person) -> None:
    fund(person.account_id, "1")
    for cost in (20_000, 0, 35):
        admission.settle(admitted := admission.admit(ask(person)), ending(admitted, cost))
    entries = billing.statement(person.account_id, limit=50)
    assert [entry.amount_nanos for entry in entries] == [-35, -20_000, parse_usd("1")]
    assert (
        sum(entry.amount_nanos for entry in entries)
        == billing.balance(person.account_id).posted_nanos
    )


@pytest.mark.parametrize(
    ("damage", "found"),
    [
        ("UPDATE accounts SET granted_nanos = granted_nanos + 1", "granted balance"),
        ("UPDATE accounts SET paid_nanos = paid_nanos + 1", "paid balance"),
        ("UPDATE accounts SET held_nanos = held_nanos + 1", "marked as held"),
        ("UPDATE completions SET charge_nanos = charge_nanos + 1", "its receipt says"),
        ("UPDATE completions SET write_off_nanos = 1", "wrote off"),
        ("DELETE FROM completions", "without a receipt"),
    ],
)
def test_the_audit_names_each_kind_of_damage(person: Person, damage: str, found: str) -> None:
    fund(person.account_id, "1")
    admission.settle(admitted := admission.admit(ask(person)), ending(admitted, 20_000))
    assert list(billing.audit()) == []
    sentences: list[str] = []
    with suppress(Undone):
        database.transact(lambda connection: see(connection, damage, sentences))
    assert any(found in sentence for sentence in sentences), sentences


class Undone(Exception):
    """Takes the damage back."""


def see(connection: Connection, damage: str, sentences: list[str]) -> None:
    """Does the damage, audits within the same transaction, and undoes it."""
    connection.execute(text(damage))
    sentences.extend(billing.differences(connection))
    raise Undone


def lose_hold(person: Person) -> None:
    """What a database that lost an unflushed admission looks like after its restart."""

    def verb(connection: Connection) -> None:
        connection.execute(delete(Hold))
        connection.execute(update(Account).values(held_nanos=0))

    database.transact(verb)


def set_plan(**limits: int) -> None:
    """Changes the plan of everybody here."""
    change = update(Plan).values(**limits)
    database.transact(lambda connection: connection.execute(change))


def limited_key(person: Person, *, limit_nanos: int) -> Person:
    """The same person with another key that may spend so much."""
    new = keys.create(
        person.account_id, user_id=person.user_id, name="Limited", limit_nanos=limit_nanos
    )
    return replace(person, key_text=new.text)


def test_one_row_stands_for_each_request(person: Person) -> None:
    fund(person.account_id, "1")
    admission.settle(admitted := admission.admit(ask(person)), ending(admitted, 20_000))
    with database.read() as connection:
        assert len(connection.execute(select(Completion.id)).all()) == 1
        assert connection.execute(select(Hold.id)).all() == []
        used = connection.execute(select(ApiKey.last_used_at)).scalar_one()
    assert used is not None
