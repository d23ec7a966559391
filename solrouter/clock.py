"""The only clocks of the process, and ids in time order. Durations come from `monotonic_s`.

What must agree between machines (limits, leases, budgets) asks the database's clock instead.
"""

import secrets
import time
import uuid
from datetime import UTC, datetime


def utcnow() -> datetime:
    """Now, with its time zone."""
    return datetime.now(UTC)


# Seconds that never jump; only differences mean anything.
monotonic_s = time.monotonic


def new_id() -> uuid.UUID:
    """A UUIDv7 (RFC 9562 §5.7): 48 bits of milliseconds, 12 of their fraction, 62 random bits.

    Its order is time's order, so that primary keys append and tables can be cut by month. The
    fraction (§6.2, method 3: steps of 244 ns) keeps apart what one process does in a millisecond.
    """
    milliseconds, nanoseconds = divmod(time.time_ns(), 1_000_000)
    value = (milliseconds & (2**48 - 1)) << 80
    value |= 0x7 << 76
    value |= (nanoseconds << 12) // 1_000_000 << 64
    value |= 0b10 << 62
    value |= secrets.randbits(62)
    return uuid.UUID(int=value)


def first_id_at(at: datetime) -> uuid.UUID:
    """The smallest UUIDv7 of an instant: ids are in time order, so they serve as the time index."""
    return uuid.UUID(int=int(at.timestamp() * 1000) << 80)


def time_of(identifier: uuid.UUID) -> datetime:
    """When an id was made: its milliseconds."""
    return datetime.fromtimestamp((identifier.int >> 80) / 1000, UTC)


def start_of_day(at: datetime) -> datetime:
    """Midnight before that instant, UTC."""
    return at.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def start_of_month(at: datetime) -> datetime:
    """Midnight of the first of that month, UTC."""
    return start_of_day(at).replace(day=1)


def months_later(month: datetime, months: int) -> datetime:
    """The first of a month so many months after the first of another, or before it."""
    years, index = divmod(month.month - 1 + months, 12)
    return month.replace(year=month.year + years, month=index + 1)
