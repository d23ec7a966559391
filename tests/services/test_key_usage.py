"""What keys were charged: the same with days summed up and without, on both databases."""

import uuid
from collections.abc import Callable
from datetime import datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, insert, select

from solrouter import database
from solrouter.clock import first_id_at, start_of_day, utcnow
from solrouter.models import Completion, KeyDay, RollUp
from solrouter.services import key_usage
from solrouter.services.key_usage import KeyUsage, Spent

BARE = {
    "account_id": 1,
    "requested_model": "acme/tiny",
    "model": "acme/tiny",
    "provider": "acme",
    "offer_id": 1,
    "cost_card_id": 1,
    "sale_card_id": 1,
    "streamed": False,
    "outcome": "finished",
    "reason": "",
    "usage": {},
    "usage_source": "none",
    "prompt_tokens": 1,
    "completion_tokens": 1,
    "held_nanos": 1,
    "attempts": [],
    "duration_ms": 1,
}
FIRST, SECOND, IDLE = 1, 2, 3


@pytest.fixture
def app(make_app: Callable[..., Flask], database_url: str) -> Flask:
    """Not the audited context: these receipts have no transfers."""
    return make_app(database_url)


def receipt(key_id: int, at: datetime, nanos: int) -> None:
    salt = uuid.uuid4().int & (2**62 - 1)
    row = {
        **BARE,
        "id": uuid.UUID(int=first_id_at(at).int | salt),
        "key_id": key_id,
        "charge_nanos": nanos,
        "created_at": at,
        "ended_at": at,
    }
    database.transact(lambda connection: connection.execute(insert(Completion).values(**row)))


def days_kept() -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(KeyDay)).scalar_one()


def summed_until() -> datetime | None:
    with database.read() as connection:
        until = connection.execute(select(RollUp.until)).scalar_one_or_none()
    return None if until is None else datetime.fromisoformat(f"{until}T00:00:00+00:00")


def roll_up_all() -> None:
    key_usage._summed_until.clear()
    while key_usage.roll_up() == key_usage.DAYS_A_ROUND_MAX:
        pass


def expected(receipts: list[tuple[datetime, int]]) -> KeyUsage:
    today = start_of_day(utcnow())
    week, month = today - timedelta(days=today.weekday()), today.replace(day=1)

    def spent(since: datetime) -> Spent:
        nanos = [each for at, each in receipts if at >= since]
        return Spent(sum(nanos), len(nanos))

    begin = datetime.fromisoformat("2000-01-01T00:00:00+00:00")
    return KeyUsage(spent(begin), spent(today), spent(week), spent(month))


def test_summed_up_or_not_the_usage_is_the_same(app: Flask) -> None:
    now = utcnow()
    moments = [now - timedelta(hours=hours) for hours in range(0, 24 * 45, 5)]
    receipts = [(at, 1_000 + number) for number, at in enumerate(moments)]
    with app.app_context():
        for at, nanos in receipts:
            receipt(FIRST, at, nanos)
            receipt(SECOND, at, 10 * nanos)
        wanted = expected(receipts)
        tenfold = expected([(at, 10 * nanos) for at, nanos in receipts])
        for _ in range(2):
            assert key_usage.of_all([FIRST, SECOND, IDLE]) == {
                FIRST: wanted,
                SECOND: tenfold,
                IDLE: KeyUsage(),
            }
            roll_up_all()
        assert key_usage.of(FIRST) == wanted
        assert days_kept() > 2 * 40
        assert summed_until() == start_of_day(now - timedelta(hours=6))
        receipt(FIRST, now, 7)
        assert key_usage.of(FIRST) == expected([*receipts, (now, 7)])


def test_a_day_is_summed_once_and_when_it_is_settled(app: Flask) -> None:
    with app.app_context():
        assert key_usage.roll_up() == 0
        assert summed_until() is None
        receipt(FIRST, utcnow() - timedelta(days=3), 5)
        roll_up_all()
        kept = days_kept()
        roll_up_all()
        assert days_kept() == kept == 1
        # Another process, which had not heard.
        key_usage._summed_until.clear()
        day = (utcnow() - timedelta(days=3)).date()
        key_usage._sum_up(day)
        assert days_kept() == 1
        assert key_usage.of(FIRST).all == Spent(5, 1)


def test_a_round_ends_before_it_takes_for_ever(app: Flask) -> None:
    with app.app_context():
        receipt(FIRST, utcnow() - timedelta(days=40), 5)
        key_usage._summed_until.clear()
        assert key_usage.roll_up() == key_usage.DAYS_A_ROUND_MAX
        assert 7 <= key_usage.roll_up() <= 9
        assert key_usage.roll_up() == 0


def test_nobody_asks_for_nothing(app: Flask) -> None:
    with app.app_context():
        assert key_usage.of_all([]) == {}
