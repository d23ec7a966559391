"""The migrations: up, down and up again on both databases, ending where the models stand."""

import os
import re
from pathlib import Path

from flask import Flask
from sqlalchemy import inspect

from solrouter import create_app
from solrouter.database import migration_engine
from solrouter.services import admission
from tests.conftest import close, migrate, settings

REVISION = re.compile(r"^revision = ['\"](\w+)['\"]", re.MULTILINE)
VERSIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"


def run(app: Flask, *arguments: str) -> str:
    result = app.test_cli_runner().invoke(args=["db", *arguments])
    assert result.exit_code == 0, f"{arguments}: {result.output} {result.exception!r}"
    return result.output


def tables(database_url: str) -> set[str]:
    """The tables that are there, but for the one that counts the migrations."""
    engine = migration_engine(database_url)
    with engine.connect() as connection:
        found = set(inspect(connection).get_table_names())
    engine.dispose()
    return found - {"alembic_version"}


def test_they_go_down_and_up_and_leave_no_difference(database_url: str, tmp_path: Path) -> None:
    app = create_app(settings(database_url, tmp_path))
    url = app.config["DATABASE_URL"]
    whole = tables(url)
    assert {"accounts", "transfers", "completions", "offer_health"} <= whole
    for _ in range(2):
        run(app, "check")
        run(app, "downgrade", "base")
        assert tables(url) == set()
        run(app, "upgrade")
        assert tables(url) == whole
    close(app)


def test_each_goes_down_and_up_alone(database_url: str, tmp_path: Path) -> None:
    app = create_app(settings(database_url, tmp_path))
    count = len([path for path in VERSIONS.glob("*.py") if REVISION.search(path.read_text())])
    assert count >= 5
    for steps in range(1, count + 1):
        run(app, "downgrade", "--", f"-{steps}")
        run(app, "upgrade")
    run(app, "check")
    close(app)


def test_a_new_file_is_its_owners_alone(tmp_path: Path) -> None:
    """And what SQLite puts beside it, whatever the shell's mask says."""
    file = tmp_path / "new.sqlite3"
    former = os.umask(0)
    try:
        migrate(f"sqlite:///{file}", tmp_path)
        app = create_app(settings(f"sqlite:///{file}", tmp_path))
        with app.app_context():
            admission.beat("a-server")
        beside = [Path(f"{file}{end}") for end in ("", "-wal", "-shm")]
        assert [oct(each.stat().st_mode & 0o777) for each in beside] == ["0o600"] * 3
        close(app)
    finally:
        os.umask(former)
