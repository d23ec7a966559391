"""Settling a request, once, statement by statement: on SQLite always, on PostgreSQL what is not
ordinary.
"""

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Executable,
    bindparam,
    case,
    delete,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from solrouter.clock import time_of, utcnow
from solrouter.database import prepared
from solrouter.models import Account, ApiKey, Budget, Completion, Hold, Plan
from solrouter.models.columns import db_now
from solrouter.services import billing, budgets, keys, limits, repeats
from solrouter.services.admission import facts, receipts
from solrouter.services.admission.allowance import Allowance
from solrouter.services.admission.asks import FINISHED, INTERRUPTED, STOPPED, Admitted, Ending
from solrouter.services.billing import Balance, Charge
from solrouter.services.limits import RateLimit

log = logging.getLogger(__name__)

BEYOND_ALLOWANCE = "beyond_allowance"
# Makes the answer to keep for a repetition, once the charge is known.
Transcript = Callable[[Charge], bytes]


def settle(
    connection: Connection,
    admitted: Admitted,
    ending: Ending,
    terms: Allowance,
    transcript: Transcript | None,
) -> Charge:
    """Ends a request, once; returns what it cost."""
    principal = admitted.ask.principal
    facts.lock_account(connection, principal.account_id)
    hold = delete_hold.first(connection, hold_id=admitted.id)
    after = release_money(
        connection, principal.account_id, hold.amount_nanos if hold is not None else 0
    )
    ending = _forgiven(connection, principal.account_id, ending, terms)
    charge = billing.split(ending.cost_nanos, after_release=after)
    if not _insert_completion(connection, admitted, ending, charge):
        # Settled before: the hold was gone already, so nothing has been changed above.
        assert hold is None
        return _first_charge(connection, admitted.id)
    take_charge(connection, principal.account_id, charge)
    billing.record_usage(connection, admitted.id, principal.account_id, charge, note=ending.model)
    if hold is None:
        _charge_budgets.changes(
            connection,
            charged_nanos=charge.total_nanos,
            admitted_at=time_of(admitted.id),
            **budgets.subjects_of(principal),
        )
    else:
        correct_budget(connection, hold, charge.total_nanos)
        correct_tokens(connection, hold, ending.usage.total_tokens)
    keys.touch(connection, principal.key_id, principal.address)
    if admitted.ask.repeat is not None:
        _end_repeat(connection, admitted, ending, charge, transcript)
    return charge


def _forgiven(connection: Connection, account_id: int, ending: Ending, terms: Allowance) -> Ending:
    """A fault after content costs nothing within the allowance, and what was delivered beyond."""
    if not ending.is_forgivable:
        return ending
    if terms.covers(connection, account_id, ending.upstream_cost_nanos):
        return replace(ending, cost_nanos=0)
    log.warning("account %d is beyond its daily allowance of failures", account_id)
    terms.tell(connection, account_id)
    return replace(ending, reason=BEYOND_ALLOWANCE)


def _end_repeat(
    connection: Connection,
    admitted: Admitted,
    ending: Ending,
    charge: Charge,
    transcript: Transcript | None,
) -> None:
    """Keeps the answer of a request that got one; frees the name of one that did not."""
    repeat = admitted.ask.repeat
    assert repeat is not None
    if transcript is None or ending.outcome not in (FINISHED, STOPPED):
        repeats.free(connection, repeat, admitted.id)
        return
    repeats.keep(connection, repeat, admitted.id, repeat.seal(transcript(charge)))


@prepared
def delete_hold(_dialect: str) -> Executable:
    """Deletes a hold and returns its row."""
    it = delete(Hold).where(Hold.id == bindparam("hold_id"))
    return it.returning(*Hold.__table__.columns)


def release_money(connection: Connection, account_id: int, held: int) -> Balance:
    """Releases a hold and returns the balance after it; the row stays locked until the commit."""
    [row] = _release_held.rows(connection, account_id=account_id, held=held)
    return Balance(*row)


