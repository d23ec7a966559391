"""Who: users, the ways they sign in, accounts that hold money, and who belongs to which."""

from datetime import date, datetime

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import SEALED, RowNumber, UtcDateTime


class User(Base):
    """A person. Money, keys, plan and limits hang on the account, never here."""

    __tablename__ = "users"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    email: Mapped[str] = mapped_column(String(254), unique=True, comment="lower case")
    email_verified_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    name: Mapped[str] = mapped_column(String(200), default="", server_default="")
    password_hash: Mapped[str | None] = mapped_column(String(200), comment="argon2id")
    is_operator: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    second_factor_asked_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="operators are asked once to set one up"
    )
    deleted_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="anonymised; the row stays for the books"
    )
    # No foreign key: SQLite adds none to a table that is there.
    own_account_id: Mapped[int | None] = mapped_column(
        BigInteger, comment="the account that the person came with; null: the first that they own"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Identity(Base):
    """A proven sign-in elsewhere: the provider's own lasting id of the person, never a name."""

    __tablename__ = "identities"
    __table_args__ = (Index("uq_identities_provider_subject", "provider", "subject", unique=True),)

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    provider: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(200))
    login: Mapped[str] = mapped_column(String(200), default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Account(Base):
    """What holds money. Posted = paid + granted, available = posted − held.

    No CHECK forbids a negative `paid_nanos`: a refund or a dispute may make it so. That usage never
    does is the admission's condition and the audit's finding.
    """

    __tablename__ = "accounts"
    __table_args__ = (
        CheckConstraint("held_nanos >= 0", name="held_not_negative"),
        CheckConstraint("granted_nanos >= 0", name="granted_not_negative"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    plan_slug: Mapped[str] = mapped_column(ForeignKey("plans.slug"))
    plan_before_payments: Mapped[str | None] = mapped_column(
        String(40),
        comment="where a refund may lead back to; null: payments have not raised the plan",
    )
    paid_nanos: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    granted_nanos: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    held_nanos: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    frozen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    # `operator`, too: until an operator lifts it.
    frozen_for: Mapped[str | None] = mapped_column(
        String(20), comment="`dispute`: thaws when the last one ends; null: for good, or not at all"
    )
    suspended_because: Mapped[str | None] = mapped_column(
        Text, comment="why an operator has suspended it, in words for its owners"
    )
    flagged_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="when a payment of it was first disputed"
    )
    keys_frozen_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    content_days: Mapped[int | None] = mapped_column(
        comment="how long prompts and answers are kept; null: they are not"
    )
    content_cleared_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="what was asked before this is not kept any more"
    )
    low_balance_nanos: Mapped[int | None] = mapped_column(
        BigInteger, comment="below it the keepers of money get a mail; null: none"
    )
    low_balance_told_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="null again once the balance is above it"
    )
    buyer_address: Mapped[str] = mapped_column(
        Text, default="", server_default="", comment="name and address on receipts, by lines"
    )
    buyer_tax_id: Mapped[str] = mapped_column(String(50), default="", server_default="")
    spend_alert_nanos: Mapped[int | None] = mapped_column(
        BigInteger, comment="spent so much in a month (UTC), the keepers of money are told"
    )
    spend_told_for: Mapped[date | None] = mapped_column(
        Date, comment="the first day of the month of which it was told"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Membership(Base):
    """Who belongs to which account, as what."""

    __tablename__ = "memberships"
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'billing', 'developer')", name="role_known"),
    )

    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), primary_key=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), primary_key=True, index=True)
    role: Mapped[str] = mapped_column(String(20))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Session(Base):
    """A signed-in browser. The cookie holds 256 random bits; the row holds their digest."""

    __tablename__ = "sessions"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    user_agent: Mapped[str] = mapped_column(Text, default="", server_default="")
    network: Mapped[str] = mapped_column(String(45), default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)
    proven_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="when the person last proved who they are; null: at the sign-in"
    )
    # No foreign key: SQLite adds none to a table that is there.
    views_account_id: Mapped[int | None] = mapped_column(
        BigInteger, comment="the account that an operator looks at instead of their own"
    )
    views_until: Mapped[datetime | None] = mapped_column(UtcDateTime)


class SecondFactor(Base):
    """A person's authenticator app: the secret that it shares with us, encrypted.

    `last_step` is the thirty seconds of the last code that was taken: none is taken twice.
    """

    __tablename__ = "second_factors"

    user_id: Mapped[int] = mapped_column(
        ForeignKey("users.id"), primary_key=True, autoincrement=False
    )
    secret_encrypted: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED)
    last_step: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    confirmed_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="null: being set up, and not asked for yet"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class RecoveryCode(Base):
    """A way in for who has lost their app, once. Its text is shown once; the row holds a digest."""

    __tablename__ = "recovery_codes"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"), index=True)
    used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
