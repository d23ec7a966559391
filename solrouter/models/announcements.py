"""What an operator tells everybody who looks at a page."""

from datetime import datetime

from sqlalchemy import CheckConstraint, String
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import RowNumber, UtcDateTime


class Announcement(Base):
    """One sentence above every page, from `begins_at` until it is ended."""

    __tablename__ = "announcements"
    __table_args__ = (CheckConstraint("tone IN ('info', 'warning')", name="tone_known"),)

    id: Mapped[int] = mapped_column(RowNumber, primary_key=True)
    public_id: Mapped[str] = mapped_column(String(40), unique=True)
    text: Mapped[str] = mapped_column(String(300))
    tone: Mapped[str] = mapped_column(String(20))
    link: Mapped[str] = mapped_column(String(500), default="", server_default="")
    begins_at: Mapped[datetime] = mapped_column(UtcDateTime)
    ends_at: Mapped[datetime | None] = mapped_column(UtcDateTime)
    created_at: Mapped[datetime] = mapped_column(UtcDateTime)
