"""Monthly statements of an account: opening and closing balance, and every entry between them.

They are cut by the transfers' time-ordered ids, so that each month opens where the last one closed
and nothing is in two months or in none.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, case, func, literal, or_, select

from solrouter import clock, database
from solrouter.errors import NotFound
from solrouter.models import Account, Transfer
from solrouter.services import billing
from solrouter.services.billing import Entry

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of entry in a month: how often, and what it came to."""

    kind: str
    count: int
    amount_nanos: int


@dataclass(frozen=True, slots=True)
class Statement:
    """A month; closing = opening + the sum of its lines."""

    month: str
    begins_at: datetime
    ends_at: datetime
    opening_nanos: int
    closing_nanos: int
    lines: tuple[Line, ...]


def months_of(account_id: int) -> list[str]:
    """The months of which there is a statement, as `2026-11`, newest first."""
    query = select(Transfer.created_at).where(Transfer.account_id == account_id)
    query = query.order_by(Transfer.id).limit(1)
    first = database.read_apart(lambda connection: connection.execute(query).scalar())
    month, found = _first_of(clock.utcnow()), []
    until = _first_of(first) if first is not None else month
    while month >= until:
        found.append(f"{month:%Y-%m}")
        month = _first_of(month - _A_DAY)
    return found


def of_month(account_id: int, month: str) -> Statement:
    """The account's statement of a month. Raises NotFound."""
    begins_at, ends_at = bounds(month)

    def read(connection: Connection) -> Statement:
        opening = _balance_at(connection, account_id, begins_at)
        lines = _lines(connection, account_id, begins_at, ends_at)
        closing = opening + sum(line.amount_nanos for line in lines)
        return Statement(month, begins_at, ends_at, opening, closing, lines)

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


def _own(account_id: int) -> tuple[Any, Any, Any]:
    """What an entry is to the customer, and whether it goes to or from them."""
    own = literal(f"customer:{account_id}:")
    comes = func.substr(Transfer.credit, 1, func.length(own)) == own
    goes = func.substr(Transfer.debit, 1, func.length(own)) == own
    amount = case((comes, Transfer.amount_nanos), (goes, -Transfer.amount_nanos), else_=0)
    return comes, goes, amount


def _balance_at(connection: Connection, account_id: int, moment: datetime) -> int:
    """The balance as it was: today's, less all that has come since.

    In one statement, so that both are of the same moment. Most people look at the last months.
    """
    _, _, amount = _own(account_id)
    since = select(func.coalesce(func.sum(amount), 0)).where(
        Transfer.account_id == account_id, Transfer.id >= clock.first_id_at(moment)
    )
    now = Account.paid_nanos + Account.granted_nanos
    query = select(now - since.scalar_subquery()).where(Account.id == account_id)
    return int(connection.execute(query).scalar_one())


def _lines(
    connection: Connection, account_id: int, begins_at: datetime, ends_at: datetime
) -> tuple[Line, ...]:
    comes, goes, amount = _own(account_id)
    query = (
        select(Transfer.kind, func.count(func.distinct(Transfer.id)), func.sum(amount))
        .where(
            Transfer.account_id == account_id,
            Transfer.id >= clock.first_id_at(begins_at),
            Transfer.id < clock.first_id_at(ends_at),
            or_(comes, goes),
        )
        .group_by(Transfer.kind)
        .order_by(Transfer.kind)
    )
    return tuple(Line(row[0], int(row[1]), int(row[2])) for row in connection.execute(query))
