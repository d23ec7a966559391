"""A provider that says when it has time: waited for where nobody else is left, else passed by."""

import time

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.services import health
from solrouter.services.completions.opening import RETRY_AFTER_S_MAX
from solrouter.services.routing import HEALTHY
from tests.edge.test_chat import newest, post
from tests.factories import Person, make_offer
from tests.fakes.upstream import FakeUpstream

BOTH = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])


@BOTH
@pytest.mark.parametrize("status", [429, 503, 529])
def test_the_only_provider_is_asked_again_when_it_said(
    app: Flask,
    client: FlaskClient,
    alice: Person,
    offered: str,
    upstream: FakeUpstream,
    status: int,
    stream: bool,
) -> None:
    upstream.answers("Hi")
    upstream.answers(status=status, retry_after=1, times=1)
    began_s = time.monotonic()
    answer = post(client, alice, offered, stream=stream)
    assert b"Hi" in answer.get_data()
    assert time.monotonic() - began_s >= 1
    assert [attempt["error"] is None for attempt in newest(app, alice).attempts] == [False, True]


def test_while_somebody_else_is_left_nobody_is_waited_for(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(status=429, retry_after=5)
    with FakeUpstream() as spare:
        spare.answers("From the spare.")
        make_offer(app, spare.url, provider="spare")
        began_s = time.monotonic()
        answer = post(client, alice, offered, provider={"order": ["acme", "spare"]})
    assert answer.json["choices"][0]["message"]["content"] == "From the spare."
    assert time.monotonic() - began_s < 2


def test_who_will_have_time_much_later_is_told_to_the_caller_at_once(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(status=429, retry_after=RETRY_AFTER_S_MAX + 25)
    began_s = time.monotonic()
    answer = post(client, alice, offered)
    assert time.monotonic() - began_s < 2
    assert (answer.status_code, answer.json["error"]["code"]) == (502, "upstream_rate_limited")
    assert answer.headers["Retry-After"] == str(RETRY_AFTER_S_MAX + 25)
    assert upstream.requests == 1


@BOTH
def test_the_callers_own_mistakes_do_not_count_against_a_provider(
    client: FlaskClient,
    app: Flask,
    alice: Person,
    offered: str,
    upstream: FakeUpstream,
    stream: bool,
) -> None:
    upstream.answers("Hi", times=None)
    upstream.answers(status=400, times=8)
    for _ in range(8):
        assert post(client, alice, offered, stream=stream).status_code == 400
    assert upstream.requests == 8, "never asked again"
    with app.app_context():
        known = list(health.conditions().values())
    assert [(one.state, one.error_rate) for one in known] in ([], [(HEALTHY, 0.0)])
    assert b"Hi" in post(client, alice, offered, stream=stream).get_data()
