"""The lean way and the careful way are one way: the same answers and the same books after each.

The same life is played three times: on SQLite, on PostgreSQL statement by statement, and on
PostgreSQL by the one statement of each step. Amounts are so coarse beside what refills during the
test that time decides nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from itertools import count
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, insert, select, update

from solrouter import database
from solrouter.chat import Usage
from solrouter.clock import new_id, utcnow
from solrouter.errors import SolRouterError
from solrouter.models import Account, ApiKey, Bucket, Budget, Completion, Hold, Plan, Transfer, User
from solrouter.services import accounts, admission, billing, catalogue, keys
from solrouter.services.admission import Admitted, Ask, Ending, admitting, lean, settling
from solrouter.services.admission.allowance import Allowance
from solrouter.services.billing import Charge
from solrouter.services.budgets import OfKey, OfMember, subjects_of
from tests.factories import fund, make_offer

EXAMPLES = 60
EXAMPLES_OF_MEMBERS = 25
PRICED, FREE = "acme/tiny", "acme/free"
# How often the run must really have done each of these by the one statement.
FLOORS = {"admitted": 40, "admitted for a start": 2, "grown": 3, "settled": 25}
CAREFUL_FLOORS = {"admitted": 5, "refused": 40, "settled": 10}
TOKENS = 500
NO_ALLOWANCE = Allowance(0, 0)
names = count()


def limit(*values: int) -> st.SearchStrategy[int | None]:
    return st.sampled_from([None, None, None, *values])


@dataclass(frozen=True)
class Terms:
    """What one life begins with."""

    plan: dict[str, int | None]
    key: dict[str, int | None]
    granted: int
    paid: int
    budget: tuple[int, int, str, bool] | None
    is_verified: bool
    member_budget: tuple[int, int, str, bool] | None = None


@dataclass
class World:
    """One way of doing things, and the account that it is done to."""

    app: Flask
    is_lean: bool
    seen: Counter[str]
    account_id: int = 0
    key_text: str = ""
    running: list[Admitted] = field(default_factory=list)
    ended: list[Admitted] = field(default_factory=list)


plans = st.fixed_dictionaries(
    {
        "requests_per_minute": limit(0, 3, 100),
        "tokens_per_minute": limit(4 * TOKENS, 100 * TOKENS, 1_000 * TOKENS),
        "concurrency": limit(1, 2, 50),
        "free_requests_per_day": limit(1, 10),
        "free_concurrency": limit(1, 10),
    }
)
key_limits = st.fixed_dictionaries(
    {
        "requests_per_minute": limit(2, 100),
        "tokens_per_minute": limit(20 * TOKENS, 500 * TOKENS),
        "concurrency": limit(1, 50),
    }
)
money = st.sampled_from([60_000_000, 10**9, 40_000_000, 8_000_000, 3_000_000, 1_500_000, 0])
budgets = (
    st.none()
    | st.none()
    | st.tuples(
        st.sampled_from([10**9, 9_000_000, 30_000_000, 2_000_000, 0]),
        st.sampled_from([0, 1_000_000]),
        st.sampled_from(["lifetime", "day", "week", "month"]),
        st.booleans(),
    )
)
is_verified = st.sampled_from([True, True, False])
terms = st.builds(Terms, plans, key_limits, money, money, budgets, is_verified)
terms_of_members = st.builds(
    Terms, plans, key_limits, money, money, st.none() | budgets, is_verified, budgets
)
asks = st.fixed_dictionaries(
    {
        "prompt_bound": st.sampled_from([0, TOKENS, 2 * TOKENS]),
        "output_limit": st.sampled_from([20_000, 8_000, TOKENS, 100, 2 * TOKENS, 100_000]),
        "is_named": st.sampled_from([True, False, False]),
        "choices": st.sampled_from([1, 1, 2]),
        "is_free": st.sampled_from([False, False, False, False, True]),
    }
)
picks = st.integers(0, 99)
costs = st.sampled_from([100, 50, 0, 101, 10_000])
acts = st.one_of(
    st.tuples(st.just("admit"), asks),
    st.tuples(st.just("admit"), asks),
    st.tuples(st.just("admit"), asks),
    st.tuples(st.just("settle"), st.tuples(picks, costs)),
    st.tuples(st.just("grow"), picks),
    st.tuples(st.just("grow"), picks),
    st.tuples(st.just("settle"), st.tuples(picks, costs)),
    st.tuples(st.just("settle again"), st.tuples(picks, costs)),
    st.tuples(st.just("lower the budget"), st.just(500_000)),
)


@pytest.fixture
def worlds(
    make_app: Callable[..., Flask], sqlite_url: str, postgresql_url: str
) -> Iterator[list[World]]:
    on_sqlite, on_postgresql = make_app(sqlite_url), make_app(postgresql_url)
    for app in (on_sqlite, on_postgresql):
        make_offer(app, "http://127.0.0.1:9/v1")
        free = {"model": FREE, "provider": "free", "input_usd": "0", "output_usd": "0"}
        make_offer(app, "http://127.0.0.1:9/v1", **free)
        with app.app_context():
            admission.beat("test-worker")
    seen: Counter[str] = Counter()
    yield [
        World(on_sqlite, False, Counter()),
        World(on_postgresql, False, seen),
        World(on_postgresql, True, seen),
    ]
    for app in (on_sqlite, on_postgresql):
        with app.app_context():
            assert list(billing.audit()) == []


NAMED = {"prompt_bound": 0, "output_limit": TOKENS, "is_named": True, "choices": 1}
PRICE = TOKENS * 2_000
PLAIN = Terms({}, {"concurrency": None}, PRICE, 0, None, True)


@pytest.mark.postgresql
def test_exactly_what_is_free_is_admitted_and_a_nanodollar_more_is_not(worlds: list[World]) -> None:
    world = worlds[2]
    for short in (0, 1):
        settle_in(world, replace(PLAIN, granted=2 * PRICE - short))
        with world.app.app_context():
            admit(world, ask(world, is_free=False, **NAMED))
            wanted = ask(world, is_free=False, **NAMED)
            admission = lean.Admission(wanted, new_id())
            step = admission.step
            database.together(step, durable=False)
            assert (admission.admitted() is None) == bool(short)
            assert billing.balance(world.account_id).held_nanos == (2 - short) * PRICE


@pytest.mark.postgresql
def test_the_one_statement_does_not_wait_for_a_clock_that_was_set_back(
    worlds: list[World],
) -> None:
    world = worlds[2]
    settle_in(world, replace(PLAIN, granted=9 * PRICE, plan={"requests_per_minute": 1}))
    with world.app.app_context():
        admitted = []
        for set_back_s in (0, 0, 90, 3_600):
            later = update(Bucket).values(tat_us=Bucket.tat_us + set_back_s * 1_000_000)
            database.transact(lambda connection, s=later: connection.execute(s).rowcount)
            tried = lean.Admission(ask(world, is_free=False, **NAMED), new_id())
            database.together(tried.step, durable=False)
            admitted.append(tried.admitted() is not None)
    assert admitted == [True, False, True, True]


@pytest.mark.postgresql
def test_what_others_hold_is_not_charged_by_the_one_statement(worlds: list[World]) -> None:
    world = worlds[2]
    settle_in(world, replace(PLAIN, granted=2 * PRICE, paid=10))
    with world.app.app_context():
        for _ in range(2):
            admit(world, ask(world, is_free=False, **NAMED))
        first, second = world.running
        assert lean.settle(first, ending(first, PRICE + 11)) is None
        assert lean.settle(first, ending(first, PRICE + 10)) == Charge(PRICE + 10, 0, 0)
        assert lean.settle(first, ending(first, 1)) is None
        assert lean.settle(second, ending(second, PRICE)) == Charge(PRICE - 10, 10, 0)
        assert billing.balance(world.account_id) == billing.Balance(0, 0, 0)


@pytest.mark.postgresql
def test_what_a_period_finds_running_is_none_of_its_own_either_way(worlds: list[World]) -> None:
    wanted = ("admit", {"is_free": False, **NAMED})
    turn = ("let the periods turn", timedelta(days=40))
    life: list[tuple[str, Any]] = [wanted, turn, wanted, ("settle", (0, 0)), ("settle", (0, 100))]
    for world in worlds:
        settle_in(world, replace(PLAIN, granted=9 * PRICE, budget=(10**9, 0, "day", False)))
    spent = []
    for verb, argument in life:
        answers = [act(world, verb, argument) for world in worlds]
        assert answers[0] == answers[1] == answers[2], (verb, argument)
        [[(_, _, nanos)], _] = books(worlds[2])["budgets"]
        spent.append(nanos)
        assert_alike([books(world) for world in worlds])
    # That of the row: after the turn it is the former period's, until the next request.
    assert spent == [PRICE, PRICE, PRICE, PRICE, PRICE]


@pytest.mark.postgresql
def test_what_grows_into_a_period_is_none_of_its_own_either_way(worlds: list[World]) -> None:
    unnamed = {"prompt_bound": 0, "output_limit": 20_000, "is_named": False, "choices": 1}
    turn = ("let the periods turn", timedelta(days=40))
    life: list[tuple[str, Any]] = [
        ("admit", {"is_free": False, **unnamed}),
        turn,
        ("admit", {"is_free": False, **NAMED}),
        ("grow", 0),
        ("settle", (0, 100)),
        ("settle", (0, 100)),
    ]
    for world in worlds:
        settle_in(world, replace(PLAIN, granted=100_000_000, budget=(10**9, 0, "day", False)))
    for verb, argument in life:
        answers = [act(world, verb, argument) for world in worlds]
        assert answers[0] == answers[1] == answers[2], (verb, argument)
        assert_alike([books(world) for world in worlds])
    assert worlds[2].seen["lean: grown"] == 1
    [[(_, _, spent)], _] = books(worlds[2])["budgets"]
    assert spent == PRICE


@pytest.mark.postgresql
def test_the_lean_way_and_the_careful_way_do_the_same(worlds: list[World]) -> None:
    profile = settings(
        max_examples=EXAMPLES,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )

    @profile
    @given(terms, st.lists(acts, min_size=10, max_size=16))
    def play(begin: Terms, life: list[tuple[str, Any]]) -> None:
        for world in worlds:
            settle_in(world, begin)
        for verb, argument in life:
            answers = [act(world, verb, argument) for world in worlds]
            assert answers[1] == answers[0], (verb, argument)
            assert answers[2] == answers[1], (verb, argument)
            assert_alike([books(world) for world in worlds])

    play()
    seen = worlds[2].seen
    floors = {f"lean: {name}": n for name, n in FLOORS.items()}
    floors |= {f"careful: {name}": n for name, n in CAREFUL_FLOORS.items()}
    assert {name: seen[name] for name, n in floors.items() if seen[name] < n} == {}, seen


@pytest.mark.postgresql
def test_a_members_budget_makes_no_difference_between_the_ways(worlds: list[World]) -> None:
    @settings(
        max_examples=EXAMPLES_OF_MEMBERS,
        derandomize=True,
        database=None,
        deadline=None,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(terms_of_members, st.lists(acts, min_size=8, max_size=12))
    def play(begin: Terms, life: list[tuple[str, Any]]) -> None:
        for world in worlds:
            settle_in(world, begin)
        for verb, argument in life:
            answers = [act(world, verb, argument) for world in worlds]
            assert answers[0] == answers[1] == answers[2], (verb, argument)
            assert_alike([books(world) for world in worlds])

    play()
    seen = worlds[2].seen
    assert min(seen["lean: admitted"], seen["lean: settled"], seen["careful: refused"]) > 0, seen


def settle_in(world: World, begin: Terms) -> None:
    """A fresh account, under terms of its own."""
    number = next(names)
    email, slug = f"person-{number}@example.com", f"plan-{number}"
    with world.app.app_context():
        accounts.ensure_user(email)
        row = accounts.find_user(email)
        assert row is not None
        text = keys.create(row.account_id, user_id=row.user_id, name="Key").text
        if begin.granted:
            fund(row.account_id, f"{begin.granted / 10**9:.9f}")
        statements = [
            insert(Plan).values(slug=slug, name=slug, **begin.plan),
            update(Account).where(Account.id == row.account_id).values(plan_slug=slug),
            update(ApiKey).where(ApiKey.account_id == row.account_id).values(**begin.key),
            update(User)
            .where(User.id == row.user_id)
            .values(email_verified_at=utcnow() if begin.is_verified else None),
            *paid_in(row.account_id, begin.paid),
        ]
        key_id = keys.authenticate(text).key_id
        if begin.budget is not None:
            statements.append(budget(OfKey(row.account_id, key_id), *begin.budget))
        if begin.member_budget is not None:
            whose = OfMember(row.account_id, row.user_id)
            statements.append(budget(whose, *begin.member_budget))
        for statement in statements:
            database.transact(lambda connection, s=statement: connection.execute(s).rowcount)
    world.account_id, world.key_text = row.account_id, text
    world.running, world.ended = [], []


def paid_in(account_id: int, amount: int) -> list[Any]:
    if not amount:
        return []
    row = billing.credit_transfer(
        new_id(), account_id, amount, kind=billing.GRANT, actor="test", note=""
    )
    row |= {"debit": "cash:test", "credit": billing.customer(account_id, "paid")}
    raised = update(Account).where(Account.id == account_id)
    return [
        billing.insert_transfers().values(**row),
        raised.values(paid_nanos=Account.paid_nanos + amount),
    ]


def budget(
    whose: OfKey | OfMember, limit_nanos: int, spent: int, period: str, is_over: bool
) -> Any:
    start = utcnow() - timedelta(days=40) if is_over else utcnow()
    return insert(Budget).values(
        subject=whose.subject,
        period=period,
        limit_nanos=limit_nanos,
        spent_nanos=spent,
        period_start=start,
    )


def act(world: World, verb: str, argument: Any) -> Any:
    """Does it this world's way; returns what its caller is told."""
    with world.app.app_context():
        if verb == "admit":
            return admit(world, ask(world, **argument))
        if verb == "grow":
            return grow(world, argument)
        if verb == "settle":
            pick, percent = argument
            return settle(world, world.running, pick, percent, forget=True)
        if verb == "settle again":
            pick, percent = argument
            return settle(world, world.ended, pick, percent, forget=False)
        if verb == "let the periods turn":
            return let_the_periods_turn(world, argument)
        principal = keys.authenticate(world.key_text)
        subjects = subjects_of(principal).values()
        lowered = update(Budget).where(Budget.subject.in_(subjects)).values(limit_nanos=argument)
        return database.transact(lambda connection: connection.execute(lowered).rowcount)


