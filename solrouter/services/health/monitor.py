"""What one process knows of the offers' health: the table as last read, and its own news on top.

All of it is memory, so that a request neither reads nor waits. Safe for threads and greenlets.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from solrouter import native_threads
from solrouter.clock import monotonic_s, utcnow
from solrouter.services.health import breaker, medians
from solrouter.services.health.breaker import ALIVE, OK, SECOND_US, UNDECIDED, Event, Record
from solrouter.services.routing import HEALTHY, PROBING, Condition

# How often a process may ask the database for leave to probe one offer.
PROBE_ASK_S = 1.0
# What is not told for long, because the database is away, forgets its oldest.
EVENTS_MAX = 256
# Fewer tokens say little of a speed.
SPEED_TOKENS_MIN = 16
UNKNOWN = Record()


@dataclass(slots=True)
class News:
    """What a process has seen of an offer and not told yet."""

    events: list[Event] = field(default_factory=list)
    speeds: medians.Counts = field(default_factory=dict)
    waits: medians.Counts = field(default_factory=dict)

    def add(self, event: Event) -> None:
        """One more event; successes in a row are one."""
        last = self.events[-1] if self.events else None
        if last is not None and last.outcome == event.outcome == OK:
            began_us = max(last.began_us, event.began_us)
            self.events[-1] = Event(OK, event.at_us, began_us, 0, last.count + event.count)
            return
        if len(self.events) >= EVENTS_MAX:
            del self.events[0]
        self.events.append(event)


@dataclass(frozen=True, slots=True)
class Measured:
    """How fast an answer was; None where it says nothing."""

    tokens_per_s: float | None = None
    first_content_ms: float | None = None


def measured(
    *, first_content_ms: int | None, output_tokens: int | None, duration_ms: int | None
) -> Measured:
    """The speeds of an answer: its tokens over its whole time, since thinking takes both."""
    speed = None
    if duration_ms and output_tokens and output_tokens >= SPEED_TOKENS_MIN:
        speed = output_tokens * 1000 / duration_ms
    return Measured(speed, max(first_content_ms, 1) if first_content_ms is not None else None)


class Monitor:
    """One process's view of the offers of one database."""

    def __init__(self) -> None:
        # Entered again where the garbage collector, run amidst a note, ends an answer that nobody
        # reads any more, which is noted too.
        # Nobody waits within it, so a real one does, whose two ends cost less than gevent's.
        self._lock = native_threads.reentrant_lock()
        self._told: dict[int, Record] = {}
        self._records: dict[int, Record] = {}
        # Successes of healthy offers, which change no judgement until something else happens.
        self._unjudged: dict[int, News] = {}
        self._news: dict[int, News] = {}
        self._conditions: dict[int, Condition] = {}
        self._shown = MappingProxyType(self._conditions)
        self._speeds: dict[int, float | None] = {}
        self._waits: dict[int, float | None] = {}
        self._out_of_service: set[int] = set()
        self._asked_at_s: dict[int, float] = {}
        self._probes: set[int] = set()
        self._ahead_us = int(utcnow().timestamp() * SECOND_US) - int(monotonic_s() * SECOND_US)
        self.is_urgent = False

    def note(
        self, offer_id: int, outcome: breaker.Outcome, *, took_ms: int, pause_s: int, how: Measured
    ) -> None:
        """Remembers how an attempt went, and judges the offer anew."""
        with self._lock:
            is_probe = offer_id in self._probes
            self._probes.discard(offer_id)
            if outcome == UNDECIDED and not is_probe:
                return
            now_us = self._now_us()
            event = Event(outcome, now_us, now_us - took_ms * 1000, pause_s)
            if outcome == OK and self._is_well(offer_id):
                self._count_success(offer_id, event, how)
                return
            record = self._record(offer_id)
            if outcome == ALIVE and not record.cool_down_s:
                return
            news = self._news.setdefault(offer_id, News())
            news.add(event)
            # Our own news count as they are told to all; alone only while nothing else is known.
            told = self._told.get(offer_id, UNKNOWN)
            if how.tokens_per_s:
                medians.count(news.speeds, how.tokens_per_s)
                if not told.speeds:
                    self._speeds[offer_id] = medians.median(news.speeds)
            if how.first_content_ms:
                medians.count(news.waits, how.first_content_ms)
                if not told.waits:
                    self._waits[offer_id] = medians.median(news.waits)
            changed = breaker.after(record, [event])
            is_change = bool(changed.cool_down_s) != bool(record.cool_down_s)
            self.is_urgent = self.is_urgent or is_probe or is_change
            self._judge(offer_id, changed, now_us)

    def _is_well(self, offer_id: int) -> bool:
        """Whether one more success of the offer would change nothing but its counts."""
        record = self._records.get(offer_id)
        return record is not None and not record.cool_down_s and not record.faults_in_a_row

    def _count_success(self, offer_id: int, event: Event, how: Measured) -> None:
        for of_offer in (self._news, self._unjudged):
            of_offer.setdefault(offer_id, News()).add(event)
        news = self._news[offer_id]
        if how.tokens_per_s:
            medians.count(news.speeds, how.tokens_per_s)
        if how.first_content_ms:
            medians.count(news.waits, how.first_content_ms)

    def _record(self, offer_id: int) -> Record:
        """The offer's record, with all that has been counted since it was judged last."""
        record = self._records.get(offer_id, UNKNOWN)
        unjudged = self._unjudged.pop(offer_id, None)
        return breaker.after(record, unjudged.events) if unjudged else record

    def conditions(self) -> Mapping[int, Condition]:
        """How every offer is doing, of which anything is known; a view that goes with the time."""
        if self._out_of_service:
            with self._lock:
                now_us = self._now_us()
                for offer_id in tuple(self._out_of_service):
                    state = self._records[offer_id].state(now_us)
                    if state != self._conditions[offer_id].state:
                        changed = replace(self._conditions[offer_id], state=state)
                        self._conditions[offer_id] = changed
        return self._shown

    def may_try(self, offer_id: int) -> bool | None:
        """Whether the offer may be asked; None: if the database gives leave to probe it."""
        with self._lock:
            state = self._records.get(offer_id, UNKNOWN).state(self._now_us())
            if state != PROBING:
                return state == HEALTHY
            now_s = monotonic_s()
            if now_s - self._asked_at_s.get(offer_id, float("-inf")) < PROBE_ASK_S:
                return False
            self._asked_at_s[offer_id] = now_s
            return None

    def probes(self, offer_id: int) -> None:
        """Leave was given: this process probes the offer."""
        with self._lock:
            self._probes.add(offer_id)

    def take_news(self) -> dict[int, News]:
        """What is to be told. It stays in the judgement until the table says the same."""
        with self._lock:
            self.is_urgent = False
            news, self._news = self._news, {}
            return news

    def give_back(self, news: Mapping[int, News]) -> None:
        """What could not be told, for the next time; what was noted since is newer."""
        with self._lock:
            for offer_id, older in news.items():
                newer = self._news.get(offer_id, News())
                merged = News(
                    [*older.events, *newer.events][-EVENTS_MAX:],
                    medians.merged(older.speeds, newer.speeds, kept=1),
                    medians.merged(older.waits, newer.waits, kept=1),
                )
                self._news[offer_id] = merged

    def learn(self, records: Iterable[tuple[int, Record]], now_us: int) -> None:
        """Takes over what the table says, at this time of its clock."""
        with self._lock:
            self._ahead_us = now_us - int(monotonic_s() * SECOND_US)
            self._unjudged.clear()
            for offer_id, record in records:
                self._told[offer_id] = record
                self._speeds[offer_id] = medians.median(record.speeds)
                self._waits[offer_id] = medians.median(record.waits)
            # All, since with time old failures weigh less.
            for offer_id, told in self._told.items():
                news = self._news.get(offer_id)
                self._judge(offer_id, breaker.after(told, news.events) if news else told, now_us)

    def _judge(self, offer_id: int, record: Record, now_us: int) -> None:
        self._records[offer_id] = record
        if record.cool_down_s:
            self._out_of_service.add(offer_id)
        else:
            self._out_of_service.discard(offer_id)
            self._asked_at_s.pop(offer_id, None)
        error_rate, stall_rate = breaker.rates(record, now_us)
        until_us = record.cooling_until_us - self._ahead_us
        self._conditions[offer_id] = Condition(
            state=record.state(now_us),
            error_rate=error_rate,
            stall_rate=stall_rate,
            tokens_per_s=self._speeds.get(offer_id),
            first_content_ms=self._waits.get(offer_id),
            cooling_until_s=until_us / SECOND_US if record.cool_down_s else 0.0,
        )

    def _now_us(self) -> int:
        return int(monotonic_s() * SECOND_US) + self._ahead_us
