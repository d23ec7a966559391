"""What an account's entries of the ledger came to, by kind and day.

Hours that are settled are summed once, by the housekeeping, into `ledger_days` (`roll_ups`); what
is asked for adds the transfers since. So a statement reads some hours of the ledger, however long
that is. The ledger itself stays the truth, and its audit compares the two.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Select,
    String,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    union_all,
)

from solrouter.clock import first_id_at
from solrouter.models import Account, LedgerDay, Transfer
from solrouter.services.roll_ups import BEFORE_ALL, DaySums

NAME = "ledger_days"


@dataclass(frozen=True, slots=True)
class Line:
    """One kind of entry in a time: how often, and what it came to; more is the customer's gain."""

    kind: str
    count: int
    amount_nanos: int


def roll_up(now: datetime | None = None) -> int:
    """Sums up the hours that are settled since the last time; says how many steps that took."""
    return _SUMS.roll_up(now)


def lines(
    connection: Connection, account_id: int, begins_at: datetime, ends_at: datetime
) -> tuple[Line, ...]:
    """The account's entries from one midnight to another, by kind."""
    both = _both(account_id, begins_at, ends_at).subquery()
    query = (
        select(both.c.kind, func.sum(both.c.entries), func.sum(both.c.amount_nanos))
        .group_by(both.c.kind)
        .order_by(both.c.kind)
    )
    return tuple(Line(kind, int(n), int(sum_)) for kind, n, sum_ in connection.execute(query))


def balance_at(connection: Connection, account_id: int, midnight: datetime) -> int:
    """The posted balance as it was: today's, less all that has come since.

    In one statement, so that both are of the same moment. Most people look at the last months.
    """
    both = _both(account_id, midnight, None).subquery()
    since = select(func.coalesce(func.sum(both.c.amount_nanos), 0)).scalar_subquery()
    now = Account.paid_nanos + Account.granted_nanos
    return int(connection.execute(select(now - since).where(Account.id == account_id)).scalar_one())


def differences(connection: Connection) -> Iterator[str]:
    """A sentence for each account whose sums are not its balance."""
    live = _SUMS.query.where(Transfer.id >= _SUMS.begin_of_live(BEFORE_ALL)).subquery()
    both = union_all(
        select(LedgerDay.account_id, LedgerDay.amount_nanos),
        select(live.c.account_id, live.c.amount_nanos),
    ).subquery()
    amount = func.sum(both.c.amount_nanos).label("total")
    sums = select(both.c.account_id, amount).group_by(both.c.account_id).subquery()
    total = cast(func.coalesce(sums.c.total, 0), BigInteger)
    posted = Account.paid_nanos + Account.granted_nanos
    query = (
        select(Account.public_id, posted, total)
        .outerjoin(sums, sums.c.account_id == Account.id)
        .where(posted != total)
    )
    for row in connection.execute(query):
        yield f"{row[0]}: {row[1]} nanodollars are posted, the ledger's sums by day say {row[2]}"


def _both(
    account_id: int, begins_at: datetime, ends_at: datetime | None
) -> Select[*tuple[Any, ...]] | Any:
    """What is summed and what is not, of this account and time."""
    days = [LedgerDay.account_id == account_id, LedgerDay.day >= begins_at.date()]
    live = [Transfer.account_id == account_id, Transfer.id >= _SUMS.begin_of_live(begins_at)]
    if ends_at is not None:
        days.append(LedgerDay.day < ends_at.date())
        live.append(Transfer.id < first_id_at(ends_at))
    return union_all(
        select(LedgerDay.kind, LedgerDay.entries, LedgerDay.amount_nanos).where(*days),
        select(Transfer.kind, *_of_entries()).where(*live, _is_own()).group_by(Transfer.kind),
    )


# What an entry is to its customer. Its other side may be anything.
def _begins_with_own(side: Any) -> Any:
    own = literal("customer:") + cast(Transfer.account_id, String) + literal(":")
    return func.substr(side, 1, func.length(own)) == own


def _is_own() -> Any:
    return or_(_begins_with_own(Transfer.credit), _begins_with_own(Transfer.debit))


def _of_entries() -> tuple[Any, Any]:
    """How many entries and what they came to: an entry may have a leg for each of two balances."""
    amount = case(
        (_begins_with_own(Transfer.credit), Transfer.amount_nanos), else_=-Transfer.amount_nanos
    )
    return (
        func.count(func.distinct(Transfer.id)).label("entries"),
        func.sum(amount).label("amount_nanos"),
    )


_SUMS = DaySums(
    NAME,
    LedgerDay,
    Transfer.id,
    select(Transfer.account_id, Transfer.kind, *_of_entries())
    .where(Transfer.account_id.is_not(None), _is_own())
    .group_by(Transfer.account_id, Transfer.kind),
    ("entries", "amount_nanos"),
)
