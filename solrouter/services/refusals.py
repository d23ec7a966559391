"""How often requests were refused, by day, key and reason. A refusal costs no statement of its own.

Each process counts in memory and adds its counts to the table every few seconds; what a crash loses
is a few seconds of statistics and no money.
"""

from collections import Counter
from datetime import date
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, func, select
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.clock import utcnow
from solrouter.database import Database
from solrouter.models import ApiKey, Refusal

CODE_CHARACTERS_MAX = 60
# A program gone mad must not fill the memory with keys that it makes up; real ones are few.
COUNTERS_MAX = 10_000

Counts = Counter[tuple[date, int, str]]
_waiting: WeakKeyDictionary[Database, Counts] = WeakKeyDictionary()


def note(key_id: int, code: str) -> None:
    """Counts one refusal."""
    counts = _waiting.setdefault(database.current(), Counter())
    if len(counts) < COUNTERS_MAX:
        counts[utcnow().date(), key_id, code[:CODE_CHARACTERS_MAX]] += 1


def flush() -> int:
    """Adds what was counted to the table; says how many refusals that were."""
    taken = _waiting.pop(database.current(), None)
    if not taken:
        return 0
    try:
        database.transact(lambda connection: _add(connection, taken), durable=False)
    except Exception:
        _waiting.setdefault(database.current(), Counter()).update(taken)
        raise
    return taken.total()


def today(account_id: int) -> dict[str, int]:
    """How often each reason refused the account's requests since midnight UTC."""
    query = (
        select(Refusal.code, func.sum(Refusal.count))
        .join(ApiKey, ApiKey.id == Refusal.key_id)
        .where(ApiKey.account_id == account_id, Refusal.day == utcnow().date())
        .group_by(Refusal.code)
        .order_by(Refusal.code)
    )
    with database.read() as connection:
        return {row[0]: int(row[1]) for row in connection.execute(query)}


def _add(connection: Connection, counts: Counts) -> None:
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    for (day, key_id, code), count in sorted(counts.items()):
        statement = insert(Refusal).values(day=day, key_id=key_id, code=code, count=count)
        connection.execute(
            statement.on_conflict_do_update(
                index_elements=[Refusal.day, Refusal.key_id, Refusal.code],
                set_={"count": Refusal.count + count},
            )
        )
