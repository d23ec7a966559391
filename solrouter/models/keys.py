"""API keys and what limits them: plans, budgets in money, buckets in requests and tokens."""

import uuid
from datetime import date, datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Date,
    ForeignKey,
    Index,
    LargeBinary,
    String,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import Json, RowNumber, TimeOrderedId, UtcDateTime


class Plan(Base):
    """What an account may use at once. A limit of NULL is no limit, 0 is nothing at all."""

    __tablename__ = "plans"

    slug: Mapped[str] = mapped_column(String(40), primary_key=True)
    name: Mapped[str] = mapped_column(String(80))
    requests_per_minute: Mapped[int | None]
    tokens_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    concurrency: Mapped[int | None]
    free_requests_per_day: Mapped[int | None]
    free_concurrency: Mapped[int | None]
    min_paid_nanos: Mapped[int | None] = mapped_column(
        BigInteger, comment="total paid that brings this plan; NULL: only the operator gives it"
    )


class ApiKey(Base):
    """A key. Its text is shown once; the row keeps an HMAC under a pepper of the root secret.

    One with the purpose `playground` stands for a signed-in member and has no text at all: its
    digest is random.
    """

    __tablename__ = "api_keys"
    __table_args__ = (
        Index(
            "uq_api_keys_playground",
            "account_id",
            "user_id",
            unique=True,
            sqlite_where=text("purpose = 'playground'"),
            postgresql_where=text("purpose = 'playground'"),
        ),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    account_id: Mapped[int] = mapped_column(ForeignKey("accounts.id"), index=True)
    user_id: Mapped[int] = mapped_column(ForeignKey("users.id"))
    name: Mapped[str] = mapped_column(String(100))
    purpose: Mapped[str] = mapped_column(
        String(20), default="api", server_default="api", comment="api, or playground: no secret"
    )
    hint: Mapped[str] = mapped_column(String(20), comment="what may be shown: sr_Ab12…yZ90")
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    digest_version: Mapped[str] = mapped_column(
        String(16), comment="fingerprint of the root secret"
    )
    scopes: Mapped[str] = mapped_column(
        String(200), default="inference", server_default="inference"
    )
    models_allowed: Mapped[list[str] | None] = mapped_column(Json)
    networks_allowed: Mapped[list[str] | None] = mapped_column(Json)
    requests_per_minute: Mapped[int | None]
    tokens_per_minute: Mapped[int | None] = mapped_column(BigInteger)
    concurrency: Mapped[int | None]
    expires_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    maker_left_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="disabled because who made it left the account; an owner may enable it"
    )
    revoked_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    last_used_address: Mapped[str | None] = mapped_column(
        String(45), comment="the client's, at its last use"
    )
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
    updated_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class FormerSecret(Base):
    """A text that a key had before it was rotated; it speaks for the key until `ends_at`.

    Ended ones are kept for a while, so that their users are told what happened.
    """

    __tablename__ = "former_secrets"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    key_id: Mapped[int] = mapped_column(ForeignKey("api_keys.id"), index=True)
    hint: Mapped[str] = mapped_column(String(20))
    digest: Mapped[bytes] = mapped_column(LargeBinary(32), unique=True)
    digest_version: Mapped[str] = mapped_column(String(16))
    replaced_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime] = mapped_column(UtcDateTime)
    last_used_at: Mapped[datetime | None] = mapped_column(UtcDateTime)


class KeyNetwork(Base):
    """A network that a key was used from, so that its maker hears of one that is new."""

    __tablename__ = "key_networks"

    key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    network: Mapped[str] = mapped_column(String(49), primary_key=True)
    seen_at: Mapped[datetime] = mapped_column(UtcDateTime, comment="for the first time")


class KeyDay(Base):
    """What a key's requests that began on a day (UTC) were charged, once that day is settled."""

    __tablename__ = "key_days"

    key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    charge_nanos: Mapped[int] = mapped_column(BigInteger)


class UsageDay(Base):
    """What an account's requests that began on a day (UTC) were and cost, by key, model, provider.

    A day grows hour by hour; the sum and how far it reaches (`RollUp.until_id`) are written as one.
    """

    __tablename__ = "usage_days"
    __table_args__ = (Index("ix_usage_days_day", "day"),)

    account_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    day: Mapped[date] = mapped_column(Date, primary_key=True)
    key_id: Mapped[int] = mapped_column(
        BigInteger, primary_key=True, autoincrement=False, comment="0: none"
    )
    model: Mapped[str] = mapped_column(String(200), primary_key=True)
    provider: Mapped[str] = mapped_column(String(40), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    charge_nanos: Mapped[int] = mapped_column(BigInteger)
    upstream_cost_nanos: Mapped[int] = mapped_column(BigInteger)


class UsageTotal(Base):
    """The same of all accounts together, by provider, so that operators' pages sum no accounts."""

    __tablename__ = "usage_totals"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    provider: Mapped[str] = mapped_column(String(40), primary_key=True)
    requests: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(BigInteger)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger)
    completion_tokens: Mapped[int] = mapped_column(BigInteger)
    charge_nanos: Mapped[int] = mapped_column(BigInteger)
    upstream_cost_nanos: Mapped[int] = mapped_column(BigInteger)


class RollUp(Base):
    """Up to which day, itself not included, a table of sums has been filled; or up to which id."""

    __tablename__ = "roll_ups"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    until: Mapped[date] = mapped_column(Date)
    until_id: Mapped[uuid.UUID | None] = mapped_column(
        TimeOrderedId, comment="of requests, for sums that reach into a day"
    )


class Budget(Base):
    """Money that a subject (`key:7`, `account:3`, `member:3:9`) may spend in a period.

    `spent_nanos` includes what running requests hold, so that one condition decides exactly.
    """

    __tablename__ = "budgets"
    __table_args__ = (
        CheckConstraint("period IN ('lifetime', 'day', 'week', 'month')", name="period_known"),
        CheckConstraint("limit_nanos >= 0", name="limit_not_negative"),
        CheckConstraint("spent_nanos >= 0", name="spent_not_negative"),
    )

    subject: Mapped[str] = mapped_column(String(60), primary_key=True)
    period: Mapped[str] = mapped_column(String(10), primary_key=True)
    limit_nanos: Mapped[int] = mapped_column(BigInteger)
    spent_nanos: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    period_start: Mapped[datetime] = mapped_column(UtcDateTime)


class Bucket(Base):
    """A rate limit by GCRA: `tat_us` is the theoretical arrival time, in µs of the database's
    clock.
    """

    __tablename__ = "buckets"

    subject: Mapped[str] = mapped_column(String(120), primary_key=True)
    kind: Mapped[str] = mapped_column(String(30), primary_key=True)
    tat_us: Mapped[int] = mapped_column(BigInteger)


class Refusal(Base):
    """How often a key's requests were refused on a day, by reason (UTC)."""

    __tablename__ = "refusals"

    day: Mapped[date] = mapped_column(Date, primary_key=True)
    key_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    code: Mapped[str] = mapped_column(String(60), primary_key=True)
    count: Mapped[int] = mapped_column(BigInteger)


class SecretFingerprint(Base):
    """Which root secrets this database has met, so that a wrong one is an error at start."""

    __tablename__ = "secret_fingerprints"

    fingerprint: Mapped[str] = mapped_column(String(16), primary_key=True)
    details: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
