"""The ledger. Append-only: triggers refuse UPDATE and DELETE of transfers."""

import uuid
from datetime import date, datetime

from sqlalchemy import BigInteger, CheckConstraint, Date, Index, SmallInteger, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import TimeOrderedId, UtcDateTime


class Transfer(Base):
    """Money moved from one ledger account (`debit`) to another (`credit`): never unbalanced.

    A customer's two are `customer:<account>:paid` and `customer:<account>:granted`; the others are
    `revenue`, `promo`, `writeoff`, `cash:<provider>`, `fees`, `refunds`, `disputes`, `forfeited`.
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


class LedgerDay(Base):
    """What an account's entries of a day (UTC) and kind came to, once they are settled.

    A day grows hour by hour, with how far the sums reach (`RollUp.until_id`).
    """

    __tablename__ = "ledger_days"

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    kind: Mapped[str] = mapped_column(String(30), primary_key=True)
    entries: Mapped[int] = mapped_column(BigInteger)
    amount_nanos: Mapped[int] = mapped_column(BigInteger, comment="more is the customer's gain")
