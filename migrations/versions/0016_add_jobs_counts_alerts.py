"""Periodic jobs, the counts of every process, operators' alerts.

New tables that the old version does not know: safe while it runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import Json, RowNumber, UtcDateTime

revision = "0016"
down_revision = "0015"
branch_labels = None
depends_on = None
expands = True

IS_OPEN = sa.text("resolved_at IS NULL")


def upgrade() -> None:
    op.create_table(
        "jobs",
        sa.Column("name", sa.String(40), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=False),
        sa.Column("started_at", UtcDateTime(), nullable=True),
        sa.Column(
            "ended_at",
            UtcDateTime(),
            nullable=True,
            comment="null while it runs, or when its process died",
        ),
        sa.Column("succeeded_at", UtcDateTime(), nullable=True),
        sa.Column("duration_ms", sa.Integer(), nullable=True),
        sa.Column("result", sa.Text(), server_default="", nullable=False),
        sa.Column(
            "problem",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="why it failed the last time, redacted",
        ),
        sa.Column("worker_id", sa.String(80), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_jobs")),
    )
    op.create_table(
        "process_counts",
        sa.Column("worker_id", sa.String(80), nullable=False),
        sa.Column("counts", Json, nullable=False),
        sa.Column("told_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("worker_id", name=op.f("pk_process_counts")),
    )
    op.create_table(
        "alerts",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(40), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column(
            "subject", sa.String(120), nullable=False, comment="a provider, a job; empty: the house"
        ),
        sa.Column("facts", Json, nullable=False),
        sa.Column("opened_at", UtcDateTime(), nullable=False),
        sa.Column("resolved_at", UtcDateTime(), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_alerts")),
        sa.UniqueConstraint("public_id", name=op.f("uq_alerts_public_id")),
    )
    op.create_index(
        "uq_alerts_open",
        "alerts",
        ["kind", "subject"],
        unique=True,
        sqlite_where=IS_OPEN,
        postgresql_where=IS_OPEN,
    )
    op.create_index("ix_alerts_opened_at", "alerts", ["opened_at"])


def downgrade() -> None:
    op.drop_table("alerts")
    op.drop_table("process_counts")
    op.drop_table("jobs")
