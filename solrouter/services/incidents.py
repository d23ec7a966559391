"""What an operator tells on the status page: outages, trouble, work that is planned.

An incident is opened, told more about, and closed; nothing that was told is changed.
"""

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Insert, Row, insert, or_, select, update

from solrouter import database
from solrouter.clock import utcnow
from solrouter.errors import NotFound, Refused
from solrouter.models import Incident, IncidentNote, LanguageModel, Provider
from solrouter.models.columns import db_now
from solrouter.services import audit

KINDS = {"outage": "Outage", "degraded": "Degraded", "maintenance": "Maintenance"}
TITLE_CHARACTERS_MAX = 200
TEXT_CHARACTERS_MAX = 5000
AFFECTS_MAX = 50
SHOWN_DAYS = 90
SHOWN_MAX = 100


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that was told, and when."""

    text: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """An incident with all that was told about it, the newest first."""

    public_id: str
    title: str
    kind: str
    affects: tuple[str, ...]
    started_at: datetime
    ended_at: datetime | None
    notes: tuple[Note, ...]

    @property
    def is_open(self) -> bool:
        """Whether it is not over yet."""
        return self.ended_at is None

    @property
    def is_ahead(self) -> bool:
        """Whether it has not begun: planned work."""
        return self.started_at > utcnow()

    @property
    def changed_at(self) -> datetime:
        """When something was last told of it."""
        return max([self.started_at, *(note.created_at for note in self.notes)])


def recent() -> list[Told]:
    """Those that are open, and those of the last days; open ones first, then the newest."""
    long_ago = utcnow() - timedelta(days=SHOWN_DAYS)
    is_shown = or_(Incident.ended_at.is_(None), Incident.started_at >= long_ago)
    query = select(*Incident.__table__.columns).where(is_shown)
    shown = query.order_by(Incident.started_at.desc(), Incident.id.desc()).limit(SHOWN_MAX)
    incidents = shown.subquery()
    query = (
        select(incidents, IncidentNote.text, IncidentNote.created_at.label("told_at"))
        .outerjoin(IncidentNote, IncidentNote.incident_id == incidents.c.id)
        .order_by(incidents.c.started_at.desc(), incidents.c.id.desc(), IncidentNote.id.desc())
    )
    rows: dict[int, list[Row[Any]]] = {}
    with database.read() as connection:
        for row in connection.execute(query):
            rows.setdefault(row.id, []).append(row)
    found = [_told(each) for each in rows.values()]
    return sorted(found, key=lambda told: not told.is_open)


def open_one(
    title: str,
    text: str,
    *,
    kind: str,
    affects: Iterable[str] = (),
    begins_at: datetime | None = None,
    actor: str,
) -> str:
    """Tells of a new incident; returns its public id. Raises Refused."""
    names = tuple(dict.fromkeys(name.strip() for name in affects if name.strip()))
    title = _checked(title, "title", TITLE_CHARACTERS_MAX)
    text = _checked(text, "text", TEXT_CHARACTERS_MAX)
    if kind not in KINDS:
        raise Refused(f"The kind is one of {', '.join(KINDS)}.", param="kind")
    if len(names) > AFFECTS_MAX:
        raise Refused(f"At most {AFFECTS_MAX} models and providers can be named.", param="affects")
    public_id = f"inc_{secrets.token_hex(8)}"

    def verb(connection: Connection) -> None:
        _require_known(connection, names)
        new = insert(Incident).values(
            public_id=public_id,
            title=title,
            kind=kind,
            affects=list(names),
            started_at=begins_at or db_now(),
            created_at=db_now(),
        )
        incident_id = connection.execute(new.returning(Incident.id)).scalar_one()
        _add_note(connection, incident_id, text)
        connection.execute(_audited("opened", public_id, actor))

    database.transact(verb)
    return public_id


def tell(public_id: str, text: str, *, closes: bool = False, actor: str) -> None:
    """Tells more about an incident, and with `closes` that it is over. Raises NotFound, Refused."""
    text = _checked(text, "text", TEXT_CHARACTERS_MAX)

    def verb(connection: Connection) -> None:
        found = select(Incident.id, Incident.ended_at).where(Incident.public_id == public_id)
        row = connection.execute(found.with_for_update()).one_or_none()
        if row is None:
            raise NotFound(f"There is no incident “{public_id}”.")
        if closes and row.ended_at is not None:
            raise Refused("That incident is over already.")
        _add_note(connection, row.id, text)
        if closes:
            over = update(Incident).where(Incident.id == row.id).values(ended_at=db_now())
            connection.execute(over)
        connection.execute(_audited("closed" if closes else "updated", public_id, actor))

    database.transact(verb)


def _checked(text: str, param: str, characters_max: int) -> str:
    text = text.strip()
    if not text:
        raise Refused(f"Write a {param}.", param=param)
    if len(text) > characters_max:
        raise Refused(f"The {param} has at most {characters_max} characters.", param=param)
    return text


def _require_known(connection: Connection, names: Sequence[str]) -> None:
    known = {
        slug
        for column in (LanguageModel.slug, Provider.slug)
        for slug in connection.execute(select(column).where(column.in_(names))).scalars()
    }
    for name in names:
        if name not in known:
            raise Refused(f"“{name}” is no model's id and no provider's slug.", param="affects")


def _add_note(connection: Connection, incident_id: int, text: str) -> None:
    new = insert(IncidentNote).values(incident_id=incident_id, text=text, created_at=db_now())
    connection.execute(new)


def _audited(what: str, public_id: str, actor: str) -> Insert:
    return audit.event(actor=actor, action=f"incident.{what}", subject=public_id)


def _told(rows: Sequence[Row[Any]]) -> Told:
    """An incident of its rows: one for each note, the newest first."""
    first = rows[0]
    return Told(
        first.public_id,
        first.title,
        first.kind,
        tuple(first.affects),
        first.started_at,
        first.ended_at,
        tuple(Note(row.text, row.told_at) for row in rows if row.text is not None),
    )
