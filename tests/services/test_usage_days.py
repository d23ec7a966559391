"""Usage by day: the sums of the table and of the receipts since are the receipts' own, always."""

import uuid
from datetime import date, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import insert, select

from solrouter import database
from solrouter.clock import first_id_at, start_of_day, utcnow
from solrouter.models import Completion, UsageDay
from solrouter.services import usage_days
from solrouter.services.usage_days import Slice, Used, total
from tests.factories import Person, make_person

HOUR = timedelta(hours=1)


@pytest.fixture
def person(unaudited_on_both: Flask) -> Person:
    """These receipts have no transfers."""
    return make_person(unaudited_on_both, "erin@example.com")


def put(
    person: Person, at: datetime, *, model: str = "acme/tiny", charge: int = 7, **more: object
) -> None:
    """A receipt of a request that began at this time."""
    identifier = uuid.UUID(int=first_id_at(at).int + uuid.uuid4().int % 2**60)
    values = {
        "id": identifier,
        "account_id": person.account_id,
        "key_id": 1,
        "user_id": person.user_id,
        "requested_model": model,
        "model": model,
        "provider": "acme",
        "offer_id": 1,
        "cost_card_id": 1,
        "sale_card_id": 1,
        "streamed": False,
        "outcome": "finished",
        "reason": "finish_reason",
        "usage": {},
        "usage_source": "upstream",
        "prompt_tokens": 3,
        "completion_tokens": 5,
        "held_nanos": 0,
        "charge_nanos": charge,
        "upstream_cost_nanos": 2,
        "attempts": [],
        "duration_ms": 1,
        "created_at": at,
        "ended_at": at,
        **more,
    }
    database.transact(lambda connection: connection.execute(insert(Completion).values(**values)))


def kept() -> int:
    with database.read() as connection:
        return len(connection.execute(select(UsageDay.day)).all())


def by_day_and_model(person: Person, since: date) -> dict[tuple[date, str], Used]:
    found: dict[tuple[date, str], list[Slice]] = {}
    for each in usage_days.of_account(person.account_id, since):
        found.setdefault((each.day, each.name), []).append(each)
    return {key: total(slices) for key, slices in found.items()}


def test_the_sums_are_the_same_before_and_after_they_are_rolled_up(person: Person) -> None:
    now = utcnow()
    for hours in (1, 5, 8, 9, 30, 31, 55):
        put(person, now - hours * HOUR)
    put(person, now - 30 * HOUR, model="acme/grand", charge=100, outcome="failed")
    since = (now - 10 * 24 * HOUR).date()
    before = by_day_and_model(person, since)
    assert usage_days.roll_up() > 0 and kept() >= 3
    assert usage_days.roll_up() == 0
    assert before == by_day_and_model(person, since)
    used = total(usage_days.of_account(person.account_id, since))
    assert (used.requests, used.failures, used.charge_nanos) == (8, 1, 149)
    assert (used.prompt_tokens, used.completion_tokens, used.margin_nanos) == (24, 40, 133)
    assert total(usage_days.of_all(since, by_provider=True)) == used


def test_an_hour_is_added_to_its_day(person: Person) -> None:
    morning = start_of_day(utcnow() - 3 * 24 * HOUR)
    put(person, morning + HOUR)
    put(person, morning + 5 * HOUR)
    usage_days.roll_up(morning + 10 * HOUR)
    assert kept() == 1
    with database.read() as connection:
        assert connection.execute(select(UsageDay.requests)).scalar_one() == 1
    usage_days.roll_up()
    with database.read() as connection:
        assert connection.execute(select(UsageDay.requests)).scalar_one() == 2


def test_what_is_asked_for_is_all_that_is_told(person: Person, unaudited_on_both: Flask) -> None:
    other = make_person(unaudited_on_both, "frank@example.com")
    today = utcnow().date()
    put(person, utcnow(), key_id=None)
    put(person, utcnow() - 40 * 24 * HOUR)
    put(other, utcnow())
    [one] = usage_days.of_account(person.account_id, today)
    assert (one.day, one.name, one.key, one.used.requests) == (today, "acme/tiny", "", 1)
    assert one.by_key().name == ""
    assert usage_days.of_account(person.account_id, today, maker_id=other.user_id) == []
    assert total(usage_days.of_all(today)).requests == 2
