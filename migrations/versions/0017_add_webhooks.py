"""Webhooks that we send, and how much an account wants to have spent before it is told.

New tables, and two columns that may be null and that the old version never reads: safe while it
runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import Json, RowNumber, UtcDateTime

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "webhook_endpoints",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(40), nullable=False),
        sa.Column("account_id", sa.BigInteger(), nullable=True, comment="null: the operators'"),
        sa.Column("url", sa.Text(), nullable=False),
        sa.Column("kinds", Json, nullable=False, comment="the events that it wants"),
        sa.Column("secret_encrypted", sa.LargeBinary(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column(
            "failing_since",
            UtcDateTime(),
            nullable=True,
            comment="the first failure since the last success",
        ),
        sa.Column("disabled_at", UtcDateTime(), nullable=True),
        sa.Column(
            "problem",
            sa.String(200),
            server_default="",
            nullable=False,
            comment="why we turned it off ourselves",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_endpoints")),
        sa.UniqueConstraint("public_id", name=op.f("uq_webhook_endpoints_public_id")),
    )
    op.create_index("ix_webhook_endpoints_account_id", "webhook_endpoints", ["account_id"])
    op.create_table(
        "webhook_messages",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(40), nullable=False, comment="the webhook-id"),
        sa.Column("endpoint_id", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(40), nullable=False),
        sa.Column("body", sa.Text(), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("due_at", UtcDateTime(), nullable=True, comment="null: delivered, or given up"),
        sa.Column("tries", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.Column("is_delivered", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("status", sa.Integer(), nullable=True, comment="of the last answer"),
        sa.Column("problem", sa.String(200), server_default="", nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_webhook_messages")),
        sa.UniqueConstraint("public_id", name=op.f("uq_webhook_messages_public_id")),
    )
    op.create_index("ix_webhook_messages_endpoint_id_id", "webhook_messages", ["endpoint_id", "id"])
    op.create_index("ix_webhook_messages_due_at", "webhook_messages", ["due_at"])
    op.create_index("ix_webhook_messages_ended_at", "webhook_messages", ["ended_at"])
    op.add_column(
        "accounts",
        sa.Column(
            "spend_alert_nanos",
            sa.BigInteger(),
            nullable=True,
            comment="spent so much in a month (UTC), the keepers of money are told",
        ),
    )
    op.add_column(
        "accounts",
        sa.Column(
            "spend_told_for",
            sa.Date(),
            nullable=True,
            comment="the first day of the month of which it was told",
        ),
    )


def downgrade() -> None:
    op.drop_column("accounts", "spend_told_for")
    op.drop_column("accounts", "spend_alert_nanos")
    op.drop_table("webhook_messages")
    op.drop_table("webhook_endpoints")
