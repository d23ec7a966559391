"""Budgets in money, of keys and of members: when a period begins, what is spent in it, the rows.

Builds statements; verbs of others run them in their transactions. A period passes without a job:
whoever reads or charges a budget compares `period_start` with the calendar of the database's clock,
by the one expression that is here. A request counts in the period in which it was admitted, with
all that it grows to: what a later period finds running is none of its own (`is_of_its_period`).

    lifetime   for ever          never reset
    day        00:00 UTC         every day
    week       Monday, 00:00     every week
    month      the 1st, 00:00    every month
"""

from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    bindparam,
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

from solrouter import config, database
from solrouter.clock import first_id_at, utcnow
from solrouter.models import ApiKey, Budget, Completion, Hold, KeyDay, RollUp
from solrouter.models.columns import UtcDateTime

# Up to which day the charges of keys are summed, among the marks of how far sums reach.
KEY_DAYS = "key_days"
LIFETIME, DAY, WEEK, MONTH = "lifetime", "day", "week", "month"
NEVER = "never"
# What people, commands and OpenRouter's clients call the periods.
PERIODS = {NEVER: LIFETIME, "daily": DAY, "weekly": WEEK, "monthly": MONTH}
RESETS = {period: word for word, period in PERIODS.items()}
# A request older than its deadline and this has been settled: what it cost changes no more.
SETTLED_AFTER = timedelta(hours=1)
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


def is_of_its_period() -> ColumnElement[bool]:
    """The condition for the budgets whose current period had begun when a request was admitted.

    Whoever charges a running request or gives back asks it, so that no more is given back than was
    taken. For a prepared statement.
    """
    return period_start() <= bindparam("admitted_at", type_=UtcDateTime())


def charging(amount: ColumnElement[int]) -> dict[str, ColumnElement[Any]]:
    """The columns of a budget's row that is charged this much in its current period."""
    start = period_start()
    return {
        "spent_nanos": spent_now() + amount,
        "period_start": case((Budget.period_start < start, start), else_=Budget.period_start),
    }


def period_end(period: str | None, start: datetime | None) -> datetime | None:
    """When the period that began then is over; None for a lifetime."""
    if period is None or period == LIFETIME or start is None:
        return None
    if period == MONTH:
        return (start + timedelta(days=32)).replace(day=1)
    return start + timedelta(days=7 if period == WEEK else 1)


@dataclass(frozen=True, slots=True)
class OfKey:
    """A key's budget, and which requests count for it."""

    account_id: int
    key_id: int

    @property
    def subject(self) -> str:
        """Its name in the table."""
        return subject(self.key_id)

    def counts(self, table: type[Completion] | type[Hold]) -> tuple[ColumnElement[bool], ...]:
        """The conditions for the requests that count for it."""
        return table.account_id == self.account_id, table.key_id == self.key_id

    def key_ids(self) -> Select[int]:
        """The query for the keys that count for it."""
        return select(ApiKey.id).where(
            ApiKey.account_id == self.account_id, ApiKey.id == self.key_id
        )


@dataclass(frozen=True, slots=True)
class OfMember:
    """The budget of a member in an account, for all keys that they have made there."""

    account_id: int
    user_id: int

    @property
    def subject(self) -> str:
        """Its name in the table."""
        return member_subject(self.account_id, self.user_id)

    def counts(self, table: type[Completion] | type[Hold]) -> tuple[ColumnElement[bool], ...]:
        """The conditions for the requests that count for it."""
        return table.account_id == self.account_id, table.user_id == self.user_id

    def key_ids(self) -> Select[int]:
        """The query for the keys that count for it."""
        return select(ApiKey.id).where(
            ApiKey.account_id == self.account_id, ApiKey.user_id == self.user_id
        )


Owner = OfKey | OfMember


def subject(key_id: int) -> str:
    """The name of a key in the budgets table."""
    return f"key:{key_id}"


def member_subject(account_id: int, user_id: int) -> str:
    """The name of an account's member in the budgets table."""
    return f"member:{account_id}:{user_id}"


def subjects_of(row: Any) -> dict[str, str]:
    """The names of the budgets that a request counts for, as `bind` wants them.

    Of whatever says its `key_id`, `account_id` and `user_id`.
    """
    return {
        "key_subject": subject(row.key_id),
        "member_subject": member_subject(row.account_id, row.user_id),
    }


