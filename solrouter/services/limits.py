"""Limits on requests, tokens and concurrency: what they mean and say, for the admission to run.

A limit of so many units in a period may be used up at once and refills steadily (`gcra`). Each
subject, `account:3` or `key:7`, has its own; the tightest decides.
"""

from dataclasses import dataclass

from sqlalchemy import Connection, select

from solrouter import database
from solrouter.errors import ExceedsLimit, RateLimited
from solrouter.models import Account, ApiKey, Bucket, Plan
from solrouter.models.columns import db_now_us
from solrouter.services import gcra

MINUTE_US = 60_000_000
DAY_US = 24 * 60 * MINUTE_US
REQUESTS, TOKENS, FREE_REQUESTS = "requests", "tokens", "free_requests"
CODES = {
    REQUESTS: "requests_per_minute",
    TOKENS: "tokens_per_minute",
    FREE_REQUESTS: "free_requests_per_day",
}
WORDS = {
    REQUESTS: "requests a minute",
    TOKENS: "tokens a minute",
    FREE_REQUESTS: "requests to free models a day",
}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many units in a period for a subject."""

    subject: str
    kind: str
    units_max: int
    period_us: int = MINUTE_US

    def step_us(self, units: int) -> int:
        """How far so many units move the arrival time."""
        return self.period_us * units // self.units_max if self.units_max else self.period_us + 1

    @property
    def window_us(self) -> int:
        """How far ahead the arrival time may be: for counted requests exactly so many steps.

        A step is rounded down to a microsecond, so a whole period would hold one too many of some.
        """
        return self.period_us if self.kind == TOKENS else self.step_us(1) * self.units_max

    @property
    def scope(self) -> str:
        """`account` or `key`."""
        return self.subject.partition(":")[0]


@dataclass(frozen=True, slots=True)
class RateState:
    """Where a limit stands after a request: for the `x-ratelimit-*` headers."""

    kind: str
    limit: int
    remaining: int
    reset_us: int


def take(connection: Connection, limit: RateLimit, units: int) -> RateState:
    """Takes units from a limit, or raises RateLimited and changes nothing.

    Raises ExceedsLimit for more units than the whole limit, since no waiting would help.
    """
    if limit.kind == TOKENS and units > limit.units_max:
        raise _larger_than_all(limit, units)
    ahead = gcra.take(
        connection,
        subject=limit.subject,
        kind=limit.kind,
        step_us=limit.step_us(units),
        window_us=limit.window_us,
    )
    if ahead is None:
        raise _refusal(connection, limit, units)
    return state(limit, ahead)


def give_back(
    connection: Connection, limit: RateLimit, units: int, *, taken_ago_us: int = 0
) -> None:
    """Corrects a limit by units once the truth is known; negative takes more.

    What has refilled since the units were taken is not given back a second time.
    """
    by_us = limit.step_us(abs(units))
    gcra.shift_within(
        connection,
        subject=limit.subject,
        kind=limit.kind,
        by_us=-max(by_us - taken_ago_us, 0) if units > 0 else by_us,
        window_us=limit.period_us,
    )


def standing(*, account_id: int, key_id: int) -> tuple[RateState, ...]:
    """Where the limits of an account and a key stand, taking nothing."""
    plan = (
        select(
            Plan.requests_per_minute,
            Plan.tokens_per_minute,
            ApiKey.requests_per_minute,
            ApiKey.tokens_per_minute,
        )
        .select_from(Account)
        .join(Plan, Plan.slug == Account.plan_slug)
        .join(ApiKey, ApiKey.id == key_id)
        .where(Account.id == account_id)
    )
    account, key = f"account:{account_id}", f"key:{key_id}"
    ahead = select(Bucket.subject, Bucket.kind, Bucket.tat_us - db_now_us()).where(
        Bucket.subject.in_((account, key))
    )
    with database.read() as connection:
        most = connection.execute(plan).one()
        taken = {(row[0], row[1]): int(row[2]) for row in connection.execute(ahead)}
    wanted = ((account, REQUESTS), (account, TOKENS), (key, REQUESTS), (key, TOKENS))
    return tuple(
        state(RateLimit(subject, kind, units_max), taken.get((subject, kind), 0))
        for (subject, kind), units_max in zip(wanted, most, strict=True)
        if units_max is not None
    )


def state(limit: RateLimit, ahead_us: int) -> RateState:
    """Where a limit stands when its arrival time is so far ahead of now."""
    ahead_us = max(ahead_us, 0)
    remaining = (limit.period_us - ahead_us) * limit.units_max // limit.period_us
    return RateState(limit.kind, limit.units_max, max(remaining, 0), ahead_us)


def too_many_running(limit: int, *, subject: str) -> RateLimited:
    """The refusal of a request beyond a concurrency limit."""
    return RateLimited(
        f"This {subject} already has {limit} requests running, which is its limit. "
        "Wait for one to end, or change your plan.",
        code="concurrency",
        retry_after_s=1,
        metadata={"limit": limit, "scope": subject},
    )


def _larger_than_all(limit: RateLimit, units: int) -> ExceedsLimit:
    return ExceedsLimit(
        f"This request needs up to {units} tokens, more than your limit of {limit.units_max} a "
        "minute. Shorten the prompt, lower max_tokens or change your plan.",
        metadata={"limit": limit.units_max, "required": units, "kind": limit.kind},
    )


def _refusal(connection: Connection, limit: RateLimit, units: int) -> RateLimited:
    ahead = gcra.ahead_us(connection, subject=limit.subject, kind=limit.kind)
    wait_us = max(ahead, 0) + limit.step_us(units) - limit.window_us
    # A millisecond more than the arithmetic, since SQLite's clock has no finer grain.
    seconds = min(max(-(-(wait_us + 1000) // 1_000_000), 1), limit.period_us // 1_000_000)
    return RateLimited(
        f"You have reached this {limit.scope}'s limit of {limit.units_max} {WORDS[limit.kind]}. "
        f"Try again in {seconds} s.",
        code=CODES[limit.kind],
        retry_after_s=seconds,
        metadata={"limit": limit.units_max, "scope": limit.scope},
    )
