"""How offers are doing, as all processes together have seen it; and what an operator says of it."""

from datetime import datetime

from sqlalchemy import BigInteger, CheckConstraint, Float, Index, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import Json, RowNumber, UtcDateTime


class OfferHealth(Base):
    """What is known of an offer's health. Times are µs of the database's clock, 0 for never.

    The counts fade: they are worth half after a half-life. No foreign key: statistics must not
    stand in the way of a change of the catalogue.
    """

    __tablename__ = "offer_health"

    offer_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    changed_at_us: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    counted_at_us: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    attempts: Mapped[float] = mapped_column(Float, default=0.0, server_default=text("0"))
    errors: Mapped[float] = mapped_column(Float, default=0.0, server_default=text("0"))
    stalls: Mapped[float] = mapped_column(Float, default=0.0, server_default=text("0"))
    faults_in_a_row: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    cool_down_s: Mapped[int] = mapped_column(
        default=0, server_default=text("0"), comment="how long this time; 0: in service"
    )
    tripped_at_us: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    cooling_until_us: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    probe_until_us: Mapped[int] = mapped_column(
        BigInteger, default=0, server_default=text("0"), comment="the lease of the one that probes"
    )
    speeds: Mapped[dict[str, float]] = mapped_column(
        Json, comment="tokens per second: how many answers, by bucket"
    )
    waits: Mapped[dict[str, float]] = mapped_column(
        Json, comment="ms to the first content: how many answers, by bucket"
    )


class OfferTraffic(Base):
    """How many attempts at an offer ended in one span of time, and how many of them failed.

    Spans are 5 minutes, an hour and a day (UTC), each kept as long as it is shown. No foreign key,
    as above.
    """

    __tablename__ = "offer_traffic"

    offer_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    span_s: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    begins_at_us: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    attempts: Mapped[int] = mapped_column(BigInteger)
    failures: Mapped[int] = mapped_column(BigInteger)


class Incident(Base):
    """Something that an operator tells of: what was, or will be, the matter, and since when."""

    __tablename__ = "incidents"
    __table_args__ = (
        CheckConstraint("kind IN ('outage', 'degraded', 'maintenance')", name="kind_known"),
        Index("ix_incidents_started_at", "started_at"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    title: Mapped[str] = mapped_column(String(200))
    kind: Mapped[str] = mapped_column(String(20))
    affects: Mapped[list[str]] = mapped_column(Json, comment="ids of models, slugs of providers")
    started_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)


class IncidentNote(Base):
    """One thing that was told about an incident. Never changed: who has read it has read it."""

    __tablename__ = "incident_notes"
    __table_args__ = (Index("ix_incident_notes_incident_id", "incident_id"),)

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    incident_id: Mapped[int] = mapped_column(BigInteger)
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
