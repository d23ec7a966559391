"""The row that all processes share for each offer. Statements for one transaction each; nothing of
memory or of the app is known here, since on SQLite they run in the writer's thread.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Row, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter.models import OfferHealth
from solrouter.models.columns import db_now_us
from solrouter.services.health import breaker, traffic
from solrouter.services.health.breaker import SECOND_US, Record
from solrouter.services.health.monitor import News

# A probe that nobody hears of again has ended after this.
PROBE_S = 30
# A row may become visible so long after the time that it carries.
OVERLAP_US = 10 * SECOND_US
COUNTED = (
    "counted_at_us",
    "attempts",
    "errors",
    "stalls",
    "faults_in_a_row",
    "cool_down_s",
    "tripped_at_us",
    "cooling_until_us",
    "probe_until_us",
)


def tell(connection: Connection, news: Mapping[int, News]) -> None:
    """Adds what one process has seen, as if all had been seen by one."""
    offer_ids = sorted(news)
    rows = _locked(connection, offer_ids)
    if len(rows) < len(offer_ids):
        insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        connection.execute(
            insert(OfferHealth).on_conflict_do_nothing(),
            [{"offer_id": offer_id, "speeds": {}, "waits": {}} for offer_id in offer_ids],
        )
        rows = _locked(connection, offer_ids)
    now_us: int = connection.execute(select(db_now_us())).scalar_one()
    for row in rows:
        told = news[row.offer_id]
        passed_s = (now_us - row.changed_at_us) / SECOND_US
        record = breaker.with_speeds(_record(row), told.speeds, told.waits, passed_s=passed_s)
        record = breaker.after(record, told.events)
        values: dict[str, Any] = {name: getattr(record, name) for name in COUNTED}
        connection.execute(
            update(OfferHealth)
            .where(OfferHealth.offer_id == row.offer_id)
            .values(
                changed_at_us=now_us,
                speeds={str(bucket): count for bucket, count in record.speeds.items()},
                waits={str(bucket): count for bucket, count in record.waits.items()},
                **values,
            )
        )
    traffic.count(connection, news, now_us)


def _locked(connection: Connection, offer_ids: list[int]) -> Sequence[Row[Any]]:
    """Their rows, locked in one order, so that two processes never wait for each other."""
    query = select(*OfferHealth.__table__.columns).where(OfferHealth.offer_id.in_(offer_ids))
    return connection.execute(query.order_by(OfferHealth.offer_id).with_for_update()).all()


def changed_since(connection: Connection, at_us: int) -> tuple[int, list[tuple[int, Record]]]:
    """The database's time, and the records that have changed since an earlier one."""
    now_us = connection.execute(select(db_now_us())).scalar_one()
    query = select(*OfferHealth.__table__.columns).where(
        OfferHealth.changed_at_us >= at_us - OVERLAP_US
    )
    return now_us, [(row.offer_id, _record(row)) for row in connection.execute(query)]


def take_probe(connection: Connection, offer_id: int) -> bool:
    """Takes the lease of an offer whose cool-down is over, unless somebody has it."""
    now_us = db_now_us()
    statement = (
        update(OfferHealth)
        .where(
            OfferHealth.offer_id == offer_id,
            OfferHealth.cool_down_s > 0,
            OfferHealth.cooling_until_us <= now_us,
            OfferHealth.probe_until_us <= now_us,
        )
        .values(probe_until_us=now_us + PROBE_S * SECOND_US)
    )
    return connection.execute(statement).rowcount == 1


def _record(row: Row[Any]) -> Record:
    return Record(
        **{name: getattr(row, name) for name in COUNTED},
        speeds={int(bucket): count for bucket, count in row.speeds.items()},
        waits={int(bucket): count for bucket, count in row.waits.items()},
    )
