"""What an operator tells everybody: a sentence above each page, for as long as it holds.

Every page shows it, so no page asks for it: the housekeeping of each process looks, every few
seconds, and remembers. Only where nobody keeps house does a page look by itself.
"""

import secrets
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, Insert, insert, or_, select, update

from solrouter import clock, database
from solrouter.clock import monotonic_s
from solrouter.errors import DatabaseUnavailable, NotFound, Refused
from solrouter.models import Announcement
from solrouter.models.columns import db_now
from solrouter.services import audit

TONES = {"info": "Information", "warning": "Warning"}
TEXT_CHARACTERS_MAX = 300
LINK_CHARACTERS_MAX = 500
LISTED_MAX = 50
SHOWN_MAX = 3
# How old what is shown may be: two rounds of the housekeeping, and something.
REMEMBERED_FOR_S = 25.0


@dataclass(frozen=True, slots=True)
class Told:
    """One announcement."""

    public_id: str
    text: str
    tone: str
    link: str
    begins_at: datetime
    ends_at: datetime | None

    def is_shown(self, now: datetime) -> bool:
        """Whether it holds at that time."""
        return self.begins_at <= now and (self.ends_at is None or now < self.ends_at)

    @property
    def is_over(self) -> bool:
        """Whether nobody sees it any more."""
        return self.ends_at is not None and self.ends_at <= clock.utcnow()


class Memory:
    """What this process has seen, and until when that will do."""

    def __init__(self) -> None:
        self.told: list[Told] = []
        self.until_s = 0.0


def memory() -> Memory:
    """That of this process for the current app's database."""
    return database.current().remembered("announcements", Memory)


def look() -> None:
    """Remembers what holds or will. Raises DatabaseUnavailable, and then holds to what it knew."""
    known = memory()
    known.until_s = monotonic_s() + REMEMBERED_FOR_S
    known.told = _read(with_past=False)


def shown() -> list[Told]:
    """What holds now, the newest first; what was seen some seconds ago, without the database."""
    known = memory()
    if monotonic_s() >= known.until_s:
        # Without the database, as on an error page, what was known.
        with suppress(DatabaseUnavailable):
            look()
    now = clock.utcnow()
    return [told for told in known.told if told.is_shown(now)][:SHOWN_MAX]


def list_of() -> list[Told]:
    """Those that hold or will, and the last that have, newest first."""
    return _read(with_past=True)


def announce(
    text: str,
    *,
    tone: str,
    link: str = "",
    begins_at: datetime | None = None,
    ends_at: datetime | None = None,
    actor: str,
) -> str:
    """Tells everybody; returns its public id. Raises Refused (`text`, `tone`, `link`, `ends`)."""
    text, link = text.strip(), link.strip()
    if not text or len(text) > TEXT_CHARACTERS_MAX:
        raise Refused(f"Write 1 to {TEXT_CHARACTERS_MAX} characters.", param="text")
    if tone not in TONES:
        raise Refused(f"The tone is one of {', '.join(TONES)}.", param="tone")
    is_address = link.startswith(("https://", "http://")) or (
        link.startswith("/") and not link.startswith("//")
    )
    if link and (not is_address or len(link) > LINK_CHARACTERS_MAX):
        raise Refused(
            "A link begins with https:// or is a page here, such as /status.", param="link"
        )
    begins = begins_at or clock.utcnow()
    if ends_at is not None and ends_at <= max(begins, clock.utcnow()):
        raise Refused("It must end later than it begins, and later than now.", param="ends")
    public_id = f"ann_{secrets.token_hex(8)}"

    def verb(connection: Connection) -> None:
        connection.execute(
            insert(Announcement).values(
                public_id=public_id,
                text=text,
                tone=tone,
                link=link,
                begins_at=begins,
                ends_at=ends_at,
                created_at=db_now(),
            )
        )
        connection.execute(_audited("made", public_id, actor, text))

    database.transact(verb)
    _look_again()
    return public_id


def end(public_id: str, *, actor: str) -> None:
    """Ends it now. Raises NotFound for one that is over or was never there."""

    def verb(connection: Connection) -> None:
        ended = update(Announcement).where(
            Announcement.public_id == public_id,
            or_(Announcement.ends_at.is_(None), Announcement.ends_at > db_now()),
        )
        if not connection.execute(ended.values(ends_at=db_now())).rowcount:
            raise NotFound("There is no such announcement, or it is over already.")
        connection.execute(_audited("ended", public_id, actor))

    database.transact(verb)
    _look_again()


def _read(*, with_past: bool) -> list[Told]:
    columns = [getattr(Announcement, name) for name in Told.__dataclass_fields__]
    query = select(*columns).order_by(Announcement.begins_at.desc(), Announcement.id.desc())
    if not with_past:
        query = query.where(or_(Announcement.ends_at.is_(None), Announcement.ends_at > db_now()))
    with database.read() as connection:
        return [Told(*row) for row in connection.execute(query.limit(LISTED_MAX))]


def _look_again() -> None:
    """This process shows its own change at once, the others after their next round."""
    memory().until_s = 0.0


def _audited(what: str, public_id: str, actor: str, text: str = "") -> Insert:
    details = {"text": text} if text else {}
    return audit.event(
        actor=actor, action=f"announcement.{what}", subject=public_id, details=details
    )
