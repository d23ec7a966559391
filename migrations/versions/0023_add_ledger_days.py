"""Sums of the ledger by account, day and kind: a new table that the new version alone fills."""

import sqlalchemy as sa
from alembic import op

revision = "0023"
down_revision = "0022"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "ledger_days",
        sa.Column("account_id", sa.BigInteger(), autoincrement=False, nullable=False),
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("kind", sa.String(30), nullable=False),
        sa.Column("entries", sa.BigInteger(), nullable=False),
        sa.Column(
            "amount_nanos",
            sa.BigInteger(),
            nullable=False,
            comment="more is the customer's gain",
        ),
        sa.PrimaryKeyConstraint("account_id", "day", "kind", name=op.f("pk_ledger_days")),
    )


def downgrade() -> None:
    op.execute("DELETE FROM roll_ups WHERE name = 'ledger_days'")
    op.drop_table("ledger_days")
