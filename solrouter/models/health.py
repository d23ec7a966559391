"""How offers are doing, as all processes together have seen it."""

from sqlalchemy import BigInteger, Float, text
from sqlalchemy.orm import Mapped, mapped_column

from solrouter.extensions import Base
from solrouter.models.columns import Json


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
