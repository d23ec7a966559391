"""What a database's error means: that there is no database to be had, or that we erred.

It reads SQLAlchemy's errors and those of the two drivers, since the hot path speaks to them itself.
"""

import logging
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy.exc import DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from solrouter.errors import DatabaseUnavailable

log = logging.getLogger(__name__)

# PostgreSQL: connection exception, invalid transaction state (read-only, timed out), insufficient
# resources, operator intervention.
ABSENT_SQLSTATE_CLASSES = frozenset(("08", "25", "53", "57"))
# PostgreSQL: deadlock_detected, serialization_failure. Nothing was changed, so trying again is
# sane.
TRANSIENT_SQLSTATES = frozenset(("40P01", "40001"))
MEANS_ABSENT = (
    OperationalError,
    InterfaceError,
    PoolTimeout,
    psycopg.OperationalError,
    psycopg.InterfaceError,
    sqlite3.OperationalError,
)
FOREIGN = (DBAPIError, PoolTimeout, psycopg.Error, sqlite3.Error)


# PostgreSQL: insufficient_privilege.
FORBIDDEN_SQLSTATE = "42501"
# SQLite's code of a statement that is wrong: it names a table that is not there, or is misspelt.
WRONG_STATEMENT = sqlite3.SQLITE_ERROR

# SQLite: the file's pages contradict one another, or its first one is none of SQLite's.
DAMAGED_CODES = frozenset((sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB))


def as_ours(error: Exception) -> Exception:
    """DatabaseUnavailable if the database does not answer; else the error itself."""
    if not _means_absent(error) or is_transient(error):
        return error
    log.error("the database does not answer: %s", getattr(error, "orig", error))
    ours = DatabaseUnavailable("The database does not answer at the moment. Please try again.")
    ours.__cause__ = error
    return ours


def is_transient(error: Exception) -> bool:
    """Whether the same may be tried again at once."""
    return sqlstate(error) in TRANSIENT_SQLSTATES


def is_damaged(error: Exception) -> bool:
    """Whether SQLite says that its file is damaged; of our error too, by what it comes from."""
    # The lower byte tells the kind, the rest more of it.
    return _sqlite_code(_cause(error)) & 0xFF in DAMAGED_CODES


def is_forbidden(error: Exception) -> bool:
    """Whether PostgreSQL's role lacks the right."""
    return sqlstate(error) == FORBIDDEN_SQLSTATE


@contextmanager
def translated() -> Iterator[None]:
    """Turns what means that the database does not answer into DatabaseUnavailable."""
    try:
        yield
    except FOREIGN as error:
        ours = as_ours(error)
        if ours is error:
            raise
        raise ours from error


def reason(error: Exception) -> str:
    """The driver's first line. Whoever shows it takes out what is secret in it."""
    cause = _cause(error)
    cause = getattr(cause, "orig", None) or cause
    return (str(cause).splitlines() or [type(cause).__name__])[0]


def _cause(error: Exception) -> BaseException:
    """The foreign error that ours comes from; a foreign one itself."""
    return (error.__cause__ if isinstance(error, DatabaseUnavailable) else None) or error


def _means_absent(error: Exception) -> bool:
    if _sqlite_code(error) == WRONG_STATEMENT:
        return False
    if isinstance(error, MEANS_ABSENT) or is_damaged(error):
        return True
    if isinstance(error, DBAPIError) and error.connection_invalidated:
        return True
    return isinstance(error, FOREIGN) and sqlstate(error)[:2] in ABSENT_SQLSTATE_CLASSES


def sqlstate(error: BaseException) -> str:
    """The code of an error that the server has told; empty for one of the client's own."""
    return getattr(getattr(error, "orig", error), "sqlstate", None) or ""


def _sqlite_code(error: BaseException) -> int:
    """SQLite's own code of an error; 0 for one of anybody else's."""
    return getattr(getattr(error, "orig", error), "sqlite_errorcode", None) or 0
