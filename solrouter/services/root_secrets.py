"""A new root secret: moving what is encrypted to it, and telling what still needs a former one.

Columns that hold ciphertext say so (`info=SEALED`), so that none is forgotten. API keys cannot be
moved here: only digests of their secrets are kept, and each is rewritten when it is next used.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Column, Connection, Table, exists, func, select, tuple_, update

from solrouter import database, secrets
from solrouter.extensions import Base
from solrouter.models import ApiKey, FormerSecret
from solrouter.models.columns import db_now
from solrouter.secrets import Secrets, Undecipherable
from solrouter.services import audit, key_rows

ROWS_AT_ONCE = 500


@dataclass(frozen=True, slots=True)
class Rotation:
    """What a rotation did. `lost` counts, by column, what no root secret of ours can read."""

    fields: int
    rewritten: int
    lost: Mapping[str, int]
    keys_waiting: int


def rotate(*, actor: str) -> Rotation:
    """Writes every encrypted field under the newest root secret that is not yet.

    May run while servers do: a field that changes meanwhile is left as it is then.
    """
    fields = rewritten = 0
    lost: Counter[str] = Counter()
    ours = secrets.current()
    for column in sealed_columns():
        for keys, ciphertext in list(_fields(column)):
            fields += 1
            try:
                fresh = ours.renewed(ciphertext)
            except Undecipherable:
                if not column.info.get("brief"):
                    lost[f"{_table(column).name}.{column.name}"] += 1
                continue
            if fresh is not None:
                rewritten += _rewrite(column, keys, ciphertext, fresh)
    if rewritten:
        _note(actor, rewritten)
    return Rotation(fields, rewritten, lost, _keys_waiting(ours))


def sealed_columns() -> list[Column[Any]]:
    """Every column that holds ciphertext."""
    return [
        column
        for table in Base.metadata.sorted_tables
        for column in table.columns
        if column.info.get("sealed")
    ]


def _fields(column: Column[Any]) -> Iterator[tuple[tuple[Any, ...], bytes]]:
    """Each field's primary key and ciphertext."""
    keys = tuple(_table(column).primary_key.columns)
    last: tuple[Any, ...] | None = None
    while True:
        statement = select(*keys, column).order_by(*keys).limit(ROWS_AT_ONCE)
        statement = statement.where(column.is_not(None))
        if last is not None:
            statement = statement.where(tuple_(*keys) > tuple_(*last))
        with database.read() as connection:
            rows = connection.execute(statement).all()
        yield from ((tuple(row[:-1]), row[-1]) for row in rows)
        if len(rows) < ROWS_AT_ONCE:
            return
        # The last field of this page, by all columns of its key.
        last = rows[-1][:-1]


def _rewrite(column: Column[Any], keys: tuple[Any, ...], old: bytes, fresh: bytes) -> int:
    table = _table(column)
    statement = update(table).values({column: fresh}).where(column == old)
    for key, value in zip(table.primary_key.columns, keys, strict=True):
        statement = statement.where(key == value)
    return database.transact(lambda connection: connection.execute(statement).rowcount)


def _keys_waiting(ours: Secrets) -> int:
    """Keys of which some secret works and is known under a former root secret alone."""
    newest = ours.newest.fingerprint
    rotated = exists().where(
        FormerSecret.key_id == ApiKey.id,
        FormerSecret.digest_version != newest,
        FormerSecret.ends_at > db_now(),
    )
    statement = select(func.count()).where(
        (ApiKey.digest_version != newest) | rotated,
        ApiKey.revoked_at.is_(None),
        key_rows.is_for_the_api(),
        ApiKey.expires_at.is_(None) | (ApiKey.expires_at > db_now()),
    )
    with database.read() as connection:
        return int(connection.execute(statement).scalar_one())


def _note(actor: str, rewritten: int) -> None:
    event = audit.event(
        actor=actor, action="secrets.rotated", subject="fields", details={"rewritten": rewritten}
    )

    def verb(connection: Connection) -> None:
        connection.execute(event)

    database.transact(verb)


def _table(column: Column[Any]) -> Table:
    table = column.table
    assert isinstance(table, Table)
    return table
