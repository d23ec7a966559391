"""Receipts, as their owners and operators read them: what was asked, who served, what it cost and
why.
"""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, func, select

from solrouter import database
from solrouter.clock import first_id_at, start_of_day, utcnow
from solrouter.errors import NotFound
from solrouter.models import Account, ApiKey, Completion, Hold, Membership, PriceCard, User

ID_PREFIX = "chatcmpl-"
PENDING = "pending"
# What an attempt cost the operator, in nanodollars: kept with it, and no business of its owner.
UPSTREAM_COST = "upstream_cost_nanos"
FINISHED = "finished"
# How many of an account's requests are looked at for what is usual.
USUAL_OF_LAST = 200


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
class OperatorReceipt:
    """A receipt, and whose it is."""

    receipt: Receipt
    account_public_id: str
    email: str


@dataclass(frozen=True, slots=True)
class Summary:
    """What an account spent and asked, by the UTC calendar."""

    spent_today_nanos: int
    spent_month_nanos: int
    requests_today: int
    requests_month: int


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
    query = _query().where(*_is_of(account_id, maker_id)).limit(limit)
    if before is not None:
        query = query.where(Completion.id < parse_id(before))
    rows = database.read_apart(lambda connection: connection.execute(query).all())
    return [_receipt(row) for row in rows]


def find(account_id: int, identifier: str, *, maker_id: int | None = None) -> Receipt:
    """One request of the account. Raises NotFound, also for somebody else's."""
    wanted = parse_id(identifier)
    query = _query().where(*_is_of(account_id, maker_id), Completion.id == wanted)
    with database.read() as connection:
        row = connection.execute(query).one_or_none()
    if row is None:
        raise NotFound("There is no such request.")
    return _receipt(row)


def is_running(account_id: int, identifier: str) -> bool:
    """Whether the request is admitted and has not ended."""
    query = select(Hold.id).where(Hold.account_id == account_id, Hold.id == parse_id(identifier))
    with database.read() as connection:
        return connection.execute(query).first() is not None


def recent_of_all(*, limit: int, before: str | None = None) -> list[OperatorReceipt]:
    """Everybody's requests, newest first, for operators."""
    query = (
        _query()
        .add_columns(Account.public_id.label("account_public_id"), User.email)
        .join(Account, Account.id == Completion.account_id)
        .outerjoin(Membership, (Membership.account_id == Account.id) & (Membership.role == "owner"))
        .outerjoin(User, User.id == Membership.user_id)
        .limit(limit)
    )
    if before is not None:
        query = query.where(Completion.id < parse_id(before))
    rows = database.read_apart(lambda connection: connection.execute(query).all())
    return [OperatorReceipt(_receipt(row), row.account_public_id, row.email or "") for row in rows]


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


def summary(account_id: int, *, maker_id: int | None = None) -> Summary:
    """What the account, or one person's keys in it, have spent today and this month."""
    today = start_of_day(utcnow())
    month = today.replace(day=1)
    is_today = Completion.id >= first_id_at(today)
    query = select(
        func.coalesce(func.sum(Completion.charge_nanos).filter(is_today), 0),
        func.coalesce(func.sum(Completion.charge_nanos), 0),
        func.count().filter(is_today),
        func.count(),
    ).where(*_is_of(account_id, maker_id), Completion.id >= first_id_at(month))
    row = database.read_apart(lambda connection: connection.execute(query).one())
    return Summary(int(row[0]), int(row[1]), row[2], row[3])


def _is_of(account_id: int, maker_id: int | None) -> list[ColumnElement[bool]]:
    of_account = [Completion.account_id == account_id]
    return of_account if maker_id is None else [*of_account, Completion.user_id == maker_id]


def _query() -> Select[*tuple[Any, ...]]:
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


def _receipt(row: Row[*tuple[Any, ...]]) -> Receipt:
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
