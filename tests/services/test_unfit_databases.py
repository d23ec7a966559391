"""Commands and the start of a server on a database that they cannot use: a sentence says why, and
what to run.
"""

import gzip
import sqlite3
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import psycopg
import pytest
from click.testing import Result
from flask import Flask
from sqlalchemy import make_url

from bench.faults.databases import POSTGRESQL, SQLITE, Databases
from solrouter import create_app
from solrouter.config import UnsafeConfiguration
from solrouter.services import startup
from tests.conftest import close, require, settings
from tests.served import ROOT

Make = Callable[..., Flask]
COMMANDS = (
    ["users", "create", "alice@example.com"],
    ["ledger", "audit"],
    ["models", "list"],
    ["plans", "list"],
    ["keys", "list", "alice@example.com"],
)
DAMAGED = "The database file is damaged: restore a backup (docs/backups.md)."
ROLE_PASSWORD = "canary-of-the-role"


@pytest.fixture
def bare_app(tmp_path: Path) -> Iterator[Make]:
    """Makes apps that have asked their database nothing yet."""
    made: list[Flask] = []

    def make(url: str) -> Flask:
        made.append(create_app(settings(url, tmp_path)))
        return made[-1]

    yield make
    for app in made:
        close(app)


@pytest.fixture(params=[SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.postgresql)])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """A database without a table."""
    if request.param == SQLITE:
        (tmp_path / "empty.sqlite3").touch()
        yield f"sqlite:///{tmp_path / 'empty.sqlite3'}"
        return
    require("PostgreSQL", Databases.has_postgresql())
    with Databases(tmp_path) as databases:
        yield databases.empty()


def run(app: Flask, *arguments: str) -> Result:
    """A command's result, which is never a traceback."""
    result = app.test_cli_runner().invoke(args=list(arguments))
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    assert "Traceback" not in result.output
    return result


def refusal(app: Flask) -> str:
    """Why a server does not start on it."""
    with app.app_context(), pytest.raises(UnsafeConfiguration) as refused:
        startup.begin()
    return str(refused.value)


@pytest.mark.parametrize("arguments", COMMANDS, ids=" ".join)
def test_without_tables_every_command_says_how_to_make_them(
    bare_app: Make, empty_url: str, arguments: list[str]
) -> None:
    result = run(bare_app(empty_url), *arguments)
    assert result.exit_code == 1
    assert result.stderr.endswith("Error: The database has no tables yet. Run: flask db upgrade\n")


def test_without_tables_no_server_starts(bare_app: Make, empty_url: str) -> None:
    assert refusal(bare_app(empty_url)) == "The database has no tables yet. Run: flask db upgrade"


def test_on_older_tables_commands_say_what_to_run(bare_app: Make, empty_url: str) -> None:
    kind = SQLITE if empty_url.startswith("sqlite") else POSTGRESQL
    dump = ROOT / "tests" / "data" / "upgrade" / f"0013-{kind}.sql.gz"
    statements = gzip.decompress(dump.read_bytes()).decode()
    if kind == SQLITE:
        with closing(sqlite3.connect(empty_url.removeprefix("sqlite:///"))) as file:
            file.executescript(statements)
    else:
        with psycopg.connect(empty_url) as server:
            server.execute(statements.encode())
    app = bare_app(empty_url)
    result = run(app, "incidents", "list")
    assert result.exit_code == 1
    assert "The database is at migration 0013 and this version needs" in result.stderr
    assert "Run: flask db upgrade" in result.stderr
    assert "The database is at migration 0013" in refusal(app)


@pytest.fixture
def powerless_url(postgresql_url: str) -> Iterator[str]:
    """A migrated database, for a role that may do nothing in it."""
    role = f"powerless_{uuid.uuid4().hex[:12]}"
    with psycopg.connect(postgresql_url, autocommit=True) as admin:
        admin.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{ROLE_PASSWORD}'".encode())
        url = make_url(postgresql_url).set(username=role, password=ROLE_PASSWORD)
        yield url.render_as_string(hide_password=False)
        admin.execute(f"DROP ROLE {role}".encode())


