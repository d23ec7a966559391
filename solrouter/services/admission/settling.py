"""Settling a request, once, and releasing those whose process has died: statements in order."""

import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, Row, and_, case, delete, or_, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter.clock import utcnow
from solrouter.models import Account, ApiKey, Budget, Completion, Hold, Plan, Worker
from solrouter.models.columns import db_now
from solrouter.services import billing, keys, limits, repeats
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
    hold = connection.execute(
        delete(Hold).where(Hold.id == admitted.id).returning(*Hold.__table__.columns)
    ).one_or_none()
    account_id = admitted.ask.principal.account_id
    held = hold.amount_nanos if hold is not None else 0
    after = _release_money(connection, account_id, held)
    ending = _forgiven(connection, account_id, ending, terms)
    charge = billing.split(ending.cost_nanos, after_release=after)
    if not _insert_completion(connection, admitted, ending, charge):
        # Settled before: the hold was gone already, so nothing has been changed above.
        assert hold is None
        return _first_charge(connection, admitted.id)
    _take_charge(connection, account_id, charge)
    transfers = billing.usage_transfers(admitted.id, account_id, charge, note=ending.model)
    if transfers:
        connection.execute(billing.insert_transfers(), transfers)
    if hold is None:
        _charge_budget(connection, admitted.ask.principal.key_id, charge.total_nanos)
    else:
        _correct_budget(connection, hold, charge.total_nanos)
        _correct_tokens(connection, hold, ending.usage.total_tokens)
    connection.execute(keys.touch(admitted.ask.principal.key_id))
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


def expire(connection: Connection, lease_s: int, account_id: int | None = None) -> int:
    """Ends the requests of silent workers and those past their deadline; says how many.

    With an account only its own.
    """
    alive = select(Worker.id).where(Worker.seen_at > db_now(-lease_s))
    dead = or_(Hold.worker_id.not_in(alive), Hold.deadline_at < db_now())
    if account_id is not None:
        dead = and_(dead, Hold.account_id == account_id)
    rows = connection.execute(delete(Hold).where(dead).returning(*Hold.__table__.columns)).all()
    for row in rows:
        _release(connection, row)
    connection.execute(delete(Worker).where(Worker.seen_at < db_now(-lease_s * 10)))
    repeats.forget(connection)
    return len(rows)


def forget(connection: Connection, hold_id: uuid.UUID) -> None:
    """Undoes an admission that the caller was told had failed, if it was made after all.

    It leaves no receipt, since to the caller there was no request.
    """
    hold = connection.execute(
        delete(Hold).where(Hold.id == hold_id).returning(*Hold.__table__.columns)
    ).one_or_none()
    if hold is not None:
        _release_money(connection, hold.account_id, hold.amount_nanos)
        _correct_budget(connection, hold, 0)
        _correct_tokens(connection, hold, 0)


