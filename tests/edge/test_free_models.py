"""Free models: for verified people, so many times a day, at no cost and no hold."""

from collections.abc import Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from solrouter import database, process
from solrouter.models import Plan, User
from solrouter.services import admission
from tests.edge.test_chat import balance, post
from tests.factories import Person, make_offer
from tests.fakes.upstream import FakeUpstream


@pytest.fixture
def free(app: Flask, upstream: FakeUpstream) -> Iterator[str]:
    upstream.answers(text="Hi", usage=(10, 1))
    yield make_offer(app, upstream.url, model="acme/free", input_usd="0", output_usd="0")


def change(app: Flask, statement: object) -> None:
    with app.app_context():
        database.transact(lambda connection: connection.execute(statement))  # type: ignore[call-overload]


def test_a_free_model_needs_no_balance(
    app: Flask, client: FlaskClient, bob: Person, free: str
) -> None:
    answer = post(client, bob, free)
    assert answer.status_code == 200
    assert answer.json["usage"]["cost"] == 0
    assert balance(app, bob).posted_nanos == 0


def test_a_free_model_needs_a_verified_address(
    app: Flask, client: FlaskClient, bob: Person, free: str
) -> None:
    change(app, update(User).values(email_verified_at=None))
    answer = post(client, bob, free)
    assert (answer.status_code, answer.json["error"]["code"]) == (403, "email_not_verified")


def test_a_free_model_has_its_own_daily_limit(
    app: Flask, client: FlaskClient, alice: Person, free: str
) -> None:
    change(app, update(Plan).values(free_requests_per_day=3))
    statuses = [post(client, alice, free).status_code for _ in range(4)]
    assert statuses == [200, 200, 200, 429]
    answer = post(client, alice, free)
    assert answer.json["error"]["code"] == "free_requests_per_day"
    assert int(answer.headers["Retry-After"]) > 60
    assert post(client, alice, "demo/echo").status_code == 200


def test_a_free_model_serves_nobody_who_took_no_part_of_its_limit(
    app: Flask, client: FlaskClient, alice: Person, free: str, upstream: FakeUpstream
) -> None:
    """As the one that another falls back to it would be free of the limit, too."""
    with FakeUpstream() as other:
        make_offer(app, other.url, model="dear/one", provider="dear")
        other.answers(status=500)
        answer = post(client, alice, "dear/one", models=[free])
    assert answer.status_code == 502
    assert upstream.requests == 0
    answer = post(client, alice, free, models=["dear/one"])
    assert (answer.status_code, answer.json["model"]) == (200, free)


def test_one_process_does_the_periodic_work(app: Flask) -> None:
    with app.app_context():
        # This process has led since the app was made.
        assert admission.lead(process.worker_id())
        assert not admission.lead("two")
        assert admission.lead(process.worker_id())
