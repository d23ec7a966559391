"""How the migrations run: through the app's own tables, in one transaction, one machine at a time.

| database   | who waits for whom                                                              |
|------------|---------------------------------------------------------------------------------|
| PostgreSQL | an advisory lock; whoever comes second finds nothing left to do                 |
| SQLite     | BEGIN IMMEDIATE, with a long busy timeout (database/engines.py)                 |

A change of a table must wait until nobody reads it, and meanwhile everybody else waits behind it.
So it gives up after a moment, undoes all, and tries again a little later.
"""

import sys
import time

from alembic import context
from flask import current_app
from sqlalchemy import Connection, text
from sqlalchemy.exc import OperationalError

from solrouter import models
from solrouter.database import migration_engine
from solrouter.database.faults import sqlstate
from solrouter.extensions import db
from solrouter.services import schema

# Any number; PostgreSQL's advisory lock makes the second machine wait for the first.
MIGRATION_LOCK = 7_105_202_611
TURN_TIMEOUT = "15min"
TABLE_TIMEOUT = "3s"
LOCK_NOT_AVAILABLE = "55P03"
TRIES_MAX = 20
PAUSE_S = 2.0

assert models.User.__table__ is not None


def partitions(connection: Connection) -> set[str]:
    """The tables that are parts of others, of which no model knows."""
    if connection.dialect.name != "postgresql":
        return set()
    query = text("SELECT relname FROM pg_class WHERE relispartition AND relkind = 'r'")
    return set(connection.execute(query).scalars())


def migrate(connection: Connection) -> None:
    """Runs the migrations over one connection, in one transaction."""

    def is_ours(name: str | None, kind: str, _parents: object) -> bool:
        return kind != "table" or name not in partitions(connection)

    # Ours, begun before Alembic looks: by itself it would open one for each migration on SQLite.
    with connection.begin():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{TURN_TIMEOUT}'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
            connection.execute(text(f"SET LOCAL lock_timeout = '{TABLE_TIMEOUT}'"))
            problem = schema.encoding_problem(connection)
            if problem is not None:
                raise SystemExit(f"In {problem}. {schema.IN_UTF8}")
        context.configure(
            connection=connection,
            target_metadata=db.metadata,
            include_name=is_ours,
            render_as_batch=connection.dialect.name == "sqlite",
            compare_type=True,
        )
        with context.begin_transaction():
            context.run_migrations()
        schema.note_oldest_code(connection)


def migrate_patiently(connection: Connection) -> None:
    """`migrate`, again and again while somebody reads a table for long."""
    for tries_left in reversed(range(TRIES_MAX)):
        try:
            return migrate(connection)
        except OperationalError as error:
            if sqlstate(error) != LOCK_NOT_AVAILABLE or not tries_left:
                raise
            sys.stderr.write("A table is in use. Nothing was changed; trying again.\n")
            time.sleep(PAUSE_S)
    return None


if context.is_offline_mode():
    raise SystemExit(
        "offline migrations are not supported: run flask db upgrade against a database"
    )

engine = migration_engine(current_app.config["DATABASE_URL"])
try:
    connection = engine.connect()
except OperationalError as error:
    reason = (str(error.orig).splitlines() or [""])[0]
    raise SystemExit(f"The database does not answer ({reason}). Check DATABASE_URL.") from error
with connection:
    migrate_patiently(connection)
engine.dispose()
