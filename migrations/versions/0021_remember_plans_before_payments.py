"""Which plan an account had before payments raised it, for refunds to lead back to: a column that
may be null and that the old version does not write. Accounts that were raised before keep theirs.
"""

import sqlalchemy as sa
from alembic import op

revision = "0021"
down_revision = "0020"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.add_column(
        "accounts",
        sa.Column(
            "plan_before_payments",
            sa.String(40),
            nullable=True,
            comment="where a refund may lead back to; null: payments have not raised the plan",
        ),
    )


def downgrade() -> None:
    op.drop_column("accounts", "plan_before_payments")
