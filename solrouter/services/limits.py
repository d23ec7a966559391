"""Limits on requests, tokens and concurrency: the statements that take them, for the admission to
run.

A rate limit is GCRA (the generic cell rate algorithm, ITU-T I.371): one number for each subject,
the
theoretical arrival time, moved by one conditional statement on the database's clock. It is exact
for
any number of workers, allows a whole minute's worth at once, and refills steadily.
"""

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Select, case, func, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.errors import BadRequest, RateLimited
from solrouter.models import Account, ApiKey, Bucket, Hold, Plan
from solrouter.models.columns import db_now_us

MINUTE_US = 60_000_000
RETRY_AFTER_S_MAX = 60
REQUESTS, TOKENS = "requests", "tokens"
CODES = {REQUESTS: "requests_per_minute", TOKENS: "tokens_per_minute"}


@dataclass(frozen=True, slots=True)
class RateLimit:
    """So many units a minute for a subject (`account:3`, `key:7`)."""

    subject: str
    kind: str
    per_minute: int


@dataclass(frozen=True, slots=True)
class RateState:
    """Where a limit stands after a request: for the `x-ratelimit-*` headers."""

    kind: str
    limit: int
    remaining: int
    reset_us: int


def take(connection: Connection, limit: RateLimit, units: int) -> RateState:
    """Takes units from a limit, or raises RateLimited and changes nothing.

    Raises BadRequest for more units than the whole limit, since no waiting would help.
    """
    if units > limit.per_minute:
        raise BadRequest(
            f"This request needs up to {units} {limit.kind}, more than your limit of "
            f"{limit.per_minute} a minute. Shorten the prompt, lower max_tokens or change plan.",
            code="request_exceeds_limit",
            metadata={"limit": limit.per_minute, "required": units, "kind": limit.kind},
        )
    step = _step_us(limit, units)
    ahead = connection.execute(_take_statement(connection, limit, step)).scalar()
    if ahead is None:
        raise _refusal(connection, limit, step)
    return _state(limit, int(ahead))


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
        _state(RateLimit(subject, kind, per_minute), taken.get((subject, kind), 0))
        for (subject, kind), per_minute in zip(wanted, most, strict=True)
        if per_minute is not None
    )


def give_back(limit: RateLimit, units: int) -> Any:
    """The statement that corrects a limit by units once the truth is known; negative takes more."""
    shift = _step_us(limit, abs(units))
    return (
        update(Bucket)
        .where(Bucket.subject == limit.subject, Bucket.kind == limit.kind)
        .values(tat_us=Bucket.tat_us - (shift if units > 0 else -shift))
    )


def running(column: Any, value: int) -> Select[int]:
    """How many requests an account or a key has running: its holds."""
    return select(func.count()).select_from(Hold).where(column == value)


def too_many_running(limit: int, *, subject: str) -> RateLimited:
    """The refusal of a request beyond a concurrency limit."""
    return RateLimited(
        f"This {subject} already has {limit} requests running, which is its limit. "
        "Wait for one to end, or change your plan.",
        code="concurrency",
        retry_after_s=1,
        metadata={"limit": limit, "scope": subject},
    )


def _step_us(limit: RateLimit, units: int) -> int:
    return MINUTE_US * units // limit.per_minute


def _take_statement(connection: Connection, limit: RateLimit, step_us: int) -> Any:
    """Moves the arrival time a step if it stays within a minute; returns how far ahead."""
    insert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    now = db_now_us()
    start: ColumnElement[int] = case((Bucket.tat_us > now, Bucket.tat_us), else_=now)
    return (
        insert(Bucket)
        .values(subject=limit.subject, kind=limit.kind, tat_us=now + step_us)
        .on_conflict_do_update(
            index_elements=[Bucket.subject, Bucket.kind],
            set_={"tat_us": start + step_us},
            where=start + step_us <= now + MINUTE_US,
        )
        .returning(Bucket.tat_us - now)
    )


def _refusal(connection: Connection, limit: RateLimit, step_us: int) -> RateLimited:
    ahead = connection.execute(
        select(Bucket.tat_us - db_now_us()).where(
            Bucket.subject == limit.subject, Bucket.kind == limit.kind
        )
    ).scalar()
    wait_us = max(int(ahead or 0), 0) + step_us - MINUTE_US
    # A millisecond more than the arithmetic, since SQLite's clock has no finer grain.
    seconds = min(max(-(-(wait_us + 1000) // 1_000_000), 1), RETRY_AFTER_S_MAX)
    scope = limit.subject.partition(":")[0]
    return RateLimited(
        f"You have reached this {scope}'s limit of {limit.per_minute} {limit.kind} a minute. "
        f"Try again in {seconds} s.",
        code=CODES[limit.kind],
        retry_after_s=seconds,
        metadata={"limit": limit.per_minute, "scope": scope},
    )


def _state(limit: RateLimit, ahead_us: int) -> RateState:
    ahead_us = max(ahead_us, 0)
    remaining = (MINUTE_US - ahead_us) * limit.per_minute // MINUTE_US
    return RateState(limit.kind, limit.per_minute, max(remaining, 0), ahead_us)
