"""A key's limit: set, changed and taken away, with what is spent of it always true."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner
from sqlalchemy import Connection, delete, insert, select, update

from solrouter import database
from solrouter.clock import first_id_at, start_of_day, utcnow
from solrouter.errors import KeyLimitReached, NotFound, Refused
from solrouter.models import AuditEvent, Budget, Completion
from solrouter.services import admission, budgets, key_usage, keys
from tests.factories import Person, fund, make_offer, make_person
from tests.services.test_admission import HOLD, ask, ending

LIMIT = 10 * HOLD
PERIODS = ("daily", "weekly", "monthly")


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    make_offer(context_on_both, "http://127.0.0.1:9/v1")
    admission.beat("test-worker")
    person = make_person(context_on_both, "alice@example.com")
    fund(person.account_id, "1")
    return person


def the_key(person: Person) -> keys.Key:
    return keys.find(person.account_id, keys.authenticate(person.key_text).key_public_id)


def limit(person: Person, nanos: int | None, resets: str = "never") -> keys.Key:
    key = the_key(person)
    return keys.change(
        person.account_id,
        key.public_id,
        actor="test",
        name=key.name,
        limit_nanos=nanos,
        resets=resets,
    )


def spend(person: Person, nanos: int) -> None:
    admitted = admission.admit(ask(person))
    admission.settle(admitted, ending(admitted, nanos))


def let_the_period_pass(person: Person) -> None:
    subject = budgets.subject(keys.authenticate(person.key_text).key_id)
    passed = update(Budget).where(Budget.subject == subject)
    long_ago = utcnow() - timedelta(days=40)
    database.transact(lambda connection: connection.execute(passed.values(period_start=long_ago)))


def audited(person: Person) -> list[tuple[str, str, object]]:
    rows = select(AuditEvent.action, AuditEvent.actor, AuditEvent.details)
    rows = rows.where(AuditEvent.account_id == person.account_id)
    rows = rows.where(AuditEvent.action.startswith("key.")).order_by(AuditEvent.id)
    with database.read() as connection:
        return [tuple(row) for row in connection.execute(rows)]


def test_periods_begin_by_the_utc_calendar(person: Person) -> None:
    today = start_of_day(utcnow())
    with database.read() as connection:
        now = budgets.calendar(connection)
    assert now == budgets.Calendar(
        day=today, week=today - timedelta(days=today.weekday()), month=today.replace(day=1)
    )


@pytest.mark.parametrize(
    ("period", "start", "end"),
    [
        ("day", datetime(2026, 12, 31, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("week", datetime(2026, 12, 28, tzinfo=UTC), datetime(2027, 1, 4, tzinfo=UTC)),
        ("month", datetime(2026, 12, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)),
        ("month", datetime(2027, 2, 1, tzinfo=UTC), datetime(2027, 3, 1, tzinfo=UTC)),
        ("lifetime", budgets.EVER, None),
    ],
)
def test_a_period_is_over_when_the_next_begins(
    period: str, start: datetime, end: datetime | None
) -> None:
    assert budgets.period_end(period, start) == end


@pytest.mark.parametrize("resets", PERIODS)
def test_what_was_spent_in_a_passed_period_is_shown_as_nothing(person: Person, resets: str) -> None:
    assert limit(person, LIMIT, resets).spent_nanos == 0
    spend(person, 1_000)
    key = the_key(person)
    assert (key.spent_nanos, key.resets) == (1_000, resets)
    assert key.resets_at is not None
    assert utcnow() < key.resets_at <= utcnow() + timedelta(days=31)
    let_the_period_pass(person)
    key = the_key(person)
    assert key.spent_nanos == 0
    assert key.resets_at is not None
    assert key.resets_at > utcnow()
    [listed] = keys.list_of(person.account_id)
    assert listed == key


def test_a_lifetime_never_passes(person: Person) -> None:
    limit(person, LIMIT)
    spend(person, 1_000)
    let_the_period_pass(person)
    key = the_key(person)
    assert (key.spent_nanos, key.resets, key.resets_at) == (1_000, "never", None)


@pytest.mark.parametrize("resets", ["never", *PERIODS])
def test_a_changed_limit_holds_from_the_next_request(person: Person, resets: str) -> None:
    limit(person, LIMIT, resets)
    spend(person, HOLD)
    key = limit(person, HOLD - 1, resets)
    assert (key.limit_nanos, key.spent_nanos) == (HOLD - 1, HOLD)
    with pytest.raises(KeyLimitReached, match="has reached its spend limit"):
        spend(person, 0)
    limit(person, 2 * HOLD, resets)
    spend(person, 1_000)
    assert the_key(person).spent_nanos == HOLD + 1_000
    assert limit(person, None).limit_nanos is None
    spend(person, HOLD)


@pytest.mark.parametrize("before", [None, "never", *PERIODS])
@pytest.mark.parametrize("after", ["never", *PERIODS])
def test_another_period_counts_what_was_charged_and_is_held_in_it(
    person: Person, before: str | None, after: str
) -> None:
    if before is not None:
        limit(person, LIMIT, before)
    spend(person, 7_000)
    running = admission.admit(ask(person))
    assert limit(person, LIMIT - 1, after).spent_nanos == 7_000 + HOLD
    admission.settle(running, ending(running, 500))
    assert the_key(person).spent_nanos == 7_500
    assert the_key(person).resets == after


def test_what_was_charged_before_the_period_counts_only_for_a_lifetime(person: Person) -> None:
    spend(person, 7_000)
    with copy_of_the_receipt(days_ago=40, charge_nanos=90_000):
        for resets in PERIODS:
            assert limit(person, LIMIT, resets).spent_nanos == 7_000
        assert limit(person, LIMIT, "never").spent_nanos == 97_000
        key_id = keys.authenticate(person.key_text).key_id
        usages = [key_usage.of(key_id) for _ in range(2)]
    for usage in usages:
        assert [usage.all.nanos, usage.day.nanos] == [97_000, 7_000]
        assert [usage.week.nanos, usage.month.nanos] == [7_000, 7_000]


def test_a_key_whose_new_period_is_spent_is_refused(person: Person) -> None:
    spend(person, HOLD)
    limit(person, HOLD + 1, "daily")
    with pytest.raises(KeyLimitReached):
        spend(person, 0)


def test_a_request_from_before_the_period_gives_nothing_back_to_it(person: Person) -> None:
    running = admission.admit(ask(person))
    with database.read() as connection:
        tomorrow = budgets.calendar(connection).day + timedelta(days=1)
        whose = budgets.OfKey(person.account_id, running.ask.principal.key_id)
        held = budgets.held(whose, since=tomorrow)
        assert connection.execute(held).scalar_one() == 0
    admission.settle(running, ending(running, 0))


def test_a_period_that_turns_while_its_limit_is_set_begins_with_its_own_requests(
    person: Person,
) -> None:
    running = admission.admit(ask(person))
    whose = budgets.OfKey(person.account_id, running.ask.principal.key_id)
    yesterday = start_of_day(utcnow()) - timedelta(days=1)
    counted = budgets.Past(yesterday, 90_000, utcnow())
    wanted = budgets.Limit(LIMIT, budgets.DAY)
    database.transact(lambda connection: budgets.begin(connection, whose, wanted, counted))
    assert the_key(person).spent_nanos == HOLD
    admission.settle(running, ending(running, 500))
    assert the_key(person).spent_nanos == 500


def test_what_is_spent_is_true_though_the_limit_changes_meanwhile(
    context_on_both: Flask, person: Person
) -> None:
    """Requests end while the period changes again and again: none is lost or counted twice."""

    def work(number: int) -> None:
        with context_on_both.app_context():
            if number % 3 == 0:
                limit(person, 1000 * HOLD, ("daily", "never", "monthly")[number // 3 % 3])
            else:
                spend(person, 1_000)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(work, range(60)))
    assert the_key(person).spent_nanos == 40 * 1_000


def test_every_act_on_a_key_is_audited_once(person: Person) -> None:
    key = the_key(person)
    limit(person, 5, "daily")
    limit(person, 5, "daily")
    keys.change(person.account_id, key.public_id, actor="test", name="Website", limit_nanos=None)
    keys.revoke(person.account_id, key.public_id, actor="test")
    keys.revoke(person.account_id, key.public_id, actor="test")
    first = {"name": "First key", "limit_nanos": None, "resets": "never", "scopes": ["inference"]}
    assert audited(person) == [
        ("key.created", f"user:{person.user_id}", first),
        ("key.changed", "test", {"limit_nanos": [None, 5], "period": [None, "day"]}),
        (
            "key.changed",
            "test",
            {"name": ["First key", "Website"], "limit_nanos": [5, None], "period": ["day", None]},
        ),
        ("key.revoked", "test", {}),
    ]


def test_a_new_key_begins_its_period(person: Person) -> None:
    new = keys.create(
        person.account_id, user_id=person.user_id, name="New", limit_nanos=HOLD, resets="monthly"
    )
    limited = replace(person, key_text=new.text)
    assert (new.key.spent_nanos, new.key.resets) == (0, "monthly")
    spend(limited, HOLD)
    with pytest.raises(KeyLimitReached):
        spend(limited, 0)


@pytest.mark.parametrize(
    ("changes", "param"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 101}, "name"),
        ({"limit_nanos": -1}, "limit"),
        ({"resets": "hourly"}, "resets"),
    ],
)
def test_what_makes_no_sense_is_refused_and_changes_nothing(
    person: Person, changes: dict[str, object], param: str
) -> None:
    before = the_key(person)
    wanted = {"actor": "test", "name": "Name", "limit_nanos": 5, "resets": "daily", **changes}
    with pytest.raises(Refused) as refused:
        keys.change(person.account_id, before.public_id, **wanted)  # type: ignore[arg-type]
    assert refused.value.param == param
    assert the_key(person) == before


def test_a_revoked_key_and_somebody_elses_cannot_be_changed(
    context_on_both: Flask, person: Person
) -> None:
    charlie = make_person(context_on_both, "charlie@example.com")
    key = the_key(person)
    with pytest.raises(NotFound):
        keys.change(charlie.account_id, key.public_id, actor="test", name="Mine", limit_nanos=None)
    keys.revoke(person.account_id, key.public_id)
    with pytest.raises(Refused):
        keys.change(person.account_id, key.public_id, actor="test", name="Mine", limit_nanos=1)
    assert keys.find(person.account_id, key.public_id).limit_nanos is None


# Commands


def test_the_commands_make_list_and_change_limits(runner: FlaskCliRunner, alice: Person) -> None:
    command = ["keys", "create", alice.email, "--name", "website", "--limit", "5"]
    made = runner.invoke(args=[*command, "--resets", "daily"])
    assert made.exit_code == 0, made.output
    listed = runner.invoke(args=["keys", "list", alice.email]).stdout.splitlines()
    [line] = [line for line in listed if "website" in line]
    assert line.endswith("active\twebsite\t$0.00 of $5.00, daily")
    key_id = line.partition("\t")[0]
    change = ["keys", "limit", alice.email, key_id]
    kept = runner.invoke(args=[*change, "2.50"])
    assert kept.stderr == "The key “website”: $0.00 of $2.50, daily.\n"
    other = runner.invoke(args=[*change, "7", "--resets", "never"])
    assert other.stderr == "The key “website”: $0.00 of $7.00.\n"
    none = runner.invoke(args=[*change, "none"])
    assert none.stderr == "The key “website”: no limit.\n"


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["key_none", "5"], 1),
        (["key_none", "much"], 2),
        (["key_none", "5", "--resets", "hourly"], 2),
    ],
)
def test_a_command_that_cannot_be_done_says_so(
    runner: FlaskCliRunner, alice: Person, arguments: list[str], code: int
) -> None:
    assert runner.invoke(args=["keys", "limit", alice.email, *arguments]).exit_code == code


class copy_of_the_receipt:  # noqa: N801 (reads as the `with` statement it is for)
    """One more receipt like the one that is there, of another time and charge; taken back after."""

    def __init__(self, *, days_ago: int, charge_nanos: int) -> None:
        self.id = first_id_at(utcnow() - timedelta(days=days_ago))
        self.charge_nanos = charge_nanos

    def __enter__(self) -> None:
        def verb(connection: Connection) -> None:
            row = connection.execute(select(*Completion.__table__.columns)).mappings().one()
            other = {**row, "id": self.id, "charge_nanos": self.charge_nanos}
            connection.execute(insert(Completion).values(other))

        database.transact(verb)

    def __exit__(self, *_: object) -> None:
        gone = delete(Completion).where(Completion.id == self.id)
        database.transact(lambda connection: connection.execute(gone))
