"""What is on offer: providers, language models, offers (a model at a provider) and their dated
prices.

`source` says who made a row: `operator`, or the catalogue that it came from. Only what came from a
catalogue is changed or retired by one; `retired_at` is when it vanished from there, `disabled_at`
when an operator switched it off.
"""

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
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import SEALED, Json, RowNumber, UtcDateTime

OPERATOR = "operator"


class Provider(Base):
    """A company, or a server, that answers in one dialect (`kind`)."""

    __tablename__ = "providers"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    slug: Mapped[str] = mapped_column(String(40), unique=True)
    name: Mapped[str] = mapped_column(String(80))
    kind: Mapped[str] = mapped_column(String(20))
    base_url: Mapped[str] = mapped_column(String(500))
    key_settings: Mapped[list[str]] = mapped_column(Json, comment="settings that may hold its key")
    key_encrypted: Mapped[bytes | None] = mapped_column(LargeBinary, info=SEALED)
    needs_key: Mapped[bool] = mapped_column(default=True, server_default=text("true"))
    capabilities: Mapped[dict[str, Any]] = mapped_column(Json)
    collects_data: Mapped[bool | None] = mapped_column(
        comment="whether it keeps prompts, in the operator's word; null: see capabilities"
    )
    source: Mapped[str] = mapped_column(String(80), default=OPERATOR, server_default=OPERATOR)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class LanguageModel(Base):
    """What customers name: `author/name`."""

    __tablename__ = "language_models"

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    slug: Mapped[str] = mapped_column(String(200), unique=True)
    author: Mapped[str] = mapped_column(String(100), index=True)
    name: Mapped[str] = mapped_column(String(200))
    description: Mapped[str] = mapped_column(Text)
    context_tokens: Mapped[int]
    output_tokens_max: Mapped[int | None]
    input_modalities: Mapped[list[str]] = mapped_column(Json)
    output_modalities: Mapped[list[str]] = mapped_column(Json)
    parameters: Mapped[list[str]] = mapped_column(Json)
    facts: Mapped[dict[str, Any]] = mapped_column(Json, comment="what adapters need to know")
    released_on: Mapped[date | None] = mapped_column(Date)
    expires_on: Mapped[date | None] = mapped_column(Date)
    source: Mapped[str] = mapped_column(String(80), default=OPERATOR, server_default=OPERATOR)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class ModelAlias(Base):
    """Another id of a model: retired, never released, or only spelled otherwise."""

    __tablename__ = "model_aliases"

    slug: Mapped[str] = mapped_column(String(200), primary_key=True)
    name: Mapped[str] = mapped_column(String(200))
    target: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(20))
    retired_on: Mapped[date | None] = mapped_column(Date)
    former_rates: Mapped[dict[str, int] | None] = mapped_column(Json)
    note: Mapped[str] = mapped_column(Text, default="", server_default="")
    source: Mapped[str] = mapped_column(String(80), default=OPERATOR, server_default=OPERATOR)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Offer(Base):
    """One provider's way to serve one model; of what is null here the model's own holds."""

    __tablename__ = "offers"
    __table_args__ = (
        Index(
            "uq_offers_language_model_id_provider_id_upstream_model",
            "language_model_id",
            "provider_id",
            "upstream_model",
            unique=True,
        ),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    language_model_id: Mapped[int] = mapped_column(ForeignKey("language_models.id"))
    provider_id: Mapped[int] = mapped_column(ForeignKey("providers.id"), index=True)
    upstream_model: Mapped[str] = mapped_column(String(200))
    weight: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    is_free: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    bills_after_cancel: Mapped[bool] = mapped_column(default=False, server_default=text("false"))
    context_tokens: Mapped[int | None]
    output_tokens_max: Mapped[int | None]
    deadlines: Mapped[dict[str, float]] = mapped_column(
        Json, default=dict, server_default="{}", comment="seconds by name, instead of the settings"
    )
    parameters: Mapped[list[str] | None] = mapped_column(
        Json, comment="request fields that it honours"
    )
    source: Mapped[str] = mapped_column(String(80), default=OPERATOR, server_default=OPERATOR)
    disabled_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    retired_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class PriceCard(Base):
    """A dated price of an offer: what it costs us (`cost`) or the caller (`sale`). Never edited.

    `rates` are nanodollars per 1,000,000 units by class; `tiers` and `windows` replace them when
    the input is large or the hour is one of theirs.
    """

    __tablename__ = "price_cards"
    __table_args__ = (
        CheckConstraint("side IN ('cost', 'sale')", name="side_known"),
        Index(
            "uq_price_cards_offer_id_side_effective_at",
            "offer_id",
            "side",
            "effective_at",
            unique=True,
        ),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    offer_id: Mapped[int] = mapped_column(ForeignKey("offers.id"))
    side: Mapped[str] = mapped_column(String(4))
    effective_at: Mapped[datetime] = mapped_column(UtcDateTime)
    rates: Mapped[dict[str, int]] = mapped_column(Json)
    tiers: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    windows: Mapped[list[dict[str, Any]]] = mapped_column(Json)
    source: Mapped[str] = mapped_column(String(80), default="", server_default="")
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Version(Base):
    """A number that grows with each change of what it names, so that memory can be checked."""

    __tablename__ = "versions"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    number: Mapped[int] = mapped_column(BigInteger)
