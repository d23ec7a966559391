"""Two at once: what only shows when one is between its statements, or its neighbour fails."""

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import Connection, insert, select

from solrouter import database
from solrouter.clock import utcnow
from solrouter.errors import RequestInProgress
from solrouter.models import Account, Plan, SecretFingerprint
from solrouter.services import admission, billing, repeats
from solrouter.services.admission import Admitted, Ask, admitting
from tests.factories import fund, make_offer, make_person
from tests.services.test_admission import HOLD, ask, ending

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


@pytest.mark.postgresql
def test_a_step_that_errs_harms_none_of_its_batch(
    make_app: Callable[..., Flask], postgresql_url: str
) -> None:
    """Neighbours share a transaction on PostgreSQL; each is done once, whatever one does."""
    app = make_app(postgresql_url)
    with app.app_context():
        make_offer(app, "http://127.0.0.1:9/v1")
        people = [make_person(app, f"person-{number}@example.com") for number in range(5)]
        for person in people:
            fund(person.account_id, "1")
        admission.beat("test-worker")
        wanted = [ask(person) for person in people]
    # No text for PostgreSQL: one that the driver refuses, and one that the server refuses.
    wanted[1] = replace(wanted[1], requested_model="\ud800")
    wanted[3] = replace(wanted[3], requested_model="x" * 300)

    def run(one: Ask) -> object:
        with app.app_context():
            try:
                return admission.admit(one)
            except Exception as error:
                return error

    with ThreadPoolExecutor(5) as pool, held_up(app, people[0].account_id):
        told = [pool.submit(run, one) for one in wanted]
        time.sleep(SLOW_S)
        batch_waits = [not one.done() for one in told]
    answers = [one.result() for one in told]
    assert all(batch_waits)
    assert [isinstance(answer, Admitted) for answer in answers] == [True, False, True, False, True]
    with app.app_context():
        for person, is_served in zip(people, (1, 0, 1, 0, 1), strict=True):
            assert billing.balance(person.account_id).held_nanos == is_served * HOLD


@pytest.mark.postgresql
def test_batches_of_two_processes_do_not_wait_for_each_other(
    make_app: Callable[..., Flask], postgresql_url: str
) -> None:
    """Two apps, the same accounts in opposite order: no deadlock, and nothing done twice."""
    apps = [make_app(postgresql_url), make_app(postgresql_url)]
    with apps[0].app_context():
        make_offer(apps[0], "http://127.0.0.1:9/v1")
        people = [make_person(apps[0], f"person-{number}@example.com") for number in range(6)]
        for person in people:
            fund(person.account_id, "1")
        admission.beat("test-worker")
        wanted = [ask(person) for person in people]

    def run(number: int) -> None:
        order = wanted if number % 2 else wanted[::-1]
        with apps[number % 2].app_context():
            for one in order * 3:
                admitted = admission.admit(one)
                admission.settle(admitted, ending(admitted, 1_000))

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(run, range(12)))
    with apps[0].app_context():
        for person in people:
            balance = billing.balance(person.account_id)
            assert (balance.held_nanos, balance.granted_nanos) == (0, 10**9 - 36 * 1_000)
        assert list(billing.audit()) == []


@contextmanager
def held_up(app: Flask, account_id: int) -> Iterator[None]:
    """Somebody else has the account's row locked meanwhile, so that a batch gathers behind it."""
    has_it, may_go_on = threading.Event(), threading.Event()

    def lock(connection: Connection) -> None:
        connection.execute(select(Account.id).where(Account.id == account_id).with_for_update())
        has_it.set()
        may_go_on.wait(5)

    def run() -> None:
        with app.app_context():
            database.transact(lock)

    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(run)
        assert has_it.wait(5)
        yield
        may_go_on.set()
        running.result()