def let_the_periods_turn(world: World, ago: timedelta) -> None:
    """Whatever runs began so long ago, and so did every budget's period."""
    subjects = subjects_of(keys.authenticate(world.key_text)).values()
    own = (Hold.account_id == world.account_id, Budget.subject.in_(subjects))

    def verb(connection: Connection) -> None:
        for moment, key, is_own in zip(
            (Hold.created_at, Budget.period_start), (Hold.id, Budget.subject), own, strict=True
        ):
            for name, began in connection.execute(select(key, moment).where(is_own)).all():
                aged = update(key.class_).where(key == name)
                connection.execute(aged.values({moment: began - ago}))

    database.transact(verb)


def ask(world: World, *, is_free: bool, **more: Any) -> Ask:
    snapshot = catalogue.current()
    model = FREE if is_free else PRICED
    return Ask(
        principal=keys.authenticate(world.key_text),
        requested_model=model,
        offer=snapshot.models[model].offers[0],
        catalogue_version=snapshot.version,
        streamed=False,
        worker_id="test-worker",
        lifetime_s=600,
        at=utcnow(),
        **more,
    )


def admit(world: World, wanted: Ask) -> Any:
    admitted, way = None, "careful"
    if world.is_lean:
        admission = lean.Admission(wanted, new_id())
        step = admission.step
        database.together(step, durable=False)
        admitted, way = admission.admitted(), "lean"
    try:
        if admitted is None:
            way = "careful"
            admitted = database.transact(lambda connection: admitting.admit(connection, wanted))
    except SolRouterError as error:
        world.seen["careful: refused"] += world.is_lean
        return type(error), error.code
    world.seen[f"{way}: admitted"] += world.is_lean
    world.seen[f"{way}: admitted for a start"] += world.is_lean and not admitted.is_whole
    world.running.append(admitted)
    told = [(rate.kind, rate.limit) for rate in admitted.rates]
    return admitted.output_limit, admitted.covered_tokens, admitted.held_nanos, told


