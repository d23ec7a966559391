"""Throttles: so many at once, then one by one, exactly, whoever asks at the same time."""

import threading

import pytest
from flask import Flask
from sqlalchemy import select, update

from solrouter import database
from solrouter.errors import RateLimited
from solrouter.models import Bucket
from solrouter.services import throttles
from solrouter.services.throttles import Allowance

THREE = Allowance("somebody", "knock", per_s=1 / 100, burst=3)
ONE = Allowance("somebody", "ring", per_s=1 / 100, burst=1)


@pytest.fixture(autouse=True)
def on_both(context_on_both: Flask) -> Flask:
    """The upsert is spelled for each database, so each is asked."""
    return context_on_both


def takes_until_refused(allowance: Allowance, most: int = 10) -> int:
    for number in range(most):
        try:
            throttles.take_all((allowance,))
        except RateLimited:
            return number
    return most


def let_pass(seconds: int) -> None:
    """Time does not wait in a test: the bucket is moved into the past instead."""
    statement = update(Bucket).values(tat_us=Bucket.tat_us - seconds * 1_000_000)
    database.transact(lambda connection: connection.execute(statement).rowcount)


def test_as_many_as_the_burst_pass_at_once() -> None:
    assert takes_until_refused(THREE) == 3


def test_the_refusal_says_when_to_come_back() -> None:
    takes_until_refused(THREE)
    with pytest.raises(RateLimited) as caught:
        throttles.take("somebody", "knock", per_s=1 / 100, burst=3)
    assert caught.value.code == "too_many_attempts"
    assert 95 <= caught.value.retry_after_s <= 100


def test_one_passes_once_its_time_has_come() -> None:
    takes_until_refused(THREE)
    let_pass(101)
    assert takes_until_refused(THREE) == 1


def test_a_long_silence_earns_no_more_than_the_burst() -> None:
    takes_until_refused(THREE)
    let_pass(100_000)
    assert takes_until_refused(THREE) == 3


def test_a_refused_attempt_takes_nothing_anywhere() -> None:
    throttles.take_all((ONE,))
    for _ in range(5):
        with pytest.raises(RateLimited):
            throttles.take_all((THREE, ONE))
    assert takes_until_refused(THREE) == 3


def test_what_is_given_back_can_be_taken_again() -> None:
    throttles.take_all((ONE,))
    throttles.give_back((ONE,))
    assert takes_until_refused(ONE) == 1


def test_subjects_and_kinds_do_not_share() -> None:
    throttles.take("one", "knock", per_s=1, burst=1)
    throttles.take("two", "knock", per_s=1, burst=1)
    throttles.take("one", "ring", per_s=1, burst=1)
    with database.read() as connection:
        assert len(connection.execute(select(Bucket)).all()) == 3


def test_thirty_at_once_win_exactly_the_burst(on_both: Flask) -> None:
    won: list[bool] = []
    start = threading.Barrier(30)

    def knock() -> None:
        start.wait()
        with on_both.app_context():
            won.append(takes_until_refused(THREE, most=1) == 1)

    threads = [threading.Thread(target=knock) for _ in range(30)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert won.count(True) == 3


@pytest.mark.parametrize(
    ("address", "block"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("not an address", "unknown"),
        ("", "unknown"),
    ],
)
def test_a_block_is_what_one_party_commands(address: str, block: str) -> None:
    assert throttles.block_of(address) == block
