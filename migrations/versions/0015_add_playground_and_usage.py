"""What stands for a signed-in member in the playground, and usage summed by day.

A key without a text, by a new column with a default that the old version does not write, and an
index of few rows: safe while the old version runs, which would only list such keys among the
others. The table of sums is new, and the new version alone fills it.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import TimeOrderedId, UtcDateTime

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None
expands = True

IS_PLAYGROUND = sa.text("purpose = 'playground'")


def upgrade() -> None:
    op.add_column(
        "api_keys",
        sa.Column(
            "purpose",
            sa.String(20),
            server_default="api",
            nullable=False,
            comment="api, or playground: no secret",
        ),
    )
    op.create_index(
        "uq_api_keys_playground",
        "api_keys",
        ["account_id", "user_id"],
        unique=True,
        sqlite_where=IS_PLAYGROUND,
        postgresql_where=IS_PLAYGROUND,
    )
    op.create_table(
        "usage_days",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column(
            "key_id", sa.BigInteger(), autoincrement=False, nullable=False, comment="0: none"
        ),
        sa.Column("model", sa.String(200), nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        sa.Column("requests", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.BigInteger(), nullable=False),
        sa.Column("prompt_tokens", sa.BigInteger(), nullable=False),
        sa.Column("completion_tokens", sa.BigInteger(), nullable=False),
        sa.Column("charge_nanos", sa.BigInteger(), nullable=False),
        sa.Column("upstream_cost_nanos", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint(
            "account_id", "day", "key_id", "model", "provider", name=op.f("pk_usage_days")
        ),
    )
    op.create_index("ix_usage_days_day", "usage_days", ["day"])
    op.create_table(
        "key_networks",
        sa.Column("key_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("network", sa.String(49), nullable=False),
        sa.Column("seen_at", UtcDateTime(), nullable=False, comment="for the first time"),
        sa.PrimaryKeyConstraint("key_id", "network", name=op.f("pk_key_networks")),
    )
    op.add_column(
        "accounts",
        sa.Column(
            "low_balance_nanos",
            sa.BigInteger(),
            nullable=True,
            comment="below it the keepers of money get a mail; null: none",
        ),
    )
    op.add_column(
        "accounts",
        sa.Column(
            "low_balance_told_at",
            UtcDateTime(),
            nullable=True,
            comment="null again once the balance is above it",
        ),
    )
    op.add_column(
        "roll_ups",
        sa.Column(
            "until_id",
            TimeOrderedId(),
            nullable=True,
            comment="of requests, for sums that reach into a day",
        ),
    )


def downgrade() -> None:
    op.execute("DELETE FROM roll_ups WHERE name = 'usage_days'")
    op.drop_column("roll_ups", "until_id")
    op.drop_column("accounts", "low_balance_told_at")
    op.drop_column("accounts", "low_balance_nanos")
    op.drop_table("key_networks")
    op.drop_table("usage_days")
    op.drop_index("uq_api_keys_playground", "api_keys")
    op.drop_column("api_keys", "purpose")
