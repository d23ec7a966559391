"""Plans: what an account may use at once. Seeded by the first migration, changed by the operator.

A changed limit holds from the next request on, on every worker, since the admission reads it.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, Select, func, insert, select, update

from solrouter import config, database
from solrouter.errors import Refused
from solrouter.models import Account, Hold, Payment, columns
from solrouter.models import Plan as PlanRow
from solrouter.services import audit
from solrouter.services.key_rules import CONCURRENCY_MAX, RATES_MAX

# Payments of these are presents.
GIFTS = ("code", "grant")
SLUG = re.compile(r"[a-z0-9][a-z0-9-]{0,39}")


@dataclass(frozen=True, slots=True)
class Plan:
    """One plan. A limit of None is no limit, 0 is nothing at all."""

    slug: str
    name: str
    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    free_requests_per_day: int | None
    free_concurrency: int | None
    min_paid_nanos: int | None = None

    @property
    def is_bought(self) -> bool:
        """Whether a sum paid brings it; else only the operator gives it."""
        return self.min_paid_nanos is not None


@dataclass(frozen=True, slots=True)
class Standing:
    """The plan of an account, what it has paid in all, and what the next plan asks for."""

    plan: Plan
    paid_nanos: int
    next: Plan | None
    others: tuple[Plan, ...]
    running: int

    @property
    def missing_nanos(self) -> int:
        """What is still to be paid for the next plan."""
        wanted = self.next.min_paid_nanos if self.next is not None else None
        # A plan that asks for nothing is reached by the first top-up.
        return max((wanted or 0) - self.paid_nanos, 0)


COLUMNS = tuple(getattr(PlanRow, name) for name in Plan.__dataclass_fields__)
LIMITS = tuple(Plan.__dataclass_fields__)[2:-1]
MIN_PAID = "min_paid_nanos"
NAME_CHARACTERS_MAX = columns.characters_max(PlanRow.name)
LIMITS_MAX = {
    **RATES_MAX,
    "free_requests_per_day": 1_000_000_000,
    "free_concurrency": CONCURRENCY_MAX,
}


def list_of() -> list[Plan]:
    """Every plan, by slug."""
    with database.read() as connection:
        rows = connection.execute(select(*COLUMNS).order_by(PlanRow.slug)).all()
    return [Plan(*row) for row in rows]


def accounts_by_plan() -> dict[str, int]:
    """How many accounts are on each plan."""
    query = select(Account.plan_slug, func.count()).group_by(Account.plan_slug)
    with database.read() as connection:
        return {row[0]: row[1] for row in connection.execute(query)}


def define(
    slug: str,
    changes: dict[str, int | None],
    *,
    name: str | None = None,
    actor: str = audit.COMMAND,
) -> Plan:
    """Makes a plan, or changes the limits that are given of one that is there. Raises Refused."""
    if not SLUG.fullmatch(slug):
        raise Refused("A slug is lower-case letters, digits and dashes, at most 40.", param="slug")
    for limit, value in changes.items():
        assert limit in (*LIMITS, MIN_PAID)
        if value is not None and value < 0:
            raise Refused("A limit cannot be negative.", param=limit)
        most = LIMITS_MAX.get(limit, columns.number_max(getattr(PlanRow, limit)))
        if value is not None and value > most:
            raise Refused(f"Write a whole number between 0 and {most:,}.", param=limit)
    if name is not None and len(name) > NAME_CHARACTERS_MAX:
        raise Refused(f"A name has at most {NAME_CHARACTERS_MAX} characters.", param="name")

    def verb(connection: Connection) -> Plan:
        row = connection.execute(select(*COLUMNS).where(PlanRow.slug == slug)).one_or_none()
        if row is None:
            values = {
                **dict.fromkeys((*LIMITS, MIN_PAID)),
                **changes,
                "slug": slug,
                "name": name or slug,
            }
            connection.execute(insert(PlanRow).values(**values))
        else:
            values = {**asdict(Plan(*row)), **changes}
            values["name"] = name or values["name"]
            connection.execute(update(PlanRow).where(PlanRow.slug == slug).values(**values))
        changed = _changes(None if row is None else row._asdict(), values)
        event = audit.event(actor=actor, action="plan.set", subject=slug, details=changed)
        connection.execute(event)
        return Plan(*connection.execute(select(*COLUMNS).where(PlanRow.slug == slug)).one())

    return database.transact(verb)


def standing(account_id: int) -> Standing:
    """Where the account stands between the plans."""
    held = select(func.count()).where(Hold.account_id == account_id).scalar_subquery()
    paid = _paid(account_id).scalar_subquery()
    mine = select(Account.plan_slug, paid, held).where(Account.id == account_id)
    with database.read() as connection:
        slug, paid_nanos, running = connection.execute(mine).one()
        rows = connection.execute(select(*COLUMNS)).all()
    known = [Plan(*row) for row in rows]
    [plan] = [each for each in known if each.slug == slug]
    ladder = _ladder(known)
    above = [each for each in ladder if may_rise(plan, each)]
    shown = (plan, *(each for each in ladder if each.slug != slug))
    return Standing(plan, int(paid_nanos or 0), above[0] if above else None, shown, running)


def may_rise(plan: Plan, to: Plan) -> bool:
    """Whether paying may bring an account from one plan to another: only up, and never from a plan
    that the operator has given; what every new account has was given to nobody.
    """
    if not to.is_bought or to.slug == plan.slug:
        return False
    if plan.is_bought:
        return (to.min_paid_nanos or 0) > (plan.min_paid_nanos or 0)
    return bool(plan.slug == config.current()["SOLROUTER_DEFAULT_PLAN"])


def rise(connection: Connection, account_id: int) -> None:
    """Gives an account the highest plan that its payments have reached.

    For a transaction that has locked the account and brought it money.
    """
    plan, before, known = _plan_of(connection, account_id)
    paid_nanos = int(connection.execute(_paid(account_id)).scalar() or 0)
    best = _best(known, plan, paid_nanos)
    if best.slug != plan.slug:
        _put(connection, account_id, plan, best, before=before or plan.slug, paid_nanos=paid_nanos)


def fall(connection: Connection, account_id: int) -> None:
    """Takes a plan that payments had brought and no longer reach: what was given stays.

    For a transaction that has locked the account and taken money of a payment from it. The account
    comes to the highest plan that it still reaches, at least to the one that it had before.
    """
    plan, before, known = _plan_of(connection, account_id)
    paid_nanos = int(connection.execute(_paid(account_id)).scalar() or 0)
    if before is None or not plan.is_bought or (plan.min_paid_nanos or 0) <= paid_nanos > 0:
        return
    [given] = [each for each in known if each.slug == before]
    best = _best(known, given, paid_nanos)
    if best.slug != plan.slug:
        left = None if best.slug == before else before
        _put(connection, account_id, plan, best, before=left, paid_nanos=paid_nanos)


def _plan_of(connection: Connection, account_id: int) -> tuple[Plan, str | None, list[Plan]]:
    """The account's plan, the one that it had before payments raised it, and every plan."""
    mine = select(Account.plan_slug, Account.plan_before_payments).where(Account.id == account_id)
    slug, before = connection.execute(mine).one()
    known = [Plan(*row) for row in connection.execute(select(*COLUMNS)).all()]
    [plan] = [each for each in known if each.slug == slug]
    return plan, before, known


