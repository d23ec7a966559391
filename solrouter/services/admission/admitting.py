"""Admitting a request and growing its hold: the statements of each transaction, in order."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, case, func, insert, select, update

from solrouter.clock import new_id
from solrouter.errors import (
    BalanceInUse,
    Forbidden,
    InsufficientCredit,
    KeyInvalid,
    KeyLimitReached,
    KeyRevoked,
)
from solrouter.models import Account, ApiKey, Budget, Hold, Plan, User
from solrouter.models.columns import db_now
from solrouter.money import decimal_usd
from solrouter.services import catalogue, keys, limits, repeats
from solrouter.services.admission.asks import (
    HOLDS_THAT_MUST_FIT,
    OUTPUT_TOKENS_ASSUMED,
    Admitted,
    Ask,
    CatalogueChanged,
)
from solrouter.services.billing import Balance
from solrouter.services.limits import RateLimit, RateState


@dataclass(frozen=True, slots=True)
class Purse:
    """What may be spent: all, and what running requests leave free; whether the key decides."""

    all_nanos: int
    free_nanos: int
    is_keys: bool


def admit(connection: Connection, ask: Ask) -> Admitted:
    """Admits a request or raises; see `admission.admit`."""
    facts = _facts(connection, ask)
    hold_id = new_id()
    if ask.repeat is not None:
        repeats.take(connection, ask.repeat, hold_id)
    output_limit, covered, amount = _hold_money(connection, ask, _token_room(ask, facts))
    _hold_budget(connection, ask, amount)
    tokens = ask.prompt_bound + covered * ask.choices
    rates = _take_allowances(connection, ask, facts, tokens)
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
            Plan.free_requests_per_day,
            Plan.free_concurrency,
            User.email_verified_at,
            User.disabled_at.label("user_disabled_at"),
            ApiKey.requests_per_minute.label("key_requests_per_minute"),
            ApiKey.tokens_per_minute.label("key_tokens_per_minute"),
            ApiKey.concurrency.label("key_concurrency"),
            catalogue.version_statement().scalar_subquery().label("version"),
        )
        .join(Account, Account.id == ApiKey.account_id)
        .join(Plan, Plan.slug == Account.plan_slug)
        .join(User, User.id == ApiKey.user_id)
        .where(ApiKey.id == ask.principal.key_id)
        # On PostgreSQL admissions of one account queue here, before the next statement looks
        # around; on SQLite all writes queue anyway. No balance is decided by what is read here.
        .with_for_update(of=Account)
    )
    row = connection.execute(statement).one_or_none()
    if row is None:
        raise KeyInvalid(keys.INVALID)
    keys.require_live(row)
    if row.user_disabled_at is not None:
        raise KeyRevoked("The user who made this API key has been disabled.")
    if row.frozen_at is not None:
        raise Forbidden("This account is frozen. Please write to the operator.", code="frozen")
    if row.version != ask.catalogue_version:
        raise CatalogueChanged
    return row


def _token_room(ask: Ask, facts: Row[*tuple[Any, ...]]) -> int | None:
    """The most output tokens that the token limits let one request bind; None: no such limit."""
    limits_there = (facts.tokens_per_minute, facts.key_tokens_per_minute)
    known = [limit for limit in limits_there if limit is not None]
    return (min(known) - ask.prompt_bound) // ask.choices if known else None


def _hold_money(connection: Connection, ask: Ask, token_room: int | None) -> tuple[int, int, int]:
    """Takes the hold by one conditional UPDATE; returns output limit, covered tokens and amount.

    The balance read first only chooses how much to ask for. What decides is the UPDATE's condition.
    """
    while True:
        now = _balance(connection, ask.principal.account_id)
        purse = _purse(connection, ask, now)
        output_limit, covered = _output_limit(ask, now, purse, token_room)
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


def _purse(connection: Connection, ask: Ask, now: Balance) -> Purse:
    """What the account has and what the key may spend of it, with and without what is running."""
    subject = keys.budget_subject(ask.principal.key_id)
    start = _period_start(connection.dialect.name)
    carried = case((Budget.period_start < start, 0), else_=Budget.spent_nanos)
    left = connection.execute(
        select(func.min(Budget.limit_nanos - carried)).where(Budget.subject == subject)
    ).scalar()
    if left is None:
        return Purse(now.posted_nanos, now.available_nanos, is_keys=False)
    held = connection.execute(
        select(func.coalesce(func.sum(Hold.amount_nanos), 0)).where(
            Hold.key_id == ask.principal.key_id
        )
    ).scalar_one()
    return Purse(
        min(now.posted_nanos, int(left) + int(held)),
        min(now.available_nanos, int(left)),
        is_keys=int(left) + int(held) < now.posted_nanos,
    )


def _output_limit(ask: Ask, now: Balance, purse: Purse, token_room: int | None) -> tuple[int, int]:
    """The output limit that the purse can pay, and how much of it to hold for now.

    All of it where the caller named a limit, or where four such holds fit; else a start, so that an
    unnamed limit does not shut out the account's next requests. Raises InsufficientCredit,
    KeyLimitReached and BalanceInUse.
    """
    affordable = min(ask.output_limit, ask.affordable(purse.all_nanos))
    if affordable < ask.floor:
        raise _key_too_poor(ask, purse) if purse.is_keys else _too_poor(ask, now)
    if ask.is_named:
        if ask.cost_bound(affordable) > purse.free_nanos:
            raise _in_use(ask, now)
        return affordable, affordable
    room = affordable if token_room is None else max(min(affordable, token_room), ask.floor)
    if HOLDS_THAT_MUST_FIT * ask.cost_bound(room) <= purse.free_nanos:
        return affordable, room
    start = min(room, OUTPUT_TOKENS_ASSUMED)
    if ask.cost_bound(start) > purse.free_nanos:
        raise _in_use(ask, now)
    return affordable, start


def grow(connection: Connection, admitted: Admitted, more: int) -> None:
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


def _key_too_poor(ask: Ask, purse: Purse) -> KeyLimitReached:
    error = _key_limit_reached(ask.cost_bound(ask.floor))
    error.metadata["available"] = decimal_usd(max(purse.all_nanos, 0))
    return error


def _key_limit_reached(amount: int) -> KeyLimitReached:
    return KeyLimitReached(
        "This API key has reached its spend limit. Raise the limit or use another key, "
        "under Account → API Keys.",
        metadata={"required": decimal_usd(amount)},
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
        raise _key_limit_reached(amount)


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
    """Takes a place, a request and the tokens from every limit that there is."""
    _require_places(connection, ask, facts)
    account, key = f"account:{ask.principal.account_id}", f"key:{ask.principal.key_id}"
    if ask.offer.is_free:
        _take_free(connection, account, facts)
    wanted = (
        (account, limits.REQUESTS, facts.requests_per_minute, 1),
        (account, limits.TOKENS, facts.tokens_per_minute, tokens),
        (key, limits.REQUESTS, facts.key_requests_per_minute, 1),
        (key, limits.TOKENS, facts.key_tokens_per_minute, tokens),
    )
    return tuple(
        limits.take(connection, RateLimit(subject, kind, units_max), units)
        for subject, kind, units_max, units in wanted
        if units_max is not None
    )


def _take_free(connection: Connection, account: str, facts: Row[*tuple[Any, ...]]) -> None:
    """A free model is for known people, so many times a day. Raises Forbidden and RateLimited."""
    if facts.email_verified_at is None:
        raise Forbidden(
            "Free models are for accounts with a verified e-mail address. Verify yours first.",
            code="email_not_verified",
        )
    if facts.free_requests_per_day is not None:
        most = facts.free_requests_per_day
        limit = RateLimit(account, limits.FREE_REQUESTS, most, limits.DAY_US)
        limits.take(connection, limit, 1)


def _require_places(connection: Connection, ask: Ask, facts: Row[*tuple[Any, ...]]) -> None:
    """Raises RateLimited when as many requests are running as may."""
    account_id, key_id = ask.principal.account_id, ask.principal.key_id
    places = [
        ("account", limits.running(Hold.account_id, account_id), facts.concurrency),
        ("key", limits.running(Hold.key_id, key_id), facts.key_concurrency),
    ]
    if ask.offer.is_free:
        free = limits.running(Hold.account_id, account_id).where(Hold.amount_nanos == 0)
        places.append(("account", free, facts.free_concurrency))
    for subject, count, most in places:
        if most is not None and connection.execute(count).scalar_one() >= most:
            raise limits.too_many_running(most, subject=subject)
