"""One process's view of the offers' health: successes are only counted, and still weigh."""

from solrouter.services.health.breaker import FAULT, OK, Outcome
from solrouter.services.health.monitor import Measured, Monitor
from solrouter.services.routing import HEALTHY

OFFER = 7


def test_successes_that_were_only_counted_stand_against_later_faults() -> None:
    """Twenty faults of 66 attempts are no reason to let an offer alone; of 26 they were."""
    monitor = Monitor()

    def note(outcome: Outcome, times: int) -> None:
        for _ in range(times):
            monitor.note(OFFER, outcome, took_ms=10, pause_s=0, how=Measured())

    note(OK, 41)
    for _ in range(5):
        note(FAULT, 4)
        note(OK, 1)
    assert monitor.conditions()[OFFER].state == HEALTHY
