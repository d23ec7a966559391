"""What keys' requests were charged: in all, and in the current day, week and month, UTC.

Days that are settled are summed once, by the housekeeping, into `key_days`; what is asked for adds
the requests since. So an answer reads a day or two of receipts, however long a key's history is.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, func, insert, select, update

from solrouter import database
from solrouter.clock import first_id_at, start_of_day, utcnow
from solrouter.database import Database
from solrouter.models import Completion, KeyDay, RollUp
from solrouter.services import budgets
from solrouter.services.budgets import Calendar

NAME = budgets.KEY_DAYS
# A request that began so long ago has ended, and its charge changes no more.
SETTLED_AFTER = timedelta(hours=6)
# So many days in a round, so that the first one after a long time does not take for ever.
DAYS_A_ROUND_MAX = 31
ONE_DAY = timedelta(days=1)

# By database: until when there is nothing to sum up.
_summed_until: WeakKeyDictionary[Database, date] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Spent:
    """What some requests were charged, and how many they were."""

    nanos: int = 0
    requests: int = 0

    def __add__(self, other: "Spent") -> "Spent":
        return Spent(self.nanos + other.nanos, self.requests + other.requests)


@dataclass(frozen=True, slots=True)
class KeyUsage:
    """What a key's requests were charged that have ended and began in this time."""

    all: Spent = Spent()
    day: Spent = Spent()
    week: Spent = Spent()
    month: Spent = Spent()

    def __add__(self, other: "KeyUsage") -> "KeyUsage":
        return KeyUsage(
            self.all + other.all,
            self.day + other.day,
            self.week + other.week,
            self.month + other.month,
        )


def of(key_id: int) -> KeyUsage:
    """The usage of one key."""
    return of_all([key_id])[key_id]


def of_all(key_ids: Iterable[int]) -> Mapping[int, KeyUsage]:
    """The usage of each of the keys, by two queries."""
    wanted = list(key_ids)

    def query(connection: Connection) -> dict[int, KeyUsage]:
        *days, until = connection.execute(
            select(*budgets.calendar_columns(), _watermark().scalar_subquery())
        ).one()
        now = Calendar(*days)
        found = dict.fromkeys(wanted, KeyUsage())
        # What is summed and what is not are told apart by this day, even if more is summed now.
        for rows in (_summed(wanted, until, now), _since(wanted, until, now)):
            for row in connection.execute(rows):
                found[row[0]] += _usage(row[1:])
        return found

    return database.read_apart(query) if wanted else {}


def has_summed(connection: Connection, until: datetime) -> bool:
    """Whether all requests from before that midnight are in the table of days."""
    summed = connection.execute(_watermark()).scalar_one_or_none()
    return summed is not None and summed >= until.date()


def roll_up() -> int:
    """Sums up the days that are settled since the last time; says how many that were."""
    settled = start_of_day(utcnow() - SETTLED_AFTER).date()
    ours = database.current()
    if _summed_until.get(ours) == settled:
        return 0
    for number in range(DAYS_A_ROUND_MAX):
        day = database.read_apart(_next_day)
        if day is None or day >= settled:
            _summed_until[ours] = settled
            return number
        _sum_up(day)
    return DAYS_A_ROUND_MAX


def _sum_up(day: date) -> None:
    sums = database.read_apart(lambda connection: _sums_of(connection, day))
    database.transact(lambda connection: _keep(connection, day, sums))


def _watermark() -> Any:
    return select(RollUp.until).where(RollUp.name == NAME)


def _next_day(connection: Connection) -> date | None:
    """The first day that is not summed up; None before the first request of all."""
    until: date | None = connection.execute(_watermark()).scalar_one_or_none()
    if until is not None:
        return until
    # In time order, so that its index says at once which is the first.
    first = connection.execute(select(Completion.id).order_by(Completion.id).limit(1)).scalar()
    if first is None:
        return None
    return datetime.fromtimestamp((first.int >> 80) // 1000, UTC).date()


def _sums_of(connection: Connection, day: date) -> list[dict[str, Any]]:
    begin = _midnight(day)
    query = (
        select(Completion.key_id, func.count(), func.sum(Completion.charge_nanos))
        .where(Completion.id >= first_id_at(begin), Completion.id < first_id_at(begin + ONE_DAY))
        .where(Completion.key_id.is_not(None))
        .group_by(Completion.key_id)
    )
    return [
        {"key_id": key_id, "day": day, "requests": requests, "charge_nanos": int(nanos)}
        for key_id, requests, nanos in connection.execute(query)
    ]


def _keep(connection: Connection, day: date, sums: list[dict[str, Any]]) -> None:
    """Writes a day's sums, unless somebody else has: the watermark decides."""
    following = day + ONE_DAY
    moved = update(RollUp).where(RollUp.name == NAME, RollUp.until == day).values(until=following)
    if not connection.execute(moved).rowcount:
        if connection.execute(_watermark()).scalar_one_or_none() is not None:
            return
        connection.execute(insert(RollUp).values(name=NAME, until=following))
    if sums:
        connection.execute(insert(KeyDay), sums)


def _summed(key_ids: list[int], until: date | None, now: Calendar) -> Any:
    """The query for what is in the table of days."""
    sums: list[Any] = [func.sum(KeyDay.charge_nanos), func.sum(KeyDay.requests)]
    for start in (now.day, now.week, now.month):
        is_in = KeyDay.day >= start.date()
        sums += [each.filter(is_in) for each in sums[:2]]
    query = select(KeyDay.key_id, *sums).where(KeyDay.key_id.in_(key_ids))
    return query.where(KeyDay.day < (until or date.min)).group_by(KeyDay.key_id)


def _since(key_ids: list[int], until: date | None, now: Calendar) -> Any:
    """The query for what is not."""
    since = budgets.EVER if until is None else _midnight(until)
    sums: list[Any] = [func.sum(Completion.charge_nanos), func.count()]
    for start in (now.day, now.week, now.month):
        is_in = Completion.id >= first_id_at(start)
        sums += [each.filter(is_in) for each in sums[:2]]
    mine = (Completion.key_id.in_(key_ids), Completion.id >= first_id_at(since))
    return select(Completion.key_id, *sums).where(*mine).group_by(Completion.key_id)


def _usage(sums: Any) -> KeyUsage:
    pairs = [int(each or 0) for each in sums]
    return KeyUsage(*(Spent(*pairs[i : i + 2]) for i in range(0, len(pairs), 2)))


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
