"""Two at once: what only shows when one is between its statements, or its neighbour fails."""

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from flask import Flask
from sqlalchemy import Connection, insert, select

from solrouter import database
from solrouter.clock import utcnow
from solrouter.errors import RequestInProgress
from solrouter.models import Plan, SecretFingerprint
from solrouter.services import admission, repeats
from solrouter.services.admission import admitting
from tests.factories import fund, make_offer, make_person
from tests.services.test_admission import ask

SLOW_S = 0.4


@pytest.mark.postgresql
def test_one_idempotency_key_admits_one_of_two_at_once(
    make_app: Callable[..., Flask], postgresql_url: str
) -> None:
    app = make_app(postgresql_url)
    with app.app_context():
        make_offer(app, "http://127.0.0.1:9/v1")
        person = make_person(app, "alice@example.com")
        fund(person.account_id, "1")
        admission.beat("test-worker")
        name = repeats.name(
            account_id=person.account_id, api_key="sr_x", idempotency_key="once", body=b"{}"
        )
        wanted = ask(person, repeat=name)
    has_taken = threading.Event()

    def slowly(connection: Connection) -> None:
        admitting.admit(connection, wanted)
        has_taken.set()
        time.sleep(SLOW_S)

    def first() -> None:
        with app.app_context():
            database.transact(slowly)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(first)
        assert has_taken.wait(5)
        with app.app_context(), pytest.raises(RequestInProgress):
            admission.admit(wanted)
        running.result()


def test_a_neighbour_that_undoes_the_whole_transaction_fails_the_whole_batch(app: Flask) -> None:
    """As a full disk does: no write may be reported done that is not there."""
    has_begun, may_go_on = threading.Event(), threading.Event()

    def hold_up(_: Connection) -> None:
        has_begun.set()
        may_go_on.wait(5)

    def write(connection: Connection) -> None:
        values = {"fingerprint": "lost", "created_at": utcnow()}
        connection.execute(insert(SecretFingerprint).values(**values))

    def undo_all(connection: Connection) -> None:
        connection.exec_driver_sql("ROLLBACK")
        raise RuntimeError("the disk is full")

    def run(verb: Callable[[Connection], None]) -> BaseException | None:
        with app.app_context():
            try:
                database.transact(verb)
            except Exception as error:
                return error
        return None

    with ThreadPoolExecutor(3) as pool:
        busy = pool.submit(run, hold_up)
        assert has_begun.wait(5)
        writing = pool.submit(run, write)
        time.sleep(0.1)
        undoing = pool.submit(run, undo_all)
        time.sleep(0.1)
        may_go_on.set()
        assert busy.result() is None
        assert undoing.result() is not None
        told = writing.result()
    with app.app_context(), database.read() as connection:
        there = connection.execute(select(SecretFingerprint.fingerprint)).scalars().all()
        assert connection.execute(select(Plan.slug)).first() is not None
    assert told is not None
    assert "lost" not in there
