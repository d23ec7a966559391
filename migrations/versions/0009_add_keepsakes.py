"""Keepsakes: what a provider signed with a tool call, for an hour, so that any process finds it.

A new table that the old version does not know: safe while it runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import UtcDateTime

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "keepsakes",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("value", sa.LargeBinary(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "digest", name=op.f("pk_keepsakes")),
    )
    op.create_index("ix_keepsakes_expires_at", "keepsakes", ["expires_at"])


def downgrade() -> None:
    op.drop_table("keepsakes")
