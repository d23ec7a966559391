"""Usage by day of all accounts together, begun with what is summed by account.

A new table that the new version alone fills. How far it reaches is a row of its own: what the old
version sums by account meanwhile, the new one adds to the totals from the receipts.
"""

import sqlalchemy as sa
from alembic import op

revision = "0022"
down_revision = "0021"
branch_labels = None
depends_on = None
expands = True

SUMS = (
    "requests",
    "failures",
    "prompt_tokens",
    "completion_tokens",
    "charge_nanos",
    "upstream_cost_nanos",
)


def upgrade() -> None:
    op.create_table(
        "usage_totals",
        sa.Column("day", sa.Date(), nullable=False),
        sa.Column("provider", sa.String(40), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in SUMS),
        sa.PrimaryKeyConstraint("day", "provider", name=op.f("pk_usage_totals")),
    )
    sums = ", ".join(f"sum({name})" for name in SUMS)
    op.execute(
        f"INSERT INTO usage_totals (day, provider, {', '.join(SUMS)})"
        f" SELECT day, provider, {sums} FROM usage_days GROUP BY day, provider"
    )
    op.execute(
        "INSERT INTO roll_ups (name, until, until_id)"
        " SELECT 'usage_totals', until, until_id FROM roll_ups WHERE name = 'usage_days'"
    )


def downgrade() -> None:
    op.execute("DELETE FROM roll_ups WHERE name = 'usage_totals'")
    op.drop_table("usage_totals")
