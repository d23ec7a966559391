"""What an account, or everybody, used and paid, by day and by one more thing: model, key, provider.

Requests that are settled are summed once, by the housekeeping, hour by hour: into `usage_days` for
each account, into `usage_totals` for all of them (`roll_ups`). What is asked for adds those since.
"""

from collections.abc import Callable, Iterable
from datetime import date, datetime
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Connection,
    Date,
    String,
    case,
    cast,
    func,
    literal,
    literal_column,
    select,
    union_all,
)

from solrouter import database
from solrouter.clock import first_id_at, utcnow
from solrouter.models import ApiKey, Completion, UsageDay, UsageTotal
from solrouter.services.roll_ups import ONE_DAY, DaySums, midnight

FAILED = ("failed", "interrupted")
SUMS = (
    "requests",
    "failures",
    "prompt_tokens",
    "completion_tokens",
    "charge_nanos",
    "upstream_cost_nanos",
)


class Used(NamedTuple):
    """What some requests were and what was paid for them. Pages make thousands: so a tuple."""

    requests: int = 0
    failures: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    charge_nanos: int = 0
    upstream_cost_nanos: int = 0

    @property
    def margin_nanos(self) -> int:
        """What is left of the charge for the operator."""
        return self.charge_nanos - self.upstream_cost_nanos


class Slice(NamedTuple):
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
        return Slice(self.day, self.key, self.key_name, *self[3:])

    def by_provider(self) -> "Slice":
        """The same, named by who served it."""
        return Slice(self.day, self.provider, self.provider, *self[3:])


def total(slices: Iterable[Slice]) -> Used:
    """All of them together."""
    columns = zip(*(each.used for each in slices), strict=True)
    return Used(*map(sum, columns))


def of_account(account_id: int, since: date, *, maker_id: int | None = None) -> list[Slice]:
    """What the account used since this day, itself included, by model, key and provider; by one
    query. What is not summed up yet is a slice of its own, beside the day's.

    With `maker_id` by the keys that this person made.
    """
    mine = select(ApiKey.id).where(ApiKey.account_id == account_id, ApiKey.user_id == maker_id)

    def conditions(table: Any) -> list[ColumnElement[bool]]:
        of_account = [table.account_id == account_id]
        return of_account if maker_id is None else [*of_account, table.key_id.in_(mine)]

    return _read(_OF_ACCOUNTS, since, "model", conditions, is_fine=True)


def of_all(since: date, *, by_provider: bool = False) -> list[Slice]:
    """What everybody used since this day, for operators; a day may be in several slices."""
    return _read(_OF_ALL, since, "provider" if by_provider else None, lambda _table: [])


def has_summed(connection: Connection, until: datetime) -> bool:
    """Whether all requests from before that instant are in the tables."""
    return all(each.has_summed(connection, until) for each in _TABLES)


def roll_up(now: datetime | None = None) -> int:
    """Sums up the hours that are settled since the last time; says how many steps that took."""
    return sum(each.roll_up(now) for each in _TABLES)


def _read(
    sums: DaySums,
    since: date,
    by: str | None,
    conditions: Callable[[Any], list[ColumnElement[bool]]],
    *,
    is_fine: bool = False,
) -> list[Slice]:
    table = sums.table
    keys = _group(table, by, is_fine)
    settled = select(table.day, *keys, *_columns(table)).where(
        table.day >= since, *conditions(table)
    )
    live_keys = [_day_of_request(since), *_group(Completion, by, is_fine)]
    # By place: on PostgreSQL two literals of one text are two parameters, and so not one key.
    places: list[ColumnElement[int]] = [
        literal_column(str(n)) for n in range(1, len(live_keys) + 1)
    ]
    live = (
        select(*live_keys, *(cast(each, BigInteger) for each in _sums()))
        .where(Completion.id >= sums.begin_of_live(midnight(since)), *conditions(Completion))
        .group_by(*places)
    )
    both = union_all(settled, live).subquery()
    query = select(*both.c, ApiKey.public_id, ApiKey.name.label("key_name")).outerjoin(
        ApiKey, ApiKey.id == both.c.key_id
    )
    rows = database.read_apart(lambda connection: connection.execute(query).all())
    return [_slice(row) for row in rows]


def _slice(row: Any) -> Slice:
    day, name, _, provider, *sums, key, key_name = row
    return Slice(day, name, name, Used(*sums), key or "", key_name or "", provider)


def _group(table: Any, by: str | None, is_fine: bool) -> list[Any]:
    """What slices are cut by, as `name`, `key_id` and `provider`."""
    name = literal("", String) if by is None else getattr(table, by)
    key_id = func.coalesce(table.key_id, 0) if is_fine else literal(0)
    provider = table.provider if is_fine else literal("", String)
    return [name.label("name"), key_id.label("key_id"), provider.label("provider")]


def _columns(table: Any) -> list[Any]:
    return [getattr(table, name) for name in SUMS]


def _counts() -> dict[str, ColumnElement[int]]:
    """What one receipt adds to each sum, in the order and with the names of the table's columns."""
    found: dict[str, Any] = {name: getattr(Completion, name, None) for name in SUMS}
    found["requests"] = literal(1)
    found["failures"] = case((Completion.outcome.in_(FAILED), 1), else_=0)
    return {name: column.label(name) for name, column in found.items()}


def _day_of_request(since: date) -> ColumnElement[date]:
    """The day of a request, by its id, which is how days are cut everywhere; the latest first."""
    today = utcnow().date()
    days = [today - n * ONE_DAY for n in range((today - since).days)]
    cases = [(Completion.id >= first_id_at(midnight(day)), literal(day, Date)) for day in days]
    last = literal(since, Date)
    return (case(*cases, else_=last) if cases else last).label("day")


def _sums() -> list[ColumnElement[int]]:
    return [func.sum(column).label(name) for name, column in _counts().items()]


_KEYS = (
    Completion.account_id,
    func.coalesce(Completion.key_id, 0).label("key_id"),
    Completion.model,
    Completion.provider,
)
_OF_ACCOUNTS = DaySums(
    "usage_days", UsageDay, Completion.id, select(*_KEYS, *_sums()).group_by(*_KEYS), SUMS
)
_OF_ALL = DaySums(
    "usage_totals",
    UsageTotal,
    Completion.id,
    select(Completion.provider, *_sums()).group_by(Completion.provider),
    SUMS,
)
_TABLES = (_OF_ACCOUNTS, _OF_ALL)
