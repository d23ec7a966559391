"""The ledger by day: what a statement says is the ledger's own, summed up or not."""

import uuid
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import delete, func, select, update

from solrouter import database
from solrouter.clock import first_id_at, utcnow
from solrouter.models import Account, LedgerDay
from solrouter.services import billing, ledger_days, statements
from solrouter.services.billing import Charge
from tests.factories import Person, make_person

HOUR = timedelta(hours=1)


@pytest.fixture
def person(unaudited_on_both: Flask) -> Person:
    """These transfers have no receipts."""
    return make_person(unaudited_on_both, "erin@example.com", credit="5")


def use(person: Person, at: datetime, *, granted: int, paid: int = 0, lost: int = 0) -> None:
    """A request that began at this time was paid."""
    identifier = uuid.UUID(int=first_id_at(at).int + uuid.uuid4().int % 2**60)
    charge = Charge(granted, paid, lost)
    rows = billing.usage_transfers(identifier, person.account_id, charge, note="acme/tiny")

    def verb(connection: object) -> None:
        connection.execute(billing.insert_transfers(), rows)  # type: ignore[attr-defined]
        taken = update(Account).where(Account.id == person.account_id)
        connection.execute(  # type: ignore[attr-defined]
            taken.values(
                granted_nanos=Account.granted_nanos - granted, paid_nanos=Account.paid_nanos - paid
            )
        )

    database.transact(verb)


def said(person: Person) -> list[statements.Statement]:
    """Every statement there is; when it was told differs each time."""
    found = [
        statements.of_month(person.account_id, month)
        for month in statements.months_of(person.account_id)
    ]
    return [replace(one, told_at=one.begins_at) for one in found]


def drift() -> list[str]:
    with database.read() as connection:
        return list(ledger_days.differences(connection))


def kept() -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(LedgerDay)).scalar_one()


def test_statements_say_the_same_before_and_after_the_sums(person: Person) -> None:
    now = utcnow()
    for hours in (1, 5, 7, 8, 30, 31, 24 * 20, 24 * 40):
        use(person, now - hours * HOUR, granted=7)
    # An entry with two legs of the customer's is one entry; what was written off is none of theirs.
    use(person, now - 9 * HOUR, granted=3, paid=2, lost=100)
    use(person, now - 10 * HOUR, granted=0, lost=50)
    before = said(person)
    assert kept() == 0 and drift() == []
    assert ledger_days.roll_up() > 0 and kept() >= 4
    assert ledger_days.roll_up() == 0
    assert said(person) == before and drift() == []
    for older, newer in zip(before[1:], before, strict=False):
        assert older.closing_nanos == newer.opening_nanos
    usage = [line for one in before for line in one.lines if line.kind == "usage"]
    assert sum(line.count for line in usage) == 9
    assert sum(line.amount_nanos for line in usage) == -(8 * 7 + 5)
    balance = billing.balance(person.account_id)
    assert before[0].closing_nanos == balance.posted_nanos


def test_what_came_too_late_for_its_sum_is_told_by_the_audit(person: Person) -> None:
    now = utcnow()
    use(person, now - 30 * HOUR, granted=7)
    ledger_days.roll_up()
    use(person, now - 20 * HOUR, granted=9)
    [sentence] = drift()
    assert sentence.startswith(person.account_public_id)
    assert sentence in list(billing.audit())


def test_another_account_is_another_sum(person: Person, unaudited_on_both: Flask) -> None:
    other = make_person(unaudited_on_both, "frank@example.com", credit="1")
    use(person, utcnow() - 30 * HOUR, granted=7)
    use(other, utcnow() - 30 * HOUR, granted=11)
    ledger_days.roll_up()
    [mine] = {line for one in said(other) for line in one.lines if line.kind == "usage"}
    assert (mine.count, mine.amount_nanos) == (1, -11)
    remove = delete(LedgerDay).where(LedgerDay.account_id == other.account_id)
    database.transact(lambda connection: connection.execute(remove))
    assert len(drift()) == 1
