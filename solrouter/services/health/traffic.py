"""How many attempts at each offer ended and failed, by 5 minutes, hour and day. Statements for one
transaction each, as in `table`: with what a process tells of health it tells this, too.

So uptime is read from a few small rows an offer, however many requests there were, and an attempt
that another provider saved counts against the one that failed.
"""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from sqlalchemy import Connection, and_, case, delete, func, or_, select
from sqlalchemy.dialects import postgresql, sqlite

from solrouter.clock import utcnow
from solrouter.models import OfferTraffic
from solrouter.models.columns import db_now_us
from solrouter.services.health.breaker import ALIVE, SECOND_US, UNDECIDED
from solrouter.services.health.monitor import News

MINUTE_S, HOUR_S, DAY_S = 60, 3600, 86400
FIVE_MINUTES_S = 5 * MINUTE_S
DAYS_SHOWN = 90
# A span of so many seconds, and how long it is kept.
KEPT_S: Mapping[int, int] = {
    FIVE_MINUTES_S: HOUR_S,
    HOUR_S: DAY_S + 2 * HOUR_S,
    DAY_S: (DAYS_SHOWN + 2) * DAY_S,
}
# What is shown: its name, the spans it is made of, and how far it reaches back.
WINDOWS = (
    ("5m", FIVE_MINUTES_S, FIVE_MINUTES_S),
    ("30m", FIVE_MINUTES_S, 30 * MINUTE_S),
    ("24h", HOUR_S, DAY_S),
    ("90d", DAY_S, DAYS_SHOWN * DAY_S),
)


@dataclass(frozen=True, slots=True)
class Traffic:
    """So many attempts, and how many of them failed."""

    attempts: int = 0
    failures: int = 0

    def __add__(self, other: "Traffic") -> "Traffic":
        return Traffic(self.attempts + other.attempts, self.failures + other.failures)

    @property
    def uptime_percent(self) -> float | None:
        """The share of attempts that did not fail; None where there were none."""
        if not self.attempts:
            return None
        return 100 * (self.attempts - self.failures) / self.attempts


def count(connection: Connection, news: Mapping[int, News], now_us: int) -> None:
    """Adds what one process has seen to the spans of now, by the database's clock."""
    rows = list(_rows(news, now_us))
    if not rows:
        return
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    new = insert(OfferTraffic)
    connection.execute(
        new.on_conflict_do_update(
            index_elements=["offer_id", "span_s", "begins_at_us"],
            set_={
                "attempts": OfferTraffic.attempts + new.excluded.attempts,
                "failures": OfferTraffic.failures + new.excluded.failures,
            },
        ),
        rows,
    )


def by_window(
    connection: Connection, offer_ids: Collection[int] | None = None
) -> dict[int, dict[str, Traffic]]:
    """What was counted of these offers, or all, in each window; of those of which anything was."""
    now_us = _now_us()
    sums: list[Any] = []
    reaches: list[Any] = []
    for _, span_s, back_s in WINDOWS:
        # The span of now counts besides those that are full, so that none is looked at half.
        since_us = _begin(now_us, span_s) - back_s * SECOND_US
        is_in = and_(OfferTraffic.span_s == span_s, OfferTraffic.begins_at_us >= since_us)
        reaches.append(is_in)
        sums += [
            func.sum(case((is_in, column), else_=0))
            for column in (OfferTraffic.attempts, OfferTraffic.failures)
        ]
    query = select(OfferTraffic.offer_id, *sums).where(or_(*reaches))
    if offer_ids is not None:
        query = query.where(OfferTraffic.offer_id.in_(offer_ids))
    return {
        row[0]: {
            name: Traffic(int(row[1 + 2 * i]), int(row[2 + 2 * i]))
            for i, (name, _, _) in enumerate(WINDOWS)
        }
        for row in connection.execute(query.group_by(OfferTraffic.offer_id))
    }


def by_day(
    connection: Connection, offer_ids: Collection[int] | None = None
) -> dict[int, dict[date, Traffic]]:
    """What was counted of these offers, or all, on each of the last days (UTC)."""
    now_us = _now_us()
    since_us = _begin(now_us, DAY_S) - DAYS_SHOWN * DAY_S * SECOND_US
    query = select(
        OfferTraffic.offer_id,
        OfferTraffic.begins_at_us,
        OfferTraffic.attempts,
        OfferTraffic.failures,
    ).where(OfferTraffic.span_s == DAY_S, OfferTraffic.begins_at_us > since_us)
    if offer_ids is not None:
        query = query.where(OfferTraffic.offer_id.in_(offer_ids))
    found: dict[int, dict[date, Traffic]] = {}
    for offer_id, begins_at_us, attempts, failures in connection.execute(query):
        day = datetime.fromtimestamp(begins_at_us / SECOND_US, UTC).date()
        found.setdefault(offer_id, {})[day] = Traffic(attempts, failures)
    return found


def forget_old(connection: Connection) -> int:
    """Deletes the spans that nobody is shown any more; says how many."""
    now_us = connection.execute(select(db_now_us())).scalar_one()
    is_old = or_(
        *(
            and_(
                OfferTraffic.span_s == span_s,
                OfferTraffic.begins_at_us < now_us - kept_s * SECOND_US,
            )
            for span_s, kept_s in KEPT_S.items()
        )
    )
    return connection.execute(delete(OfferTraffic).where(is_old)).rowcount


def _rows(news: Mapping[int, News], now_us: int) -> Iterator[dict[str, int]]:
    # In one order, so that two processes never wait for each other.
    for offer_id in sorted(news):
        decided = [e for e in news[offer_id].events if e.outcome not in (ALIVE, UNDECIDED)]
        attempts = sum(event.count for event in decided)
        failures = sum(event.count for event in decided if event.is_failure)
        if not attempts:
            continue
        for span_s in KEPT_S:
            yield {
                "offer_id": offer_id,
                "span_s": span_s,
                "begins_at_us": _begin(now_us, span_s),
                "attempts": attempts,
                "failures": failures,
            }


def _now_us() -> int:
    """This machine's time: what is shown need not be exact, and costs no statement."""
    return int(utcnow().timestamp() * SECOND_US)


def _begin(now_us: int, span_s: int) -> int:
    return now_us - now_us % (span_s * SECOND_US)
