"""Plans: what an account may use at once. Seeded by the first migration, changed by the operator.

A changed limit holds from the next request on, on every worker, since the admission reads it.
"""

import re
from dataclasses import asdict, dataclass

from sqlalchemy import Connection, insert, select, update

from solrouter import database
from solrouter.errors import Refused
from solrouter.models import Plan as PlanRow

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


def define(slug: str, changes: dict[str, int | None], *, name: str | None = None) -> Plan:
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
        return Plan(*connection.execute(select(*COLUMNS).where(PlanRow.slug == slug)).one())

    return database.transact(verb)
