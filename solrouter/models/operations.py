"""What keeps the house running: periodic jobs, the counts of every process, operators' alerts."""

from datetime import datetime
from typing import Any

from sqlalchemy import Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import Json, RowNumber, UtcDateTime

IS_OPEN = text("resolved_at IS NULL")


class Job(Base):
    """A periodic job: when it is due, and how it went the last time. One row for each."""

    __tablename__ = "jobs"

    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    due_at: Mapped[datetime] = mapped_column(UtcDateTime)
    started_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    ended_at: Mapped[datetime | None] = mapped_column(
        UtcDateTime, comment="null while it runs, or when its process died"
    )
    succeeded_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    duration_ms: Mapped[int | None] = mapped_column(Integer)
    result: Mapped[str] = mapped_column(Text, default="", server_default="")
    problem: Mapped[str] = mapped_column(
        Text, default="", server_default="", comment="why it failed the last time, redacted"
    )
    worker_id: Mapped[str] = mapped_column(String(80), default="", server_default="")


class ProcessCount(Base):
    """What one process has counted since its start; those that ended are summed up in one row."""

    __tablename__ = "process_counts"

    worker_id: Mapped[str] = mapped_column(String(80), primary_key=True)
    counts: Mapped[dict[str, float]] = mapped_column(Json)
    told_at: Mapped[datetime] = mapped_column(UtcDateTime)


class Alert(Base):
    """Something that operators must know of. Open once at most for each kind and subject."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(
            "uq_alerts_open",
            "kind",
            "subject",
            unique=True,
            sqlite_where=IS_OPEN,
            postgresql_where=IS_OPEN,
        ),
        Index("ix_alerts_opened_at", "opened_at"),
    )

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    kind: Mapped[str] = mapped_column(String(40))
    subject: Mapped[str] = mapped_column(String(120), comment="a provider, a job; empty: the house")
    facts: Mapped[dict[str, Any]] = mapped_column(Json)
    opened_at: Mapped[datetime] = mapped_column(UtcDateTime)
    resolved_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
