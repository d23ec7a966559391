"""Receipts that are older than the operator keeps them: gone, and the books stay."""

import uuid
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import Connection, delete, insert, select, update

from solrouter import database
from solrouter.clock import first_id_at, months_later, start_of_month, utcnow
from solrouter.config import UnsafeConfiguration
from solrouter.errors import NotFound
from solrouter.models import Account, Completion, KeptContent, Transfer
from solrouter.services import (
    activity,
    billing,
    budgets,
    key_usage,
    keys,
    partitions,
    retention,
    usage_days,
)
from tests.factories import Person, make_person
from tests.services.test_key_usage import BARE

MONTHS = 6
NANOS = 1_000
THIS_MONTH = start_of_month(utcnow())
LONG_AGO = date(2020, 1, 1)
KEPT = months_later(THIS_MONTH, -MONTHS)


@pytest.fixture
def app(make_app: Callable[..., Flask], database_url: str) -> Iterator[Flask]:
    """Keeps receipts for some months. The ledger is proven afterwards."""
    app = make_app(database_url, SOLROUTER_RECEIPTS_MONTHS=str(MONTHS))
    with app.app_context():
        # As a server has them that has run for long.
        for month in range(-6, MONTHS + 1):
            partitions.keep_up(months_later(KEPT, month))
        yield app
        assert list(billing.audit()) == []


@pytest.fixture
def person(app: Flask) -> Person:
    return make_person(app, "alice@example.com", credit="1")


def asked(person: Person, at: datetime, *, is_kept: bool = False) -> str:
    """A request of that time that was settled; its public id."""
    identifier = uuid.UUID(int=first_id_at(at).int | uuid.uuid4().int & (2**62 - 1))
    key_id = key_of(person)
    of_account = {"account_id": person.account_id, "id": identifier, "created_at": at}
    receipt = {
        **BARE,
        **of_account,
        "key_id": key_id,
        "user_id": person.user_id,
        "charge_nanos": NANOS,
        "ended_at": at,
    }
    charge = billing.Charge(NANOS, 0, 0)
    moves = billing.usage_transfers(identifier, person.account_id, charge, note="")
    content = {"content": b"x", "expires_at": utcnow() + timedelta(days=1)}
    paid = Account.granted_nanos - NANOS

    def verb(connection: Connection) -> None:
        connection.execute(insert(Completion).values(**receipt))
        connection.execute(insert(Transfer).values(**moves[0], created_at=at))
        of_person = update(Account).where(Account.id == person.account_id)
        connection.execute(of_person.values(granted_nanos=paid))
        if is_kept:
            values = {"completion_id": identifier, "account_id": person.account_id}
            connection.execute(insert(KeptContent).values(**values, created_at=at, **content))

    database.transact(verb)
    return activity.public_id(identifier)


def key_of(person: Person) -> int:
    return keys.authenticate(person.key_text).key_id


def sum_up() -> None:
    for roll_up in (usage_days.roll_up, key_usage.roll_up):
        while roll_up():
            pass


def test_old_receipts_go_and_what_they_cost_stays(person: Person) -> None:
    old = [asked(person, months_later(KEPT, -n) + timedelta(days=3)) for n in (1, 2)]
    edge = asked(person, KEPT)
    before_edge = asked(person, KEPT - timedelta(milliseconds=1), is_kept=True)
    new = asked(person, utcnow() - timedelta(days=1))
    balance = billing.balance(person.account_id)
    used = usage_days.total(usage_days.of_account(person.account_id, LONG_AGO))
    statement = billing.statement(person.account_id, limit=50)
    sum_up()
    assert retention.forget() == 2
    for identifier in (*old, before_edge):
        with pytest.raises(NotFound):
            activity.find(person.account_id, identifier)
    for identifier in (edge, new):
        assert activity.find(person.account_id, identifier).charge_nanos == NANOS
    assert billing.balance(person.account_id) == balance
    assert billing.statement(person.account_id, limit=50) == statement
    after = usage_days.total(usage_days.of_account(person.account_id, LONG_AGO))
    assert after == used
    with database.read() as connection:
        assert connection.execute(select(KeptContent.completion_id)).all() == []
    assert retention.forget() == 0


