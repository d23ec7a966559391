"""`Idempotency-Key`: the same answer again and no second charge; else a 409 that says why."""

import threading

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from werkzeug.test import TestResponse

from solrouter import database
from solrouter.clock import utcnow
from solrouter.models import IdempotencyKey
from solrouter.services import billing, keys, repeats
from tests.edge.test_chat import balance, chunks, post, text_of
from tests.factories import Person
from tests.fakes.upstream import FakeUpstream


def repeated(
    client: FlaskClient, person: Person, model: str, key: str = "order-7", **body: object
) -> TestResponse:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **body}
    headers = {**person.bearer, "Idempotency-Key": key}
    return client.post("/v1/chat/completions", json=body, headers=headers)


def test_the_same_request_gets_the_same_answer_once_charged(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Forty-two.", usage=(15, 83))
    first = repeated(client, alice, offered)
    second = repeated(client, alice, offered)
    assert second.json == first.json
    assert second.headers["Idempotent-Replayed"] == "true"
    assert "Idempotent-Replayed" not in first.headers
    assert second.headers["X-Generation-Id"] == first.json["id"]
    assert upstream.requests == 1
    assert balance(app, alice).posted_nanos == 5_000_000_000 - 181_000


def test_a_stream_is_replayed_as_events(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams("Hel", "lo", usage=(12, 2))
    first = chunks(repeated(client, alice, offered, stream=True))
    second = chunks(repeated(client, alice, offered, stream=True))
    assert second == first
    assert text_of(second) == "Hello"
    assert upstream.requests == 1


def test_another_body_is_a_mismatch(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(1, 1))
    repeated(client, alice, offered)
    answer = repeated(client, alice, offered, temperature=1)
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "idempotency_mismatch")
    assert answer.json["error"]["type"] == "idempotency_error"
    assert answer.headers["x-should-retry"] == "false"


def test_a_running_first_is_told_to_come_back(
    app: Flask, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(1, 1), stall_before_s=1.0)
    statuses: list[int] = []

    def first() -> None:
        statuses.append(repeated(app.test_client(), alice, offered).status_code)

    thread = threading.Thread(target=first)
    thread.start()
    assert upstream.wait_for(lambda: upstream.requests == 1)
    second = repeated(app.test_client(), alice, offered)
    thread.join()
    assert (second.status_code, second.json["error"]["code"]) == (409, "request_in_progress")
    assert second.headers["Retry-After"] == "1"
    assert "x-should-retry" not in second.headers
    assert statuses == [200]


def test_a_failed_first_frees_its_name(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(status=500, times=1)
    assert repeated(client, alice, offered).status_code == 502
    upstream.answers(text="Hi", usage=(1, 1))
    answer = repeated(client, alice, offered)
    assert answer.status_code == 200
    assert "Idempotent-Replayed" not in answer.headers


def test_a_refused_first_leaves_no_trace(
    app: Flask, client: FlaskClient, bob: Person, offered: str
) -> None:
    assert repeated(client, bob, offered).status_code == 402
    with app.app_context(), database.read() as connection:
        assert connection.execute(select(IdempotencyKey.digest)).all() == []


def test_a_cancelled_stream_frees_its_name(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams(*["word "] * 20, usage=(12, 20), stall_between_s=0.01)
    answer = repeated(client, alice, offered, stream=True)
    next(iter(answer.response))
    answer.close()
    assert chunks(repeated(client, alice, offered, stream=True))


def test_an_answer_that_is_too_large_is_not_kept(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    size = repeats.IDEMPOTENT_ANSWER_BYTES_MAX
    upstream.answers(text="x" * size, usage=(1, 1), ignore_max_tokens=True)
    first = repeated(client, alice, offered)
    second = repeated(client, alice, offered)
    assert (second.status_code, second.json["error"]["code"]) == (409, "answer_not_kept")
    assert second.json["error"]["metadata"]["id"] == first.json["id"]


def test_after_a_day_the_name_is_free(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(1, 1))
    repeated(client, alice, offered)
    with app.app_context():
        old = update(IdempotencyKey).values(expires_at=utcnow())
        database.transact(lambda connection: connection.execute(old))
    assert "Idempotent-Replayed" not in repeated(client, alice, offered).headers


def test_names_belong_to_the_account(
    client: FlaskClient, alice: Person, charlie: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(1, 1))
    repeated(client, alice, offered)
    assert "Idempotent-Replayed" not in repeated(client, charlie, offered).headers


def test_another_key_of_the_account_cannot_open_the_answer(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(1, 1))
    repeated(client, alice, offered)
    with app.app_context():
        other = keys.create(alice.account_id, user_id=alice.user_id, name="Other").text
    body = {"model": offered, "messages": [{"role": "user", "content": "Hello"}]}
    headers = {"Authorization": f"Bearer {other}", "Idempotency-Key": "order-7"}
    answer = client.post("/v1/chat/completions", json=body, headers=headers)
    assert (answer.status_code, answer.json["error"]["code"]) == (409, "answer_not_kept")


def test_a_kept_answer_cannot_be_read_in_the_database(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="a most secret answer", usage=(1, 1))
    repeated(client, alice, offered, key="my-own-name")
    with app.app_context(), database.read() as connection:
        row = connection.execute(select(*IdempotencyKey.__table__.columns)).one()
    assert row.answer is not None
    for secret in (b"secret answer", b"my-own-name", alice.key_text.encode()):
        assert secret not in orjson.dumps([repr(value) for value in row])


@pytest.mark.parametrize("key", ["", "x" * 256])
def test_a_name_that_does_not_fit_is_a_400(
    client: FlaskClient, alice: Person, offered: str, key: str
) -> None:
    answer = repeated(client, alice, offered, key=key)
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "Idempotency-Key")


def test_without_the_header_every_request_is_its_own(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(10, 1))
    post(client, alice, offered)
    post(client, alice, offered)
    assert upstream.requests == 2
    with app.app_context():
        assert len(billing.statement(alice.account_id, limit=10)) == 3
