"""An SQLite database copied whole, while a server writes to it, and put back where none is.

Nothing is ever written over. A copy gets its name once it is complete and proven, so whoever finds
the name finds a good one. Knows nothing of what stands in the tables.
"""

import os
import sqlite3
from contextlib import closing, suppress
from pathlib import Path

from solrouter.errors import Refused

# Beside the file of a database in use; SQLite would read them into any other of that name.
COMPANIONS = ("-wal", "-shm", "-journal")
FAULTS_SHOWN = 3


def file_of(url: str) -> Path:
    """The file that an SQLite URL names."""
    return Path(url.partition("///")[2].partition("?")[0])


def copy(source: Path, target: Path) -> int:
    """Copies the database as it is at this instant; returns the copy's size in bytes.

    The copy is one file, readable by its owner alone. Raises Refused, and leaves nothing behind,
    where there is no source, where the target exists, and where the copy is not sound.
    """
    _require_absent(target)
    if not source.is_file():
        raise Refused(f"There is no database at {source}.")
    partial = target.with_name(f"{target.name}.partial")
    try:
        # Made first, so that it is never readable by others.
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        raise Refused(f"{partial} is in the way: another copy runs, or has failed.") from None
    except OSError as error:
        raise Refused(f"{target.parent} cannot be written to: {error.strerror}.") from error
    try:
        _copy_whole(source, partial)
        # A link, unlike a new name, is refused where something has come into being meanwhile.
        os.link(partial, target)
    except sqlite3.Error as error:
        raise Refused(f"{source} cannot be copied: {error}.") from error
    except FileExistsError:
        raise Refused(f"{target} exists. Nothing is written over.") from None
    finally:
        partial.unlink(missing_ok=True)
    _flush(target.parent)
    return target.stat().st_size


def keep_log(path: Path) -> None:
    """Sets the journal that a server uses: a copy, being one file, has another."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode = WAL")


def remove_empty(path: Path) -> None:
    """Removes a database in which there is nothing at all; leaves any other file as it is."""
    logs = [path.with_name(path.name + end) for end in ("-wal", "-journal")]
    # What is in a log may be all that there is.
    if not path.is_file() or any(log.exists() and log.stat().st_size for log in logs):
        return
    try:
        with closing(sqlite3.connect(path)) as file:
            count = file.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
    except sqlite3.Error:
        return
    if not count:
        path.unlink()


def _require_absent(target: Path) -> None:
    for path in (target, *(target.with_name(target.name + end) for end in COMPANIONS)):
        if path.exists():
            raise Refused(f"{path} exists. Nothing is written over: move it away first.")


def _copy_whole(source: Path, target: Path) -> None:
    with (
        closing(sqlite3.connect(source, isolation_level=None)) as used,
        closing(sqlite3.connect(target, isolation_level=None)) as copied,
    ):
        used.execute("PRAGMA query_only = ON")
        # Before SQLite 3.51.3 two processes that checkpoint can corrupt the file.
        used.execute("PRAGMA wal_autocheckpoint = 0")
        # All pages in one step: a reader's snapshot, which no writer waits for or can disturb.
        used.backup(copied)
        # One file, without companions.
        copied.execute("PRAGMA journal_mode = DELETE")
        _require_sound(copied)
    _flush(target)


def _require_sound(copied: sqlite3.Connection) -> None:
    faults = [str(row[0]) for row in copied.execute("PRAGMA integrity_check")]
    if faults == ["ok"]:
        faults = [f"{row[0]} misses {row[2]}" for row in copied.execute("PRAGMA foreign_key_check")]
    if faults:
        raise Refused(f"The database is damaged: {'; '.join(faults[:FAULTS_SHOWN])}.")


def _flush(path: Path) -> None:
    """Has the disk take it; a folder for the sake of the names in it."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
