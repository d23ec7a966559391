"""How the tables of the database stand to those that this code was written for.

A server that starts asks this once. One that runs already asks nothing: a migration that only
expands is made for it.

| the database's last migration   | a server                                                       |
|---------------------------------|----------------------------------------------------------------|
| is this code's last             | starts                                                         |
| is an earlier one               | refuses: run `flask db upgrade`                                |
| is newer, all newer ones expand | starts, with a line in the log: a roll-back, or an update runs |
| is newer, one of them contracts | refuses: this code would miss what was taken away              |

Which migrations expand they say themselves (`expands`), and each run of them notes in the database
the oldest code that may run on what it leaves: code that is older cannot know them.
"""

from contextlib import suppress
from dataclasses import dataclass
from enum import Enum
from functools import cache
from pathlib import Path

from sqlalchemy import Connection, delete, insert, inspect, select, text

from solrouter import database, redaction
from solrouter.database import faults
from solrouter.errors import DatabaseUnavailable
from solrouter.models import Version

MIGRATIONS = Path(__file__).resolve().parents[2] / "migrations"
OLDEST_CODE = "oldest code"
MIGRATIONS_TABLE = "alembic_version"
LAST_MIGRATION = text(f"SELECT version_num FROM {MIGRATIONS_TABLE}")
DAMAGED = "The database file is damaged: restore a backup (docs/backups.md)."
NO_TABLES = "The database has no tables yet. Run: flask db upgrade"
ENCODING = "UTF8"
IN_UTF8 = "Make it anew: createdb --encoding UTF8 --template template0 NAME"


class Fit(Enum):
    """Whether this code can serve on the database's tables."""

    CURRENT = "current"
    BEHIND = "behind"
    EXPANDED = "expanded"
    TOO_NEW = "too new"

    @property
    def allows_serving(self) -> bool:
        """Whether a server may start."""
        return self in (Fit.CURRENT, Fit.EXPANDED)


@dataclass(frozen=True, slots=True)
class Standing:
    """The last migration that the database has had, the last that this code knows, and the fit."""

    found: str
    wanted: str
    fit: Fit

    @property
    def advice(self) -> str:
        """What is wrong and what to do; empty for a fit that is as it should be."""
        if not self.found:
            return NO_TABLES
        if self.fit is Fit.BEHIND:
            return (
                f"The database is at migration {self.found} and this version needs "
                f"{self.wanted}. Run: flask db upgrade"
            )
        if self.fit is Fit.TOO_NEW:
            return (
                f"The database is at migration {self.found}, and this version knows it only up to "
                f"{self.wanted}. Deploy the newer version again; or, to go back, first run with "
                f"the newer version: flask db downgrade {self.wanted}"
            )
        if self.fit is Fit.EXPANDED:
            return (
                f"The database is at migration {self.found}, newer than this version's "
                f"{self.wanted}. It may run on it; deploy the newer version when you can."
            )
        return ""


def encoding_problem(connection: Connection) -> str | None:
    """What a PostgreSQL database cannot keep by the way it was made; None where it can keep all."""
    encoding = connection.execute(text("SHOW server_encoding")).scalar()
    if encoding == ENCODING:
        return None
    return f"{encoding} the database cannot keep every text"


def standing() -> Standing:
    """How the database stands: without tables, at no migration. Raises DatabaseUnavailable."""
    if database.current().has_no_file:
        return Standing("", revisions()[-1], Fit.BEHIND)
    with database.read() as connection:
        found, oldest = _last_migration(connection), _noted_code(connection)
    return Standing(found, revisions()[-1], _fit(found, oldest))


def explained(error: Exception) -> str:
    """What an operator is told of a database's error: what to run, or what its driver says."""
    if faults.is_damaged(error):
        return DAMAGED
    is_absent = isinstance(error, DatabaseUnavailable)
    # A server that does not answer would not say more if it were asked again.
    if database.current().is_sqlite or not is_absent:
        with suppress(DatabaseUnavailable, *faults.FOREIGN):
            found = standing()
            if not found.fit.allows_serving:
                return found.advice
    reason = redaction.redacted(faults.reason(error))
    if is_absent:
        return (
            f"The database does not answer ({reason}). Check DATABASE_URL; flask doctor says more."
        )
    return f"The database refuses ({reason}). flask doctor says more."


@cache
def revisions() -> tuple[str, ...]:
    """All migrations that this code knows, the first one first."""
    files = (MIGRATIONS / "versions").glob("[0-9]*.py")
    return tuple(sorted(path.stem.partition("_")[0] for path in files))


def note_oldest_code(connection: Connection) -> None:
    """Writes down which code may run on the tables as they are now; for the end of a migration."""
    if not inspect(connection).has_table(Version.__tablename__):
        return
    oldest = _oldest_code(str(connection.execute(LAST_MIGRATION).scalar()))
    connection.execute(delete(Version).where(Version.name == OLDEST_CODE))
    connection.execute(insert(Version).values(name=OLDEST_CODE, number=int(oldest)))


def _last_migration(connection: Connection) -> str:
    """The last migration that the database has had; empty where there has been none."""
    if not inspect(connection).has_table(MIGRATIONS_TABLE):
        return ""
    return connection.execute(LAST_MIGRATION).scalar() or ""


def _noted_code(connection: Connection) -> int | None:
    """The oldest code that may run on the tables, if it has been noted."""
    if not inspect(connection).has_table(Version.__tablename__):
        return None
    query = select(Version.number).where(Version.name == OLDEST_CODE)
    return connection.execute(query).scalar()


def _oldest_code(found: str) -> str:
    # Imported by migrations alone: a server that starts has no other use for it.
    from alembic.script import ScriptDirectory  # noqa: PLC0415

    script = ScriptDirectory(str(MIGRATIONS))
    for one in script.iterate_revisions(found, "base"):
        if not getattr(one.module, "expands", False):
            return one.revision
        found = str(one.down_revision)
    return found


def _fit(found: str, oldest: int | None) -> Fit:
    known = revisions()
    if found == known[-1]:
        return Fit.CURRENT
    if not found or found in known:
        return Fit.BEHIND
    if oldest is not None and oldest in {int(one) for one in known}:
        return Fit.EXPANDED
    return Fit.TOO_NEW
