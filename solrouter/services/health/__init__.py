"""How each offer is doing: rolling rates of failure, speeds, and who had better be let alone.

Each process judges by what it sees, at once and in memory. Every few seconds, and as soon as an
offer trips or recovers, it adds its news to the table and reads everybody's (`exchange`). A request
reads memory alone; only leave to probe an offer whose cool-down is over costs a statement. Only
what is the provider's fault counts. Without the database all goes on with what is known.
"""

from collections.abc import Collection, Mapping
from datetime import date
from functools import partial

from solrouter import database
from solrouter.clock import monotonic_s
from solrouter.errors import DatabaseUnavailable
from solrouter.services.health import table, traffic
from solrouter.services.health.breaker import (
    ALIVE,
    FAULT,
    OK,
    OVERLOADED,
    STALL,
    UNDECIDED,
    Outcome,
)
from solrouter.services.health.monitor import Monitor, measured
from solrouter.services.health.traffic import Traffic
from solrouter.services.routing import Condition

__all__ = [
    "ALIVE",
    "FAULT",
    "OK",
    "OVERLOADED",
    "STALL",
    "UNDECIDED",
    "Outcome",
    "Traffic",
    "conditions",
    "days",
    "exchange",
    "forget_old_traffic",
    "is_due",
    "may_try",
    "note",
    "tokens_per_s",
    "uptimes",
]

HEALTH_EVERY_S = 2.0
# Old counts are small; nobody is hurt by an hour's more of them.
FORGET_EVERY_S = 3600.0


class _Shared:
    """A process's monitor of one database, and when it last spoke with it."""

    def __init__(self) -> None:
        self.monitor = Monitor()
        self.next_s = 0.0
        self.seen_us = 0
        self.forgets_s = 0.0


class _Latest:
    """The one last spoken of."""

    shared = _Shared()


def note(
    offer_id: int,
    outcome: Outcome,
    *,
    first_content_ms: int | None = None,
    output_tokens: int | None = None,
    duration_ms: int | None = None,
    retry_after_s: float | None = None,
) -> None:
    """Remembers how an attempt at an offer went, that took `duration_ms` until now.

    A caller's own mistake, a client that left and a restart of ours are UNDECIDED: they count for
    nothing, and only let the next one probe. Needs no app's context.
    """
    how = measured(
        first_content_ms=first_content_ms, output_tokens=output_tokens, duration_ms=duration_ms
    )
    _of_this_process().monitor.note(
        offer_id,
        outcome,
        took_ms=duration_ms or 0,
        pause_s=-int(-(retry_after_s or 0) // 1),
        how=how,
    )


def conditions() -> Mapping[int, Condition]:
    """How the offers are doing of which anything is known, by their ids. A live view."""
    return _of_this_process().monitor.conditions()


def tokens_per_s(offer_id: int) -> float | None:
    """The median speed of an offer's answers, None while it is not known."""
    condition = conditions().get(offer_id)
    return condition.tokens_per_s if condition else None


def may_try(offer_id: int) -> bool:
    """Whether an offer may be asked now.

    Once its cool-down is over, one request in the whole installation may, until that is noted.
    """
    monitor = _of_this_process().monitor
    answer = monitor.may_try(offer_id)
    if answer is not None:
        return answer
    try:
        is_mine = database.transact(partial(table.take_probe, offer_id=offer_id), durable=False)
    except DatabaseUnavailable:
        # Statistics do not stand in the way: one at a time in this process.
        return True
    if is_mine:
        monitor.probes(offer_id)
    return is_mine


def is_due() -> bool:
    """Whether it is time for an exchange: every few seconds, and when others should know."""
    shared = _of_this_process()
    return shared.monitor.is_urgent or monotonic_s() >= shared.next_s


def exchange() -> None:
    """Tells the others what this process has seen, and learns what they have.

    Raises DatabaseUnavailable, and then keeps what it could not tell.
    """
    shared = _of_this_process()
    shared.next_s = monotonic_s() + HEALTH_EVERY_S
    news = shared.monitor.take_news()
    if news:
        try:
            database.transact(partial(table.tell, news=news), durable=False)
        except BaseException:
            shared.monitor.give_back(news)
            raise
    with database.read() as connection:
        now_us, records = table.changed_since(connection, shared.seen_us)
    shared.monitor.learn(records, now_us)
    shared.seen_us = now_us


def uptimes(offer_ids: Collection[int] | None = None) -> dict[int, dict[str, Traffic]]:
    """Attempts and failures of these offers, or all, in the last `5m`, `30m`, `24h` and `90d`."""
    return database.read_apart(lambda connection: traffic.by_window(connection, offer_ids))


def days(offer_ids: Collection[int] | None = None) -> dict[int, dict[date, Traffic]]:
    """Attempts and failures of these offers, or all, on each of the last 90 days (UTC)."""
    return database.read_apart(lambda connection: traffic.by_day(connection, offer_ids))


def forget_old_traffic() -> int:
    """Deletes counts that are not shown any more, now and then; says how many."""
    shared = _of_this_process()
    if monotonic_s() < shared.forgets_s:
        return 0
    shared.forgets_s = monotonic_s() + FORGET_EVERY_S
    return database.transact(traffic.forget_old, durable=False)


def _of_this_process() -> _Shared:
    """What belongs to the app's database; outside an app's context, to the one last spoken of.

    A stream ends when its request's context is gone, and a process serves one app.
    """
    try:
        mine = database.current()
    except LookupError:
        return _Latest.shared
    _Latest.shared = mine.remembered("health", _Shared)
    return _Latest.shared
