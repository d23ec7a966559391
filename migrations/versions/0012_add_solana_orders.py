"""What each payment on Solana asks for: its reference and its exact amount.

A new table, so this is safe while the old version runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import RowNumber, UtcDateTime

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None
expands = True


def upgrade() -> None:
    op.create_table(
        "solana_orders",
        sa.Column("payment_id", RowNumber, autoincrement=False, nullable=False),
        sa.Column(
            "reference", sa.String(length=44), nullable=False, comment="a key of nobody, in base58"
        ),
        sa.Column(
            "amount_units",
            sa.BigInteger(),
            nullable=False,
            comment="what the payer is asked for, in millionths of a dollar",
        ),
        sa.Column(
            "exact_units",
            sa.BigInteger(),
            nullable=True,
            comment="the same, while no other payment may have it; later null",
        ),
        sa.Column("exact_until", UtcDateTime(), nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("amount_units > 0", name=op.f("ck_solana_orders_amount_positive")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_solana_orders_payment_id_payments")
        ),
        sa.PrimaryKeyConstraint("payment_id", name=op.f("pk_solana_orders")),
    )
    op.create_index("uq_solana_orders_reference", "solana_orders", ["reference"], unique=True)
    op.create_index("uq_solana_orders_exact_units", "solana_orders", ["exact_units"], unique=True)
    op.create_index("ix_solana_orders_exact_until", "solana_orders", ["exact_until"], unique=False)


def downgrade() -> None:
    op.drop_table("solana_orders")
