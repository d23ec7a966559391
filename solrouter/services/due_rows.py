"""Orders that wait in a table until they are due: each taken by one process, and tried again later.

The table has `id`, `due_at` (null: there is nothing more to do) and `tries`. A process that dies
with an order leaves it to be tried again: it may be carried out twice, never not.
"""

import threading
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, select, update

from solrouter import database
from solrouter.models.columns import db_now

# How many one process takes at a time.
AT_ONCE_MAX = 20


class Bell:
    """Wakes who carries orders out, in this process."""

    def __init__(self) -> None:
        self._event = threading.Event()

    def ring(self) -> None:
        """Says that there is something to do; for after the commit."""
        self._event.set()

    def wait(self, timeout_s: float) -> None:
        """Returns when somebody rang, or after a while."""
        self._event.wait(timeout_s)
        self._event.clear()


def claim(
    table: Any, columns: Sequence[Any], *, claim_s: int, ahead_s: int = 0
) -> list[tuple[Any, ...]]:
    """Takes some orders that are due, or will be in `ahead_s`, and counts a try for each.

    For `claim_s` they are nobody else's.
    """
    is_due = table.due_at <= db_now(ahead_s)

    def take(connection: Connection) -> list[tuple[Any, ...]]:
        due = select(table.id).where(is_due).order_by(table.due_at, table.id).limit(AT_ONCE_MAX)
        taken = []
        for order_id in connection.execute(due).scalars().all():
            row = connection.execute(
                update(table)
                .where(table.id == order_id, is_due)
                .values(due_at=db_now(claim_s + ahead_s), tries=table.tries + 1)
                .returning(*columns)
            ).one_or_none()
            if row is not None:
                taken.append(tuple(row))
        return taken

    return database.transact(take)


def is_any_due(table: Any, *, ahead_s: int = 0) -> bool:
    """Whether there is anything to claim; mostly there is not, which a look tells."""
    due = select(table.id).where(table.due_at <= db_now(ahead_s)).limit(1)
    with database.read() as connection:
        return connection.execute(due).first() is not None
