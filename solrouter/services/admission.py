"""The one transaction of each step of a request: admit, settle, expire; and of a credit.

Only this module writes balances, holds, budgets, buckets, transfers and completions, from
statements
that `keys`, `limits` and `billing` build. Each step succeeds whole or changes nothing.

    admit    key valid? → money held → allowances taken → hold row      (refused: nothing changed)
    grow     more money held                                            (refused: nothing changed)
    settle   hold row gone → balance moved → receipt and transfers      (again: nothing changed)
    expire   the holds of the dead and those past their deadline        (interrupted, uncharged)
"""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    case,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.chat import Usage
from solrouter.clock import new_id
from solrouter.errors import (
    BalanceInUse,
    Forbidden,
    InsufficientCredit,
    KeyInvalid,
    KeyLimitReached,
    NotFound,
    Refused,
)
from solrouter.models import Account, ApiKey, Budget, Completion, Hold, Plan, Worker
from solrouter.models.columns import db_now
from solrouter.money import decimal_usd
from solrouter.services import audit, billing, catalogue, keys, limits, pricing
from solrouter.services.billing import Balance, Charge
from solrouter.services.keys import Principal
from solrouter.services.limits import RateLimit, RateState
from solrouter.services.routing import Offer

OUTPUT_TOKENS_FLOOR = 256
OUTPUT_TOKENS_ASSUMED = 4096
HOLDS_THAT_MUST_FIT = 4
LEASE_S = 30
FINISHED, CANCELLED, FAILED = "finished", "cancelled", "failed"
STOPPED, INTERRUPTED = "stopped", "interrupted"


class CatalogueChanged(Exception):
    """The catalogue in memory is behind the database's: reload, rank again, try once more."""


@dataclass(frozen=True, slots=True)
class Ask:
    """What a request needs in order to be admitted. Token counts are bounds, not guesses.

    `output_limit` is for each choice: the caller's own if `is_named`, else the model's maximum.
    """

    principal: Principal
    requested_model: str
    offer: Offer
    catalogue_version: int
    prompt_bound: int
    output_limit: int
    is_named: bool
    choices: int
    streamed: bool
    worker_id: str
    lifetime_s: int
    at: datetime

    def cost_bound(self, output_limit: int) -> int:
        """The most that the request can cost with this output limit."""
        return pricing.worst_case_nanos(
            self.offer.sale,
            prompt_tokens=self.prompt_bound,
            output_tokens=output_limit * self.choices,
            at=self.at,
        )

    def affordable(self, budget_nanos: int) -> int:
        """The most output tokens for each choice that this much money pays for."""
        tokens = pricing.affordable_output_tokens(
            self.offer.sale,
            prompt_tokens=self.prompt_bound,
            budget_nanos=budget_nanos,
            at=self.at,
        )
        return tokens // self.choices

    @property
    def floor(self) -> int:
        """The smallest output limit worth an answer."""
        return min(OUTPUT_TOKENS_FLOOR, self.output_limit)


@dataclass(frozen=True, slots=True)
class Admitted:
    """An admitted request: what it holds, how much it may say, where its limits stand.

    `output_limit` is for each choice and what the upstream is told; the hold pays for the first
    `covered_tokens` of it.
    """

    id: uuid.UUID
    ask: Ask
    held_nanos: int
    output_limit: int
    covered_tokens: int
    rates: tuple[RateState, ...]

    @property
    def is_whole(self) -> bool:
        """Whether the hold covers all that the answer may say; else it must grow with it."""
        return self.covered_tokens >= self.output_limit


@dataclass(frozen=True, slots=True)
class Ending:
    """How a request ended, for its receipt. `cost_nanos` is what it costs by the sale price."""

    model: str
    offer: Offer
    outcome: str
    reason: str
    usage: Usage
    usage_source: str
    cost_nanos: int
    upstream_cost_nanos: int
    attempts: Sequence[dict[str, Any]]
    duration_ms: int
    first_content_ms: int | None = None
    finish_reason: str | None = None
    error_code: str | None = None
    upstream_id: str | None = None


