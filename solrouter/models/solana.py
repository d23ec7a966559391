"""Payments on a chain: what each was asked to pay, and how it is told from all others."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import UtcDateTime


class SolanaOrder(Base):
    """One payment's reference and its exact amount, which no other payment of these weeks has."""

    __tablename__ = "solana_orders"
    __table_args__ = (
        Index("uq_solana_orders_reference", "reference", unique=True),
        Index("uq_solana_orders_exact_units", "exact_units", unique=True),
        Index("ix_solana_orders_exact_until", "exact_until"),
        CheckConstraint("amount_units > 0", name="amount_positive"),
    )

    payment_id: Mapped[int] = mapped_column(
        ForeignKey("payments.id"), primary_key=True, autoincrement=False
    )
    reference: Mapped[str] = mapped_column(String(44), comment="a key of nobody, in base58")
    amount_units: Mapped[int] = mapped_column(
        BigInteger, comment="what the payer is asked for, in millionths of a dollar"
    )
    exact_units: Mapped[int | None] = mapped_column(
        BigInteger, comment="the same, while no other payment may have it; later null"
    )
    exact_until: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
