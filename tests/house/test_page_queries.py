"""No page asks the database more than six questions, whoever looks at it and however full it is."""

import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from solrouter import create_app, database
from tests.conftest import close, settings
from tests.house.permissions import Place, Row, make_place, routes, rows

QUERIES_MAX = 6
# Transactions are no questions.
NO_QUESTIONS = ("BEGIN", "COMMIT", "ROLLBACK", "SAVEPOINT", "RELEASE", "PRAGMA")
# What is no page: the API, machines' documents, and what a page downloads.
NO_PAGES = ("api.", "metrics.", "webhooks.", "static")
PAGES = [row for row in rows() if row.method == "GET" and not row.endpoint.startswith(NO_PAGES)]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("queries")
    shutil.copy(sqlite_template, folder / "test.sqlite3")
    app = create_app(settings(f"sqlite:///{folder / 'test.sqlite3'}", folder))
    app.testing = True
    yield make_place(app)
    close(app)


@pytest.mark.parametrize("row", PAGES, ids=lambda row: row.endpoint)
def test_a_page_asks_little(place: Place, row: Row) -> None:
    rule = routes(place.app)[row.name]
    for who in ("owner", "developer", "operator"):
        if row.cells[who] not in ("yes", "own"):
            continue
        # The first look may fill what a process remembers, and the second find that it has just
        # grown old; the third one has it.
        for _ in range(3):
            with asked(place.app) as statements:
                answer = place.ask(row, rule, who, own=who == "developer")
            assert answer.status_code < 500
            if len(statements) <= QUERIES_MAX:
                break
        told = "\n".join(re.sub(r"\s+", " ", statement)[:160] for statement in statements)
        assert len(statements) <= QUERIES_MAX, f"{who} asks {len(statements)} times:\n{told}"


@contextmanager
def asked(app: Flask) -> Iterator[list[str]]:
    """What every connection of the app asks meanwhile."""
    found: list[str] = []

    def note(_connection: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
        if not statement.lstrip().upper().startswith(NO_QUESTIONS):
            found.append(statement)

    with app.app_context():
        ours = database.current()
    engines = [ours.reader, ours._writer._engine]
    for engine in engines:
        event.listen(engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        for engine in engines:
            event.remove(engine, "before_cursor_execute", note)
