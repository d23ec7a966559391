"""What proves who somebody is, until it is used: tokens in mails, invitations; and the mails."""

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
from solrouter.models.columns import Json, RowNumber, UtcDateTime


class EmailToken(Base):
    """A link in a mail, for one use. The mail holds 256 random bits; the row holds their digest."""

    __tablename__ = "email_tokens"
    __table_args__ = (
        CheckConstraint(
            "purpose IN ('verify_email', 'change_email', 'reset_password')", name="purpose_known"
        ),
        Index("ix_email_tokens_user_id_purpose", "user_id", "purpose"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"))
    purpose: Mapped[str] = mapped_column(String(20))
    email: Mapped[str] = mapped_column(String(254), comment="the address that it was sent to")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime, index=True)


class OutgoingMail(Base):
    """An order to send a mail; the letter and its token are written when it is carried out."""

    __tablename__ = "outgoing_mails"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    kind: Mapped[str] = mapped_column(String(40))
    recipient: Mapped[str] = mapped_column(String(254))
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    facts: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, index=True, comment="null: sent, or given up"
    )
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    sent_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    failed_at: Mapped[datetime | None] = mapped_column(UtcDateTime, index=True)
    problem: Mapped[str] = mapped_column(String(200), default="", server_default="")
    shown: Mapped[str | None] = mapped_column(Text, comment="the letter; in development only")


class SignupInvitation(Base):
    """An operator's word that the owner of an address may sign up."""

    __tablename__ = "signup_invitations"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    email: Mapped[str] = mapped_column(String(254), unique=True, comment="lower case")
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    created_by: Mapped[str] = mapped_column(String(80))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)
    accepted_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class TeamInvitation(Base):
    """An owner's word that the owner of an address may join their account. Used or taken back, the
    row is gone; the audit trail tells of it.
    """

    __tablename__ = "team_invitations"
    __table_args__ = (
        CheckConstraint("role IN ('owner', 'billing', 'developer')", name="role_known"),
        Index("uq_team_invitations_account_id_email", "account_id", "email", unique=True),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"))
    email: Mapped[str] = mapped_column(String(254), comment="lower case")
    role: Mapped[str] = mapped_column(String(20))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    invited_by: Mapped[int] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class WelcomeClaim(Base):
    """What a welcome credit was given for: a digest of an address, an identity or a user.

    It stays when the user goes, so that nobody is welcomed twice.
    """

    __tablename__ = "welcome_claims"

    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
