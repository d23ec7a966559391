"""The database's clock as text on SQLite, down to the last thousandth."""

import ctypes
import mmap
import platform
import sqlite3
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import literal_column, select
from sqlalchemy.dialects import sqlite

from solrouter.models.columns import UtcDateTime, days_after, db_now, db_now_us

# Machine code for x86-64: eight times `fldz`, or `fninit`, and `ret`.
FILL_THE_STACK = bytes([0xD9, 0xEE] * 8 + [0xC3])
EMPTY_THE_STACK = bytes([0xDB, 0xE3, 0xC3])


@pytest.fixture
def connection() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    yield connection
    connection.close()


def _sql(expression: object) -> str:
    query = select(expression)  # type: ignore[call-overload]
    return str(query.compile(dialect=sqlite.dialect(), compile_kwargs={"literal_binds": True}))


def _machine_code(code: bytes) -> Callable[[], None]:
    page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    page.write(code)
    call = ctypes.CFUNCTYPE(None)(ctypes.addressof(ctypes.c_char.from_buffer(page)))
    call.page = page  # type: ignore[attr-defined]  # kept as long as the function
    return call


def test_now_is_the_time_of_day_to_the_thousandth(connection: sqlite3.Connection) -> None:
    before = datetime.now(UTC).replace(tzinfo=None) - timedelta(milliseconds=1)
    text, later, stamp_us = connection.execute(
        f"SELECT ({_sql(db_now())}), ({_sql(db_now(90))}), ({_sql(db_now_us())})"
    ).fetchone()
    after = datetime.now(UTC).replace(tzinfo=None) + timedelta(milliseconds=1)
    now = datetime.fromisoformat(text)
    assert len(text) == len("2026-01-01 00:00:00.000000")
    assert before <= now <= after
    assert datetime.fromisoformat(later) - now == timedelta(seconds=90)
    assert datetime.fromtimestamp(stamp_us / 1e6, UTC).replace(tzinfo=None) == now


@pytest.mark.parametrize("thousandth", range(0, 1000, 37))
def test_a_columns_time_keeps_its_thousandths(
    connection: sqlite3.Connection, thousandth: int
) -> None:
    column = literal_column(f"'2026-02-27 23:59:59.{thousandth:03d}000'", UtcDateTime())
    (text,) = connection.execute(_sql(days_after(column, 2))).fetchone()
    assert text == f"2026-03-01 23:59:59.{thousandth:03d}000"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the code planted is x86-64's")
def test_full_float_registers_do_not_reach_the_clock(connection: sqlite3.Connection) -> None:
    fill, empty = _machine_code(FILL_THE_STACK), _machine_code(EMPTY_THE_STACK)
    fill()
    try:
        text, stamp_us = connection.execute(
            f"SELECT ({_sql(db_now())}), ({_sql(db_now_us())})"
        ).fetchone()
    finally:
        empty()
    now = datetime.now(UTC).replace(tzinfo=None)
    assert abs(datetime.fromisoformat(text) - now) < timedelta(minutes=1)
    assert abs(datetime.fromtimestamp(stamp_us / 1e6, UTC).replace(tzinfo=None) - now) < timedelta(
        minutes=1
    )