@pytest.mark.postgresql
def test_a_role_without_rights_hears_what_the_database_says(
    bare_app: Make, powerless_url: str
) -> None:
    app = bare_app(powerless_url)
    for arguments in COMMANDS:
        result = run(app, *arguments)
        assert result.exit_code == 1
        assert "The database refuses (permission denied for table" in result.stderr
        assert "flask doctor says more" in result.stderr
        assert ROLE_PASSWORD not in result.output
    assert "permission denied for table" in refusal(app)
    migrated = run(app, "db", "upgrade")
    assert migrated.exit_code == 1
    assert "The database refuses (permission denied for table" in migrated.stderr
    looked = run(app, "doctor")
    assert looked.exit_code == 1
    assert "permission denied for table" in looked.stdout
    assert "→ Give the role of DATABASE_URL rights on the tables" in looked.stdout


@pytest.mark.postgresql
def test_a_role_that_may_make_no_tables_is_told_so(
    bare_app: Make, powerless_url: str, tmp_path: Path
) -> None:
    with Databases(tmp_path) as databases:
        empty = make_url(databases.empty())
        url = make_url(powerless_url).set(database=empty.database)
        result = run(bare_app(url.render_as_string(hide_password=False)), "db", "upgrade")
    assert result.exit_code == 1
    assert "may not change the tables (permission denied for schema public)" in result.stderr
    assert ROLE_PASSWORD not in result.output


def test_a_server_that_is_away_is_told_with_its_reason(bare_app: Make) -> None:
    result = run(bare_app("postgresql://someone:canary-word@127.0.0.1:1/none"), "models", "list")
    assert result.exit_code == 1
    assert "The database does not answer (connection failed" in result.stderr
    assert "Check DATABASE_URL" in result.stderr
    assert "canary-word" not in result.output


def without_header(data: bytearray) -> None:
    data[:100] = b"\xff" * 100


def without_pages(data: bytearray) -> None:
    """All but the first one."""
    data[4096:] = b"\xff" * (len(data) - 4096)


@pytest.fixture(params=[without_header, without_pages])
def damaged_url(request: pytest.FixtureRequest, sqlite_url: str) -> str:
    """A database whose file something has written over."""
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    data = bytearray(path.read_bytes())
    request.param(data)
    path.write_bytes(data)
    return sqlite_url


@pytest.mark.parametrize("arguments", [*COMMANDS, ["db", "upgrade"]], ids=" ".join)
def test_a_damaged_file_is_called_so(
    bare_app: Make, damaged_url: str, arguments: list[str]
) -> None:
    result = run(bare_app(damaged_url), *arguments)
    assert result.exit_code == 1
    assert DAMAGED in result.stderr


def test_no_server_starts_on_a_damaged_file(bare_app: Make, damaged_url: str) -> None:
    assert refusal(bare_app(damaged_url)) == DAMAGED


def test_the_doctor_calls_a_damaged_file_broken(bare_app: Make, damaged_url: str) -> None:
    looked = run(bare_app(damaged_url), "doctor")
    assert looked.exit_code == 1
    assert "BROKEN  database   the file is damaged (" in looked.stdout
    assert DAMAGED in looked.stdout


def test_the_doctor_finds_damage_that_nobody_has_met(bare_app: Make, sqlite_url: str) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = b"\xff" * 20_000
    path.write_bytes(data)
    looked = run(bare_app(sqlite_url), "doctor")
    assert looked.exit_code == 1
    assert "BROKEN  database   the file is damaged (" in looked.stdout


@pytest.mark.parametrize(
    "arguments", [*COMMANDS, ["db", "current"], ["backup", "copy.sqlite3"]], ids=" ".join
)
def test_who_only_looks_makes_no_file(bare_app: Make, tmp_path: Path, arguments: list[str]) -> None:
    result = run(bare_app(f"sqlite:///{tmp_path / 'none.sqlite3'}"), *arguments)
    assert result.exit_code == 1
    assert not list(tmp_path.glob("none.sqlite3*"))


def test_a_server_that_cannot_start_makes_no_file(bare_app: Make, tmp_path: Path) -> None:
    app = bare_app(f"sqlite:///{tmp_path / 'none.sqlite3'}")
    assert refusal(app) == "The database has no tables yet. Run: flask db upgrade"
    assert not list(tmp_path.glob("none.sqlite3*"))


def test_the_first_migration_makes_the_file_and_says_nothing_of_its_absence(
    bare_app: Make, tmp_path: Path
) -> None:
    result = run(bare_app(f"sqlite:///{tmp_path / 'new.sqlite3'}"), "db", "upgrade")
    assert result.exit_code == 0
    assert "does not answer" not in result.output
    assert (tmp_path / "new.sqlite3").exists()
