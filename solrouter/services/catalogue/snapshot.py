"""The catalogue as this process sees it: frozen, priced for now, kept in memory under a version."""

import sqlalchemy
from sqlalchemy import Select, select

from solrouter import database
from solrouter.clock import utcnow
from solrouter.errors import SolRouterError
from solrouter.models import Version
from solrouter.services.catalogue import reading
from solrouter.services.catalogue.words import Snapshot

CATALOGUE = "catalogue"


class _Memory:
    """What this process has read."""

    snapshot: Snapshot | None = None


def current() -> Snapshot:
    """The snapshot in memory, read now if there is none or a new price has begun."""
    snapshot = _memory().snapshot
    if snapshot is None or (snapshot.stale_at is not None and snapshot.stale_at <= utcnow()):
        return reload()
    return snapshot


def fresh() -> Snapshot:
    """The snapshot at the database's version: one small statement when nothing has changed."""
    snapshot = current()
    with database.read() as connection:
        version = connection.execute(version_statement()).scalar_one()
    return snapshot if version == snapshot.version else reload()


def reload() -> Snapshot:
    """Reads the catalogue anew."""
    with database.read() as connection:
        version = connection.execute(version_statement()).scalar_one()
        snapshot = reading.read(connection, version)
    _memory().snapshot = snapshot
    return snapshot


def _memory() -> _Memory:
    return database.current().remembered(CATALOGUE, _Memory)


def ready() -> bool:
    """Whether the database answers and holds our tables."""
    try:
        fresh()
    except SolRouterError:
        return False
    return True


def version_statement() -> Select[int]:
    """Asks the database for the catalogue's version; the admission runs it too."""
    return select(Version.number).where(Version.name == CATALOGUE)


def bump_version(connection: sqlalchemy.Connection) -> None:
    """Tells every process that the catalogue has changed; part of the change's transaction."""
    connection.execute(
        sqlalchemy.update(Version)
        .where(Version.name == CATALOGUE)
        .values(number=Version.number + 1)
    )
