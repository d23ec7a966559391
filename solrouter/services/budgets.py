"""Budgets in money: when a period begins, what is spent in it, and the row behind a key's limit.

Builds statements; verbs of others run them in their transactions. A period passes without a job:
whoever reads or charges a budget compares `period_start` with the calendar of the database's clock,
by the one expression that is here.

    lifetime   for ever          never reset
    day        00:00 UTC         every day
    week       Monday, 00:00     every week
    month      the 1st, 00:00    every month
"""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.expression import FunctionElement

from solrouter.clock import first_id_at
from solrouter.models import Budget, Completion, Hold
from solrouter.models.columns import UtcDateTime

LIFETIME, DAY, WEEK, MONTH = "lifetime", "day", "week", "month"
NEVER = "never"
# What people, commands and OpenRouter's clients call the periods.
PERIODS = {NEVER: LIFETIME, "daily": DAY, "weekly": WEEK, "monthly": MONTH}
RESETS = {period: word for word, period in PERIODS.items()}
# A lifetime began before every hold, whichever machine's clock wrote the hold down.
EVER = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Limit:
    """What may be spent in each period."""

    nanos: int
    period: str


@dataclass(frozen=True, slots=True)
class Calendar:
    """When the current day, week and month began, UTC, by the database's clock."""

    day: datetime
    week: datetime
    month: datetime

    def start(self, period: str) -> datetime:
        """When the current period of this kind began."""
        return {LIFETIME: EVER, DAY: self.day, WEEK: self.week, MONTH: self.month}[period]


class _Start(FunctionElement[datetime]):
    """When the current day, week or month began, UTC, by the database's clock."""

    type = UtcDateTime()
    inherit_cache = True
    unit = ""
    modifiers = ""


class day_start(_Start):  # noqa: N801 (reads as the SQL function it is)
    """Today's midnight."""

    inherit_cache = True
    unit = DAY


class week_start(_Start):  # noqa: N801
    """This week's Monday: `weekday 0` moves on to Sunday, today included; six days back from it."""

    inherit_cache = True
    unit = WEEK
    modifiers = ", 'weekday 0', '-6 days'"


class month_start(_Start):  # noqa: N801
    """The first of this month."""

    inherit_cache = True
    unit = MONTH
    modifiers = ", 'start of month'"


@compiles(_Start, "postgresql")
def _postgresql_start(element: _Start, compiler: SQLCompiler, **kw: Any) -> str:
    return f"date_trunc('{element.unit}', clock_timestamp(), 'UTC')"


@compiles(_Start, "sqlite")
def _sqlite_start(element: _Start, compiler: SQLCompiler, **kw: Any) -> str:
    # Six digits, as SQLAlchemy writes them, so that texts compare as times do.
    return f"strftime('%Y-%m-%d 00:00:00.000000', 'now'{element.modifiers})"


def period_start() -> ColumnElement[datetime]:
    """When the current period of a budget's row began."""
    return case(
        (Budget.period == DAY, day_start()),
        (Budget.period == WEEK, week_start()),
        (Budget.period == MONTH, month_start()),
        else_=Budget.period_start,
    )


def spent_now() -> ColumnElement[int]:
    """What is spent of a budget's row in its current period: nothing, if that of the row passed."""
    return case((Budget.period_start < period_start(), 0), else_=Budget.spent_nanos)


def period_end(period: str | None, start: datetime | None) -> datetime | None:
    """When the period that began then is over; None for a lifetime."""
    if period is None or period == LIFETIME or start is None:
        return None
    if period == MONTH:
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if period == WEEK else 1)


def subject(key_id: int) -> str:
    """The name of a key in the budgets table."""
    return f"key:{key_id}"


def calendar(connection: Connection) -> Calendar:
    """The calendar of the database's clock."""
    return Calendar(*connection.execute(select(day_start(), week_start(), month_start())).one())


def charged(key_id: int, *, since: datetime, before: datetime | None = None) -> Select[int]:
    """The query for what the key's requests of this time have been charged."""
    query = select(func.coalesce(func.sum(Completion.charge_nanos), 0)).where(
        Completion.key_id == key_id, Completion.id >= first_id_at(since)
    )
    return query if before is None else query.where(Completion.id < first_id_at(before))


def held(account_id: int, key_id: int, *, since: datetime) -> Select[int]:
    """The query for what the key's running requests hold that began in this time.

    Their settlement gives back what they hold too much to the same budgets, by the same condition.
    """
    return select(func.coalesce(func.sum(Hold.amount_nanos), 0)).where(
        Hold.account_id == account_id, Hold.key_id == key_id, Hold.created_at >= since
    )


def put(connection: Connection, key_id: int, limit: Limit, *, start: datetime, spent: int) -> None:
    """Gives a key this limit in place of any other, with what has been spent since `start`."""
    remove(connection, key_id)
    row = {"limit_nanos": limit.nanos, "spent_nanos": spent, "period_start": start}
    connection.execute(insert(Budget).values(subject=subject(key_id), period=limit.period, **row))


def change_amount(connection: Connection, key_id: int, limit: Limit) -> bool:
    """Changes what the key may spend in each period, and what is spent stands.

    False when it has no limit of this period.
    """
    changed = update(Budget).where(Budget.subject == subject(key_id))
    changed = changed.where(Budget.period == limit.period)
    return connection.execute(changed.values(limit_nanos=limit.nanos)).rowcount == 1


def remove(connection: Connection, key_id: int) -> None:
    """Takes a key's limit away."""
    connection.execute(delete(Budget).where(Budget.subject == subject(key_id)))
