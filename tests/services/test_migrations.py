"""The migrations: up, down and up again on both databases, ending where the models stand."""

import re
from pathlib import Path

from flask import Flask
from sqlalchemy import inspect

from solrouter import create_app
from solrouter.database import migration_engine
from tests.conftest import close, settings

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
