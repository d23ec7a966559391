"""Completions and transfers become tables of months on PostgreSQL. SQLite stays as it is.

Nothing is copied and nothing is read through: the table that stands there becomes the one partition
of a new table with its name, open on both sides; the server then closes it at the end of a month
and opens the next (`services/partitions.py`). So this takes a moment's lock, whatever the tables
hold.

Safe while the old version runs: to its statements the tables have the columns, keys and indexes
that they had, and its prepared ones are planned anew by the server.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None
expands = True

TABLES = ("completions", "transfers")
APPEND_ONLY = ("transfers",)


def upgrade() -> None:
    if op.get_bind().dialect.name != "postgresql":
        return
    op.execute(f"LOCK TABLE {', '.join(TABLES)} IN ACCESS EXCLUSIVE MODE")
    for table in TABLES:
        cut(table)


def downgrade() -> None:
    """Copies what the months hold into one table again, behind a lock: for a server at rest."""
    if op.get_bind().dialect.name != "postgresql":
        return
    for table in TABLES:
        join(table)


def cut(table: str) -> None:
    """Makes a table the only partition of a new one that has its name and all else of it."""
    old = f"{table}_from_start"
    grants = granted(table)
    indexes = put_aside(table, old, "from_start")
    op.execute(
        f"CREATE TABLE {table} (LIKE {old} INCLUDING DEFAULTS INCLUDING CONSTRAINTS "
        "INCLUDING COMMENTS INCLUDING STORAGE) PARTITION BY RANGE (id)"
    )
    for statement in [*indexes, *grants]:
        op.execute(statement)
    op.execute(
        f"ALTER TABLE {table} ATTACH PARTITION {old} FOR VALUES FROM (MINVALUE) TO (MAXVALUE)"
    )
    if table in APPEND_ONLY:
        # That of the old table stays, for whoever writes there directly.
        op.execute(f"ALTER TRIGGER {table}_append_only ON {old} RENAME TO {old}_append_only")
        guard(table)


def join(table: str) -> None:
    """Makes one plain table of all partitions."""
    old = f"{table}_by_month"
    op.execute(f"LOCK TABLE {table} IN ACCESS EXCLUSIVE MODE")
    grants = granted(table)
    indexes = put_aside(table, old, "by_month")
    op.execute(
        f"CREATE TABLE {table} (LIKE {old} INCLUDING DEFAULTS INCLUDING CONSTRAINTS "
        "INCLUDING COMMENTS INCLUDING STORAGE)"
    )
    op.execute(f"INSERT INTO {table} SELECT * FROM {old}")
    op.execute(f"DROP TABLE {old}")
    for statement in [*indexes, *grants]:
        op.execute(statement)
    if table in APPEND_ONLY:
        guard(table)


def put_aside(table: str, old: str, suffix: str) -> list[str]:
    """Renames a table and its indexes; says what makes the same indexes under the old names."""
    bind = op.get_bind()
    found = bind.execute(
        sa.text(
            "SELECT relname, pg_get_indexdef(indexrelid), pg_get_constraintdef(pg_constraint.oid) "
            "FROM pg_index JOIN pg_class ON pg_class.oid = indexrelid "
            "LEFT JOIN pg_constraint ON conindid = indexrelid AND conrelid = indrelid "
            "WHERE indrelid = CAST(:table AS regclass) ORDER BY relname"
        ),
        {"table": table},
    ).all()
    op.execute(f"ALTER TABLE {table} RENAME TO {old}")
    for name, _, _ in found:
        op.execute(f"ALTER INDEX {name} RENAME TO {name}_{suffix}")
    return [
        f"ALTER TABLE {table} ADD CONSTRAINT {name} {constraint}"
        if constraint
        else definition.replace(" ON ONLY ", " ON ")
        for name, definition, constraint in found
    ]


def granted(table: str) -> list[str]:
    """What gives a table's successor the same owner, and the same readers."""
    bind = op.get_bind()
    [owner] = bind.execute(
        sa.text(
            "SELECT quote_ident(pg_get_userbyid(relowner)) FROM pg_class "
            "WHERE oid = CAST(:table AS regclass)"
        ),
        {"table": table},
    ).one()
    rows: Any = bind.execute(
        sa.text(
            "SELECT privilege_type, CASE grantee WHEN 0 THEN 'PUBLIC' "
            "ELSE quote_ident(pg_get_userbyid(grantee)) END FROM pg_class, aclexplode(relacl) "
            "WHERE pg_class.oid = CAST(:table AS regclass) AND grantee <> relowner"
        ),
        {"table": table},
    ).all()
    grants = [f"GRANT {privilege} ON {table} TO {grantee}" for privilege, grantee in rows]
    return [f"ALTER TABLE {table} OWNER TO {owner}", *grants]


def guard(table: str) -> None:
    """Refuses changes of what has been written, as the first migration does."""
    op.execute(
        f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE "
        f"ON {table} FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()"
    )
