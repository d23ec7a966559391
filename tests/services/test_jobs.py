"""Periodic jobs: each run by one process, seen with how it went, run at once when asked."""

import threading
from collections.abc import Callable

import pytest
from flask import Flask
from sqlalchemy import update

from solrouter import database
from solrouter.errors import NotFound
from solrouter.models import Job, Session
from solrouter.models.columns import db_now
from solrouter.services import housekeeping, job_rows, jobs
from solrouter.transport import pool
from tests.edge.conftest import visitor_of
from tests.factories import make_person
from tests.fakes.upstream import FakeUpstream
from tests.providers.test_transport import chat, opened


@pytest.fixture
def house(context_on_both: Flask) -> Flask:
    jobs.prepare()
    return context_on_both


def all_due() -> None:
    due = update(Job).values(due_at=db_now(-1))
    database.transact(lambda connection: connection.execute(due))


def test_every_job_runs_and_says_how_it_went(house: Flask) -> None:
    assert all(state.started_at is None for state in job_rows.all_of_them().values())
    count = jobs.run_due() + jobs.run_due(is_slow=True)
    assert count == len(jobs.JOBS)
    for name, state in job_rows.all_of_them().items():
        assert state.ended_at is not None and state.succeeded_at is not None, name
        assert state.result and not state.problem and state.duration_ms is not None, name
    assert jobs.run_due() == 0, "each is due later"
    assert {row.job.name for row in jobs.overview()} == set(job_rows.all_of_them())


def test_of_many_processes_one_runs_each(house: Flask) -> None:
    counts: list[int] = []
    start = threading.Barrier(4)

    def run() -> None:
        with house.app_context():
            start.wait()
            counts.append(jobs.run_due())

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(counts) == len([job for job in jobs.JOBS if not job.is_slow])


def test_what_is_asked_for_runs_at_once(house: Flask) -> None:
    jobs.run_due()
    jobs.ask("sessions")
    assert jobs.run_due() == 1
    with pytest.raises(NotFound):
        jobs.ask("nothing")


def test_it_does_its_work(house: Flask) -> None:
    person = make_person(house, "ada@example.com")
    person.sign_in(visitor_of(house))
    old = update(Session).values(expires_at=db_now(-5))
    database.transact(lambda connection: connection.execute(old))
    jobs.run_due()
    assert job_rows.all_of_them()["sessions"].result.startswith("1 sessions")


def test_a_round_of_the_process_leads_and_runs(house: Flask) -> None:
    housekeeping.tick()
    housekeeping.run_jobs()
    assert job_rows.all_of_them()["holds"].succeeded_at is not None


def test_a_round_closes_what_a_burst_has_left(house: Flask, upstream: FakeUpstream) -> None:
    with opened(chat(upstream)) as stream:
        stream.read_all(100_000)
    kept = pool.pool_for(pool.Origin("http", "127.0.0.1", int(upstream.origin.rsplit(":", 1)[1])))
    [(sock, returned_s)] = kept._idle
    kept._idle[0] = (sock, returned_s - pool.IDLE_S_MAX)
    housekeeping.tick()
    assert not kept._idle
    upstream.wait_for(lambda: upstream.connections.open == 0)


def test_a_job_whose_process_died_is_due_again_at_its_time(house: Flask) -> None:
    assert job_rows.take("usage", every_s=60, worker_id="dead")
    state = job_rows.all_of_them()["usage"]
    assert state.has_not_ended and job_rows.due({"usage": 60}) == []
    all_due()
    assert "usage" in job_rows.due({"usage": 60})
    jobs.run_due()
    assert not job_rows.all_of_them()["usage"].has_not_ended


def test_a_job_does_not_wait_for_a_clock_that_was_set_back(house: Flask) -> None:
    """Else nothing would release what dead servers hold, for as long as it was set back."""
    jobs.run_due()
    assert job_rows.due({"holds": 10}) == []
    set_back = update(Job).values(due_at=db_now(3_600))
    database.transact(lambda connection: connection.execute(set_back))
    assert job_rows.due({"holds": 10}) == ["holds"]
    assert jobs.run_due() > 0
    assert job_rows.due({"holds": 10}) == []


def test_the_catalogue_is_refreshed_from_its_source(
    make_app: Callable[..., Flask], sqlite_url: str
) -> None:
    from solrouter.services.catalogue.packaged import __file__ as packaged

    assert packaged
    app = make_app(sqlite_url)
    with app.app_context():
        jobs.prepare()
        jobs.run_due(is_slow=True)
        assert "release" in job_rows.all_of_them()["catalogue"].result
