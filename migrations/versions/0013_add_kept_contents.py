"""Prompts and answers of accounts that want them kept, and how long each account wants that.

A new table and new nullable columns that the old version does not write: safe while it runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import TimeOrderedId, UtcDateTime

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "kept_contents",
        sa.Column("completion_id", TimeOrderedId(), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("completion_id", name=op.f("pk_kept_contents")),
    )
    op.create_index(
        "ix_kept_contents_account_id_completion_id",
        "kept_contents",
        ["account_id", "completion_id"],
    )
    op.create_index("ix_kept_contents_expires_at", "kept_contents", ["expires_at"])
    op.add_column(
        "accounts",
        sa.Column(
            "content_days",
            sa.Integer(),
            nullable=True,
            comment="how long prompts and answers are kept; null: they are not",
        ),
    )
    op.add_column(
        "accounts",
        sa.Column(
            "content_cleared_at",
            UtcDateTime(),
            nullable=True,
            comment="what was asked before this is not kept any more",
        ),
    )


def downgrade() -> None:
    op.drop_column("accounts", "content_cleared_at")
    op.drop_column("accounts", "content_days")
    op.drop_table("kept_contents")