def _best(known: list[Plan], start: Plan, paid_nanos: int) -> Plan:
    """The highest plan to which this sum brings an account from `start`; else that itself."""
    reached = [
        each
        for each in _ladder(known)
        if may_rise(start, each) and (each.min_paid_nanos or 0) <= paid_nanos > 0
    ]
    return reached[-1] if reached else start


def _put(
    connection: Connection,
    account_id: int,
    plan: Plan,
    to: Plan,
    *,
    before: str | None,
    paid_nanos: int,
) -> None:
    changed = {"plan_slug": to.slug, "plan_before_payments": before}
    connection.execute(update(Account).where(Account.id == account_id).values(changed))
    connection.execute(
        audit.event(
            actor="system",
            action="account.plan",
            subject=f"account:{account_id}",
            account_id=account_id,
            details={"plan": [plan.slug, to.slug], "paid_nanos": paid_nanos},
        )
    )


def _ladder(known: list[Plan]) -> list[Plan]:
    """The plans that payments bring, the lowest first."""
    bought = [each for each in known if each.is_bought]
    return sorted(bought, key=lambda each: (each.min_paid_nanos or 0, each.slug))


def _paid(account_id: int) -> Select[Any]:
    """What an account has paid in all, less what went back; gifts are no payments."""
    kept = Payment.received_nanos - Payment.refunded_nanos - Payment.disputed_nanos
    return select(func.sum(kept)).where(
        Payment.account_id == account_id, Payment.provider.not_in(GIFTS)
    )


def _changes(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as it was, as [before, after]; of a new plan, all of it."""
    if before is None:
        return dict(after)
    pairs = {name: [before[name], value] for name, value in after.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
