"""Asks for every page a few times, and notes how long it took and what it asked the database.

The routes are those of tests/data/permissions.txt, so that no page is missing.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from flask import Flask
from sqlalchemy import Engine, event

from tests.house.permissions import Place, Row, routes, rows, signed_in

ROUNDS = 5
# Who looks at a room's pages; at any other, a stranger.
READERS = {"account": "owner", "playground": "owner", "admin": "operator"}
# These are no pages: the API, files, what programs read, and downloads as long as the history.
NO_PAGES = ("api.", "static", "metrics.", "development.")
DOWNLOADS = frozenset(
    ("account.export_activity", "account.download_statement", "account.export_data")
)
# Pages that show something else when they are asked for it.
QUERIES = {
    "account.show_activity": (
        "period=90&group=key&measure=tokens",
        "outcome=failed",
        "model=demo/echo",
        "model=no/such",
    ),
    "catalogue.show_models": ("q=claude", "sort=price"),
    "docs.show_docs": ("q=stream",),
    "admin.show_users": ("q=p7",),
    "admin.show_payments": ("q=acc_bench7",),
}


@dataclass(frozen=True)
class Page:
    """A page as it was met: its address, median time and CPU of this process, statements, bytes."""

    endpoint: str
    path: str
    median_ms: float
    cpu_ms: float
    worst_ms: float
    statements: int
    bytes: int


def pages(app: Flask, place: Place) -> Iterator[Page]:
    """Every page there is, for whom it is."""
    known = routes(app)
    for who in ("anonymous", "owner", "operator"):
        with signed_in(place, who) as client:
            for row in rows():
                if not _is_page(row) or READERS.get(_room(row), "anonymous") != who:
                    continue
                path = place.path(known[row.name], place.objects)
                for query in ("", *QUERIES.get(row.endpoint, ())):
                    found = _measured(client, row, f"{path}?{query}" if query else path)
                    if found:
                        yield found


def _room(row: Row) -> str:
    return row.endpoint.partition(".")[0]


def _is_page(row: Row) -> bool:
    is_program = row.endpoint.startswith(NO_PAGES) or row.endpoint in DOWNLOADS
    return row.method == "GET" and not is_program


def _measured(client: Any, row: Row, path: str) -> Page | None:
    """The page, None for what only leads elsewhere."""
    first = client.get(path, buffered=True)
    assert first.status_code < 500, (path, first.text[:300])
    if first.status_code != 200:
        return None
    times_ms, cpu_ms, statements = [], [], 0
    for _ in range(ROUNDS):
        with counted() as seen:
            began_s, began_cpu_s = time.perf_counter(), time.process_time()
            client.get(path, buffered=True)
            times_ms.append((time.perf_counter() - began_s) * 1000)
            cpu_ms.append((time.process_time() - began_cpu_s) * 1000)
        statements = max(statements, len(seen))
    return Page(
        row.endpoint,
        path,
        statistics.median(times_ms),
        statistics.median(cpu_ms),
        max(times_ms),
        statements,
        len(first.data),
    )


@contextmanager
def counted() -> Iterator[list[str]]:
    """The statements that go to the database meanwhile, of every connection of the app."""
    seen: list[str] = []
    lock = threading.Lock()

    def note(_conn: Any, _cursor: Any, statement: str, *_: Any) -> None:
        # SQLite's driver is told to begin by a statement; PostgreSQL's begins by itself.
        if statement != "BEGIN":
            with lock:
                seen.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield seen
    finally:
        event.remove(Engine, "before_cursor_execute", note)
