"""Who buys, as receipts say it: two columns with defaults that the old version does not write."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.add_column(
        "accounts",
        sa.Column(
            "buyer_address",
            sa.Text(),
            server_default="",
            nullable=False,
            comment="name and address on receipts, by lines",
        ),
    )
    op.add_column(
        "accounts", sa.Column("buyer_tax_id", sa.String(50), server_default="", nullable=False)
    )


def downgrade() -> None:
    op.drop_column("accounts", "buyer_tax_id")
    op.drop_column("accounts", "buyer_address")
