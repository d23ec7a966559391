"""Every process's counts in the database, and their sum: what `/metrics` shows, whoever is asked.

Each process tells its own row every few seconds if anything was counted, and before it reads. So a
sum never falls from one look to the next, on however many machines the processes run. The row of a
process that is gone is added to the one named ENDED.
"""

from collections import defaultdict
from collections.abc import Mapping
from functools import partial

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import counters, database
from solrouter.models import ProcessCount, Worker
from solrouter.models.columns import db_now

ENDED = "ended"


class _Told:
    """What this process has told its database, and what was taken from its row meanwhile."""

    def __init__(self) -> None:
        self.last: dict[str, float] = {}
        self.folded: dict[str, float] = {}


def tell(worker_id: str) -> bool:
    """Writes this process's counts, if they have changed; says whether it did."""
    told = database.current().remembered("process_counts", _Told)
    now = dict(counters.counts)
    if now == told.last:
        return False
    is_first = not told.last
    verb = partial(_tell, worker_id=worker_id, now=now, told=told, is_first=is_first)
    folded = database.transact(verb, durable=False)
    told.last, told.folded = now, folded
    return True


def _tell(
    connection: Connection,
    *,
    worker_id: str,
    now: Mapping[str, float],
    told: _Told,
    is_first: bool,
) -> dict[str, float]:
    """Writes the row; returns what of the counts stands in the row of the ended."""
    folded = told.folded
    row = select(ProcessCount.worker_id).where(ProcessCount.worker_id == worker_id)
    if not is_first and connection.execute(row.with_for_update()).first() is None:
        # Somebody took this process for gone: what it has told so far is counted there.
        folded = told.last
    mine = {name: value - folded.get(name, 0) for name, value in now.items()}
    _put(connection, worker_id, mine)
    return folded


def totals() -> dict[str, float]:
    """The sums of what all processes have told, those that are gone included."""
    found: defaultdict[str, float] = defaultdict(float)
    with database.read() as connection:
        for counts in connection.execute(select(ProcessCount.counts)).scalars():
            for name, value in counts.items():
                found[name] += value
    return dict(found)


def fold() -> int:
    """Adds the counts of processes that are gone to the row of the ended; says of how many."""
    return database.transact(_fold)


def _fold(connection: Connection) -> int:
    alive = select(Worker.id)
    gone = (
        delete(ProcessCount)
        .where(ProcessCount.worker_id != ENDED, ProcessCount.worker_id.not_in(alive))
        .returning(ProcessCount.counts)
    )
    rows = connection.execute(gone).scalars().all()
    if not rows:
        return 0
    before = select(ProcessCount.counts).where(ProcessCount.worker_id == ENDED).with_for_update()
    sums: defaultdict[str, float] = defaultdict(float, connection.execute(before).scalar() or {})
    for counts in rows:
        for name, value in counts.items():
            sums[name] += value
    _put(connection, ENDED, sums)
    return len(rows)


def _put(connection: Connection, worker_id: str, counts: Mapping[str, float]) -> None:
    new = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {"counts": dict(counts), "told_at": db_now()}
    statement = new(ProcessCount).values(worker_id=worker_id, **values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[ProcessCount.worker_id], set_=values)
    )
