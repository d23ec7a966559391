"""What brings money into the ledger: payments, what each has moved, and what we were told of them.

A payment's `state` is derived from its sums (services/payments/states.py). Money moves with a row
of `payment_moves` and in no other way; its evidence is unique, so that nothing moves twice.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import Json, RowNumber, TimeOrderedId, UtcDateTime

# Payments that may still bring money, of which an automatic top-up may be one at a time.
OPEN_AUTOMATIC = text("is_automatic AND state IN ('created', 'pending', 'held')")


class Payment(Base):
    """One wish to bring credit to an account, and what became of it."""

    __tablename__ = "payments"
    __table_args__ = (
        Index("uq_payments_provider_order_id", "provider", "order_id", unique=True),
        Index("uq_payments_provider_charge_id", "provider", "charge_id", unique=True),
        Index("uq_payments_account_id_idempotency", "account_id", "idempotency", unique=True),
        Index(
            "uq_payments_one_automatic",
            "account_id",
            unique=True,
            sqlite_where=OPEN_AUTOMATIC,
            postgresql_where=OPEN_AUTOMATIC,
        ),
        Index("ix_payments_account_id_id", "account_id", "id"),
        Index("ix_payments_due_at", "due_at"),
        CheckConstraint("amount_nanos > 0", name="amount_positive"),
        CheckConstraint("fee_nanos >= 0", name="fee_not_negative"),
        CheckConstraint("received_nanos >= 0", name="received_not_negative"),
        CheckConstraint("refunded_nanos >= 0", name="refunded_not_negative"),
        CheckConstraint("disputed_nanos >= 0", name="disputed_not_negative"),
        CheckConstraint(
            "state IN ('created', 'pending', 'held', 'paid', 'failed', 'expired',"
            " 'refunded_in_part', 'refunded', 'disputed')",
            name="state_known",
        ),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    provider: Mapped[str] = mapped_column(String(40), comment="stripe, solana, test, code, grant")
    method: Mapped[str] = mapped_column(String(40), comment="card, usdc, …")
    is_live: Mapped[bool]
    is_automatic: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    idempotency: Mapped[str | None] = mapped_column(String(64))
    order_id: Mapped[str | None] = mapped_column(
        String(255), comment="the provider's name of the order: a checkout, a reference on a chain"
    )
    charge_id: Mapped[str | None] = mapped_column(
        String(255), comment="the provider's name of the money, by which refunds and disputes go"
    )
    amount_nanos: Mapped[int] = mapped_column(BigInteger, comment="the credit that was asked for")
    fee_nanos: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    currency: Mapped[str] = mapped_column(String(10))
    received_nanos: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    refunded_nanos: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    disputed_nanos: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    state: Mapped[str] = mapped_column(String(30))
    problem: Mapped[str] = mapped_column(String(300), default="", server_default="")
    details: Mapped[dict[str, Any] | None] = mapped_column(
        Json, comment="the provider's own: address to pay at, asset, quote, card"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="of the offer to pay; money that comes later is credited all the same"
    )
    paid_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    held_until: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="money that has come is credited not before"
    )
    due_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="when the provider is asked again; null: not by itself"
    )
    checks: Mapped[int] = mapped_column(default=0, server_default=text("0"))


class PaymentMove(Base):
    """Money that a payment moved, once for each evidence; the ledger has the same sum."""

    __tablename__ = "payment_moves"
    __table_args__ = (
        Index("uq_payment_moves_provider_evidence_id", "provider", "evidence_id", unique=True),
        Index("ix_payment_moves_payment_id", "payment_id"),
        Index("uq_payment_moves_transfer_id", "transfer_id", unique=True),
        CheckConstraint("amount_nanos > 0", name="amount_positive"),
        CheckConstraint(
            "kind IN ('grant', 'top-up', 'refund', 'refund-failed', 'dispute', 'dispute-won')",
            name="kind_known",
        ),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"))
    provider: Mapped[str] = mapped_column(String(40))
    evidence_id: Mapped[str] = mapped_column(
        String(255), comment="a charge, a signature on a chain, a refund, a dispute and its turn"
    )
    kind: Mapped[str] = mapped_column(String(30))
    amount_nanos: Mapped[int] = mapped_column(BigInteger)
    transfer_id: Mapped[uuid.UUID] = mapped_column(TimeOrderedId)
    details: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PaymentEvent(Base):
    """The inbox: what a payment provider told us, each event once, with the effect it had."""

    __tablename__ = "payment_events"
    __table_args__ = (
        Index("uq_payment_events_provider_event_id", "provider", "event_id", unique=True),
        Index("ix_payment_events_created_at", "created_at"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    provider: Mapped[str] = mapped_column(String(40))
    event_id: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(80))
    payment_id: Mapped[int | None] = mapped_column(BigInteger)
    outcome: Mapped[str] = mapped_column(String(300), default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PaymentRefund(Base):
    """Credit given back for money. The credit is taken when the refund is asked for."""

    __tablename__ = "payment_refunds"
    __table_args__ = (
        Index("ix_payment_refunds_payment_id", "payment_id"),
        Index("uq_payment_refunds_provider_refund_id", "provider", "refund_id", unique=True),
        CheckConstraint("amount_nanos > 0", name="amount_positive"),
        CheckConstraint("state IN ('asked', 'sent', 'done', 'failed')", name="state_known"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"))
    provider: Mapped[str] = mapped_column(String(40))
    refund_id: Mapped[str | None] = mapped_column(
        String(255), comment="the provider's; of a payment by hand, what proves it"
    )
    amount_nanos: Mapped[int] = mapped_column(BigInteger)
    state: Mapped[str] = mapped_column(String(20))
    actor: Mapped[str] = mapped_column(String(80))
    pay_to: Mapped[str] = mapped_column(
        String(200), default="", server_default="", comment="the address to pay to by hand"
    )
    problem: Mapped[str] = mapped_column(String(300), default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PaymentDispute(Base):
    """A payment that its payer has contested at their bank. While it is open credit is frozen."""

    __tablename__ = "payment_disputes"
    __table_args__ = (
        Index("uq_payment_disputes_provider_dispute_id", "provider", "dispute_id", unique=True),
        Index("ix_payment_disputes_payment_id", "payment_id"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    payment_id: Mapped[int] = mapped_column(ForeignKey("payments.id"))
    provider: Mapped[str] = mapped_column(String(40))
    dispute_id: Mapped[str] = mapped_column(String(255))
    amount_nanos: Mapped[int] = mapped_column(BigInteger)
    is_withdrawn: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    is_reinstated: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    reason: Mapped[str] = mapped_column(String(80), default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    closed_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class PaymentCustomer(Base):
    """An account as a payment provider knows it, and the card that it keeps there."""

    __tablename__ = "payment_customers"
    __table_args__ = (
        Index("uq_payment_customers_provider_customer_id", "provider", "customer_id", unique=True),
    )

    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True)
    provider: Mapped[str] = mapped_column(String(40), primary_key=True)
    is_live: Mapped[bool] = mapped_column(primary_key=True)
    customer_id: Mapped[str] = mapped_column(String(255))
    saved_id: Mapped[str | None] = mapped_column(String(255), comment="the saved way to pay")
    saved_label: Mapped[str] = mapped_column(String(80), default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AutoTopUp(Base):
    """An account's standing order: below the threshold, the saved card pays that amount."""

    __tablename__ = "auto_top_ups"
    __table_args__ = (
        CheckConstraint("threshold_nanos >= 0", name="threshold_not_negative"),
        CheckConstraint("amount_nanos > 0", name="amount_positive"),
        CheckConstraint("monthly_cap_nanos >= amount_nanos", name="cap_covers_one"),
        Index("ix_auto_top_ups_is_on", "is_on"),
    )

    account_id: Mapped[int] = mapped_column(
        ForeignKey("accounts.id"), primary_key=True, autoincrement=False
    )
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), comment="who consented")
    is_on: Mapped[bool]
    threshold_nanos: Mapped[int] = mapped_column(BigInteger)
    amount_nanos: Mapped[int] = mapped_column(BigInteger)
    monthly_cap_nanos: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    sequence: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    problem: Mapped[str] = mapped_column(String(300), default="", server_default="")
    consented_at: Mapped[datetime] = mapped_column(UtcDateTime)
    next_try_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class RedeemCode(Base):
    """A code that becomes a gift, once for each account and so often in all."""

    __tablename__ = "redeem_codes"
    __table_args__ = (
        CheckConstraint("amount_nanos > 0", name="amount_positive"),
        CheckConstraint("uses <= uses_max", name="not_used_up"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    hint: Mapped[str] = mapped_column(String(12), comment="its last characters")
    amount_nanos: Mapped[int] = mapped_column(BigInteger)
    uses_max: Mapped[int]
    uses: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    note: Mapped[str] = mapped_column(Text, default="", server_default="")
    created_by: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
