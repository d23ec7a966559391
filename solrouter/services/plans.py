"""Plans: what an account may use at once. Seeded by the first migration, changed by the operator.

A changed limit holds from the next request on, on every worker, since the admission reads it.
"""

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from sqlalchemy import Connection, insert, select, update

from solrouter import database
from solrouter.errors import Refused
from solrouter.models import Plan as PlanRow
from solrouter.services import audit

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


COLUMNS = tuple(getattr(PlanRow, name) for name in Plan.__dataclass_fields__)
LIMITS = tuple(Plan.__dataclass_fields__)[2:]


def list_of() -> list[Plan]:
    """Every plan, by slug."""
    with database.read() as connection:
        rows = connection.execute(select(*COLUMNS).order_by(PlanRow.slug)).all()
    return [Plan(*row) for row in rows]


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
        assert limit in LIMITS
        if value is not None and value < 0:
            raise Refused("A limit cannot be negative.", param=limit)

    def verb(connection: Connection) -> Plan:
        row = connection.execute(select(*COLUMNS).where(PlanRow.slug == slug)).one_or_none()
        if row is None:
            values = {**dict.fromkeys(LIMITS), **changes, "slug": slug, "name": name or slug}
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


def _changes(before: Mapping[str, Any] | None, after: Mapping[str, Any]) -> dict[str, Any]:
    """What is not as it was, as [before, after]; of a new plan, all of it."""
    if before is None:
        return dict(after)
    pairs = {name: [before[name], value] for name, value in after.items()}
    return {name: pair for name, pair in pairs.items() if pair[0] != pair[1]}
