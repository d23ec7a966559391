"""A database that stands still for longer than a lease ends nobody's streams, and the dead are
still found afterwards: two workers, served.
"""

import asyncio
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import psycopg
import pytest

from bench.faults.client import Answer
from bench.faults.databases import POSTGRESQL, Databases
from tests.conftest import require
from tests.e2e.place import until
from tests.e2e.scene import WAIT_S, Customer, Scene, open_scene

LEASE_S = 3
# So that a worker that was heard just before has been silent for more than a lease.
STILL_S = LEASE_S * 1.5
# They go on for as long again, so that there is somebody to end.
PIECES = 120
# Of a busy machine.
SLACK_S = 3.0
BETWEEN_S = 0.1
# What the balance pays: the holds of all that are open, and not one more.
OPEN, MAX_TOKENS, CREDIT = 4, 5_000, "0.05"


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """A server of two workers with a short lease."""
    require("PostgreSQL", Databases.has_postgresql())
    with open_scene(POSTGRESQL, tmp_path, SOLROUTER_LEASE_S=str(LEASE_S)) as found:
        yield found


@contextmanager
def nobody_leads(scene: Scene) -> Iterator[None]:
    """Each worker waits in its next round of housekeeping, and reports no more."""
    leading = "SELECT count(*) FROM leases WHERE name = 'clock'"
    until(lambda: scene.books.number(leading) == 1, within_s=WAIT_S)
    with psycopg.connect(scene.served.environ["DATABASE_URL"]) as connection:
        found = connection.execute("SELECT name FROM leases WHERE name = 'clock' FOR UPDATE")
        assert found.fetchall() == [("clock",)]
        yield


def silent_s(scene: Scene) -> float:
    """How long ago the last of the workers was heard."""
    query = "SELECT extract(epoch FROM clock_timestamp() - max(seen_at)) * 1000 FROM workers"
    return scene.books.number(query) / 1000


def interrupted(scene: Scene) -> int:
    return scene.books.number("SELECT count(*) FROM completions WHERE outcome = 'interrupted'")


async def open_streams(
    scene: Scene, customer: Customer, model: str
) -> "list[asyncio.Task[Answer]]":
    asked = customer.caller.chat
    streams = [
        asyncio.create_task(asked(model, stream=True, max_tokens=MAX_TOKENS)) for _ in range(OPEN)
    ]
    await asyncio.to_thread(until, lambda: scene.books.running() == OPEN, within_s=WAIT_S)
    return streams


async def stand_still_under_streams(scene: Scene, customer: Customer, model: str) -> list[Answer]:
    streams = await open_streams(scene, customer, model)
    with nobody_leads(scene):
        await asyncio.to_thread(until, lambda: silent_s(scene) > STILL_S, within_s=WAIT_S)
        # Before it refuses for money, an admission lets go of what the account's dead hold.
        refused = await customer.caller.chat(model, stream=True, max_tokens=MAX_TOKENS * 2)
    assert refused.outcome == "429 balance_in_use"
    answers = []
    for stream in streams:
        answers.append(await stream)
        assert interrupted(scene) == 0
    return answers


async def kill_one_under_streams(scene: Scene, customer: Customer, model: str) -> None:
    streams = await open_streams(scene, customer, model)
    [(victim,), *_] = scene.books.rows("SELECT worker_id FROM holds")
    os.kill(int(victim.split("-")[-2]), signal.SIGKILL)
    held = f"SELECT count(*) FROM holds WHERE worker_id = '{victim}'"
    released = partial(until, lambda: not scene.books.number(held), within_s=2 * LEASE_S + SLACK_S)
    await asyncio.to_thread(released)
    assert interrupted(scene) > 0
    await asyncio.gather(*streams)


@pytest.mark.postgresql
def test_nobody_is_dead_who_could_not_report(scene: Scene) -> None:
    model = scene.offer(pieces=["word "] * PIECES, stall_between_s=BETWEEN_S, usage=(10, PIECES))
    customer = scene.customer(CREDIT)
    answers = asyncio.run(stand_still_under_streams(scene, customer, model))
    assert [answer.outcome for answer in answers] == ["200"] * OPEN
    assert {row.outcome for row in customer.receipts(OPEN)} == {"finished"}
    asyncio.run(kill_one_under_streams(scene, scene.customer(CREDIT), model))
