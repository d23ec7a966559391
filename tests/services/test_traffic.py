"""Attempts and failures by 5 minutes, hour and day: told by every process, read in windows."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import func, insert, select

from solrouter import database
from solrouter.models import OfferTraffic
from solrouter.services import health
from solrouter.services.health import ALIVE, FAULT, OK, OVERLOADED, STALL, UNDECIDED, Traffic
from solrouter.services.health.traffic import DAY_S, FIVE_MINUTES_S, HOUR_S, KEPT_S

OFFER, OTHER = 7, 8


def put(offer_id: int, span_s: int, back: int, attempts: int, failures: int = 0) -> None:
    """A count so many spans ago."""
    now_us = int(datetime.now(UTC).timestamp() * 1_000_000)
    begins_at_us = now_us - now_us % (span_s * 1_000_000) - back * span_s * 1_000_000
    new = insert(OfferTraffic).values(
        offer_id=offer_id,
        span_s=span_s,
        begins_at_us=begins_at_us,
        attempts=attempts,
        failures=failures,
    )
    database.transact(lambda connection: connection.execute(new).rowcount)


def rows() -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(OfferTraffic)).scalar_one()


def test_what_all_processes_saw_adds_up(make_app: Callable[..., Flask], database_url: str) -> None:
    for outcomes in ((OK, OK, FAULT, ALIVE, UNDECIDED), (OK, STALL, OVERLOADED)):
        app = make_app(database_url)
        with app.app_context():
            health.exchange()
            for outcome in outcomes:
                health.note(OFFER, outcome)
            health.exchange()
    with app.app_context():
        found = health.uptimes()
        assert set(found) == {OFFER}
        assert found[OFFER] == dict.fromkeys(("5m", "30m", "24h", "90d"), Traffic(6, 3))
        assert found[OFFER]["24h"].uptime_percent == 50.0
        [by_day] = health.days().values()
        assert list(by_day.values()) == [Traffic(6, 3)]


def test_nothing_is_told_twice(context_on_both: Flask) -> None:
    health.note(OFFER, OK)
    for _ in range(3):
        health.exchange()
    assert health.uptimes()[OFFER]["5m"] == Traffic(1, 0)


def test_each_window_reaches_back_as_far_as_it_says(context_on_both: Flask) -> None:
    put(OFFER, FIVE_MINUTES_S, 0, 1)
    put(OFFER, FIVE_MINUTES_S, 3, 10)
    put(OFFER, FIVE_MINUTES_S, 8, 1000)
    put(OFFER, HOUR_S, 23, 7, 1)
    put(OFFER, HOUR_S, 30, 1000)
    put(OFFER, DAY_S, 89, 9, 2)
    put(OFFER, DAY_S, 95, 1000)
    found = health.uptimes([OFFER])[OFFER]
    assert found["5m"] == Traffic(1)
    assert found["30m"] == Traffic(11)
    assert found["24h"] == Traffic(7, 1)
    assert found["90d"] == Traffic(9, 2)


def test_only_the_offers_asked_for_are_told(context_on_both: Flask) -> None:
    for offer_id in (OFFER, OTHER):
        put(offer_id, HOUR_S, 1, 5)
        put(offer_id, DAY_S, 1, 5)
    assert set(health.uptimes()) == {OFFER, OTHER}
    assert set(health.uptimes([OTHER])) == set(health.days([OTHER])) == {OTHER}
    assert health.uptimes([]) == {}


def test_days_are_those_of_utc(context_on_both: Flask) -> None:
    put(OFFER, DAY_S, 1, 4, 1)
    yesterday = (datetime.now(UTC) - timedelta(days=1)).date()
    assert health.days([OFFER])[OFFER] == {yesterday: Traffic(4, 1)}


@pytest.mark.parametrize("span_s", KEPT_S, ids=str)
def test_what_is_not_shown_any_more_is_forgotten(context_on_both: Flask, span_s: int) -> None:
    put(OFFER, span_s, 0, 1)
    put(OFFER, span_s, KEPT_S[span_s] // span_s + 2, 1)
    assert health.forget_old_traffic() == 1
    assert rows() == 1
    put(OFFER, span_s, KEPT_S[span_s] // span_s + 2, 1)
    assert health.forget_old_traffic() == 0, "it looks once an hour"


def test_of_nothing_there_is_no_share() -> None:
    assert Traffic().uptime_percent is None
    assert Traffic(3, 3).uptime_percent == 0.0
