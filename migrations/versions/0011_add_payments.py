"""Payments with what each has moved, their inbox, refunds and disputes; saved cards, automatic
top-ups and redeem codes.

The tables `payments` and `payment_events` of the first migration are made anew: no release wrote
to them. All else is new, so this is safe while the old version runs.
"""

import sqlalchemy as sa
from alembic import op

from solrouter.models.columns import Json, RowNumber, TimeOrderedId, UtcDateTime

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None
expands = False


def upgrade() -> None:
    op.drop_table("payments")
    op.drop_table("payment_events")
    op.create_table(
        "payment_events",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=80), nullable=False),
        sa.Column("payment_id", sa.BigInteger(), nullable=True),
        sa.Column("outcome", sa.String(length=300), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_events")),
    )
    op.create_index("ix_payment_events_created_at", "payment_events", ["created_at"], unique=False)
    op.create_index(
        "uq_payment_events_provider_event_id",
        "payment_events",
        ["provider", "event_id"],
        unique=True,
    )

    op.create_table(
        "redeem_codes",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("digest", sa.LargeBinary(length=32), nullable=False),
        sa.Column("hint", sa.String(length=12), nullable=False, comment="its last characters"),
        sa.Column("amount_nanos", sa.BigInteger(), nullable=False),
        sa.Column("uses_max", sa.Integer(), nullable=False),
        sa.Column("uses", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("note", sa.Text(), server_default="", nullable=False),
        sa.Column("created_by", sa.String(length=80), nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("expires_at", UtcDateTime(), nullable=True),
        sa.Column("ended_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("amount_nanos > 0", name=op.f("ck_redeem_codes_amount_positive")),
        sa.CheckConstraint("uses <= uses_max", name=op.f("ck_redeem_codes_not_used_up")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_redeem_codes")),
        sa.UniqueConstraint("digest", name=op.f("uq_redeem_codes_digest")),
        sa.UniqueConstraint("public_id", name=op.f("uq_redeem_codes_public_id")),
    )
    op.create_table(
        "auto_top_ups",
        sa.Column("account_id", RowNumber, autoincrement=False, nullable=False),
        sa.Column("user_id", RowNumber, nullable=False, comment="who consented"),
        sa.Column("is_on", sa.Boolean(), nullable=False),
        sa.Column("threshold_nanos", sa.BigInteger(), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger(), nullable=False),
        sa.Column("monthly_cap_nanos", sa.BigInteger(), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("sequence", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("problem", sa.String(length=300), server_default="", nullable=False),
        sa.Column("consented_at", UtcDateTime(), nullable=False),
        sa.Column("next_try_at", UtcDateTime(), nullable=True),
        sa.CheckConstraint("amount_nanos > 0", name=op.f("ck_auto_top_ups_amount_positive")),
        sa.CheckConstraint(
            "monthly_cap_nanos >= amount_nanos", name=op.f("ck_auto_top_ups_cap_covers_one")
        ),
        sa.CheckConstraint(
            "threshold_nanos >= 0", name=op.f("ck_auto_top_ups_threshold_not_negative")
        ),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_auto_top_ups_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_auto_top_ups_user_id_users")
        ),
        sa.PrimaryKeyConstraint("account_id", name=op.f("pk_auto_top_ups")),
    )
    op.create_index("ix_auto_top_ups_is_on", "auto_top_ups", ["is_on"], unique=False)

    op.create_table(
        "payment_customers",
        sa.Column("account_id", RowNumber, nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("is_live", sa.Boolean(), nullable=False),
        sa.Column("customer_id", sa.String(length=255), nullable=False),
        sa.Column("saved_id", sa.String(length=255), nullable=True, comment="the saved way to pay"),
        sa.Column("saved_label", sa.String(length=80), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_payment_customers_account_id_accounts")
        ),
        sa.PrimaryKeyConstraint(
            "account_id", "provider", "is_live", name=op.f("pk_payment_customers")
        ),
    )
    op.create_index(
        "uq_payment_customers_provider_customer_id",
        "payment_customers",
        ["provider", "customer_id"],
        unique=True,
    )

    op.create_table(
        "payments",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", RowNumber, nullable=False),
        sa.Column("user_id", RowNumber, nullable=True),
        sa.Column(
            "provider",
            sa.String(length=40),
            nullable=False,
            comment="stripe, solana, test, code, grant",
        ),
        sa.Column("method", sa.String(length=40), nullable=False, comment="card, usdc, …"),
        sa.Column("is_live", sa.Boolean(), nullable=False),
        sa.Column("is_automatic", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("idempotency", sa.String(length=64), nullable=True),
        sa.Column(
            "order_id",
            sa.String(length=255),
            nullable=True,
            comment="the provider's name of the order: a checkout, a reference on a chain",
        ),
        sa.Column(
            "charge_id",
            sa.String(length=255),
            nullable=True,
            comment="the provider's name of the money, by which refunds and disputes go",
        ),
        sa.Column(
            "amount_nanos", sa.BigInteger(), nullable=False, comment="the credit that was asked for"
        ),
        sa.Column("fee_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("currency", sa.String(length=10), nullable=False),
        sa.Column("received_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("refunded_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("disputed_nanos", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("state", sa.String(length=30), nullable=False),
        sa.Column("problem", sa.String(length=300), server_default="", nullable=False),
        sa.Column(
            "details",
            Json,
            nullable=True,
            comment="the provider's own: address to pay at, asset, quote, card",
        ),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.Column(
            "expires_at",
            UtcDateTime(),
            nullable=True,
            comment="of the offer to pay; money that comes later is credited all the same",
        ),
        sa.Column("paid_at", UtcDateTime(), nullable=True),
        sa.Column(
            "held_until",
            UtcDateTime(),
            nullable=True,
            comment="money that has come is credited not before",
        ),
        sa.Column(
            "due_at",
            UtcDateTime(),
            nullable=True,
            comment="when the provider is asked again; null: not by itself",
        ),
        sa.Column("checks", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.CheckConstraint(
            "state IN ('created', 'pending', 'held', 'paid', 'failed', 'expired',"
            " 'refunded_in_part', 'refunded', 'disputed')",
            name=op.f("ck_payments_state_known"),
        ),
        sa.CheckConstraint("amount_nanos > 0", name=op.f("ck_payments_amount_positive")),
        sa.CheckConstraint("disputed_nanos >= 0", name=op.f("ck_payments_disputed_not_negative")),
        sa.CheckConstraint("fee_nanos >= 0", name=op.f("ck_payments_fee_not_negative")),
        sa.CheckConstraint("received_nanos >= 0", name=op.f("ck_payments_received_not_negative")),
        sa.CheckConstraint("refunded_nanos >= 0", name=op.f("ck_payments_refunded_not_negative")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_payments_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payments_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("public_id", name=op.f("uq_payments_public_id")),
    )
    op.create_index("ix_payments_account_id_id", "payments", ["account_id", "id"], unique=False)
    op.create_index("ix_payments_due_at", "payments", ["due_at"], unique=False)
    op.create_index(
        "uq_payments_account_id_idempotency", "payments", ["account_id", "idempotency"], unique=True
    )
    op.create_index(
        "uq_payments_one_automatic",
        "payments",
        ["account_id"],
        unique=True,
        sqlite_where=sa.text("is_automatic AND state IN ('created', 'pending', 'held')"),
        postgresql_where=sa.text("is_automatic AND state IN ('created', 'pending', 'held')"),
    )
    op.create_index(
        "uq_payments_provider_charge_id", "payments", ["provider", "charge_id"], unique=True
    )
    op.create_index(
        "uq_payments_provider_order_id", "payments", ["provider", "order_id"], unique=True
    )

    op.create_table(
        "payment_disputes",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("payment_id", RowNumber, nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("dispute_id", sa.String(length=255), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger(), nullable=False),
        sa.Column("is_withdrawn", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("is_reinstated", sa.Boolean(), server_default=sa.text("false"), nullable=False),
        sa.Column("reason", sa.String(length=80), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("closed_at", UtcDateTime(), nullable=True),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_payment_disputes_payment_id_payments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_disputes")),
    )
    op.create_index(
        "ix_payment_disputes_payment_id", "payment_disputes", ["payment_id"], unique=False
    )
    op.create_index(
        "uq_payment_disputes_provider_dispute_id",
        "payment_disputes",
        ["provider", "dispute_id"],
        unique=True,
    )

    op.create_table(
        "payment_moves",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("payment_id", RowNumber, nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column(
            "evidence_id",
            sa.String(length=255),
            nullable=False,
            comment="a charge, a signature on a chain, a refund, a dispute and its turn",
        ),
        sa.Column("kind", sa.String(length=30), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger(), nullable=False),
        sa.Column("transfer_id", TimeOrderedId(), nullable=False),
        sa.Column("details", Json, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('grant', 'top-up', 'refund', 'refund-failed', 'dispute', 'dispute-won')",
            name=op.f("ck_payment_moves_kind_known"),
        ),
        sa.CheckConstraint("amount_nanos > 0", name=op.f("ck_payment_moves_amount_positive")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_payment_moves_payment_id_payments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_moves")),
    )
    op.create_index("ix_payment_moves_payment_id", "payment_moves", ["payment_id"], unique=False)
    op.create_index(
        "uq_payment_moves_provider_evidence_id",
        "payment_moves",
        ["provider", "evidence_id"],
        unique=True,
    )
    op.create_index("uq_payment_moves_transfer_id", "payment_moves", ["transfer_id"], unique=True)

    op.create_table(
        "payment_refunds",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("payment_id", RowNumber, nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column(
            "refund_id",
            sa.String(length=255),
            nullable=True,
            comment="the provider's; of a payment by hand, what proves it",
        ),
        sa.Column("amount_nanos", sa.BigInteger(), nullable=False),
        sa.Column("state", sa.String(length=20), nullable=False),
        sa.Column("actor", sa.String(length=80), nullable=False),
        sa.Column(
            "pay_to",
            sa.String(length=200),
            server_default="",
            nullable=False,
            comment="the address to pay to by hand",
        ),
        sa.Column("problem", sa.String(length=300), server_default="", nullable=False),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint(
            "state IN ('asked', 'sent', 'done', 'failed')",
            name=op.f("ck_payment_refunds_state_known"),
        ),
        sa.CheckConstraint("amount_nanos > 0", name=op.f("ck_payment_refunds_amount_positive")),
        sa.ForeignKeyConstraint(
            ["payment_id"], ["payments.id"], name=op.f("fk_payment_refunds_payment_id_payments")
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_refunds")),
        sa.UniqueConstraint("public_id", name=op.f("uq_payment_refunds_public_id")),
    )
    op.create_index(
        "ix_payment_refunds_payment_id", "payment_refunds", ["payment_id"], unique=False
    )
    op.create_index(
        "uq_payment_refunds_provider_refund_id",
        "payment_refunds",
        ["provider", "refund_id"],
        unique=True,
    )

    op.add_column(
        "accounts",
        sa.Column(
            "frozen_for",
            sa.String(length=20),
            nullable=True,
            comment="`dispute`: thaws when the last one ends; null: for good, or not at all",
        ),
    )
    op.add_column(
        "accounts",
        sa.Column(
            "flagged_at",
            UtcDateTime(),
            nullable=True,
            comment="when a payment of it was first disputed",
        ),
    )


def downgrade() -> None:
    op.drop_column("accounts", "flagged_at")
    op.drop_column("accounts", "frozen_for")
    op.drop_table("payment_refunds")
    op.drop_table("payment_moves")
    op.drop_table("payment_disputes")
    op.drop_table("payments")
    op.drop_table("payment_customers")
    op.drop_table("auto_top_ups")
    op.drop_table("redeem_codes")
    op.drop_table("payment_events")
    op.create_table(
        "payments",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("public_id", sa.String(length=40), nullable=False),
        sa.Column("account_id", RowNumber, nullable=False),
        sa.Column("user_id", RowNumber, nullable=True),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("provider_payment_id", sa.String(length=255), nullable=False),
        sa.Column("amount_nanos", sa.BigInteger(), nullable=False),
        sa.Column("currency", sa.String(length=10), nullable=False),
        sa.Column("state", sa.String(length=30), nullable=False),
        sa.Column("details", Json, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.Column("updated_at", UtcDateTime(), nullable=False),
        sa.CheckConstraint("amount_nanos > 0", name=op.f("ck_payments_amount_positive")),
        sa.ForeignKeyConstraint(
            ["account_id"], ["accounts.id"], name=op.f("fk_payments_account_id_accounts")
        ),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_payments_user_id_users")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payments")),
        sa.UniqueConstraint("public_id", name=op.f("uq_payments_public_id")),
    )
    op.create_index(op.f("ix_payments_account_id"), "payments", ["account_id"], unique=False)
    op.create_index(
        "uq_payments_provider_provider_payment_id",
        "payments",
        ["provider", "provider_payment_id"],
        unique=True,
    )
    op.create_table(
        "payment_events",
        sa.Column("id", RowNumber, nullable=False),
        sa.Column("provider", sa.String(length=40), nullable=False),
        sa.Column("event_id", sa.String(length=255), nullable=False),
        sa.Column("kind", sa.String(length=80), nullable=False),
        sa.Column("details", Json, nullable=True),
        sa.Column("created_at", UtcDateTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_payment_events")),
    )
    op.create_index(
        "uq_payment_events_provider_event_id",
        "payment_events",
        ["provider", "event_id"],
        unique=True,
    )
