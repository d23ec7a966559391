"""What the books of an ordinary request ask of the database: so many statements and no more.

On PostgreSQL the client library's own protocol trace is counted, on SQLite the driver's. A
statement more than named here is a decision, not an accident.
"""

import os
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from solrouter import database
from solrouter.services import admission, keys
from solrouter.services.admission import Admitted
from tests.factories import Person, fund, make_offer, make_person
from tests.services.test_admission import ask, ending

# With begin and commit; on SQLite with the savepoint, on PostgreSQL with the account's lock.
STATEMENTS = {
    "sqlite": {"authenticate": 1, "recall": 0, "admit": 9, "settle": 13},
    "postgresql": {"authenticate": 1, "recall": 0, "admit": 4, "settle": 4},
}
ROUND_TRIPS = 1


@dataclass
class Counted:
    """What a step did."""

    statements: int = 0
    round_trips: int = 0


@pytest.fixture
def person(context_on_both: Flask) -> Person:
    """On the plan of a paying account, which has every limit; the lanes are open already."""
    make_offer(context_on_both, "http://127.0.0.1:9/v1")
    admission.beat("test-worker")
    person = make_person(context_on_both, "alice@example.com", plan="pay-as-you-go")
    fund(person.account_id, "1")
    for _ in range(2):
        admitted = admission.admit(ask(person))
        admission.settle(admitted, ending(admitted, 20_000))
    return person


def test_the_statements_and_round_trips_of_an_ordinary_request(person: Person) -> None:
    wanted = ask(person)
    made: list[Admitted] = []
    steps: dict[str, Callable[[], object]] = {
        "authenticate": lambda: keys.authenticate(person.key_text),
        "recall": lambda: keys.recall(person.key_text),
        "admit": lambda: made.append(admission.admit(wanted)),
        "settle": lambda: admission.settle(made[0], ending(made[0], 20_000)),
    }
    dialect = "sqlite" if database.current().is_sqlite else "postgresql"
    for name, step in steps.items():
        with counted() as found:
            step()
        assert found.statements == STATEMENTS[dialect][name], name
        if dialect == "postgresql":
            assert found.round_trips == min(found.statements, ROUND_TRIPS), name


@contextmanager
def counted() -> Iterator[Counted]:
    """Counts what every connection of the app does meanwhile."""
    found = Counted()
    ours = database.current()
    with _sqlite(ours, found) if ours.is_sqlite else _postgresql(ours, found):
        yield found


@contextmanager
def _sqlite(ours: Any, found: Counted) -> Iterator[None]:
    def count(statement: str) -> None:
        found.statements += not statement.startswith("PRAGMA")

    # Both pools give the same connections again.
    opened = [engine.raw_connection() for engine in (ours._writer._engine, ours.reader)]
    drivers = [one.driver_connection for one in opened]
    opened[1].close()
    for driver in drivers:
        driver.set_trace_callback(count)
    yield
    for driver in drivers:
        driver.set_trace_callback(None)


@contextmanager
def _postgresql(ours: Any, found: Counted) -> Iterator[None]:
    def refuse(*_: Any) -> None:
        raise AssertionError("the hot path went through the pool")

    event.listen(ours.reader, "before_cursor_execute", refuse)
    lanes = [ours._looks, *ours._lanes.values()]
    with tempfile.TemporaryFile() as trace:
        for lane in lanes:
            lane._opened.pgconn.trace(trace.fileno())
        try:
            yield
        finally:
            for lane in lanes:
                lane._opened.pgconn.untrace()
            event.remove(ours.reader, "before_cursor_execute", refuse)
        os.lseek(trace.fileno(), 0, os.SEEK_SET)
        told = trace.read().decode()
    found.statements = len(re.findall(r"\bF\t\d+\t(?:Execute|Query)\b", told))
    found.round_trips = len(re.findall(r"\bF\t\d+\t(?:Sync|Query)\b", told))