def grow(world: World, pick: int) -> Any:
    if not world.running:
        return None
    partial_first = sorted(world.running, key=lambda one: one.is_whole)
    admitted = partial_first[pick % 3 % len(partial_first)]
    place = world.running.index(admitted)
    covered = min(admitted.covered_tokens * 2, admitted.output_limit)
    more = max(admitted.ask.cost_bound(covered) - admitted.held_nanos, 0)
    if world.is_lean:
        has_grown = lean.grow(admitted, more)
        world.seen["lean: grown"] += has_grown and more > 0
    else:
        try:
            database.transact(partial(admitting.grow, admitted=admitted, more=more))
            has_grown = True
        except SolRouterError:
            has_grown = False
    if has_grown:
        held = admitted.held_nanos + more
        world.running[place] = replace(admitted, covered_tokens=covered, held_nanos=held)
    return has_grown


def settle(
    world: World, requests: list[Admitted], pick: int, percent: int, *, forget: bool
) -> Charge | None:
    if not requests:
        return None
    admitted = requests[pick % len(requests)]
    cost = admitted.held_nanos * percent // 100
    how = ending(admitted, cost)
    charge = lean.settle(admitted, how) if world.is_lean else None
    world.seen["lean: settled" if charge else "careful: settled"] += world.is_lean
    if charge is None:
        charge = database.transact(
            lambda connection: settling.settle(connection, admitted, how, NO_ALLOWANCE, None)
        )
    if forget:
        requests.remove(admitted)
        world.ended.append(admitted)
    return charge


