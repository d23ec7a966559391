"""Releasing what nobody will settle: requests whose process has died, and unheard admissions.

A process is dead when it has been silent for a lease while it could have reported. Where the
database stood still or was gone, or the whole machine slept, nobody could, and nobody led either.
So nobody is dead while nobody leads, and who leads after a gap first gives everybody time to
report. All of it goes by the database's clock, which no process can oversleep.
"""

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Executable,
    Integer,
    Update,
    and_,
    bindparam,
    delete,
    literal,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.database import prepared
from solrouter.models import Completion, Hold, Lease, Worker
from solrouter.models.columns import UtcDateTime, db_now
from solrouter.services import repeats
from solrouter.services.admission import facts, settling
from solrouter.services.admission.asks import INTERRUPTED

CLOCK = "clock"


def expire(connection: Connection, lease_s: int, account_id: int | None = None) -> int:
    """Ends the requests of silent workers and those past their deadline; says how many.

    With an account only its own.
    """
    of_dead = [row.account_id for row in _accounts_of_dead.rows(connection, lease_s=-lease_s)]
    released = 0
    for each in of_dead if account_id is None else {account_id}.intersection(of_dead):
        facts.lock_account(connection, each)
        rows = _delete_dead.rows(connection, account_id=each, lease_s=-lease_s)
        for row in rows:
            _release(connection, row)
        released += len(rows)
    if account_id is None:
        long_dead = delete(Worker).where(Worker.seen_at < db_now(-lease_s * 10), _is_led())
        connection.execute(long_dead)
        repeats.forget(connection)
    return released


def has_dead(account_id: int, lease_s: int) -> bool:
    """Whether there is anything to expire for an account."""
    found = database.look_up(_dead_of_account, account_id=account_id, lease_s=-lease_s)
    return found is not None


def half(lease_s: int) -> int:
    """Half a lease in whole seconds: more than a round of housekeeping, two at most."""
    return (lease_s + 1) // 2


def led_until() -> Executable:
    """Until when somebody leads or has led; no row where nobody ever has."""
    return select(Lease.expires_at).where(Lease.name == CLOCK)


def give_time(lease_s: int, led_until: datetime | None) -> Update:
    """Gives half a lease to report to all who have less, if until now nobody has led."""
    latest = db_now(-half(lease_s))
    given = update(Worker).where(Worker.seen_at < latest).values(seen_at=latest)
    if led_until is None:
        return given
    return given.where(literal(led_until, UtcDateTime()) < db_now())


def forget(connection: Connection, account_id: int, hold_id: uuid.UUID) -> None:
    """Undoes an admission that the caller was told had failed, if it was made after all.

    It leaves no receipt, since to the caller there was no request.
    """
    facts.lock_account(connection, account_id)
    hold = settling.delete_hold.first(connection, hold_id=hold_id)
    if hold is not None:
        settling.release_money(connection, hold.account_id, hold.amount_nanos)
        settling.correct_budget(connection, hold, 0)
        settling.correct_tokens(connection, hold, 0)


def _is_dead() -> ColumnElement[bool]:
    alive = select(Worker.id).where(Worker.seen_at > db_now(bindparam("lease_s", type_=Integer)))
    return or_(and_(Hold.worker_id.not_in(alive), _is_led()), Hold.deadline_at < db_now())


def _is_led() -> ColumnElement[bool]:
    clock = select(Lease.name).where(Lease.name == CLOCK, Lease.expires_at > db_now())
    return clock.exists()


@prepared
def _accounts_of_dead(_dialect: str) -> Executable:
    """In order, so that those who lock several accounts do it in the same."""
    return select(Hold.account_id).where(_is_dead()).distinct().order_by(Hold.account_id)


@prepared
def _dead_of_account(_dialect: str) -> Executable:
    return select(Hold.id).where(Hold.account_id == bindparam("account_id"), _is_dead()).limit(1)


@prepared
def _delete_dead(_dialect: str) -> Executable:
    of_account = delete(Hold).where(Hold.account_id == bindparam("account_id"), _is_dead())
    return of_account.returning(*Hold.__table__.columns)


def _release(connection: Connection, hold: Any) -> None:
    """Writes the receipt of a request whose process has died, and frees what it held."""
    settling.release_money(connection, hold.account_id, hold.amount_nanos)
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    columns = ("id", "account_id", "key_id", "user_id", "requested_model", "offer_id", "streamed")
    values = {name: getattr(hold, name) for name in columns}
    statement = upsert(Completion).values(
        **values,
        cost_card_id=hold.cost_card_id,
        sale_card_id=hold.sale_card_id,
        model=hold.requested_model,
        provider="",
        outcome=INTERRUPTED,
        reason="interrupted",
        usage={},
        usage_source="none",
        prompt_tokens=0,
        completion_tokens=0,
        held_nanos=hold.amount_nanos,
        charge_nanos=0,
        attempts=[],
        duration_ms=0,
        created_at=hold.created_at,
        ended_at=db_now(),
    )
    connection.execute(statement.on_conflict_do_nothing(index_elements=[Completion.id]))
    settling.correct_budget(connection, hold, 0)
    settling.correct_tokens(connection, hold, 0)
