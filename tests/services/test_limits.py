"""Rate limits are exact: so many units and not one more, the next after exactly the wait told.

Time passes by moving the arrival time back, never by waiting. The window is a real minute, so a
limit's own refill during a test is less than a unit, or is counted by units that are large enough.
"""

import math
from collections.abc import Callable

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, func, select, update

from solrouter import database
from solrouter.clock import monotonic_s
from solrouter.errors import BadRequest, RateLimited
from solrouter.models import Bucket
from solrouter.services import limits
from solrouter.services.limits import MINUTE_US, REQUESTS, TOKENS, RateLimit, RateState

LIMITS = (1, 7, 59, 60, 61, 20_000_000)
# Large limits are taken in large pieces: so many takes use any limit up.
TAKES_MAX = 61


def take(limit: RateLimit, units: int = 1) -> RateState:
    return database.transact(lambda connection: limits.take(connection, limit, units))


def give_back(limit: RateLimit, units: int) -> None:
    database.transact(lambda connection: limits.give_back(connection, limit, units))


def pass_time(microseconds: int) -> None:
    """Lets time pass for every limit."""
    past = update(Bucket).values(tat_us=Bucket.tat_us - microseconds)
    database.transact(lambda connection: connection.execute(past))


def bucket(limit: RateLimit) -> int | None:
    """The stored arrival time."""
    query = select(Bucket.tat_us).where(Bucket.subject == limit.subject, Bucket.kind == limit.kind)
    with database.read() as connection:
        return connection.execute(query).scalar_one_or_none()


