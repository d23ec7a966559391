"""The counts of all processes: their sum never falls, whoever is asked and whoever ends."""

from collections.abc import Iterator

import pytest
from flask import Flask
from sqlalchemy import delete, insert, select

from solrouter import counters, database
from solrouter.models import ProcessCount, Worker
from solrouter.models.columns import db_now
from solrouter.services import process_counts

NAME = "attempts|acme|ok"


@pytest.fixture
def house(context_on_both: Flask) -> Iterator[Flask]:
    """Nothing was counted before; the counts belong to the process, not to an app."""
    kept = dict(counters.counts)
    counters.counts.clear()
    yield context_on_both
    counters.counts.clear()
    counters.counts.update(kept)


def count(by: int) -> None:
    for _ in range(by):
        counters.note_attempt("acme", "ok")


def begin(worker_id: str) -> None:
    now = {"started_at": db_now(), "seen_at": db_now()}
    database.transact(lambda c: c.execute(insert(Worker).values(id=worker_id, **now)))


def end(worker_id: str) -> None:
    database.transact(lambda c: c.execute(delete(Worker).where(Worker.id == worker_id)))


def test_what_was_counted_is_told_once(house: Flask) -> None:
    assert not process_counts.tell("one"), "there is nothing to tell"
    count(3)
    assert process_counts.tell("one") and not process_counts.tell("one")
    count(2)
    assert process_counts.tell("one")
    assert process_counts.totals()[NAME] == 5


def test_others_add_up_and_who_is_gone_still_counts(house: Flask) -> None:
    other = {"worker_id": "two", "counts": {NAME: 7.0}, "told_at": db_now()}
    database.transact(lambda c: c.execute(insert(ProcessCount).values(**other)))
    begin("one")
    count(3)
    process_counts.tell("one")
    assert process_counts.totals()[NAME] == 10
    assert process_counts.fold() == 1, "two has no process"
    assert process_counts.totals()[NAME] == 10
    assert process_counts.fold() == 0
    with database.read() as connection:
        rows = set(connection.execute(select(ProcessCount.worker_id)).scalars())
    assert rows == {"one", process_counts.ENDED}


def test_one_that_was_only_thought_gone_counts_nothing_twice(house: Flask) -> None:
    for number in range(1, 4):
        count(3)
        process_counts.tell("one")
        # It was silent for so long that its row was added to those of the ended.
        assert process_counts.fold() == 1
        assert process_counts.totals()[NAME] == 3 * number
    count(1)
    process_counts.tell("one")
    count(1)
    process_counts.tell("one")
    assert process_counts.totals()[NAME] == 11
