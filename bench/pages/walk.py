"""Asks for every page a few times, and notes how long it took and what it asked the database.

The routes are those of tests/data/permissions.txt, so that no page is missing.
"""

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from sqlalchemy import Engine, event

from solrouter.services import housekeeping
from tests.house.pages import Address, addresses
from tests.house.permissions import Place, signed_in

ROUNDS = 5


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


def pages(place: Place) -> Iterator[Page]:
    """Every page there is, for whom it is."""
    found = sorted(addresses(place), key=lambda each: each.reader)
    for reader, some in groupby(found, key=lambda each: each.reader):
        with signed_in(place, reader) as client:
            for address in some:
                with place.app.app_context():
                    # As goes on beside the pages of a server.
                    housekeeping.tick()
                page = _measured(client, address)
                if page:
                    yield page


def _measured(client: Any, address: Address) -> Page | None:
    """The page, None for what only leads elsewhere."""
    path = address.path
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
        address.endpoint,
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
