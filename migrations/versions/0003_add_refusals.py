"""Counters of refused requests, by day, key and reason: a refusal leaves no row of its own.

A new table that the old version does not know: safe while it runs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "refusals",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("key_id", sa.BigInteger(), nullable=False),
        sa.Column("code", sa.String(length=60), nullable=False),
        sa.Column("count", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("day", "key_id", "code", name=op.f("pk_refusals")),
    )


def downgrade() -> None:
    op.drop_table("refusals")