def piece(limit: RateLimit) -> int:
    """Units that divide the limit into few enough takes."""
    return max(limit.units_max // 40, 1) if limit.units_max > TAKES_MAX else 1


def use_up(limit: RateLimit) -> int:
    """Takes until refused; says how many units were had."""
    units = piece(limit)
    for count in range(2 * TAKES_MAX):
        try:
            take(limit, units)
        except RateLimited:
            return count * units
    raise AssertionError("it was never refused")


def tokens(units_max: int) -> RateLimit:
    """A limit whose subject is its own."""
    return RateLimit(f"account:{units_max}", TOKENS, units_max)


def test_exactly_the_limit_is_admitted_at_once_and_again_after_a_minute(
    context_on_both: Flask,
) -> None:
    assert_all_used_up()
    for minutes in (1, 100):
        pass_time(minutes * MINUTE_US)
        assert_all_used_up()


def assert_all_used_up() -> None:
    for limit in map(tokens, LIMITS):
        assert_whole(limit)


def assert_whole(limit: RateLimit) -> None:
    """The limit gives exactly its units, and what refills while a slow machine asks."""
    began_s = monotonic_s()
    used = use_up(limit)
    refilled = math.ceil((monotonic_s() - began_s + 0.01) * limit.units_max / 60)
    assert limit.units_max <= used <= limit.units_max + refilled, (limit, used, refilled)


def test_the_whole_limit_in_one_take_leaves_nothing(context_on_both: Flask) -> None:
    for limit in map(tokens, LIMITS):
        state = take(limit, limit.units_max)
        assert (state.kind, state.limit) == (TOKENS, limit.units_max)
        assert state.remaining < piece(limit)
        assert MINUTE_US - 1_000_000 < state.reset_us <= MINUTE_US
        with pytest.raises(RateLimited):
            take(limit, piece(limit))


def test_a_lone_caller_is_admitted_after_the_wait_it_was_told(context_on_both: Flask) -> None:
    for limit in map(tokens, LIMITS):
        use_up(limit)
        for _ in range(3):
            pass_time(told_to_wait_s(limit, piece(limit)) * 1_000_000)
            take(limit, piece(limit))
            use_up(limit)


def test_the_wait_is_no_longer_than_it_must_be(context_on_both: Flask) -> None:
    """Two seconds less are too few: one for whole seconds, one for the clock and this test."""
    for limit in map(tokens, LIMITS[:-1]):
        half = max(limit.units_max // 2, 1)
        take(limit, limit.units_max)
        wait_s = told_to_wait_s(limit, half)
        least_s = math.ceil(60 * half / limit.units_max)
        # A second more where the asking took less than the millisecond that is added.
        assert least_s <= wait_s <= least_s + 1
        pass_time((wait_s - 2) * 1_000_000)
        told_to_wait_s(limit, half)


def told_to_wait_s(limit: RateLimit, units: int) -> int:
    with pytest.raises(RateLimited) as refused:
        take(limit, units)
    wait_s = refused.value.retry_after_s
    assert wait_s is not None
    assert 1 <= wait_s <= 60
    return wait_s


def test_nobody_waits_for_a_clock_that_was_set_back(context_on_both: Flask) -> None:
    """What was written an hour ahead of it counts as nothing; what is within two minutes counts."""
    for limit in map(tokens, LIMITS):
        use_up(limit)
        pass_time(-55 * 1_000_000)
        with pytest.raises(RateLimited):
            take(limit, piece(limit))
        pass_time(-3_600 * 1_000_000)
        state = take(limit, piece(limit))
        assert state.reset_us <= MINUTE_US


def test_a_refusal_takes_nothing(context_on_both: Flask) -> None:
    limit = RateLimit("account:1", TOKENS, 1_000)
    take(limit, 900)
    before = bucket(limit)
    for units in (101, 500, 1_000):
        with pytest.raises(RateLimited):
            take(limit, units)
    assert bucket(limit) == before
    assert take(limit, 100).remaining <= 16 * 3  # what a few seconds refill, at most


def test_more_than_the_whole_limit_is_refused_for_good_and_takes_nothing(
    context_on_both: Flask,
) -> None:
    limit = RateLimit("account:1", TOKENS, 1_000)
    with pytest.raises(BadRequest) as refused:
        take(limit, 1_001)
    assert refused.value.metadata == {"limit": 1_000, "required": 1_001, "kind": TOKENS}
    assert bucket(limit) is None


def test_limits_know_nothing_of_each_other(context_on_both: Flask) -> None:
    """Another account's, a key's of the same number, and one of another kind."""
    limit = RateLimit("account:1", TOKENS, 7)
    others = [
        RateLimit("account:2", TOKENS, 7),
        RateLimit("key:1", TOKENS, 7),
        RateLimit("account:1", REQUESTS, 7),
    ]
    assert [use_up(each) for each in (limit, *others)] == [7, 7, 7, 7]
    give_back(limit, 3)
    assert [use_up(each) for each in (*others, limit)] == [0, 0, 0, 3]


def test_a_take_undone_with_its_transaction_was_none(context_on_both: Flask) -> None:
    """Two limits in one admission: where the second refuses, the first has taken nothing."""
    wide, narrow = RateLimit("account:1", TOKENS, 100), RateLimit("key:1", TOKENS, 10)

    def both(connection: Connection) -> None:
        limits.take(connection, wide, 8)
        limits.take(connection, narrow, 8)

    database.transact(both)
    before = bucket(wide)
    with pytest.raises(RateLimited):
        database.transact(both)
    assert bucket(wide) == before


def test_what_is_given_back_can_be_taken_again_and_no_more(context_on_both: Flask) -> None:
    for limit in map(tokens, LIMITS):
        use_up(limit)
        give_back(limit, piece(limit))
        take(limit, piece(limit))
        told_to_wait_s(limit, piece(limit))
        give_back(limit, 3 * limit.units_max)
        assert_whole(limit)


def test_what_turned_out_larger_is_taken_later(context_on_both: Flask) -> None:
    limit = tokens(60)
    take(limit, 10)
    give_back(limit, -20)
    assert use_up(limit) == 30


def test_nobody_waits_longer_than_a_minute_however_much_was_used(context_on_both: Flask) -> None:
    """An answer may outgrow its bound; the wait that is told is enough all the same."""
    limit = tokens(60)
    take(limit, 10)
    give_back(limit, -1_000)
    pass_time(told_to_wait_s(limit, 1) * 1_000_000)
    assert take(limit).remaining <= 60


def test_any_mix_of_takes_and_returns_stays_within_the_limit(context_on_both: Flask) -> None:
    """What is out at once never exceeds the limit, and what fits is never refused.

    An hour's units are so large beside the test's own time that nothing refills meanwhile.
    """
    # A limit whose unit takes an hour to refill: a period of a thousand hours.
    hour_us = 3_600_000_000
    subjects = iter(range(10**6))

    @settings(
        max_examples=15,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.lists(st.tuples(st.booleans(), st.integers(1, 600)), max_size=12))
    def play(moves: list[tuple[bool, int]]) -> None:
        limit = RateLimit(f"account:{next(subjects)}", REQUESTS, 1_000, 1_000 * hour_us)
        out = 0
        for is_take, units in moves:
            if is_take:
                assert admitted(lambda n=units: take(limit, n)) == (out + units <= 1_000)
                out += units if out + units <= 1_000 else 0
            elif units <= out:
                give_back(limit, units)
                out -= units

    play()


def admitted(attempt: Callable[[], RateState]) -> bool:
    try:
        attempt()
    except RateLimited:
        return False
    return True


def test_one_row_stands_for_each_limit(context_on_both: Flask) -> None:
    for kind in (REQUESTS, TOKENS):
        for _ in range(3):
            take(RateLimit("account:1", kind, 10))
    with database.read() as connection:
        assert connection.execute(select(func.count()).select_from(Bucket)).scalar_one() == 2
