"""Monthly statements of an account: opening and closing balance, and every entry between them.

They are cut by the transfers' time-ordered ids, so that each month opens where the last one closed
and nothing is in two months or in none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from sqlalchemy import Connection, select

from solrouter import clock, database
from solrouter.errors import NotFound
from solrouter.models import Transfer
from solrouter.services import billing, ledger_days
from solrouter.services.billing import Entry
from solrouter.services.ledger_days import Line

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Statement:
    """A month; closing = opening + the sum of its lines."""

    month: str
    begins_at: datetime
    ends_at: datetime
    opening_nanos: int
    closing_nanos: int
    lines: tuple[Line, ...]
    # When it was drawn up.
    told_at: datetime

    @property
    def is_over(self) -> bool:
        """Whether the month is; before, nothing closes, and the last balance is that so far."""
        return self.ends_at <= self.told_at


def months_of(account_id: int) -> list[str]:
    """The months of which there is a statement, as `2026-11`, newest first."""
    query = select(Transfer.id).where(Transfer.account_id == account_id)
    query = query.order_by(Transfer.id).limit(1)
    first = database.read_apart(lambda connection: connection.execute(query).scalar())
    month, found = _first_of(clock.utcnow()), []
    until = _first_of(clock.time_of(first)) if first is not None else month
    while month >= until:
        found.append(f"{month:%Y-%m}")
        month = _first_of(month - _A_DAY)
    return found


def of_month(account_id: int, month: str) -> Statement:
    """The account's statement of a month. Raises NotFound."""
    begins_at, ends_at = bounds(month)

    def read(connection: Connection) -> Statement:
        opening = ledger_days.balance_at(connection, account_id, begins_at)
        lines = ledger_days.lines(connection, account_id, begins_at, ends_at)
        closing = opening + sum(line.amount_nanos for line in lines)
        return Statement(month, begins_at, ends_at, opening, closing, lines, clock.utcnow())

    return database.read_apart(read)


def entries(account_id: int, month: str) -> Iterator[Entry]:
    """The month's entries, newest first, a page at a time. Raises NotFound."""
    begins_at, ends_at = bounds(month)
    before: str | None = str(clock.first_id_at(ends_at))
    begins = clock.first_id_at(begins_at)
    while found := billing.statement(account_id, limit=ROWS_AT_ONCE, before=before):
        for entry in found:
            if entry.id < str(begins):
                return
            yield entry
        before = found[-1].id


def bounds(month: str) -> tuple[datetime, datetime]:
    """When a month begins and ends, UTC. Raises NotFound for what is no month."""
    try:
        begins_at = datetime.strptime(month, "%Y-%m").replace(tzinfo=UTC)
    except ValueError:
        raise NotFound("There is no such month.") from None
    # `2026-7` and digits of other scripts can be read too, and name files that nobody can.
    if month != f"{begins_at:%Y-%m}":
        raise NotFound("There is no such month.")
    # Ids hold 48 bits of milliseconds, and none is from before 1970.
    if not 1970 < begins_at.year < 9999:
        raise NotFound("There is no such month.")
    return begins_at, _first_of(begins_at + 31 * _A_DAY)


_A_DAY = datetime(1970, 1, 2, tzinfo=UTC) - datetime(1970, 1, 1, tzinfo=UTC)


def _first_of(moment: datetime) -> datetime:
    return clock.start_of_day(moment).replace(day=1)
