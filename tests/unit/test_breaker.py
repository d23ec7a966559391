"""When an offer is let alone: sequences of what happened, and the state that follows."""

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solrouter.services.health import breaker, medians
from solrouter.services.health.breaker import (
    COOL_DOWN_S_MAX,
    COOL_DOWN_S_MIN,
    FAULTS_IN_A_ROW,
    SECOND_US,
    Event,
    Outcome,
    Record,
)

OUTCOMES: dict[str, Outcome] = {
    ".": breaker.OK,
    "x": breaker.FAULT,
    "s": breaker.STALL,
    "o": breaker.OVERLOADED,
    "a": breaker.ALIVE,
    "u": breaker.UNDECIDED,
}
START_US = 1_000_000 * SECOND_US


def story(text: str, *, began_s_ago: float = 0) -> tuple[Record, int]:
    """The record after a story, and when it ends: an event each 100 ms; `-` is a second in which
    nothing happens, `=` a minute, `R` a 429 that asks for 30 s.
    """
    record, now_us = Record(), START_US
    for letter in text:
        if letter in "-=":
            now_us += SECOND_US if letter == "-" else 60 * SECOND_US
            continue
        now_us += SECOND_US // 10
        outcome: Outcome = breaker.OVERLOADED if letter == "R" else OUTCOMES[letter]
        pause_s = 30 if letter == "R" else 0
        began_us = now_us - int(began_s_ago * SECOND_US)
        record = breaker.after(record, [Event(outcome, now_us, began_us, pause_s)])
    return record, now_us


@pytest.mark.parametrize(
    ("text", "state", "cool_down_s"),
    [
        ("", "healthy", 0),
        ("x", "healthy", 0),
        ("xxxx", "healthy", 0),
        ("xxxxx", "cooling", 5),
        ("sxosx", "cooling", 5),
        ("xxxx.xxxx", "healthy", 0),
        ("xxxxuxxxx", "cooling", 5),
        # The caller's own mistakes and clients that left say nothing.
        ("u" * 1000, "healthy", 0),
        # One in three fails: not good, but better than none.
        ("..x" * 100, "healthy", 0),
        # Half of twenty.
        (".x" * 9, "healthy", 0),
        (".x" * 11, "cooling", 5),
        (".s" * 11, "cooling", 5),
        # A burst of old is forgotten.
        ("." * 50 + "xxxx" + "==========" + "x", "healthy", 0),
        ("xxxx" + "===========" + "xxxx", "healthy", 0),
        # What still runs when it trips makes it no worse.
        ("x" * 45, "cooling", 5),
        ("xxxxx-----", "probing", 5),
        ("xxxxx-----.", "healthy", 0),
        ("xxxxx-----a", "healthy", 0),
        ("xxxxx-----u", "probing", 5),
        # A new start: the next hiccup is only that.
        ("xxxxx-----.xxxx", "healthy", 0),
        ("xxxxx-----x", "cooling", 10),
        ("xxxxx-----x---------", "cooling", 10),
        ("xxxxx-----x----------", "probing", 10),
        ("xxxxx-----x----------x", "cooling", 20),
        ("xxxxx" + "======x" * 10, "cooling", COOL_DOWN_S_MAX),
        # Whoever had no other choice found it well again.
        ("xxxxx-.", "healthy", 0),
        ("R", "cooling", 5),
        ("R-----------------------------", "cooling", 5),
        ("R------------------------------", "probing", 5),
        ("R-----------------------------.", "healthy", 0),
        ("xxxxxR------", "cooling", 5),
    ],
)
def test_a_story_leads_to_a_state(text: str, state: str, cool_down_s: int) -> None:
    record, now_us = story(text)
    assert (record.state(now_us), record.cool_down_s) == (state, cool_down_s)


@pytest.mark.parametrize("late", [".", "x", "s"])
def test_what_began_before_it_tripped_proves_nothing(late: str) -> None:
    record, now_us = story("xxxxx------")
    assert record.state(now_us) == "probing"
    event = Event(OUTCOMES[late], now_us, now_us - 60 * SECOND_US)
    after = breaker.after(record, [event])
    assert after.state(now_us) == "probing"
    assert after.cool_down_s == COOL_DOWN_S_MIN


@pytest.mark.parametrize(("asked_s", "given_s"), [(1, 1), (30, 30), (86_400, 120)])
def test_a_wish_for_rest_is_granted_within_bounds(asked_s: int, given_s: int) -> None:
    event = Event(breaker.OVERLOADED, START_US, START_US, asked_s)
    record = breaker.after(Record(), [event])
    assert record.cooling_until_us == START_US + given_s * SECOND_US


def test_the_rates_fade_with_time() -> None:
    record, now_us = story("....sxx.")
    assert breaker.rates(record, now_us) == pytest.approx((2 / 8, 1 / 8), rel=0.01)
    assert sum(breaker.rates(record, now_us + 600 * SECOND_US)) < 0.01
    alone, now_us = story("x")
    assert breaker.rates(alone, now_us) == (1.0, 0.0)
    assert breaker.rates(alone, now_us + 60 * SECOND_US) == (0.5, 0.0)
    assert breaker.rates(Record(), now_us) == (0.0, 0.0)


@given(st.text("....xsoauR-=", max_size=60))
def test_no_story_leads_out_of_bounds(text: str) -> None:
    record, now_us = story(text)
    assert record.cool_down_s == 0 or COOL_DOWN_S_MIN <= record.cool_down_s <= COOL_DOWN_S_MAX
    assert 0 <= record.errors + record.stalls <= record.attempts + 1e-9
    assert record.cooling_until_us - now_us <= COOL_DOWN_S_MAX * SECOND_US
    if record.cool_down_s == 0:
        assert record.faults_in_a_row < FAULTS_IN_A_ROW
    saved = breaker.after(record, [Event(breaker.OK, now_us + SECOND_US, now_us + SECOND_US)])
    assert saved.state(now_us + SECOND_US) == "healthy", "one answer brings it back"


@given(
    st.lists(st.text(".xs", max_size=8), min_size=2, max_size=4), st.randoms(use_true_random=False)
)
def test_the_counts_do_not_depend_on_who_tells_first(
    parts: list[str], order: random.Random
) -> None:
    """As many workers tell a row what they have seen at one moment."""
    lists = [[Event(OUTCOMES[c], START_US, START_US) for c in part] for part in parts]
    whole = breaker.after(Record(), itertools.chain(*lists))
    order.shuffle(lists)
    other = breaker.after(Record(), itertools.chain(*lists))
    if not whole.cool_down_s and not other.cool_down_s and "." not in "".join(parts):
        assert other == whole


def test_medians_add_up_and_resist_outliers() -> None:
    one: medians.Counts = {}
    two: medians.Counts = {}
    for value in (48, 50, 52, 49, 1):
        medians.count(one, value)
    for value in (51, 50, 90_000):
        medians.count(two, value)
    both = medians.merged(one, two, kept=1)
    assert sum(both.values()) == 8
    assert medians.median(both) == pytest.approx(50, rel=0.05)
    assert medians.median({}) is None
    assert medians.merged(one, {}, kept=0.001) == {}
    # After a change the new ones soon outweigh the old.
    changed: medians.Counts = {}
    for _ in range(5):
        medians.count(changed, 200)
    assert medians.median(medians.merged(both, changed, kept=0.5)) == pytest.approx(200, rel=0.05)