def is_counted() -> ColumnElement[bool]:
    """The condition for the budgets of `subjects_of`, for a prepared statement."""
    return Budget.subject.in_([bindparam("key_subject"), bindparam("member_subject")])


def calendar(connection: Connection) -> Calendar:
    """The calendar of the database's clock."""
    day, week, month = connection.execute(select(*calendar_columns())).one()
    return Calendar(day, week, month)


def calendar_columns() -> tuple[
    ColumnElement[datetime], ColumnElement[datetime], ColumnElement[datetime]
]:
    """What `calendar` asks for, for a query that asks for more."""
    return day_start(), week_start(), month_start()


def charged(whose: Owner, *, since: datetime, before: datetime | None = None) -> Select[int]:
    """The query for what the requests of this time have been charged that count."""
    query = select(func.coalesce(func.sum(Completion.charge_nanos), 0)).where(
        *whose.counts(Completion), Completion.id >= first_id_at(since)
    )
    return query if before is None else query.where(Completion.id < first_id_at(before))


def held(whose: Owner, *, since: datetime) -> Select[int]:
    """The query for what the running requests hold that count and began in this time.

    Their settlement gives back what they hold too much to the same budgets, by the same condition.
    """
    return select(func.coalesce(func.sum(Hold.amount_nanos), 0)).where(
        *whose.counts(Hold), Hold.created_at >= since
    )


@dataclass(frozen=True, slots=True)
class Past:
    """When a period began, what was charged in it for good, and until when that is counted."""

    start: datetime
    charged_nanos: int
    until: datetime


def past(whose: Owner, period: str) -> Past:
    """What was spent of a period that nobody counted until now.

    Summed outside of any transaction, which a long history would keep open for too long; what may
    still change is counted within it (`begin`).
    """
    settled_after = SETTLED_AFTER + timedelta(seconds=config.current()["SOLROUTER_TOTAL_S"])

    def query(connection: Connection) -> Past:
        start = calendar(connection).start(period)
        until = max(start, utcnow() - settled_after)
        summed, since = _summed(connection, whose) if period == LIFETIME else (0, start)
        found = connection.execute(charged(whose, since=since, before=until)).scalar_one()
        return Past(start, summed + int(found), until)

    return database.read_apart(query)


def _summed(connection: Connection, whose: Owner) -> tuple[int, datetime]:
    """What was charged by the sums of days, which outlive receipts, and until when they reach."""
    until = connection.execute(select(RollUp.until).where(RollUp.name == KEY_DAYS)).scalar()
    if until is None:
        return 0, EVER
    days = select(func.coalesce(func.sum(KeyDay.charge_nanos), 0)).where(
        KeyDay.key_id.in_(whose.key_ids()), KeyDay.day < until
    )
    return int(connection.execute(days).scalar_one()), datetime.combine(until, time(), UTC)


def begin(connection: Connection, whose: Owner, limit: Limit, before: Past) -> None:
    """Gives this limit in place of any other, with all that was spent in its period.

    For whoever has the account's lock, so that no request is counted half.
    """
    start = calendar(connection).start(limit.period)
    if start > before.start:
        # It has turned since: what was spent of the one before is over.
        before = Past(start, 0, start)
    recent = connection.execute(charged(whose, since=before.until)).scalar_one()
    running = connection.execute(held(whose, since=before.start)).scalar_one()
    spent = before.charged_nanos + int(recent) + int(running)
    put(connection, whose, limit, start=before.start, spent=spent)


def put(connection: Connection, whose: Owner, limit: Limit, *, start: datetime, spent: int) -> None:
    """Gives this limit in place of any other, with what has been spent since `start`."""
    remove(connection, whose)
    row = {"limit_nanos": limit.nanos, "spent_nanos": spent, "period_start": start}
    connection.execute(insert(Budget).values(subject=whose.subject, period=limit.period, **row))


def change_amount(connection: Connection, whose: Owner, limit: Limit) -> bool:
    """Changes what may be spent in each period, and what is spent stands.

    False when there is no limit of this period.
    """
    changed = update(Budget).where(Budget.subject == whose.subject, Budget.period == limit.period)
    return connection.execute(changed.values(limit_nanos=limit.nanos)).rowcount == 1


def remove(connection: Connection, whose: Owner) -> None:
    """Takes the limit away."""
    connection.execute(delete(Budget).where(Budget.subject == whose.subject))
