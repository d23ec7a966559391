"""Tables of sums by day, filled hour by hour from rows whose ids are in time order.

How far a table reaches is a row of `roll_ups`, written with the sums as one. Whoever reads adds
what is younger from the rows themselves, in the same statement: nothing counts twice or not at all,
and a page reads some hours of rows, however many there are. Knows nothing of what is summed.
"""

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, time, timedelta
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    case,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.clock import first_id_at, start_of_day, time_of, utcnow
from solrouter.database import Database
from solrouter.models import RollUp
from solrouter.models.columns import TimeOrderedId

# A request that began so long ago has ended, and what it changes in the books is written.
SETTLED_AFTER = timedelta(hours=6)
STEPS_A_ROUND_MAX = 62
ONE_DAY = timedelta(days=1)
FIRST_OF_ALL = uuid.UUID(int=0)
BEFORE_ALL = time_of(FIRST_OF_ALL)


@dataclass(frozen=True, slots=True)
class DaySums:
    """A table of sums by day: its name in `roll_ups`, what it is filled from, and by which query.

    `query` selects the table's columns but for `day`, grouped, of all rows; the span is added here.
    `added` are the columns that grow; the others and the day say whose sums they are.
    """

    name: str
    table: Any
    source_id: Any
    query: Select[*tuple[Any, ...]]
    added: tuple[str, ...]
    # By database: until when there is nothing to sum up.
    _done: WeakKeyDictionary[Database, datetime] = field(default_factory=WeakKeyDictionary)

    def roll_up(self, now: datetime | None = None) -> int:
        """Sums up the hours that are settled since the last time; says how many steps it took."""
        settled = ((now or utcnow()) - SETTLED_AFTER).replace(minute=0, second=0, microsecond=0)
        ours = database.current()
        if self._done.get(ours) == settled:
            return 0
        for number in range(STEPS_A_ROUND_MAX):
            begin = database.read_apart(self._next_hour)
            if begin is None or begin >= settled:
                self._done[ours] = settled
                return number
            self._sum_up(begin, min(settled, start_of_day(begin) + ONE_DAY))
        return STEPS_A_ROUND_MAX

    def has_summed(self, connection: Connection, until: datetime) -> bool:
        """Whether all rows from before that instant are in the table."""
        summed = connection.execute(self._watermark()).scalar()
        return summed is not None and summed >= first_id_at(until)

    def begin_of_live(self, since: datetime) -> ColumnElement[uuid.UUID]:
        """The id from which on rows are not in the table; one bound, so that an index begins there.

        Read within the statement: what is summed meanwhile counts here or there, never twice.
        """
        until = func.coalesce(
            self._watermark().scalar_subquery(), literal(FIRST_OF_ALL, TimeOrderedId)
        )
        first = literal(first_id_at(since), TimeOrderedId)
        return case((until > first, until), else_=first)

    def _watermark(self) -> Select[uuid.UUID | None]:
        return select(RollUp.until_id).where(RollUp.name == self.name)

    def _next_hour(self, connection: Connection) -> datetime | None:
        """The first instant that is not summed up; None before the first row of all."""
        until = connection.execute(self._watermark()).scalar()
        if until is not None:
            return time_of(until)
        query = select(self.source_id).order_by(self.source_id).limit(1)
        first = connection.execute(query).scalar()
        if first is None:
            return None
        return time_of(first).replace(minute=0, second=0, microsecond=0)

    def _sum_up(self, begin: datetime, end: datetime) -> None:
        """Adds the rows from `begin` to `end`, which are of one day, to the table."""
        span = (self.source_id >= first_id_at(begin), self.source_id < first_id_at(end))
        query = self.query.where(*span)
        rows = database.read_apart(lambda connection: connection.execute(query).mappings().all())
        found = [{**row, "day": begin.date()} for row in rows]
        database.transact(lambda connection: self._keep(connection, found, begin, end))

    def _keep(
        self, connection: Connection, sums: list[dict[str, Any]], begin: datetime, end: datetime
    ) -> None:
        """Writes the sums, unless somebody else has: the watermark decides."""
        ours = (RollUp.name == self.name, RollUp.until_id == first_id_at(begin))
        values = {"until": end.date(), "until_id": first_id_at(end)}
        if not connection.execute(update(RollUp).where(*ours).values(**values)).rowcount:
            if connection.execute(self._watermark()).first() is not None:
                return
            connection.execute(insert(RollUp).values(name=self.name, **values))
        new = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        if not sums:
            return
        # One statement for all: to compile it costs more than to run it, and others wait to write.
        statement = new(self.table)
        added = {name: getattr(self.table, name) + statement.excluded[name] for name in self.added}
        keys = [column.name for column in self.table.__table__.primary_key]
        connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=added), sums)


def midnight(day: Any) -> datetime:
    """When a day began, UTC."""
    return datetime.combine(day, time(), UTC)