def _release_money(connection: Connection, account_id: int, held: int) -> Balance:
    """Releases a hold and returns the balance after it; the row stays locked until the commit."""
    released = (
        update(Account)
        .where(Account.id == account_id)
        .values(held_nanos=Account.held_nanos - held)
        .returning(Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
    )
    return Balance(*connection.execute(released).one())


def _take_charge(connection: Connection, account_id: int, charge: Charge) -> None:
    if charge.total_nanos == 0:
        return
    connection.execute(
        update(Account)
        .where(Account.id == account_id)
        .values(
            granted_nanos=Account.granted_nanos - charge.granted_nanos,
            paid_nanos=Account.paid_nanos - charge.paid_nanos,
        )
    )


def _insert_completion(
    connection: Connection, admitted: Admitted, ending: Ending, charge: Charge
) -> bool:
    """Writes the receipt, whose primary key is the once-only gate; False when it stood already.

    One that stands as `interrupted` was written for a process taken for dead: the settlement of the
    living one replaces it, once.
    """
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = _receipt(admitted, ending, charge)
    statement = upsert(Completion).values(id=admitted.id, **values)
    statement = statement.on_conflict_do_update(
        index_elements=[Completion.id], set_=values, where=Completion.outcome == INTERRUPTED
    )
    return connection.execute(statement.returning(Completion.id)).first() is not None


def _receipt(admitted: Admitted, ending: Ending, charge: Charge) -> dict[str, Any]:
    """The columns of a completion but its id."""
    ask = admitted.ask
    return {
        "account_id": ask.principal.account_id,
        "key_id": ask.principal.key_id,
        "user_id": ask.principal.user_id,
        "requested_model": ask.requested_model,
        "model": ending.model,
        "provider": ending.offer.provider_slug,
        "offer_id": ending.offer.id,
        "cost_card_id": ending.offer.cost.id,
        "sale_card_id": ending.offer.sale.id,
        "upstream_id": ending.upstream_id,
        "streamed": ask.streamed,
        "outcome": ending.outcome,
        "reason": ending.reason,
        "finish_reason": ending.finish_reason,
        "error_code": ending.error_code,
        "usage": ending.usage.classes(),
        "usage_source": ending.usage_source,
        "prompt_tokens": ending.usage.prompt_tokens,
        "completion_tokens": ending.usage.completion_tokens,
        "held_nanos": admitted.held_nanos,
        "charge_nanos": charge.total_nanos,
        "write_off_nanos": charge.write_off_nanos,
        "upstream_cost_nanos": ending.upstream_cost_nanos,
        "attempts": list(ending.attempts),
        "first_content_ms": ending.first_content_ms,
        "duration_ms": ending.duration_ms,
        "created_at": ask.at,
        "ended_at": db_now(),
    }


def _first_charge(connection: Connection, completion_id: uuid.UUID) -> Charge:
    row = connection.execute(
        select(Completion.charge_nanos, Completion.write_off_nanos).where(
            Completion.id == completion_id
        )
    ).one()
    return Charge(0, row.charge_nanos, row.write_off_nanos)


def _correct_budget(connection: Connection, hold: Row[*tuple[Any, ...]], charged: int) -> None:
    """Budgets were charged the whole hold; gives back what was not spent in its period."""
    left = Budget.spent_nanos - (hold.amount_nanos - charged)
    connection.execute(
        update(Budget)
        .where(Budget.subject == keys.budget_subject(hold.key_id))
        .where(Budget.period_start <= hold.created_at)
        .values(spent_nanos=case((left < 0, 0), else_=left))
    )


def _charge_budget(connection: Connection, key_id: int, charged: int) -> None:
    """Charges the key's budgets for a request whose hold has been given back already."""
    connection.execute(
        update(Budget)
        .where(Budget.subject == keys.budget_subject(key_id))
        .values(spent_nanos=Budget.spent_nanos + charged)
    )


def _correct_tokens(connection: Connection, hold: Row[*tuple[Any, ...]], used: int) -> None:
    """Token limits were charged the bound; gives back what was not used."""
    plan = (
        select(Plan.tokens_per_minute, ApiKey.tokens_per_minute)
        .select_from(Account)
        .join(Plan, Plan.slug == Account.plan_slug)
        .join(ApiKey, ApiKey.id == hold.key_id)
        .where(Account.id == hold.account_id)
    )
    row = connection.execute(plan).one_or_none()
    if row is None:
        return
    taken_ago_us = max(int((utcnow() - hold.created_at).total_seconds() * 1_000_000), 0)
    subjects = ((f"account:{hold.account_id}", row[0]), (f"key:{hold.key_id}", row[1]))
    for subject, per_minute in subjects:
        if per_minute:
            limit = RateLimit(subject, limits.TOKENS, per_minute)
            statement = limits.give_back(limit, hold.tokens - used, taken_ago_us=taken_ago_us)
            connection.execute(statement)


def _release(connection: Connection, hold: Row[*tuple[Any, ...]]) -> None:
    """Writes the receipt of a request whose process has died, and frees what it held."""
    _release_money(connection, hold.account_id, hold.amount_nanos)
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
    _correct_budget(connection, hold, 0)
    _correct_tokens(connection, hold, 0)
