"""Receipts, as their owners and operators read them: what was asked, who served, what it cost and
why.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, func, select

from solrouter import database
from solrouter.clock import first_id_at
from solrouter.errors import NotFound
from solrouter.models import ApiKey, Completion, Hold, PriceCard

ID_PREFIX = "chatcmpl-"
PENDING = "pending"
# What an attempt cost the operator, in nanodollars: kept with it, and no business of its owner.
UPSTREAM_COST = "upstream_cost_nanos"
FINISHED = "finished"
# How many of an account's requests are looked at for what is usual.
USUAL_OF_LAST = 200
# How many requests one page looks through for those that fit.
SCANNED_MAX = 20_000


@dataclass(frozen=True, slots=True)
class Receipt:
    """One request, for ever. `usage` counts units by class; `rates` is the price card it was sold
    by.
    """

    id: str
    created_at: datetime
    key_name: str
    requested_model: str
    model: str
    provider: str
    streamed: bool
    outcome: str
    reason: str
    finish_reason: str | None
    error_code: str | None
    prompt_tokens: int
    completion_tokens: int
    usage: Mapping[str, int]
    usage_source: str
    charge_nanos: int
    write_off_nanos: int
    duration_ms: int
    first_content_ms: int | None
    upstream_id: str | None
    attempts: list[dict[str, Any]]
    rates: Mapping[str, int] | None
    tiers: list[dict[str, Any]]
    windows: list[dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Filters:
    """Which requests are wanted; None is no condition."""

    model: str | None = None
    key_public_id: str | None = None
    provider: str | None = None
    outcome: str | None = None
    since: datetime | None = None

    @property
    def is_sparse(self) -> bool:
        """Whether few of the requests may fit, so that finding one may mean reading many."""
        return (self.model, self.provider, self.outcome) != (None, None, None)


@dataclass(frozen=True, slots=True)
class Found:
    """A page of requests, and after which id the next one begins; None: there are no more."""

    receipts: list[Receipt]
    older: str | None
    # Whether it ended because enough was looked through, and not because the page was full.
    is_cut: bool = False


def public_id(identifier: uuid.UUID) -> str:
    """The id that answers carry."""
    return ID_PREFIX + identifier.hex


def parse_id(text: str) -> uuid.UUID:
    """The row's id of a public one. Raises NotFound for anything else."""
    try:
        return uuid.UUID(hex=text.removeprefix(ID_PREFIX))
    except ValueError:
        raise NotFound("There is no such request.") from None


def recent(
    account_id: int, *, limit: int, before: str | None = None, maker_id: int | None = None
) -> list[Receipt]:
    """The account's requests that have ended, newest first; `before` is the last id seen.

    With `maker_id` those of the keys that this person made.
    """
    query = receipts_query().where(*_is_of(account_id, maker_id)).limit(limit)
    if before is not None:
        query = query.where(Completion.id < parse_id(before))
    rows = database.read_apart(lambda connection: connection.execute(query).all())
    return [as_receipt(row) for row in rows]


def page(
    account_id: int,
    filters: Filters,
    *,
    limit: int,
    before: str | None = None,
    maker_id: int | None = None,
    scanned_max: int = SCANNED_MAX,
) -> Found:
    """A page of the account's requests that fit, newest first.

    However few fit, no more than so many requests are looked through; the next page goes on.
    """
    wanted = [*_is_of(account_id, maker_id), *_fitting(account_id, filters)]
    if before is not None:
        wanted.append(Completion.id < parse_id(before))

    def query(connection: Connection) -> Found:
        floor = _floor(connection, account_id, before, scanned_max) if filters.is_sparse else None
        conditions = wanted if floor is None else [*wanted, Completion.id >= floor]
        rows = connection.execute(receipts_query().where(*conditions).limit(limit + 1)).all()
        receipts = [as_receipt(row) for row in rows[:limit]]
        if len(rows) > limit:
            return Found(receipts, receipts[-1].id)
        return Found(receipts, None if floor is None else public_id(floor), floor is not None)

    return database.read_apart(query)


