"""A request that waits may be called away, but never in the middle of a transaction."""

import gevent
import pytest

from solrouter.interruptions import ClientLeft, Wait


def test_what_is_done_aside_is_done_to_its_end() -> None:
    wait, done = Wait(), []

    def works() -> None:
        with wait:
            with wait.aside():
                gevent.sleep(0.05)
                done.append("written")
            done.append("never")

    greenlet = gevent.spawn(works)
    gevent.spawn_later(0.01, wait.interrupt, ClientLeft())
    greenlet.join(5)
    assert isinstance(greenlet.exception, ClientLeft)
    assert done == ["written"]


def test_after_something_failed_aside_the_wait_can_be_ended_again() -> None:
    wait = Wait()

    def works() -> None:
        with wait:
            with pytest.raises(ValueError, match="no"), wait.aside():
                raise ValueError("no")
            gevent.sleep(5)

    greenlet = gevent.spawn(works)
    gevent.spawn_later(0.01, wait.interrupt, ClientLeft())
    greenlet.join(2)
    assert isinstance(greenlet.exception, ClientLeft)


def test_another_greenlets_doings_are_not_protected_by_a_wait_that_is_not_theirs() -> None:
    wait, done = Wait(), []

    def waits() -> None:
        with wait:
            gevent.sleep(5)

    def works() -> None:
        with wait.aside():
            wait.interrupt_soon(ClientLeft())
            gevent.sleep(0.01)
            done.append("went on")

    waiting = gevent.spawn(waits)
    gevent.sleep(0)
    gevent.spawn(works).join(2)
    waiting.join(2)
    assert isinstance(waiting.exception, ClientLeft)
    assert done == ["went on"]
