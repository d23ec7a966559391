"""Idempotency keys: a caller's own name of a request, for a day.

A new table that the old version does not know: safe while it runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import TimeOrderedId, UtcDateTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "idempotency_keys",
        sa.Column("account_id", sa.BigInteger(), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("body_digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("completion_id", TimeOrderedId(), nullable=False),
        sa.Column("is_finished", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("answer", sa.LargeBinary(), nullable=True),
        sa.Column("expires_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("account_id", "digest", name=op.f("pk_idempotency_keys")),
    )
    op.create_index("ix_idempotency_keys_expires_at", "idempotency_keys", ["expires_at"])


def downgrade() -> None:
    op.drop_table("idempotency_keys")
