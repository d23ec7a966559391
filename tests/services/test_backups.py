"""`flask backup` and `flask restore`: what they refuse, and that they leave nothing half done."""

import gzip
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from click.testing import Result
from flask import Flask

from solrouter import create_app
from solrouter.services import startup
from tests.conftest import close, settings
from tests.factories import Person
from tests.served import ROOT

Invoke = Callable[..., Result]
OTHER_SECRET = "another-secret-that-is-long-enough-to-be-used"


@pytest.fixture
def backup(app: Flask, alice: Person, tmp_path: Path) -> Path:
    """A backup of a database with Alice in it, whose secret is known."""
    with app.app_context():
        startup.begin()
    path = tmp_path / "backups" / "one of them.sqlite3"
    path.parent.mkdir()
    result = app.test_cli_runner().invoke(args=["backup", str(path)])
    assert result.exit_code == 0, result.output
    assert result.stdout == f"{path}\n"
    return path


@pytest.fixture
def restore(tmp_path: Path) -> Iterator[Invoke]:
    """Restores a file to where there is no database yet, or to another place."""
    apps = []

    def run(path: Path, target: Path | None = None, **more: str) -> Result:
        target = target or tmp_path / "new" / "solrouter.sqlite3"
        apps.append(create_app(settings(f"sqlite:///{target}", tmp_path, **more)))
        return apps[-1].test_cli_runner().invoke(args=["restore", str(path)])

    yield run
    for one in apps:
        close(one)


def test_a_backup_is_one_private_file(backup: Path) -> None:
    assert [path.name for path in backup.parent.iterdir()] == [backup.name]
    assert backup.stat().st_mode & 0o777 == 0o600
    with closing(sqlite3.connect(backup)) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_what_is_restored_is_what_was_backed_up(
    backup: Path, restore: Invoke, tmp_path: Path
) -> None:
    result = restore(backup, tmp_path / "again.sqlite3")
    assert result.exit_code == 0, result.output
    assert "Every balance equals its ledger" in result.stderr
    with closing(sqlite3.connect(tmp_path / "again.sqlite3")) as file:
        query = "SELECT paid_nanos + granted_nanos FROM accounts"
        assert file.execute(query).fetchall() == [(5_000_000_000,)]


def test_the_doctor_has_nothing_to_say_of_what_was_restored(
    backup: Path, restore: Invoke, tmp_path: Path
) -> None:
    assert restore(backup, tmp_path / "again.sqlite3").exit_code == 0
    with closing(sqlite3.connect(tmp_path / "again.sqlite3")) as file:
        assert file.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    app = create_app(settings(f"sqlite:///{tmp_path / 'again.sqlite3'}", tmp_path))
    looked = app.test_cli_runner().invoke(args=["doctor"])
    close(app)
    assert "the journal is" not in looked.stdout


def test_nothing_is_written_over(app: Flask, backup: Path, restore: Invoke, tmp_path: Path) -> None:
    before = backup.read_bytes()
    result = app.test_cli_runner().invoke(args=["backup", str(backup)])
    assert result.exit_code == 1
    assert "exists. Nothing is written over" in result.stderr
    assert backup.read_bytes() == before
    # The database itself is there.
    result = restore(backup, tmp_path / "test.sqlite3")
    assert result.exit_code == 1
    assert "test.sqlite3 exists" in result.stderr


def test_what_another_database_has_left_is_in_the_way(
    backup: Path, restore: Invoke, tmp_path: Path
) -> None:
    """SQLite would read an old log into the restored file."""
    (tmp_path / "gone.sqlite3-wal").write_bytes(b"of another file")
    result = restore(backup, tmp_path / "gone.sqlite3")
    assert result.exit_code == 1
    assert "gone.sqlite3-wal exists" in result.stderr
    assert not (tmp_path / "gone.sqlite3").exists()