@prepared
def _release_held(_dialect: str) -> Executable:
    held = bindparam("held", type_=BigInteger)
    return (
        update(Account)
        .where(Account.id == bindparam("account_id"))
        .values(held_nanos=Account.held_nanos - held)
        .returning(Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
    )


def take_charge(connection: Connection, account_id: int, charge: Charge) -> None:
    """Takes what a request costs from the balance."""
    if charge.total_nanos:
        _take_from_balance.changes(
            connection, account_id=account_id, granted=charge.granted_nanos, paid=charge.paid_nanos
        )


@prepared
def _take_from_balance(_dialect: str) -> Executable:
    granted, paid = (bindparam(name, type_=BigInteger) for name in ("granted", "paid"))
    return (
        update(Account)
        .where(Account.id == bindparam("account_id"))
        .values(granted_nanos=Account.granted_nanos - granted, paid_nanos=Account.paid_nanos - paid)
    )


def _insert_completion(
    connection: Connection, admitted: Admitted, ending: Ending, charge: Charge
) -> bool:
    """Writes the receipt, whose primary key is the once-only gate; False when it stood already.

    One that stands as `interrupted` was written for a process taken for dead: the settlement of the
    living one replaces it, once.
    """
    values = receipts.values(admitted, ending, charge)
    return _insert_receipt.first(connection, id=admitted.id, **values) is not None


@prepared
def _insert_receipt(dialect: str) -> Executable:
    upsert = postgresql.insert if dialect == "postgresql" else sqlite.insert
    values: dict[str, Any] = {name: bindparam(name) for name in receipts.COLUMNS}
    values["ended_at"] = db_now()
    statement = upsert(Completion).values(id=bindparam("id"), **values)
    statement = statement.on_conflict_do_update(
        index_elements=[Completion.id], set_=values, where=Completion.outcome == INTERRUPTED
    )
    return statement.returning(Completion.id)


def _first_charge(connection: Connection, completion_id: uuid.UUID) -> Charge:
    [row] = _find_charge.rows(connection, completion_id=completion_id)
    return Charge(0, row.charge_nanos, row.write_off_nanos)


@prepared
def _find_charge(_dialect: str) -> Executable:
    columns = select(Completion.charge_nanos, Completion.write_off_nanos)
    return columns.where(Completion.id == bindparam("completion_id"))


def correct_budget(connection: Connection, hold: Any, charged: int) -> None:
    """Budgets were charged the whole hold; gives back what was not spent of it, while the period
    lasts.
    """
    _give_back_to_budgets.changes(
        connection,
        admitted_at=hold.created_at,
        unspent=hold.amount_nanos - charged,
        **budgets.subjects_of(hold),
    )


@prepared
def _give_back_to_budgets(_dialect: str) -> Executable:
    left = Budget.spent_nanos - bindparam("unspent", type_=BigInteger)
    return (
        update(Budget)
        .where(budgets.is_counted(), budgets.is_of_its_period())
        .values(spent_nanos=case((left < 0, 0), else_=left))
    )


@prepared
def _charge_budgets(_dialect: str) -> Executable:
    """For a request whose hold has been given back to its budgets already."""
    charged = bindparam("charged_nanos", type_=BigInteger)
    of_it = update(Budget).where(budgets.is_counted(), budgets.is_of_its_period())
    return of_it.values(budgets.charging(charged))


def correct_tokens(connection: Connection, hold: Any, used: int) -> None:
    """Token limits were charged the bound; gives back what was not used."""
    row = _token_limits.first(connection, account_id=hold.account_id, key_id=hold.key_id)
    if row is None:
        return
    taken_ago_us = max(int((utcnow() - hold.created_at).total_seconds() * 1_000_000), 0)
    subjects = (
        (f"account:{hold.account_id}", row.tokens_per_minute),
        (f"key:{hold.key_id}", row.key_tokens_per_minute),
    )
    for subject, per_minute in subjects:
        if per_minute:
            limit = RateLimit(subject, limits.TOKENS, per_minute)
            limits.give_back(connection, limit, hold.tokens - used, taken_ago_us=taken_ago_us)


@prepared
def _token_limits(_dialect: str) -> Executable:
    columns = select(
        Plan.tokens_per_minute, ApiKey.tokens_per_minute.label("key_tokens_per_minute")
    )
    joined = columns.select_from(Account).join(Plan, Plan.slug == Account.plan_slug)
    joined = joined.join(ApiKey, ApiKey.id == bindparam("key_id"))
    return joined.where(Account.id == bindparam("account_id"))
