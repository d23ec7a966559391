"""What operators do: look at an account, suspend one, tell everybody something.

New nullable columns and a new table, which the old version neither reads nor writes: safe while it
runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import RowNumber, UtcDateTime

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.add_column(
        "sessions",
        sa.Column(
            "views_account_id",
            sa.BigInteger(),
            nullable=True,
            comment="the account that an operator looks at instead of their own",
        ),
    )
    op.add_column("sessions", sa.Column("views_until", UtcDateTime(), nullable=True))
    op.add_column(
        "accounts",
        sa.Column(
            "suspended_because",
            sa.Text(),
            nullable=True,
            comment="why an operator has suspended it, in words for its owners",
        ),
    )
    op.create_table(
        "announcements",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("text", sa.String(length=300), nullable=False),
        sa.Column("tone", sa.String(length=20), nullable=False),
        sa.Column("link", sa.String(length=500), nullable=False, server_default=""),
        sa.Column("begins_at", UtcDateTime(), nullable=False),
        sa.Column("ends_at", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("tone IN ('info', 'warning')", name=op.f("ck_announcements_tone_known")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_announcements")),
        sa.UniqueConstraint("public_id", name=op.f("uq_announcements_public_id")),
    )


def downgrade() -> None:
    op.drop_table("announcements")
    op.drop_column("accounts", "suspended_because")
    op.drop_column("sessions", "views_until")
    op.drop_column("sessions", "views_account_id")
