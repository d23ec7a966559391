"""The ledger and what brings money into it. Append-only: triggers refuse UPDATE and DELETE of
transfers.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import Json, RowNumber, TimeOrderedId, UtcDateTime


class Transfer(Base):
    """Money moved from one ledger account (`debit`) to another (`credit`): never unbalanced.

    A customer's two are `customer:<account>:paid` and `customer:<account>:granted`; the others are
    `revenue`, `promo`, `writeoff`, `cash:<method>`, `refunds`, `disputes`,
    `forfeited`.
    """

    __tablename__ = "transfers"
    __table_args__ = (
        CheckConstraint("amount_nanos > 0", name="amount_positive"),
        CheckConstraint("debit <> credit", name="two_sides"),
        Index("ix_transfers_account_id_id", "account_id", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(TimeOrderedId, primary_key=True)
    leg: Mapped[int] = mapped_column(SmallInteger, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(BigInteger, comment="the customer it concerns")
    debit: Mapped[str] = mapped_column(String(60))
    credit: Mapped[str] = mapped_column(String(60))
    amount_nanos: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(30))
    actor: Mapped[str] = mapped_column(String(80))
    note: Mapped[str] = mapped_column(Text, default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Payment(Base):
    """A top-up and its state."""

    __tablename__ = "payments"
    __table_args__ = (
        Index(
            "uq_payments_provider_provider_payment_id",
            "provider",
            "provider_payment_id",
            unique=True,
        ),
        CheckConstraint("amount_nanos > 0", name="amount_positive"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    user_id: Mapped[int | None] = mapped_column(ForeignKey("users.id"))
    provider: Mapped[str] = mapped_column(String(40))
    provider_payment_id: Mapped[str] = mapped_column(String(255))
    amount_nanos: Mapped[int] = mapped_column(BigInteger)
    currency: Mapped[str] = mapped_column(String(10))
    state: Mapped[str] = mapped_column(String(30))
    details: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PaymentEvent(Base):
    """What a payment provider told us, each event once."""

    __tablename__ = "payment_events"
    __table_args__ = (
        Index("uq_payment_events_provider_event_id", "provider", "event_id", unique=True),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    provider: Mapped[str] = mapped_column(String(40))
    event_id: Mapped[str] = mapped_column(String(255))
    kind: Mapped[str] = mapped_column(String(80))
    details: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
