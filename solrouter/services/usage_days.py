"""What an account, or everybody, used and paid, by day and by one more thing: model, key, provider.

Requests that are settled are summed once, by the housekeeping, hour by hour into `usage_days`; what
is asked for adds those since, in the same statement, so that none counts twice or not at all. A
page so reads some hours of receipts, however many there are.
"""

import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ColumnElement,
    Connection,
    Date,
    String,
    case,
    func,
    insert,
    literal,
    select,
    union_all,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.clock import first_id_at, start_of_day, utcnow
from solrouter.database import Database
from solrouter.models import ApiKey, Completion, RollUp, UsageDay
from solrouter.models.columns import TimeOrderedId

NAME = "usage_days"
# A request that began so long ago has ended, and its charge changes no more.
SETTLED_AFTER = timedelta(hours=6)
STEPS_A_ROUND_MAX = 62
ONE_DAY = timedelta(days=1)
FIRST_OF_ALL = uuid.UUID(int=0)
FAILED = ("failed", "interrupted")
_KEYS = ("account_id", "day", "key_id", "model", "provider")
_SUMS = (
    "requests",
    "failures",
    "prompt_tokens",
    "completion_tokens",
    "charge_nanos",
    "upstream_cost_nanos",
)

# By database: until when there is nothing to sum up.
_summed_until: WeakKeyDictionary[Database, datetime] = WeakKeyDictionary()


@dataclass(frozen=True, slots=True)
class Used:
    """What some requests were and what was paid for them."""

    requests: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    charge_nanos: int = 0
    upstream_cost_nanos: int = 0

    def __add__(self, other: "Used") -> "Used":
        pairs = ((getattr(self, each.name), getattr(other, each.name)) for each in fields(Used))
        return Used(*(mine + theirs for mine, theirs in pairs))

    @property
    def margin_nanos(self) -> int:
        """What is left of the charge for the operator."""
        return self.charge_nanos - self.upstream_cost_nanos


@dataclass(frozen=True, slots=True)
class Slice:
    """What was used on one day by one model, key or provider; `name` is empty where all are one.

    `label` is the name for people.
    """

    day: date
    name: str
    label: str
    used: Used
    # Where slices are cut by key and provider as well.
    key: str = ""
    key_name: str = ""
    provider: str = ""

    def by_key(self) -> "Slice":
        """The same, named by its key."""
        return replace(self, name=self.key, label=self.key_name)

    def by_provider(self) -> "Slice":
        """The same, named by who served it."""
        return replace(self, name=self.provider, label=self.provider)


def total(slices: Iterable[Slice]) -> Used:
    """All of them together."""
    return sum((each.used for each in slices), Used())


def of_account(account_id: int, since: date, *, maker_id: int | None = None) -> list[Slice]:
    """What the account used since this day, itself included, by model, key and provider; by one
    query.

    With `maker_id` by the keys that this person made.
    """
    mine = select(ApiKey.id).where(ApiKey.account_id == account_id, ApiKey.user_id == maker_id)

    def conditions(table: Any) -> list[ColumnElement[bool]]:
        of_account = [table.account_id == account_id]
        return of_account if maker_id is None else [*of_account, table.key_id.in_(mine)]

    return _read(since, "model", conditions, is_fine=True)


def of_all(since: date, *, by: str | None = None) -> list[Slice]:
    """What everybody used since this day, for operators."""
    return _read(since, by, lambda _table: [])


def has_summed(connection: Connection, until: datetime) -> bool:
    """Whether all requests from before that instant are in the table."""
    summed = connection.execute(select(RollUp.until_id).where(RollUp.name == NAME)).scalar()
    return summed is not None and summed >= first_id_at(until)


def roll_up(now: datetime | None = None) -> int:
    """Sums up the hours that are settled since the last time; says how many steps that took."""
    settled = ((now or utcnow()) - SETTLED_AFTER).replace(minute=0, second=0, microsecond=0)
    ours = database.current()
    if _summed_until.get(ours) == settled:
        return 0
    for number in range(STEPS_A_ROUND_MAX):
        begin = database.read_apart(_next_hour)
        if begin is None or begin >= settled:
            _summed_until[ours] = settled
            return number
        _sum_up(begin, min(settled, start_of_day(begin) + ONE_DAY))
    return STEPS_A_ROUND_MAX


def _read(
    since: date,
    by: str | None,
    conditions: Callable[[Any], list[ColumnElement[bool]]],
    *,
    is_fine: bool = False,
) -> list[Slice]:
    settled = select(UsageDay.day, *_group(UsageDay, by, is_fine), *_columns(UsageDay)).where(
        UsageDay.day >= since, *conditions(UsageDay)
    )
    live = select(
        _day_of_request(since), *_group(Completion, by, is_fine), *_counts().values()
    ).where(Completion.id >= _begin_of_live(since), *conditions(Completion))
    both = union_all(settled, live).subquery()
    sums = [func.sum(both.c[name]).label(name) for name in _SUMS]
    keys = (both.c.day, both.c.name, both.c.key_id, both.c.provider)
    summed = select(*keys, *sums).group_by(*keys).subquery()
    query = select(*summed.c, ApiKey.public_id, ApiKey.name.label("key_name")).outerjoin(
        ApiKey, ApiKey.id == summed.c.key_id
    )
    rows = database.read_apart(lambda connection: connection.execute(query).all())
    return [_slice(row) for row in rows]


