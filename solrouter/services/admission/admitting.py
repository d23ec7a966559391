"""Admitting a request and growing its hold, statement by statement: on SQLite always, and on
PostgreSQL where the one statement of `lean` did not admit, to lower a limit or to say what is
wrong.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Executable,
    Integer,
    bindparam,
    func,
    insert,
    select,
    update,
)

from solrouter.clock import new_id
from solrouter.database import prepared
from solrouter.errors import (
    BalanceInUse,
    Forbidden,
    InsufficientCredit,
    KeyLimitReached,
    MemberLimitReached,
    RateLimited,
)
from solrouter.models import Account, Budget, Hold
from solrouter.models.columns import db_now
from solrouter.money import decimal_usd
from solrouter.services import budgets, keys, limits, repeats
from solrouter.services.admission import facts
from solrouter.services.admission.asks import Admitted, Ask
from solrouter.services.admission.facts import Facts
from solrouter.services.admission.sizes import Size, sizes_of
from solrouter.services.billing import Balance
from solrouter.services.limits import RateLimit, RateState
from solrouter.services.principals import Limits

# Whose limit decides what may be spent.
ACCOUNT, KEY, MEMBER = "account", "key", "member"
KEY_SPENT = (
    "This API key has reached its spend limit. Raise the limit or use another key, under "
    "Account → API Keys."
)
MEMBER_SPENT = (
    "You have reached what you may spend in this account. Ask an owner of it to raise your "
    "budget, under Account → Team."
)
KEY_HAS = (
    "This API key has ${left} of its spend limit left, and this request needs up to ${needed}. "
    "Shorten the prompt, or raise the limit under Account → API Keys."
)
MEMBER_HAS = (
    "You have ${left} of your budget in this account left, and this request needs up to ${needed}. "
    "Shorten the prompt, or ask an owner of the account to raise your budget."
)


@dataclass(frozen=True, slots=True)
class Purse:
    """What may be spent: all, and what running requests leave free; whose limit decides."""

    all_nanos: int
    free_nanos: int
    whose: str


def admit(connection: Connection, ask: Ask) -> Admitted:
    """Admits a request or raises; see `admission.admit`."""
    found = facts.read(connection, ask)
    hold_id = new_id()
    if ask.repeat is not None:
        repeats.take(connection, ask.repeat, hold_id)
    now = _balance_in(found)
    output_limit, size = _size(ask, now, found)
    if not _take_money(connection, ask.principal.account_id, size.amount_nanos):
        raise _in_use(ask, now)
    if found.key_left_nanos is not None or found.member_left_nanos is not None:
        _hold_budgets(connection, ask, found.now, size.amount_nanos)
    rates = _take_allowances(connection, ask, found, size.tokens(ask))
    _insert_hold.changes(connection, id=hold_id, created_at=found.now, **hold_values(ask, size))
    return Admitted(hold_id, ask, size.amount_nanos, output_limit, size.covered_tokens, rates)


def refuse(ask: Ask, found: Facts) -> None:
    """Raises what stands in the way of a request, as far as the facts say so by themselves."""
    _size(ask, _balance_in(found), found)
    _require_places(ask, found)


def hold_values(ask: Ask, size: Size) -> dict[str, Any]:
    """The columns of a hold but its id."""
    return {
        "account_id": ask.principal.account_id,
        "key_id": ask.principal.key_id,
        "user_id": ask.principal.user_id,
        "requested_model": ask.requested_model,
        "offer_id": ask.offer.id,
        "cost_card_id": ask.offer.cost.id,
        "sale_card_id": ask.offer.sale.id,
        "amount_nanos": size.amount_nanos,
        "tokens": size.tokens(ask),
        "streamed": ask.streamed,
        "worker_id": ask.worker_id,
        "lifetime_s": ask.lifetime_s,
    }


def rates_wanted(ask: Ask, allowed: Limits, tokens: int) -> list[tuple[RateLimit, int]]:
    """The limits that a request takes from and how much of each, in the order of taking."""
    account, key = f"account:{ask.principal.account_id}", f"key:{ask.principal.key_id}"
    wanted = []
    if ask.offer.is_free and allowed.free_requests_per_day is not None:
        most = allowed.free_requests_per_day
        wanted.append((RateLimit(account, limits.FREE_REQUESTS, most, limits.DAY_US), 1))
    for subject, kind, units_max, units in (
        (account, limits.REQUESTS, allowed.requests_per_minute, 1),
        (account, limits.TOKENS, allowed.tokens_per_minute, tokens),
        (key, limits.REQUESTS, allowed.key_requests_per_minute, 1),
        (key, limits.TOKENS, allowed.key_tokens_per_minute, tokens),
    ):
        if units_max is not None:
            wanted.append((RateLimit(subject, kind, units_max), units))
    return wanted


def grow(connection: Connection, admitted: Admitted, more: int) -> None:
    """Holds more for a running request. Raises BalanceInUse and KeyLimitReached."""
    ask, account_id = admitted.ask, admitted.ask.principal.account_id
    facts.lock_account(connection, account_id)
    if not _take_money(connection, account_id, more):
        raise _in_use(ask, _balance(connection, account_id))
    hold = _grow_hold.first(connection, hold_id=admitted.id, more=more)
    if hold is None:
        # It has expired meanwhile: nothing may be held for it any more.
        raise _in_use(ask, _balance(connection, account_id))
    _hold_budgets(connection, ask, hold.created_at, more)


def _size(ask: Ask, now: Balance, found: Facts) -> tuple[int, Size]:
    """The output limit that the purse can pay, and how much of it to hold for now.

    Raises InsufficientCredit, KeyLimitReached and BalanceInUse.
    """
    purse = _purse(now, found)
    affordable = min(ask.output_limit, ask.affordable(purse.all_nanos))
    if affordable < ask.floor:
        raise _too_poor(ask, now) if purse.whose == ACCOUNT else _limit_too_low(ask, purse)
    for size in sizes_of(ask, affordable, keys.limits_in(found)):
        if size.needs_nanos <= purse.free_nanos:
            return affordable, size
    raise _in_use(ask, now)


def _purse(now: Balance, found: Facts) -> Purse:
    """What the account has and what key and member may spend of it, with and without what runs."""
    all_nanos, free_nanos, whose = now.posted_nanos, now.available_nanos, ACCOUNT
    for name, left, held in (
        (KEY, found.key_left_nanos, found.held_by_key_nanos),
        (MEMBER, found.member_left_nanos, found.held_by_member_nanos),
    ):
        if left is None:
            continue
        free_nanos = min(free_nanos, int(left))
        if int(left) + int(held) < all_nanos:
            all_nanos, whose = int(left) + int(held), name
    return Purse(all_nanos, free_nanos, whose)


def _take_money(connection: Connection, account_id: int, amount: int) -> bool:
    """Holds the amount if that much is available."""
    return _hold_money.changes(connection, account_id=account_id, amount=amount) == 1


@prepared
def _hold_money(_dialect: str) -> Executable:
    """The one statement that decides, whatever was read before."""
    amount = bindparam("amount", type_=BigInteger)
    return (
        update(Account)
        .where(Account.id == bindparam("account_id"))
        .where(Account.paid_nanos + Account.granted_nanos - Account.held_nanos >= amount)
        .values(held_nanos=Account.held_nanos + amount)
    )


def _hold_budgets(connection: Connection, ask: Ask, admitted_at: datetime, amount: int) -> None:
    """Takes the amount from every budget of key and member in whose current period the request was
    admitted.
    """
    which = {"admitted_at": admitted_at, **budgets.subjects_of(ask.principal)}
    taken = _take_budgets.changes(connection, amount=amount, **which)
    [(all_of_them,)] = _count_budgets.rows(connection, **which)
    # A period may have turned between the two, after which it counts for fewer.
    if taken < all_of_them:
        raise _limit_reached(KEY, amount)


@prepared
def _take_budgets(_dialect: str) -> Executable:
    amount = bindparam("amount", type_=BigInteger)
    return (
        update(Budget)
        .where(budgets.is_counted(), budgets.is_of_its_period())
        .where(budgets.spent_now() + amount <= Budget.limit_nanos)
        .values(budgets.charging(amount))
    )


@prepared
def _count_budgets(_dialect: str) -> Executable:
    counted = select(func.count().label("budgets")).select_from(Budget)
    return counted.where(budgets.is_counted(), budgets.is_of_its_period())


@prepared
def _insert_hold(_dialect: str) -> Executable:
    given = ["id", "account_id", "key_id", "user_id", "requested_model", "offer_id"]
    given += ["cost_card_id", "sale_card_id", "amount_nanos", "tokens", "streamed", "worker_id"]
    given += ["created_at"]
    values: dict[str, Any] = {name: bindparam(name) for name in given}
    lifetime_s = bindparam("lifetime_s", type_=Integer)
    return insert(Hold).values(**values, deadline_at=db_now(lifetime_s))


@prepared
def _grow_hold(_dialect: str) -> Executable:
    grown = Hold.amount_nanos + bindparam("more", type_=BigInteger)
    it = update(Hold).where(Hold.id == bindparam("hold_id")).values(amount_nanos=grown)
    return it.returning(Hold.created_at)


@prepared
def _read_balance(_dialect: str) -> Executable:
    columns = select(Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
    return columns.where(Account.id == bindparam("account_id"))


def _balance_in(found: Facts) -> Balance:
    return Balance(found.paid_nanos, found.granted_nanos, found.held_nanos)


def _balance(connection: Connection, account_id: int) -> Balance:
    return Balance(*_read_balance.rows(connection, account_id=account_id)[0])


def _take_allowances(
    connection: Connection, ask: Ask, found: Facts, tokens: int
) -> tuple[RateState, ...]:
    """Takes a place, a request and the tokens from every limit that there is."""
    _require_places(ask, found)
    if ask.offer.is_free and found.email_verified_at is None:
        raise Forbidden(
            "Free models are for accounts with a verified e-mail address. Verify yours first.",
            code="email_not_verified",
        )
    try:
        states = [
            limits.take(connection, limit, units)
            for limit, units in rates_wanted(ask, keys.limits_in(found), tokens)
        ]
    except RateLimited as limited:
        raise _naming_plan(limited, found) from None
    return shown(states)


def _naming_plan(limited: RateLimited, found: Facts) -> RateLimited:
    """The same refusal; where the plan is what limits, with its name and where to read of it."""
    if limited.metadata.get("scope") == "account":
        limited.metadata["plan"] = found.plan_name
        limited.message += f" Your plan is “{found.plan_name}”: see Account → Plan (/account/plan)."
    return limited


def shown(states: list[RateState]) -> tuple[RateState, ...]:
    """What the caller is told of the limits: those of a minute."""
    return tuple(state for state in states if state.kind != limits.FREE_REQUESTS)


def _require_places(ask: Ask, found: Facts) -> None:
    """Raises RateLimited when as many requests are running as may."""
    places = [
        ("account", found.running, found.concurrency),
        ("key", found.running_of_key, found.key_concurrency),
    ]
    if ask.offer.is_free:
        places.append(("account", found.running_free, found.free_concurrency))
    for subject, running, most in places:
        if most is not None and running >= most:
            raise _naming_plan(limits.too_many_running(most, subject=subject), found)


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


def _limit_too_low(ask: Ask, purse: Purse) -> KeyLimitReached:
    needed, left = ask.cost_bound(ask.floor), max(purse.all_nanos, 0)
    words = None
    if left:
        # It is not reached yet, and a smaller request may still pass.
        words = MEMBER_HAS if purse.whose == MEMBER else KEY_HAS
        words = words.format(left=decimal_usd(left), needed=decimal_usd(needed))
    error = _limit_reached(purse.whose, needed, words)
    error.metadata["available"] = decimal_usd(left)
    return error


def _limit_reached(whose: str, amount: int, words: str | None = None) -> KeyLimitReached:
    metadata = {"required": decimal_usd(amount)}
    if whose == MEMBER:
        return MemberLimitReached(words or MEMBER_SPENT, metadata=metadata)
    return KeyLimitReached(words or KEY_SPENT, metadata=metadata)


def _in_use(ask: Ask, now: Balance) -> BalanceInUse:
    return BalanceInUse(
        f"Your running requests hold ${decimal_usd(now.held_nanos)} of your balance of "
        f"${decimal_usd(now.posted_nanos)}, too much for this one to start. It frees itself as "
        "they end: try again shortly, name a smaller max_tokens, or top up.",
        retry_after_s=1,
        metadata=_figures(ask, now),
    )