def admit(ask: Ask) -> Admitted:
    """Proves the key, holds the money and takes the allowances of one request, or changes nothing.

    Raises KeyRevoked, KeyExpired, Forbidden, InsufficientCredit, KeyLimitReached, BalanceInUse,
    RateLimited, BadRequest (larger than a whole limit) and CatalogueChanged.
    """
    return database.transact(lambda connection: _admit(connection, ask), durable=False)


def grow(admitted: Admitted) -> Admitted | None:
    """Doubles what a hold covers, up to the output limit; None when the balance cannot follow."""
    covered = min(admitted.covered_tokens * 2, admitted.output_limit)
    more = admitted.ask.cost_bound(covered) - admitted.held_nanos
    grown = replace(admitted, covered_tokens=covered, held_nanos=admitted.held_nanos + more)
    try:
        database.transact(lambda connection: _grow(connection, admitted, more), durable=False)
    except (BalanceInUse, KeyLimitReached):
        return None
    return grown


def settle(admitted: Admitted, ending: Ending) -> Charge:
    """Ends a request: receipt, charge and transfers in one transaction, once; returns what it cost.

    A second settlement of the same request changes nothing and returns the first one's charge.
    """
    return database.transact(lambda connection: _settle(connection, admitted, ending))


def credit(
    account_id: int, amount_nanos: int, *, kind: str = billing.GRANT, actor: str, note: str
) -> uuid.UUID:
    """Brings credit to an account and returns the transfer's id. Raises Refused and NotFound."""
    if amount_nanos <= 0:
        raise Refused("An amount to grant must be more than zero.", param="amount")
    if not note.strip():
        raise Refused("Say why, for the books.", param="note")
    transfer_id = new_id()
    transfer = billing.credit_transfer(
        transfer_id, account_id, amount_nanos, kind=kind, actor=actor, note=note.strip()
    )

    def verb(connection: Connection) -> uuid.UUID:
        raised = update(Account).where(Account.id == account_id)
        raised = raised.values(granted_nanos=Account.granted_nanos + amount_nanos)
        if connection.execute(raised).rowcount != 1:
            raise NotFound("There is no such account.")
        connection.execute(billing.insert_transfers(), [transfer])
        details = {"amount_nanos": amount_nanos, "kind": kind, "note": note.strip()}
        connection.execute(
            audit.event(
                actor=actor,
                action="credit.granted",
                subject=f"account:{account_id}",
                account_id=account_id,
                details=details,
            )
        )
        return transfer_id

    return database.transact(verb)


def beat(worker_id: str) -> None:
    """Renews this process's lease, which all its holds live by."""

    def verb(connection: Connection) -> None:
        upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        statement = upsert(Worker).values(id=worker_id, started_at=db_now(), seen_at=db_now())
        connection.execute(
            statement.on_conflict_do_update(index_elements=[Worker.id], set_={"seen_at": db_now()})
        )

    database.transact(verb, durable=False)


def expire() -> int:
    """Ends the requests of workers silent for LEASE_S and those past their deadline; says how many.

    They are `interrupted` and cost nothing.
    """
    alive = select(Worker.id).where(Worker.seen_at > db_now(-LEASE_S))
    dead = or_(Hold.worker_id.not_in(alive), Hold.deadline_at < db_now())

    def verb(connection: Connection) -> int:
        rows = connection.execute(delete(Hold).where(dead).returning(*Hold.__table__.columns)).all()
        for row in rows:
            _release(connection, row)
        connection.execute(delete(Worker).where(Worker.seen_at < db_now(-LEASE_S * 10)))
        return len(rows)

    return database.transact(verb)


