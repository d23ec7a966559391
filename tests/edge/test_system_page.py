"""The system page: alerts, jobs with how they went, processes; and a job run when asked."""

from functools import partial

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import Connection, update

from solrouter import database
from solrouter.models import Job
from solrouter.models.columns import db_now
from solrouter.services import job_rows, jobs, operator_alerts
from tests.edge.conftest import visitor_of
from tests.edge.pages import FormPage
from tests.factories import Person


@pytest.fixture
def visitor(app: Flask, operator: Person) -> FlaskClient:
    """Olivia's browser; a server has made the jobs known."""
    with app.app_context():
        jobs.prepare()
    client = visitor_of(app)
    operator.sign_in(client)
    return client


def test_every_job_is_seen_with_how_it_went(app: Flask, visitor: FlaskClient) -> None:
    before = visitor.get("/admin/system")
    assert FormPage(before).heading == "System" and "every 2s" in before.text
    assert "Nothing is the matter" in before.text and "Runs the jobs" in before.text
    with app.app_context():
        jobs.run_due()
        jobs.run_due(is_slow=True)
    after = visitor.get("/admin/system")
    text = FormPage(after).text
    for job in jobs.JOBS:
        assert job.purpose in text, job.name
    assert "every balance equals its ledger" in text and "every 2s" not in after.text
    assert after.text.count("Run now:") == len(jobs.JOBS)


def test_a_failed_job_shows_its_error(app: Flask, visitor: FlaskClient) -> None:
    with app.app_context():
        job_rows.take("ledger", every_s=60, worker_id="test")
        job_rows.failed("ledger", "DatabaseError: <b>the disk is full</b>", took_ms=5)
    text = visitor.get("/admin/system").text
    assert "Failed" in text and "&lt;b&gt;the disk is full" in text


def test_a_job_runs_when_asked(app: Flask, visitor: FlaskClient) -> None:
    with app.app_context():
        for job in jobs.JOBS:
            later = update(Job).where(Job.name == job.name).values(due_at=db_now(job.every_s))
            database.transact(partial(Connection.execute, statement=later))
        assert jobs.run_due() == 0
    answer = visitor.post("/admin/system/jobs/sessions/run")
    assert answer.status_code == 303
    assert "runs within seconds" in visitor.get("/admin/system").text
    with app.app_context():
        assert jobs.run_due() == 1
        assert job_rows.all_of_them()["sessions"].succeeded_at is not None
    assert visitor.post("/admin/system/jobs/nothing/run").status_code == 404


def test_open_alerts_come_first(app: Flask, visitor: FlaskClient) -> None:
    with app.app_context():
        for is_on, subject in ((True, "acme"), (True, "zeta"), (False, "zeta")):
            condition = operator_alerts.Condition(
                operator_alerts.PROVIDER_DOWN, is_on, subject, f"The provider {subject} is down"
            )
            operator_alerts.settle(condition)
    text = FormPage(visitor.get("/admin/system")).text
    assert text.index("acme is down") < text.index("zeta is down")


def test_others_see_nothing(app: Flask, alice: Person) -> None:
    client = visitor_of(app)
    alice.sign_in(client)
    assert client.get("/admin/system").status_code == 404
    assert client.post("/admin/system/jobs/ledger/run").status_code == 404
