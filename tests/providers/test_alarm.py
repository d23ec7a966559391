"""One timer for many waits: it rings for the one that is late, and for no other."""

import threading
from collections.abc import Iterator

import pytest
from gevent.event import Event

from solrouter.clock import monotonic_s
from solrouter.transport.alarm import Alarm

SOON_S, LATER_S, NEVER_S = 0.05, 0.3, 60.0


@pytest.fixture
def alarm() -> Iterator[Alarm]:
    alarm = Alarm()
    yield alarm
    alarm.close()


def waited_s(alarm: Alarm, seconds: float) -> float:
    """How long a wait took that ends by the alarm alone."""
    began_s = monotonic_s()
    alarm.set(began_s + seconds)
    try:
        with pytest.raises(TimeoutError):
            Event().wait()
    finally:
        alarm.clear()
    return monotonic_s() - began_s


def test_a_wait_ends_at_its_time(alarm: Alarm) -> None:
    assert SOON_S <= waited_s(alarm, SOON_S) < NEVER_S / 2


def test_a_time_that_moved_on_is_not_the_first_ones(alarm: Alarm) -> None:
    alarm.set(monotonic_s() + SOON_S)
    alarm.clear()
    assert waited_s(alarm, LATER_S) >= LATER_S


def test_a_time_that_comes_nearer_is_kept(alarm: Alarm) -> None:
    alarm.set(monotonic_s() + NEVER_S)
    alarm.clear()
    assert waited_s(alarm, SOON_S) < NEVER_S / 2


def test_nobody_is_woken_who_does_not_wait(alarm: Alarm) -> None:
    alarm.set(monotonic_s() + SOON_S)
    alarm.clear()
    waited_s(Alarm(), 2 * SOON_S)
    assert waited_s(alarm, SOON_S) >= SOON_S


def test_an_alarm_that_is_closed_is_silent_and_can_be_set_again(alarm: Alarm) -> None:
    alarm.set(monotonic_s() + SOON_S)
    alarm.close()
    waited_s(Alarm(), 2 * SOON_S)
    assert waited_s(alarm, SOON_S) >= SOON_S


def test_another_thread_can_close_it(alarm: Alarm) -> None:
    alarm.set(monotonic_s() + SOON_S)
    closer = threading.Thread(target=alarm.close)
    closer.start()
    closer.join()
    waited_s(Alarm(), 2 * SOON_S)
    assert waited_s(alarm, SOON_S) >= SOON_S
