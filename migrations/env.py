"""How the migrations run: through the app's own tables, one transaction, safe from many machines at
once.
"""

from alembic import context
from flask import current_app
from sqlalchemy import Connection, text

from solrouter import models
from solrouter.database import migration_engine
from solrouter.extensions import db

# Any number; PostgreSQL's advisory lock makes the second machine wait for the first.
MIGRATION_LOCK = 7_105_202_611
LOCK_TIMEOUT = "30s"

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

    context.configure(
        connection=connection,
        target_metadata=db.metadata,
        include_name=is_ours,
        render_as_batch=connection.dialect.name == "sqlite",
        compare_type=True,
        transaction_per_migration=False,
    )
    with context.begin_transaction():
        if connection.dialect.name == "postgresql":
            connection.execute(text(f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"))
            connection.execute(text(f"SELECT pg_advisory_xact_lock({MIGRATION_LOCK})"))
        context.run_migrations()


if context.is_offline_mode():
    raise SystemExit(
        "offline migrations are not supported: run flask db upgrade against a database"
    )

engine = migration_engine(current_app.config["DATABASE_URL"])
with engine.connect() as connection:
    migrate(connection)
engine.dispose()