def test_months_are_dropped_as_a_whole(person: Person) -> None:
    """On PostgreSQL nothing is deleted row by row where a month is over as a whole."""
    asked(person, months_later(KEPT, -1) + timedelta(days=3))
    sum_up()
    retention.forget()
    parts = partitions.overview()
    first, second, *_ = [part for part in parts if part.table == "completions"] or (None, None)
    if first is None or second is None:
        assert database.current().is_sqlite
        return
    assert (first.begins_at, first.ends_at) == (None, second.begins_at) == (None, KEPT)
    assert [part for part in parts if part.table == "transfers"][1].is_over(KEPT)
    # An id of a clock that is wrong by years has a home all the same, and no place there for long.
    stray = asked(person, datetime(2001, 1, 1, tzinfo=UTC))
    retention.forget()
    with pytest.raises(NotFound):
        activity.find(person.account_id, stray)


def test_what_is_not_in_the_sums_yet_stays(person: Person) -> None:
    identifier = asked(person, months_later(KEPT, -1))
    assert retention.forget() == 0
    assert activity.find(person.account_id, identifier).charge_nanos == NANOS


def test_a_month_that_does_not_agree_with_the_ledger_stays(person: Person) -> None:
    """What is wrong must stay to be seen."""
    identifier = asked(person, months_later(KEPT, -1))
    sum_up()
    wrong = update(Completion).values(charge_nanos=NANOS + 1)
    database.transact(lambda connection: connection.execute(wrong))
    assert retention.forget() == 0
    assert activity.find(person.account_id, identifier).charge_nanos == NANOS + 1
    right = update(Completion).values(charge_nanos=NANOS)
    database.transact(lambda connection: connection.execute(right))
    assert retention.forget() == 1


def test_the_audit_still_sees_a_charge_without_a_receipt(person: Person) -> None:
    asked(person, months_later(KEPT, -1))
    recent = asked(person, utcnow() - timedelta(days=1))
    sum_up()
    retention.forget()
    assert list(billing.audit()) == []
    gone = Completion.id == activity.parse_id(recent)
    with database.read() as connection:
        row = connection.execute(select(Completion.__table__).where(gone)).mappings().one()
    database.transact(lambda connection: connection.execute(delete(Completion).where(gone)))
    assert len(list(billing.audit())) == 1
    database.transact(lambda connection: connection.execute(insert(Completion).values(**row)))


@pytest.mark.parametrize("of_key", [True, False])
def test_a_lifetime_limit_counts_what_is_forgotten(person: Person, *, of_key: bool) -> None:
    asked(person, months_later(KEPT, -1))
    asked(person, utcnow() - timedelta(days=20))
    sum_up()
    asked(person, utcnow() - timedelta(minutes=1))
    whose: budgets.Owner = budgets.OfMember(person.account_id, person.user_id)
    if of_key:
        whose = budgets.OfKey(person.account_id, key_of(person))
    before = spent(whose)
    retention.forget()
    assert before == spent(whose) == 3 * NANOS


def spent(whose: budgets.Owner) -> int:
    past = budgets.past(whose, budgets.LIFETIME)
    with database.read() as connection:
        recent = connection.execute(budgets.charged(whose, since=past.until)).scalar_one()
    return past.charged_nanos + int(recent)


def test_unset_nothing_is_forgotten(make_app: Callable[..., Flask], database_url: str) -> None:
    app = make_app(database_url)
    with app.app_context():
        person = make_person(app, "alice@example.com", credit="1")
        identifier = asked(person, datetime(2020, 1, 1, tzinfo=UTC))
        sum_up()
        assert retention.forget() == 0
        assert activity.find(person.account_id, identifier).charge_nanos == NANOS


def test_fewer_than_three_months_are_refused(make_app: Callable[..., Flask]) -> None:
    with pytest.raises(UnsafeConfiguration, match="SOLROUTER_RECEIPTS_MONTHS"):
        make_app(SOLROUTER_RECEIPTS_MONTHS="2")


def test_sqlite_has_no_months(make_app: Callable[..., Flask]) -> None:
    app = make_app()
    with app.app_context():
        assert partitions.keep_up() == 0
        assert partitions.overview() == []
        assert partitions.problem() is None
    assert app.test_cli_runner().invoke(args=["partitions", "list"]).exit_code == 0
