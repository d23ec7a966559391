"""Automatic top-ups: what an account has ordered, and what came of each. `auto` carries them out.

| after          | it is                                                                  |
|----------------|------------------------------------------------------------------------|
| a success      | as new; the person is told by mail                                     |
| a failure      | tried again after an hour, then four; the person is told by mail       |
| three failures | off, until a person turns it on again                                  |
| who consented  | off, when the next one would be due; the owners are told by mail        |
| has left       |                                                                        |
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.models import Account, AutoTopUp, Membership, User
from solrouter.models.columns import db_now
from solrouter.money import decimal_usd, display_usd
from solrouter.services import audit, outbox, people, webhook_queue
from solrouter.services.payments.rows import Payment

FAILURES_MAX = 3
HOUR_S = 3_600
AUTHENTICATION = "authentication_required"
NEEDS_YOU, FAILED, OFF = "top_up_needs_you", "top_up_failed", "top_up_off"
ENDED = "top_up_ended"
DONE = "top_up_done"
PROBLEM_CHARACTERS_MAX = 300
NOBODY = "Who let the card be charged may not do so for this account any more. Turn it on again."


@dataclass(frozen=True, slots=True)
class StandingOrder:
    """Below the threshold, the saved card pays the amount; never more than the cap in a month."""

    account_id: int
    user_id: int
    is_on: bool
    threshold_nanos: int
    amount_nanos: int
    monthly_cap_nanos: int
    failures: int
    problem: str
    consented_at: datetime


COLUMNS = tuple(getattr(AutoTopUp, name) for name in StandingOrder.__dataclass_fields__)


def find(account_id: int) -> StandingOrder | None:
    """What the account has ordered, on or off; None for never."""
    with database.read() as connection:
        return find_in(connection, account_id)


def find_in(connection: Connection, account_id: int) -> StandingOrder | None:
    """`find` over a connection that is open already."""
    query = select(*COLUMNS).where(AutoTopUp.account_id == account_id)
    row = connection.execute(query).one_or_none()
    return None if row is None else StandingOrder(*row)


def put(connection: Connection, order: StandingOrder) -> None:
    """Writes what a person has consented to."""
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {
        "user_id": order.user_id,
        "is_on": True,
        "threshold_nanos": order.threshold_nanos,
        "amount_nanos": order.amount_nanos,
        "monthly_cap_nanos": order.monthly_cap_nanos,
        "failures": 0,
        "problem": "",
        "consented_at": db_now(),
        "next_try_at": None,
    }
    statement = upsert(AutoTopUp).values(account_id=order.account_id, **values)
    connection.execute(
        statement.on_conflict_do_update(index_elements=[AutoTopUp.account_id], set_=values)
    )
    details = {
        "threshold_nanos": order.threshold_nanos,
        "amount_nanos": order.amount_nanos,
        "monthly_cap_nanos": order.monthly_cap_nanos,
    }
    actor = f"user:{order.user_id}"
    connection.execute(_event(order.account_id, "auto_top_up.on", actor, details))


def turn_off(connection: Connection, account_id: int, *, actor: str, problem: str = "") -> None:
    """Ends it until somebody turns it on again; harmless when it is off."""
    off = update(AutoTopUp).where(AutoTopUp.account_id == account_id, AutoTopUp.is_on)
    changed = connection.execute(off.values(is_on=False, problem=problem[:PROBLEM_CHARACTERS_MAX]))
    if changed.rowcount:
        details = {"problem": problem} if problem else {}
        connection.execute(_event(account_id, "auto_top_up.off", actor, details))


def put_off(connection: Connection, account_id: int, *, by_s: int, problem: str) -> None:
    """Not now: tried again after that."""
    later = update(AutoTopUp).where(AutoTopUp.account_id == account_id)
    connection.execute(
        later.values(next_try_at=db_now(by_s), problem=problem[:PROBLEM_CHARACTERS_MAX])
    )


def succeeded(connection: Connection, payment: Payment) -> None:
    """One has brought its money, and the person is told."""
    fresh = update(AutoTopUp).where(AutoTopUp.account_id == payment.account_id)
    connection.execute(fresh.values(failures=0, problem="", next_try_at=None))
    _tell(connection, payment, DONE, "")


def failed(connection: Connection, payment: Payment, problem: str, code: str) -> None:
    """One was declined: the person is told, and after three it is off."""
    of_account = update(AutoTopUp).where(AutoTopUp.account_id == payment.account_id)
    counted = of_account.values(failures=AutoTopUp.failures + 1).returning(AutoTopUp.failures)
    failures = connection.execute(counted).scalar()
    if failures is None:
        return
    needs_person = code == AUTHENTICATION
    kind = NEEDS_YOU if needs_person else FAILED
    if failures >= FAILURES_MAX:
        kind = OFF
        turn_off(connection, payment.account_id, actor="system", problem=problem)
    else:
        by_s = HOUR_S * 4 ** (failures - 1)
        put_off(connection, payment.account_id, by_s=by_s, problem=problem)
    _tell(connection, payment, kind, problem)
    data = {
        "payment": payment.public_id,
        "amount_usd": decimal_usd(payment.total_nanos),
        "problem": problem,
        "is_off": kind == OFF,
    }
    webhook_queue.put(connection, webhook_queue.TOP_UP_FAILED, data, account_id=payment.account_id)


def nobody_consents(connection: Connection, order: StandingOrder) -> None:
    """Who let the card be charged has gone, and with them their word: the owners are told."""
    turn_off(connection, order.account_id, actor="system", problem=NOBODY)
    owners = (
        select(User.id, User.email, Account.name)
        .join(Membership, Membership.user_id == User.id)
        .join(Account, Account.id == Membership.account_id)
        .where(Account.id == order.account_id, Membership.role == people.OWNER)
        .where(User.disabled_at.is_(None))
    )
    for user_id, email, account in connection.execute(owners).all():
        outbox.put(connection, ENDED, email, user_id=user_id, facts={"account": account})


def forget(connection: Connection, account_id: int) -> None:
    """For an account that ends."""
    connection.execute(delete(AutoTopUp).where(AutoTopUp.account_id == account_id))


def _tell(connection: Connection, payment: Payment, kind: str, problem: str) -> None:
    query = select(User.email).where(User.id == payment.user_id, User.deleted_at.is_(None))
    email = connection.execute(query).scalar()
    if email is not None:
        facts = {
            "amount": display_usd(payment.total_nanos),
            "credits": display_usd(payment.amount_nanos),
            "problem": problem,
        }
        outbox.put(connection, kind, email, user_id=payment.user_id, facts=facts)


def _event(account_id: int, action: str, actor: str, details: dict[str, Any]) -> Any:
    return audit.event(
        actor=actor,
        action=action,
        subject=f"account:{account_id}",
        account_id=account_id,
        details=details,
    )