def find(account_id: int, identifier: str, *, maker_id: int | None = None) -> Receipt:
    """One request of the account. Raises NotFound, also for somebody else's."""
    wanted = parse_id(identifier)
    query = receipts_query().where(*_is_of(account_id, maker_id), Completion.id == wanted)
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("There is no such request.")
    return as_receipt(row)


def is_running(account_id: int, identifier: str) -> bool:
    """Whether the request is admitted and has not ended."""
    query = select(Hold.id).where(Hold.account_id == account_id, Hold.id == parse_id(identifier))
    with database.read() as connection:
        return connection.execute(query).first() is not None


def usual_output_tokens(account_id: int, model: str) -> int | None:
    """How long the model's last answers to this account were on average; None before the first."""
    recent = (
        select(Completion.completion_tokens, Completion.model, Completion.outcome)
        .where(Completion.account_id == account_id)
        .order_by(Completion.id.desc())
        .limit(USUAL_OF_LAST)
        .subquery()
    )
    query = select(func.avg(recent.c.completion_tokens)).where(
        recent.c.model == model, recent.c.outcome == FINISHED
    )
    average = database.read_apart(lambda connection: connection.execute(query).scalar())
    return None if average is None else max(round(average), 1)


def _floor(
    connection: Connection, account_id: int, before: str | None, scanned_max: int
) -> uuid.UUID | None:
    """The last id that a page may look at; None where what is left is not so much."""
    ids = select(Completion.id).where(Completion.account_id == account_id)
    if before is not None:
        ids = ids.where(Completion.id < parse_id(before))
    last = ids.order_by(Completion.id.desc()).offset(scanned_max - 1).limit(1)
    return connection.execute(last).scalar_one_or_none()


def _fitting(account_id: int, filters: Filters) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if filters.model is not None:
        found.append(Completion.model == filters.model)
    if filters.provider is not None:
        found.append(Completion.provider == filters.provider)
    if filters.outcome is not None:
        found.append(Completion.outcome == filters.outcome)
    if filters.key_public_id is not None:
        named = select(ApiKey.id).where(
            ApiKey.account_id == account_id, ApiKey.public_id == filters.key_public_id
        )
        found.append(Completion.key_id == named.scalar_subquery())
    if filters.since is not None:
        found.append(Completion.id >= first_id_at(filters.since))
    return found


def _is_of(account_id: int, maker_id: int | None) -> list[ColumnElement[bool]]:
    of_account = [Completion.account_id == account_id]
    return of_account if maker_id is None else [*of_account, Completion.user_id == maker_id]


def receipts_query() -> Select[*tuple[Any, ...]]:
    """Selects receipts with what their prices were, newest first."""
    return (
        select(
            *Completion.__table__.columns,
            ApiKey.name.label("key_name"),
            PriceCard.rates,
            PriceCard.tiers,
            PriceCard.windows,
        )
        .outerjoin(ApiKey, ApiKey.id == Completion.key_id)
        .outerjoin(PriceCard, PriceCard.id == Completion.sale_card_id)
        .order_by(Completion.id.desc())
    )


def as_receipt(row: Row[*tuple[Any, ...]]) -> Receipt:
    """The row of such a query."""
    return Receipt(
        id=public_id(row.id),
        created_at=row.created_at,
        key_name=row.key_name or "",
        requested_model=row.requested_model,
        model=row.model,
        provider=row.provider,
        streamed=row.streamed,
        outcome=row.outcome,
        reason=row.reason,
        finish_reason=row.finish_reason,
        error_code=row.error_code,
        prompt_tokens=row.prompt_tokens,
        completion_tokens=row.completion_tokens,
        usage=row.usage,
        usage_source=row.usage_source,
        charge_nanos=row.charge_nanos,
        write_off_nanos=row.write_off_nanos,
        duration_ms=row.duration_ms,
        first_content_ms=row.first_content_ms,
        upstream_id=row.upstream_id,
        attempts=[
            {name: value for name, value in attempt.items() if name != UPSTREAM_COST}
            for attempt in row.attempts
        ],
        rates=row.rates,
        tiers=row.tiers or [],
        windows=row.windows or [],
    )
