"""How long receipts are kept: for ever, or for as many months as the operator says.

What goes is what each request was. What it cost stays: its transfers in the ledger, its part of the
sums by day. So a month goes when it is in those sums, and when each of its receipts agrees with the
ledger a last time; from then on the audit asks no receipts of that time.

On PostgreSQL a month that is old as a whole is dropped at once. The rest, and all of it on SQLite,
is deleted a little at a time.
"""

import logging
import uuid
from datetime import datetime
from functools import partial

from sqlalchemy import Connection, Delete, delete, insert, select, update

from solrouter import config, database
from solrouter.clock import first_id_at, months_later, start_of_month, time_of, utcnow
from solrouter.models import Completion, KeptContent, RollUp
from solrouter.services import audit, billing, key_usage, partitions, usage_days

log = logging.getLogger(__name__)

DELETED_AT_ONCE = 2_000
FIRST_OF_ALL = uuid.UUID(int=0)
SYSTEM = "system"


def forget(now: datetime | None = None) -> int:
    """Forgets the receipts that are too old; says how many months it forgot now.

    Raises TableBusy; what is left then goes the next time.
    """
    months = config.current()["SOLROUTER_RECEIPTS_MONTHS"]
    if not months:
        return 0
    until = months_later(start_of_month(now or utcnow()), -months)
    forgotten = 0
    while (end := database.read_apart(lambda connection: _next(connection, until))) is not None:
        database.transact(partial(_mark, end=end))
        forgotten += 1
    _delete_marked()
    return forgotten


def _next(connection: Connection, until: datetime) -> datetime | None:
    """The end of the first month that is too old, is not marked as forgotten, and may go."""
    marked = connection.execute(billing.forgotten_until()).scalar()
    wanted = select(Completion.id).order_by(Completion.id).limit(1)
    if marked is not None:
        wanted = wanted.where(Completion.id >= marked)
    first = connection.execute(wanted).scalar()
    if first is None or first >= first_id_at(until):
        return None
    end = months_later(start_of_month(time_of(first)), 1)
    if not (usage_days.has_summed(connection, end) and key_usage.has_summed(connection, end)):
        return None
    since = marked or FIRST_OF_ALL
    for difference in billing.charges_that_drift(connection, since, first_id_at(end)):
        log.error("receipts from before %s are not forgotten: %s", f"{end:%Y-%m}", difference)
        return None
    return end


def _mark(connection: Connection, end: datetime) -> None:
    """From now on nobody expects receipts from before `end`."""
    values = {"until": end.date(), "until_id": first_id_at(end)}
    known = update(RollUp).where(RollUp.name == billing.FORGOTTEN).values(**values)
    if not connection.execute(known).rowcount:
        connection.execute(insert(RollUp).values(name=billing.FORGOTTEN, **values))
    details = {"until": end.date().isoformat()}
    event = audit.event(actor=SYSTEM, action="receipts.forgotten", subject="all", details=details)
    connection.execute(event)


def _delete_marked() -> None:
    with database.read() as connection:
        marked = connection.execute(billing.forgotten_until()).scalar()
    if marked is None:
        return
    if not database.current().is_sqlite:
        partitions.drop_until(Completion.__tablename__, time_of(marked))
    for identifier in (KeptContent.completion_id, Completion.id):
        some = select(identifier).where(identifier < marked).limit(DELETED_AT_ONCE)
        _delete_all(delete(identifier.class_).where(identifier.in_(some)))


def _delete_all(some: Delete) -> None:
    count = DELETED_AT_ONCE
    while count == DELETED_AT_ONCE:
        count = database.transact(
            lambda connection: connection.execute(some).rowcount, durable=False
        )