def _slice(row: Any) -> Slice:
    used = Used(*(int(getattr(row, name) or 0) for name in _SUMS))
    key, key_name = row.public_id or "", row.key_name or ""
    return Slice(row.day, row.name, row.name, used, key, key_name, row.provider)


def _group(table: Any, by: str | None, is_fine: bool) -> list[Any]:
    """What slices are cut by, as `name`, `key_id` and `provider`."""
    name = literal("", String) if by is None else getattr(table, by)
    key_id = func.coalesce(table.key_id, 0) if is_fine else literal(0)
    provider = table.provider if is_fine else literal("", String)
    return [name.label("name"), key_id.label("key_id"), provider.label("provider")]


def _columns(table: Any) -> list[Any]:
    return [getattr(table, name) for name in _SUMS]


def _counts() -> dict[str, ColumnElement[int]]:
    """What one receipt adds to each sum, in the order and with the names of the table's columns."""
    found: dict[str, Any] = {name: getattr(Completion, name, None) for name in _SUMS}
    found["requests"] = literal(1)
    found["failures"] = case((Completion.outcome.in_(FAILED), 1), else_=0)
    return {name: column.label(name) for name, column in found.items()}


def _day_of_request(since: date) -> ColumnElement[date]:
    """The day of a request, by its id, which is how days are cut everywhere; the latest first."""
    today = utcnow().date()
    days = [today - n * ONE_DAY for n in range((today - since).days)]
    cases = [(Completion.id >= first_id_at(_midnight(day)), literal(day, Date)) for day in days]
    last = literal(since, Date)
    return (case(*cases, else_=last) if cases else last).label("day")


def _begin_of_live(since: date) -> ColumnElement[uuid.UUID]:
    """The id from which on receipts are not in the table; one bound, so that an index begins there.

    Read within the statement: what is summed meanwhile counts here or there, never twice.
    """
    until = func.coalesce(
        select(RollUp.until_id).where(RollUp.name == NAME).scalar_subquery(),
        literal(FIRST_OF_ALL, TimeOrderedId),
    )
    first = literal(first_id_at(_midnight(since)), TimeOrderedId)
    return case((until > first, until), else_=first)


def _next_hour(connection: Connection) -> datetime | None:
    """The first instant that is not summed up; None before the first request of all."""
    until = connection.execute(select(RollUp.until_id).where(RollUp.name == NAME)).scalar()
    if until is not None:
        return _instant(until)
    first = connection.execute(select(Completion.id).order_by(Completion.id).limit(1)).scalar()
    return None if first is None else _instant(first).replace(minute=0, second=0, microsecond=0)


def _sum_up(begin: datetime, end: datetime) -> None:
    """Adds the requests from `begin` to `end`, which are of one day, to the table."""
    keys = (Completion.account_id, Completion.key_id, Completion.model, Completion.provider)
    sums = [func.sum(column).label(name) for name, column in _counts().items()]
    query = (
        select(*keys, *sums)
        .where(Completion.id >= first_id_at(begin), Completion.id < first_id_at(end))
        .group_by(*keys)
    )
    rows = database.read_apart(lambda connection: connection.execute(query).mappings().all())
    found = [{**row, "key_id": row["key_id"] or 0, "day": begin.date()} for row in rows]
    database.transact(lambda connection: _keep(connection, found, begin, end))


def _keep(
    connection: Connection, sums: list[dict[str, Any]], begin: datetime, end: datetime
) -> None:
    """Writes the sums, unless somebody else has: the watermark decides."""
    ours = (RollUp.name == NAME, RollUp.until_id == first_id_at(begin))
    values = {"until": end.date(), "until_id": first_id_at(end)}
    if not connection.execute(update(RollUp).where(*ours).values(**values)).rowcount:
        if connection.execute(select(RollUp.name).where(RollUp.name == NAME)).first() is not None:
            return
        connection.execute(insert(RollUp).values(name=NAME, **values))
    new = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    if not sums:
        return
    # One statement for all: to compile it costs more than to run it, and others wait to write.
    statement = new(UsageDay)
    added = {name: getattr(UsageDay, name) + statement.excluded[name] for name in _SUMS}
    connection.execute(statement.on_conflict_do_update(index_elements=_KEYS, set_=added), sums)


def _instant(identifier: uuid.UUID) -> datetime:
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)
