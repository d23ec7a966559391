"""Webhooks that we send: where to, and every message with what became of it."""

from datetime import datetime

from sqlalchemy import BigInteger, Index, LargeBinary, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import SEALED, Json, RowNumber, UtcDateTime


class WebhookEndpoint(Base):
    """An address that is told of events, and the secret that its messages are signed with."""

    __tablename__ = "webhook_endpoints"
    __table_args__ = (Index("ix_webhook_endpoints_account_id", "account_id"),)

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    account_id: Mapped[int | None] = mapped_column(BigInteger, comment="null: the operators'")
    url: Mapped[str] = mapped_column(Text)
    kinds: Mapped[list[str]] = mapped_column(Json, comment="the events that it wants")
    secret_encrypted: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    failing_since: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="the first failure since the last success"
    )
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    problem: Mapped[str] = mapped_column(
        String(200), default="", server_default="", comment="why we turned it off ourselves"
    )


class WebhookMessage(Base):
    """One event for one endpoint: the body to the letter, and what became of it."""

    __tablename__ = "webhook_messages"
    __table_args__ = (
        Index("ix_webhook_messages_endpoint_id_id", "endpoint_id", "id"),
        Index("ix_webhook_messages_due_at", "due_at"),
        Index("ix_webhook_messages_ended_at", "ended_at"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True, comment="the webhook-id")
    endpoint_id: Mapped[int] = mapped_column(BigInteger)
    kind: Mapped[str] = mapped_column(String(40))
    body: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    due_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="null: delivered, or given up"
    )
    tries: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    is_delivered: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    status: Mapped[int | None] = mapped_column(comment="of the last answer")
    problem: Mapped[str] = mapped_column(String(200), default="", server_default="")
