"""Backups of an SQLite database: taken while the server runs, proven, put back where none is.

PostgreSQL has programs of its own for it, which know better: docs/backups.md.
"""

from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import func, select
from sqlalchemy.exc import DBAPIError

from solrouter import database, secrets
from solrouter.database import copies
from solrouter.errors import DatabaseUnavailable, Refused
from solrouter.models import Hold, SecretFingerprint
from solrouter.services import schema

USE_PG_DUMP = (
    "This database is PostgreSQL, which has better programs for it: pg_dump and pg_restore. "
    "docs/backups.md shows how."
)


@dataclass(frozen=True, slots=True)
class Restored:
    """What was put back: how its tables stand, how many holds were open, whose secret it knows."""

    path: Path
    standing: schema.Standing
    holds: int
    knows_secret: bool


def take(target: Path) -> int:
    """Writes a backup of the database, whoever uses it meanwhile; its size in bytes.

    Raises Refused.
    """
    path = _file()
    if path.exists() and not schema.standing().found:
        raise Refused(f"The database at {path} has no tables: there is nothing to back up.")
    return copies.copy(path, target)


def restore(source: Path) -> Restored:
    """Puts a backup where the database belongs, and looks at it. Raises Refused.

    There must be no database yet, but for one without a table. One that is none of ours is not left
    behind.
    """
    path = _file()
    copies.remove_empty(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    copies.copy(source, path)
    try:
        restored = _look(path)
    except (DBAPIError, DatabaseUnavailable) as error:
        database.current().close()
        path.unlink()
        raise Refused(f"{source} is no database of SolRouter's.") from error
    copies.keep_log(path)
    return restored


def _look(path: Path) -> Restored:
    standing = schema.standing()
    ours = {root.fingerprint for root in secrets.current().roots}
    with database.read() as connection:
        holds = connection.execute(select(func.count()).select_from(Hold)).scalar_one()
        known = set(connection.execute(select(SecretFingerprint.fingerprint)).scalars())
    return Restored(path, standing, holds, not known or bool(known & ours))


def _file() -> Path:
    current = database.current()
    if not current.is_sqlite:
        raise Refused(USE_PG_DUMP)
    return copies.file_of(current.url)
