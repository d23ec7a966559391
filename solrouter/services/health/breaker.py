"""When an offer is let alone, and when it is tried again. Pure: a record and an event in, a record
out.

| state   | what it means           | left by                                                     |
|---------|-------------------------|-------------------------------------------------------------|
| healthy | it is asked             | FAULTS_IN_A_ROW; FAILURE_RATE_MAX of SAMPLE_MIN attempts; a |
|         |                         | Retry-After                                                 |
| cooling | it is asked last        | time: COOL_DOWN_S_MIN, or what Retry-After said             |
| probing | one request may ask,    | an answer: healthy. A failure: cooling, twice as long, up   |
|         | under a lease           | to COOL_DOWN_S_MAX                                          |

What began before the offer tripped proves nothing of it since: such an event is only counted. All
times are µs of the database's clock, so that the same events give the same record everywhere.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from solrouter.services.health import medians
from solrouter.services.routing import COOLING, HEALTHY, PROBING

# How an attempt went. OVERLOADED is 429, 503 and 529. ALIVE: the first content has come, the rest
# is open. UNDECIDED: it ended and says nothing of the provider (the caller left, or was wrong).
OK: Literal["ok"] = "ok"
FAULT: Literal["fault"] = "fault"
STALL: Literal["stall"] = "stall"
OVERLOADED: Literal["overloaded"] = "overloaded"
ALIVE: Literal["alive"] = "alive"
UNDECIDED: Literal["undecided"] = "undecided"
Outcome = Literal["ok", "fault", "stall", "overloaded", "alive", "undecided"]

SECOND_US = 1_000_000
HALF_LIFE_S = 60
SPEED_HALF_LIFE_S = 600
FAULTS_IN_A_ROW = 5
# Faults longer ago are not in a row with those of now.
ROW_S = 600
FAILURE_RATE_MAX = 0.5
SAMPLE_MIN = 20
COOL_DOWN_S_MIN = 5
COOL_DOWN_S_MAX = 300
# What a provider may ask for by Retry-After: nobody may put it out of service for a day.
RETRY_AFTER_S_MAX = 120
# How well a process knows the database's clock.
SLACK_US = SECOND_US // 10


@dataclass(frozen=True, slots=True)
class Event:
    """How attempts went that ended at once or in a row; the last of them began at `began_us`."""

    outcome: Outcome
    at_us: int
    began_us: int
    retry_after_s: int = 0
    count: int = 1

    @property
    def is_failure(self) -> bool:
        """Whether it is the provider's failure."""
        return self.outcome in (FAULT, STALL, OVERLOADED)


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of an offer's health: a row of `offer_health`."""

    counted_at_us: int = 0
    attempts: float = 0.0
    errors: float = 0.0
    stalls: float = 0.0
    faults_in_a_row: int = 0
    cool_down_s: int = 0
    tripped_at_us: int = 0
    cooling_until_us: int = 0
    probe_until_us: int = 0
    speeds: Mapping[int, float] = field(default_factory=dict)
    waits: Mapping[int, float] = field(default_factory=dict)

    def state(self, now_us: int) -> str:
        """`healthy`, `cooling` or `probing`."""
        if not self.cool_down_s:
            return HEALTHY
        return COOLING if now_us < self.cooling_until_us else PROBING

    @property
    def failure_rate(self) -> float:
        """The share of the last attempts that failed or stalled."""
        return (self.errors + self.stalls) / self.attempts if self.attempts else 0.0


def after(record: Record, events: Iterable[Event]) -> Record:
    """The record after these events."""
    for event in events:
        if event.outcome == UNDECIDED:
            record = replace(record, probe_until_us=0)
        elif event.is_failure:
            record = _failed(_counted(record, event), event)
        else:
            record = _answered(_counted(record, event), event)
    return record


def rates(record: Record, now_us: int) -> tuple[float, float]:
    """The shares of the last attempts that failed and that stalled; of less than one none."""
    kept = _kept((now_us - record.counted_at_us) / SECOND_US, HALF_LIFE_S)
    attempts = max(record.attempts * kept, 1.0)
    return record.errors * kept / attempts, record.stalls * kept / attempts


def with_speeds(
    record: Record, speeds: Mapping[int, float], waits: Mapping[int, float], *, passed_s: float
) -> Record:
    """The record with more speeds and waits, that much time after the last ones."""
    kept = _kept(passed_s, SPEED_HALF_LIFE_S)
    return replace(
        record,
        speeds=medians.merged(record.speeds, speeds, kept=kept),
        waits=medians.merged(record.waits, waits, kept=kept),
    )


def _counted(record: Record, event: Event) -> Record:
    """The counts faded to the time of the event, and the event counted."""
    passed_s = (event.at_us - record.counted_at_us) / SECOND_US
    kept = _kept(passed_s, HALF_LIFE_S)
    count = 0 if event.outcome == ALIVE else event.count
    return replace(
        record,
        counted_at_us=max(record.counted_at_us, event.at_us),
        attempts=record.attempts * kept + count,
        errors=record.errors * kept + (count if event.outcome in (FAULT, OVERLOADED) else 0),
        stalls=record.stalls * kept + (count if event.outcome == STALL else 0),
        faults_in_a_row=record.faults_in_a_row if passed_s < ROW_S else 0,
    )


def _answered(record: Record, event: Event) -> Record:
    if not record.cool_down_s:
        return replace(record, faults_in_a_row=0) if record.faults_in_a_row else record
    if event.began_us < record.tripped_at_us:
        return record
    # A new start: what was counted of the time before would trip it again at the first fault.
    return Record(counted_at_us=record.counted_at_us, speeds=record.speeds, waits=record.waits)


def _failed(record: Record, event: Event) -> Record:
    record = replace(record, faults_in_a_row=record.faults_in_a_row + event.count)
    pause_s = min(event.retry_after_s, RETRY_AFTER_S_MAX)
    if record.cool_down_s:
        if event.began_us >= record.cooling_until_us - SLACK_US:
            # The probe, or somebody who had no other choice: it still fails.
            doubled_s = min(2 * record.cool_down_s, COOL_DOWN_S_MAX)
            return _tripped(record, event, max(doubled_s, pause_s), doubled_s)
        until_us = max(record.cooling_until_us, event.at_us + pause_s * SECOND_US)
        return replace(record, cooling_until_us=until_us)
    if pause_s:
        return _tripped(record, event, pause_s, COOL_DOWN_S_MIN)
    is_row = record.faults_in_a_row >= FAULTS_IN_A_ROW
    if is_row or (record.attempts >= SAMPLE_MIN and record.failure_rate >= FAILURE_RATE_MAX):
        return _tripped(record, event, COOL_DOWN_S_MIN, COOL_DOWN_S_MIN)
    return record


def _tripped(record: Record, event: Event, pause_s: int, cool_down_s: int) -> Record:
    return replace(
        record,
        cool_down_s=cool_down_s,
        tripped_at_us=event.at_us,
        cooling_until_us=event.at_us + pause_s * SECOND_US,
        probe_until_us=0,
    )


def _kept(passed_s: float, half_life_s: int) -> float:
    """What is left of a count; whole for what another process told late."""
    return float(0.5 ** (max(passed_s, 0.0) / half_life_s))