def _admit(connection: Connection, ask: Ask) -> Admitted:
    facts = _facts(connection, ask)
    output_limit, covered, amount = _hold_money(connection, ask)
    _hold_budget(connection, ask, amount)
    tokens = ask.prompt_bound + covered * ask.choices
    rates = _take_allowances(connection, ask, facts, tokens)
    hold_id = new_id()
    connection.execute(
        insert(Hold).values(
            id=hold_id,
            account_id=ask.principal.account_id,
            key_id=ask.principal.key_id,
            user_id=ask.principal.user_id,
            requested_model=ask.requested_model,
            offer_id=ask.offer.id,
            cost_card_id=ask.offer.cost.id,
            sale_card_id=ask.offer.sale.id,
            amount_nanos=amount,
            tokens=tokens,
            streamed=ask.streamed,
            worker_id=ask.worker_id,
            deadline_at=db_now(ask.lifetime_s),
            created_at=db_now(),
        )
    )
    return Admitted(hold_id, ask, amount, output_limit, covered, rates)


def _facts(connection: Connection, ask: Ask) -> Row[*tuple[Any, ...]]:
    """The key, its account's plan and the catalogue's version, all in one row."""
    statement = (
        select(
            *keys.state_columns(),
            Account.frozen_at,
            Plan.requests_per_minute,
            Plan.tokens_per_minute,
            Plan.concurrency,
            ApiKey.requests_per_minute.label("key_requests_per_minute"),
            ApiKey.tokens_per_minute.label("key_tokens_per_minute"),
            ApiKey.concurrency.label("key_concurrency"),
            catalogue.version_statement().scalar_subquery().label("version"),
        )
        .join(Account, Account.id == ApiKey.account_id)
        .join(Plan, Plan.slug == Account.plan_slug)
        .where(ApiKey.id == ask.principal.key_id)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise KeyInvalid(keys.INVALID)
    keys.require_live(row)
    if row.frozen_at is not None:
        raise Forbidden("This account is frozen. Please write to the operator.", code="frozen")
    if row.version != ask.catalogue_version:
        raise CatalogueChanged
    return row


def _hold_money(connection: Connection, ask: Ask) -> tuple[int, int, int]:
    """Takes the hold by one conditional UPDATE; returns output limit, covered tokens and amount.

    The balance read first only chooses how much to ask for. What decides is the UPDATE's condition.
    """
    while True:
        now = _balance(connection, ask.principal.account_id)
        output_limit, covered = _output_limit(ask, now)
        amount = ask.cost_bound(covered)
        if _take_money(connection, ask.principal.account_id, amount):
            return output_limit, covered, amount
        if _balance(connection, ask.principal.account_id) == now:
            raise _in_use(ask, now)


def _take_money(connection: Connection, account_id: int, amount: int) -> bool:
    """The one statement that decides: holds the amount if that much is available."""
    taken = (
        update(Account)
        .where(Account.id == account_id)
        .where(Account.paid_nanos + Account.granted_nanos - Account.held_nanos >= amount)
        .values(held_nanos=Account.held_nanos + amount)
    )
    return connection.execute(taken).rowcount == 1


def _output_limit(ask: Ask, now: Balance) -> tuple[int, int]:
    """The output limit that the posted balance can pay, and how much of it to hold for now.

    All of it where the caller named a limit, or where four such holds fit; else a start, so that an
    unnamed limit does not shut out the account's next requests. Raises InsufficientCredit and
    BalanceInUse.
    """
    affordable = min(ask.output_limit, ask.affordable(now.posted_nanos))
    if affordable < ask.floor:
        raise _too_poor(ask, now)
    if ask.is_named or HOLDS_THAT_MUST_FIT * ask.cost_bound(affordable) <= now.available_nanos:
        return affordable, affordable
    start = min(affordable, OUTPUT_TOKENS_ASSUMED)
    if ask.cost_bound(start) > now.available_nanos:
        raise _in_use(ask, now)
    return affordable, start


def _grow(connection: Connection, admitted: Admitted, more: int) -> None:
    """Holds more for a running request. Raises BalanceInUse and KeyLimitReached."""
    ask = admitted.ask
    if not _take_money(connection, ask.principal.account_id, more):
        raise _in_use(ask, _balance(connection, ask.principal.account_id))
    _hold_budget(connection, ask, more)
    raised = update(Hold).where(Hold.id == admitted.id)
    if connection.execute(raised.values(amount_nanos=Hold.amount_nanos + more)).rowcount != 1:
        # It has expired meanwhile: nothing may be held for it any more.
        raise _in_use(ask, _balance(connection, ask.principal.account_id))


def _balance(connection: Connection, account_id: int) -> Balance:
    columns = select(Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
    return Balance(*connection.execute(columns.where(Account.id == account_id)).one())


def _figures(ask: Ask, now: Balance) -> dict[str, Any]:
    return {
        "required": decimal_usd(ask.cost_bound(ask.floor)),
        "available": decimal_usd(now.available_nanos),
        "held": decimal_usd(now.held_nanos),
        "balance": decimal_usd(now.posted_nanos),
        "affordable_tokens": max(ask.affordable(now.posted_nanos), 0),
    }


def _too_poor(ask: Ask, now: Balance) -> InsufficientCredit:
    needed, has = ask.cost_bound(ask.floor), now.posted_nanos
    return InsufficientCredit(
        f"Your balance of ${decimal_usd(has)} cannot pay for this request, which needs up to "
        f"${decimal_usd(needed)}. Top up your balance in Account → Balance, or shorten the prompt.",
        metadata=_figures(ask, now),
    )


def _in_use(ask: Ask, now: Balance) -> BalanceInUse:
    return BalanceInUse(
        f"Your running requests hold ${decimal_usd(now.held_nanos)} of your balance of "
        f"${decimal_usd(now.posted_nanos)}, too much for this one to start. It frees itself as "
        "they end: try again shortly, name a smaller max_tokens, or top up.",
        retry_after_s=1,
        metadata=_figures(ask, now),
    )


def _hold_budget(connection: Connection, ask: Ask, amount: int) -> None:
    """Takes the amount from every budget of the key, resetting those whose period has passed."""
    subject = keys.budget_subject(ask.principal.key_id)
    start = _period_start(connection.dialect.name)
    carried = case((Budget.period_start < start, 0), else_=Budget.spent_nanos)
    taken = (
        update(Budget)
        .where(Budget.subject == subject, carried + amount <= Budget.limit_nanos)
        .values(
            spent_nanos=carried + amount,
            period_start=case((Budget.period_start < start, start), else_=Budget.period_start),
        )
    )
    all_of_them = select(func.count()).select_from(Budget).where(Budget.subject == subject)
    if connection.execute(taken).rowcount != connection.execute(all_of_them).scalar_one():
        raise KeyLimitReached(
            "This API key has reached its spend limit. Raise the limit or use another key, "
            "under Account → API Keys.",
            metadata={"required": decimal_usd(amount)},
        )


def _period_start(dialect: str) -> ColumnElement[datetime]:
    """When a budget's current period began, by the database's clock, in UTC."""
    if dialect == "postgresql":
        truncated = func.date_trunc(Budget.period, func.clock_timestamp(), "UTC")
        return case((Budget.period == keys.LIFETIME, Budget.period_start), else_=truncated)
    shape = "%Y-%m-%d 00:00:00.000000"
    return case(
        (Budget.period == "day", func.strftime(shape, "now")),
        # 'weekday 0' moves on to Sunday, today included; six days back is this week's Monday.
        (Budget.period == "week", func.strftime(shape, "now", "weekday 0", "-6 days")),
        (Budget.period == "month", func.strftime(shape, "now", "start of month")),
        else_=Budget.period_start,
    )


def _take_allowances(
    connection: Connection, ask: Ask, facts: Row[*tuple[Any, ...]], tokens: int
) -> tuple[RateState, ...]:
    account, key = f"account:{ask.principal.account_id}", f"key:{ask.principal.key_id}"
    wanted = (
        (account, limits.REQUESTS, facts.requests_per_minute, 1),
        (account, limits.TOKENS, facts.tokens_per_minute, tokens),
        (key, limits.REQUESTS, facts.key_requests_per_minute, 1),
        (key, limits.TOKENS, facts.key_tokens_per_minute, tokens),
    )
    running = (
        ("account", Hold.account_id, ask.principal.account_id, facts.concurrency),
        ("key", Hold.key_id, ask.principal.key_id, facts.key_concurrency),
    )
    for subject, column, value, most in running:
        if most is not None and _running(connection, column, value) >= most:
            raise limits.too_many_running(most, subject=subject)
    return tuple(
        limits.take(connection, RateLimit(subject, kind, per_minute), units)
        for subject, kind, per_minute, units in wanted
        if per_minute is not None
    )


def _running(connection: Connection, column: Any, value: int) -> int:
    return int(connection.execute(limits.running(column, value)).scalar_one())


def _settle(connection: Connection, admitted: Admitted, ending: Ending) -> Charge:
    hold = connection.execute(
        delete(Hold).where(Hold.id == admitted.id).returning(*Hold.__table__.columns)
    ).one_or_none()
    account_id = admitted.ask.principal.account_id
    held = hold.amount_nanos if hold is not None else 0
    after = _release_money(connection, account_id, held)
    charge = billing.split(ending.cost_nanos, after_release=after)
    if not _insert_completion(connection, admitted, ending, charge):
        # Settled before: the hold was gone already, so nothing has been changed above.
        assert hold is None
        return _first_charge(connection, admitted.id)
    _take_charge(connection, account_id, charge)
    transfers = billing.usage_transfers(admitted.id, account_id, charge, note=ending.model)
    if transfers:
        connection.execute(billing.insert_transfers(), transfers)
    if hold is not None:
        _correct_budget(connection, hold, charge.total_nanos)
        _correct_tokens(connection, hold, ending.usage.total_tokens)
    connection.execute(keys.touch(admitted.ask.principal.key_id))
    return charge


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
    """Writes the receipt, whose primary key is the once-only gate; False when it stood already."""
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    ask = admitted.ask
    statement = upsert(Completion).values(
        id=admitted.id,
        account_id=ask.principal.account_id,
        key_id=ask.principal.key_id,
        user_id=ask.principal.user_id,
        requested_model=ask.requested_model,
        model=ending.model,
        provider=ending.offer.provider_slug,
        offer_id=ending.offer.id,
        cost_card_id=ending.offer.cost.id,
        sale_card_id=ending.offer.sale.id,
        upstream_id=ending.upstream_id,
        streamed=ask.streamed,
        outcome=ending.outcome,
        reason=ending.reason,
        finish_reason=ending.finish_reason,
        error_code=ending.error_code,
        usage=ending.usage.classes(),
        usage_source=ending.usage_source,
        prompt_tokens=ending.usage.prompt_tokens,
        completion_tokens=ending.usage.completion_tokens,
        held_nanos=admitted.held_nanos,
        charge_nanos=charge.total_nanos,
        write_off_nanos=charge.write_off_nanos,
        upstream_cost_nanos=ending.upstream_cost_nanos,
        attempts=list(ending.attempts),
        first_content_ms=ending.first_content_ms,
        duration_ms=ending.duration_ms,
        created_at=ask.at,
        ended_at=db_now(),
    )
    statement = statement.on_conflict_do_nothing(index_elements=[Completion.id])
    return connection.execute(statement.returning(Completion.id)).first() is not None


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
    subjects = ((f"account:{hold.account_id}", row[0]), (f"key:{hold.key_id}", row[1]))
    for subject, per_minute in subjects:
        if per_minute:
            limit = RateLimit(subject, limits.TOKENS, per_minute)
            connection.execute(limits.give_back(limit, hold.tokens - used))


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


def with_offer(ask: Ask, offer: Offer) -> Ask:
    """The same ask over another offer."""
    return replace(ask, offer=offer)