def test_a_database_without_tables_is_nothing_to_back_up(tmp_path: Path) -> None:
    (tmp_path / "empty.sqlite3").touch()
    app = create_app(settings(f"sqlite:///{tmp_path / 'empty.sqlite3'}", tmp_path))
    result = app.test_cli_runner().invoke(args=["backup", str(tmp_path / "b")])
    close(app)
    assert result.exit_code == 1
    assert "has no tables: there is nothing to back up" in result.stderr
    assert not (tmp_path / "b").exists()


def touched(path: Path) -> None:
    path.touch()


def opened(path: Path) -> None:
    """As a version that made it would have left it."""
    with closing(sqlite3.connect(path)) as file:
        file.execute("PRAGMA journal_mode = WAL")


@pytest.mark.parametrize("make", [touched, opened])
def test_a_file_without_tables_is_not_in_the_way(
    backup: Path, restore: Invoke, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "empty.sqlite3")
    result = restore(backup, tmp_path / "empty.sqlite3")
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("make", [touched, opened])
def test_a_log_beside_an_empty_file_may_be_all_there_is(
    backup: Path, restore: Invoke, tmp_path: Path, make: Callable[[Path], None]
) -> None:
    make(tmp_path / "empty.sqlite3")
    (tmp_path / "empty.sqlite3-wal").write_bytes(b"what has not been written back")
    result = restore(backup, tmp_path / "empty.sqlite3")
    assert result.exit_code == 1
    assert (tmp_path / "empty.sqlite3").exists()
    assert (tmp_path / "empty.sqlite3-wal").read_bytes() == b"what has not been written back"


def damaged(backup: Path) -> Path:
    data = bytearray(backup.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = b"\xff" * 20_000
    path = backup.with_name("damaged.sqlite3")
    path.write_bytes(data)
    return path


def foreign(backup: Path) -> Path:
    path = backup.with_name("foreign.sqlite3")
    with closing(sqlite3.connect(path)) as file:
        file.execute("CREATE TABLE songs (name TEXT)")
    return path


def text(backup: Path) -> Path:
    path = backup.with_name("notes.txt")
    path.write_text("no database at all\n" * 400)
    return path


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (damaged, "damaged"),
        (foreign, "is no database of SolRouter's"),
        (text, "cannot be copied"),
        (lambda backup: backup.with_name("nowhere"), "There is no database at"),
    ],
    ids=["damaged", "foreign", "text", "nowhere"],
)
def test_what_is_no_sound_backup_is_refused(
    backup: Path, restore: Invoke, tmp_path: Path, make: Callable[[Path], Path], words: str
) -> None:
    result = restore(make(backup))
    assert result.exit_code == 1
    assert words in result.stderr
    assert "Traceback" not in result.output
    assert list((tmp_path / "new").iterdir()) == []


def test_another_secret_is_told(backup: Path, restore: Invoke) -> None:
    result = restore(backup, SECRET_KEY=OTHER_SECRET)
    assert result.exit_code == 1
    assert "SECRET_KEY is not the one that this backup was used with" in result.stdout
    assert OTHER_SECRET not in result.output


def test_a_backup_of_an_earlier_version_asks_for_an_upgrade(
    restore: Invoke, make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    dump = ROOT / "tests" / "data" / "upgrade" / "0013-sqlite.sql.gz"
    old = tmp_path / "old.sqlite3"
    with closing(sqlite3.connect(old)) as file:
        file.executescript(gzip.decompress(dump.read_bytes()).decode())
    target = tmp_path / "restored.sqlite3"
    result = restore(old, target)
    assert result.exit_code == 1
    assert "Run: flask db upgrade" in result.stdout
    runner = make_app(f"sqlite:///{target}").test_cli_runner()
    assert runner.invoke(args=["db", "upgrade"]).exit_code == 0
    assert runner.invoke(args=["ledger", "audit"]).exit_code == 0


@pytest.mark.postgresql
def test_postgresql_is_told_of_its_own_programs(
    make_app: Callable[..., Flask], postgresql_url: str, tmp_path: Path
) -> None:
    result = make_app(postgresql_url).test_cli_runner().invoke(args=["backup", str(tmp_path / "b")])
    assert result.exit_code == 1
    assert "pg_dump" in result.stderr