def ending(admitted: Admitted, cost: int) -> Ending:
    return Ending(
        model=admitted.ask.requested_model,
        offer=admitted.ask.offer,
        outcome=admission.FINISHED,
        reason="stop",
        usage=Usage(input=TOKENS, output=TOKENS if cost else 0),
        usage_source="upstream",
        cost_nanos=cost,
        upstream_cost_nanos=cost,
        attempts=[{"provider": "acme"}],
        duration_ms=1,
        first_content_ms=1 if cost else None,
        finish_reason="stop",
    )


def books(world: World) -> dict[str, Any]:
    """All that the account's steps write, but for ids and instants."""
    own = world.account_id
    mine = f"customer:{own}:"
    with world.app.app_context(), database.read() as connection:

        def rows(query: Any) -> list[tuple[Any, ...]]:
            return sorted((tuple(row) for row in connection.execute(query)), key=repr)

        of_own = select(ApiKey.id, ApiKey.user_id).where(ApiKey.account_id == own)
        [(key_id, user_id)] = connection.execute(of_own).all()
        subjects = {f"account:{own}": "account", f"key:{key_id}": "key"}
        columns = (Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
        moves = (Transfer.leg, Transfer.debit, Transfer.credit, Transfer.amount_nanos)
        buckets = select(Bucket.subject, Bucket.kind, Bucket.tat_us)
        return {
            "account": rows(select(*columns).where(Account.id == own)),
            "holds": rows(select(*facts_of(Hold)).where(Hold.account_id == own)),
            "receipts": rows(select(*facts_of(Completion)).where(Completion.account_id == own)),
            "transfers": [
                (leg, debit.replace(mine, ""), credit.replace(mine, ""), amount)
                for leg, debit, credit, amount in rows(
                    select(*moves).where(Transfer.account_id == own)
                )
            ],
            "budgets": [
                rows(
                    select(Budget.period, Budget.limit_nanos, Budget.spent_nanos).where(
                        Budget.subject == whose.subject
                    )
                )
                for whose in (OfKey(own, key_id), OfMember(own, user_id))
            ],
            "was used": rows(select(ApiKey.last_used_at.is_(None)).where(ApiKey.id == key_id)),
            "buckets": {
                (subjects[subject], kind): tat_us
                for subject, kind, tat_us in rows(buckets.where(Bucket.subject.in_(list(subjects))))
            },
        }


def facts_of(model: Any) -> list[Any]:
    """The columns that do not name a row of one database, or an instant."""
    return [
        column
        for column in model.__table__.columns
        if column.name != "id" and not column.name.endswith(("_id", "_at"))
    ]


def assert_alike(all_books: list[dict[str, Any]]) -> None:
    """The same books; arrival times as close as the test is quick."""
    times = [each.pop("buckets") for each in all_books]
    assert all_books[1] == all_books[0]
    assert all_books[2] == all_books[1]
    for each in times[1:]:
        assert each == pytest.approx(times[0], abs=5_000_000)
