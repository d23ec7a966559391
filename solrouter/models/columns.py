"""Column types and the database's own clock, alike on both databases.

Times are UTC and aware. Ids of requests and transfers are UUIDv7 in sixteen bytes. What must agree
between machines asks `db_now`, since machines' clocks differ.
"""

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import JSON, BigInteger, DateTime, Dialect, Integer, LargeBinary, Uuid
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql import expression
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.types import TypeDecorator, TypeEngine

# SQLite's clock tells whole thousandths, rounded down: a time of our own may be so much behind it.
CLOCK_GRAIN = timedelta(milliseconds=1)
RowNumber = BigInteger().with_variant(Integer, "sqlite")
JULIAN_1970_MS = (
    210_866_760_000_000  # midnight of 1 January 1970 as SQLite counts its Julian milliseconds
)
# Marks a column of ciphertext under the root secret, which `flask secrets rotate` must find.
SEALED = {"sealed": True}
# The same for what is kept for an hour: if it cannot be read any more, nobody has lost it.
SEALED_BRIEFLY = {"sealed": True, "brief": True}
Json = JSON().with_variant(JSONB, "postgresql")


def characters_max(column: Any) -> int:
    """How long a text may be that this column keeps."""
    return int(column.type.length)


def number_max(column: Any) -> int:
    """The largest number that this column keeps, on either database."""
    return 2**63 - 1 if isinstance(column.type, BigInteger) else 2**31 - 1


class UtcDateTime(TypeDecorator[datetime]):
    """An aware UTC time; `timestamptz` on PostgreSQL, ISO text on SQLite."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        assert value.tzinfo is not None, "times carry their zone"
        value = value.astimezone(UTC)
        return value.replace(tzinfo=None) if dialect.name == "sqlite" else value

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


class TimeOrderedId(TypeDecorator[uuid.UUID]):
    """A UUIDv7: `uuid` on PostgreSQL, sixteen bytes on SQLite; both sort in time order."""

    impl = LargeBinary(16)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "postgresql":
            return dialect.type_descriptor(Uuid(as_uuid=True))
        return dialect.type_descriptor(LargeBinary(16))

    def process_bind_param(self, value: uuid.UUID | None, dialect: Dialect) -> Any:
        if value is None or dialect.name == "postgresql":
            return value
        return value.bytes

    def process_result_value(self, value: Any, dialect: Dialect) -> uuid.UUID | None:
        if value is None or isinstance(value, uuid.UUID):
            return value
        return uuid.UUID(bytes=bytes(value))


class db_now(expression.FunctionElement[datetime]):  # noqa: N801 (reads as the SQL function it is)
    """The database's clock, plus or minus whole seconds, or a parameter of so many."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, plus_s: int | expression.BindParameter[int] = 0) -> None:
        if isinstance(plus_s, int):
            plus_s = expression.literal(plus_s, Integer)
        super().__init__(plus_s)


@compiles(db_now, "postgresql")
def _postgresql_now(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:
    shift = compiler.process(element.clauses, **kw)
    return f"(clock_timestamp() + make_interval(secs => {shift}))"


@compiles(db_now, "sqlite")
def _sqlite_now(element: db_now, compiler: SQLCompiler, **kw: Any) -> str:
    shift = compiler.process(element.clauses, **kw)
    return _sqlite_moment(f"'now', ({shift}) || ' seconds'")


def _sqlite_moment(when: str) -> str:
    """Return a moment as text with six digits, as SQLAlchemy writes it: texts compare as times do.

    The thousandths come from ``julianday`` and not from ``%f``: SQLite prints the latter with the
    processor's extended floats, and wrote ``NaN`` for the seconds when another library of the
    process had left that unit's registers full.
    """
    return (
        f"(strftime('%Y-%m-%d %H:%M:%S', {when}) || printf('.%03d000', {_sqlite_ms(when)} % 1000))"
    )


def _sqlite_ms(when: str) -> str:
    """Return a moment's whole Julian milliseconds; the day's double is exact to 0.05 of one."""
    return f"CAST(round(julianday({when}) * 86400000) AS INTEGER)"


class db_now_us(expression.FunctionElement[int]):  # noqa: N801 (reads as the SQL function it is)
    """The database's clock in whole microseconds since 1970."""

    type = BigInteger()
    inherit_cache = True


@compiles(db_now_us, "postgresql")
def _postgresql_now_us(element: db_now_us, compiler: SQLCompiler, **kw: Any) -> str:
    return "(extract(epoch from clock_timestamp()) * 1000000)::bigint"


@compiles(db_now_us, "sqlite")
def _sqlite_now_us(element: db_now_us, compiler: SQLCompiler, **kw: Any) -> str:
    now_ms = _sqlite_ms("'now'")
    return f"(({now_ms} - {JULIAN_1970_MS}) * 1000)"


class days_after(expression.FunctionElement[datetime]):  # noqa: N801 (reads as the SQL function it is)
    """A column's time and so many days."""

    type = UtcDateTime()
    inherit_cache = True

    def __init__(self, moment: Any, days: int) -> None:
        super().__init__(moment, expression.literal(days, Integer))


@compiles(days_after, "postgresql")
def _postgresql_later(element: days_after, compiler: SQLCompiler, **kw: Any) -> str:
    moment, days = (compiler.process(clause, **kw) for clause in element.clauses)
    return f"({moment} + make_interval(days => {days}))"


@compiles(days_after, "sqlite")
def _sqlite_later(element: days_after, compiler: SQLCompiler, **kw: Any) -> str:
    moment, days = (compiler.process(clause, **kw) for clause in element.clauses)
    return _sqlite_moment(f"{moment}, ({days}) || ' days'")
