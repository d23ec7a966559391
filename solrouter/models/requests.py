"""Requests: a small hold while one runs, one completion when it has ended; and who runs them.

No foreign key points at completions or transfers and neither has another unique index, so that
PostgreSQL can cut both into months by their time-ordered ids.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import SEALED, SEALED_BRIEFLY, Json, TimeOrderedId, UtcDateTime


class Hold(Base):
    """A running request: the pending receipt, and the money and tokens set aside for it."""

    __tablename__ = "holds"
    __table_args__ = (
        CheckConstraint("amount_nanos >= 0", name="amount_not_negative"),
        Index("ix_holds_account_id", "account_id"),
        Index("ix_holds_worker_id", "worker_id"),
        Index("ix_holds_deadline_at", "deadline_at"),
    )

    id: Mapped[uuid.UUID] = mapped_column(TimeOrderedId, primary_key=True)
    account_id: Mapped[int] = mapped_column(BigInteger)
    key_id: Mapped[int | None] = mapped_column(BigInteger)
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    requested_model: Mapped[str] = mapped_column(String(200))
    offer_id: Mapped[int] = mapped_column(BigInteger)
    cost_card_id: Mapped[int] = mapped_column(BigInteger)
    sale_card_id: Mapped[int] = mapped_column(BigInteger)
    amount_nanos: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int] = mapped_column(BigInteger, comment="taken from the token limits")
    streamed: Mapped[bool]
    worker_id: Mapped[str] = mapped_column(String(80))
    deadline_at: Mapped[datetime] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Completion(Base):
    """The receipt: one row for each admitted request, inserted once at its end."""

    __tablename__ = "completions"
    __table_args__ = (
        CheckConstraint("charge_nanos >= 0", name="charge_not_negative"),
        CheckConstraint("usage_source IN ('upstream', 'estimated', 'none')", name="source_known"),
        CheckConstraint(
            "outcome IN ('finished', 'cancelled', 'failed', 'stopped', 'interrupted')",
            name="outcome_known",
        ),
        Index("ix_completions_account_id_id", "account_id", "id"),
        Index("ix_completions_key_id_id", "key_id", "id"),
    )

    id: Mapped[uuid.UUID] = mapped_column(TimeOrderedId, primary_key=True)
    account_id: Mapped[int] = mapped_column(BigInteger)
    key_id: Mapped[int | None] = mapped_column(BigInteger)
    user_id: Mapped[int | None] = mapped_column(BigInteger)
    requested_model: Mapped[str] = mapped_column(String(200))
    model: Mapped[str] = mapped_column(String(200), comment="the model that served")
    provider: Mapped[str] = mapped_column(String(40))
    offer_id: Mapped[int] = mapped_column(BigInteger)
    cost_card_id: Mapped[int] = mapped_column(BigInteger)
    sale_card_id: Mapped[int] = mapped_column(BigInteger)
    upstream_id: Mapped[str | None] = mapped_column(String(200))
    streamed: Mapped[bool]
    outcome: Mapped[str] = mapped_column(String(20))
    reason: Mapped[str] = mapped_column(String(60), comment="why it cost what it cost")
    finish_reason: Mapped[str | None] = mapped_column(String(30))
    error_code: Mapped[str | None] = mapped_column(String(60))
    usage: Mapped[dict[str, int]] = mapped_column(Json)
    usage_source: Mapped[str] = mapped_column(String(10))
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    held_nanos: Mapped[int] = mapped_column(BigInteger)
    charge_nanos: Mapped[int] = mapped_column(BigInteger)
    write_off_nanos: Mapped[int] = mapped_column(BigInteger, server_default=text("0"), default=0)
    upstream_cost_nanos: Mapped[int] = mapped_column(
        BigInteger, server_default=text("0"), default=0
    )
    attempts: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    first_content_ms: Mapped[int | None] = mapped_column(Integer)
    duration_ms: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime] = mapped_column(UtcDateTime)


class IdempotencyKey(Base):
    """A caller's own name of a request, for a day, so that a repetition is not a second request.

    `answer` is sealed under a key that is derived from the caller's API key and this name, neither
    of which we keep; NULL while it runs, and for an answer too large to keep.
    """

    __tablename__ = "idempotency_keys"
    __table_args__ = (Index("ix_idempotency_keys_expires_at", "expires_at"),)

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    body_digest: Mapped[bytes] = mapped_column(LargeBinary(32))
    completion_id: Mapped[uuid.UUID] = mapped_column(TimeOrderedId)
    is_finished: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    answer: Mapped[bytes | None] = mapped_column(LargeBinary)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Keepsake(Base):
    """What a provider signed with a tool call, for an hour, for clients that do not bring it back.

    `value` is encrypted under the root secret; `digest` names provider, model, call and tool.
    """

    __tablename__ = "keepsakes"
    __table_args__ = (Index("ix_keepsakes_expires_at", "expires_at"),)

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), primary_key=True)
    value: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED_BRIEFLY)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class KeptContent(Base):
    """A request's prompt and answer, where its account wants them kept: encrypted, with the
    completion's id inside.
    """

    __tablename__ = "kept_contents"
    __table_args__ = (
        Index("ix_kept_contents_account_id_completion_id", "account_id", "completion_id"),
        Index("ix_kept_contents_expires_at", "expires_at"),
    )

    completion_id: Mapped[uuid.UUID] = mapped_column(TimeOrderedId, primary_key=True)
    account_id: Mapped[int] = mapped_column(BigInteger)
    content: Mapped[bytes] = mapped_column(LargeBinary, info=SEALED)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Worker(Base):
    """A process that runs requests; it renews `seen_at`, and its holds die with it."""

    __tablename__ = "workers"

    id: Mapped[str] = mapped_column(String(80), primary_key=True)
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Lease(Base):
    """Who does the periodic work (`clock`) until when."""

    __tablename__ = "leases"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    worker_id: Mapped[str] = mapped_column(String(80))
    expires_at: Mapped[datetime] = mapped_column(UtcDateTime)


class AuditEvent(Base):
    """Every act on money, keys, access or settings. Append-only by trigger."""

    __tablename__ = "audit_events"
    __table_args__ = (Index("ix_audit_events_account_id_id", "account_id", "id"),)

    id: Mapped[uuid.UUID] = mapped_column(TimeOrderedId, primary_key=True)
    account_id: Mapped[int | None] = mapped_column(BigInteger)
    actor: Mapped[str] = mapped_column(String(80))
    action: Mapped[str] = mapped_column(String(60))
    subject: Mapped[str] = mapped_column(String(120))
    details: Mapped[dict[str, Any] | None] = mapped_column(Json)
    network: Mapped[str] = mapped_column(String(45), default="", server_default="")
    request_id: Mapped[str] = mapped_column(Text, default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
