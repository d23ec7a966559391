"""GET /metrics: nothing without a token, little with it."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter import config
from tests.factories import Person

TOKEN = "a-token-that-nobody-guesses"


def test_there_is_nothing_until_a_token_is_set(client: FlaskClient) -> None:
    for given in ("", "Bearer ", "Bearer None", f"Bearer {TOKEN}"):
        assert client.get("/metrics", headers={"Authorization": given}).status_code == 404


@pytest.mark.parametrize(
    "given", [None, "", "Bearer", "Bearer ", TOKEN, f"Bearer {TOKEN}x", f"bearer {TOKEN[:-1]}", "é"]
)
def test_another_token_opens_nothing(make_app: Callable[..., Flask], given: str | None) -> None:
    client = make_app(SOLROUTER_METRICS_TOKEN=TOKEN).test_client()
    answer = client.get("/metrics", headers={} if given is None else {"Authorization": given})
    assert answer.status_code == 401
    assert "solrouter_" not in answer.text and TOKEN not in answer.text


def test_an_api_key_is_no_token(make_app: Callable[..., Flask], alice: Person) -> None:
    client = make_app(SOLROUTER_METRICS_TOKEN=TOKEN).test_client()
    assert client.get("/metrics", headers=alice.bearer).status_code == 401


def test_the_token_shows_what_is_known(make_app: Callable[..., Flask]) -> None:
    client = make_app(SOLROUTER_METRICS_TOKEN=TOKEN).test_client()
    answer = client.get("/metrics", headers={"Authorization": f"Bearer {TOKEN}"})
    assert (answer.status_code, answer.mimetype) == (200, "text/plain")
    values = dict(line.rsplit(" ", 1) for line in answer.text.splitlines() if line[0] != "#")
    assert values["solrouter_database_up"] == "1.0"
    assert "process_start_time_seconds" not in values, "of which process?"
    assert answer.headers["Cache-Control"] == "no-store"


def test_a_short_token_is_refused_at_the_start(make_app: Callable[..., Flask]) -> None:
    with pytest.raises(config.UnsafeConfiguration, match="SOLROUTER_METRICS_TOKEN") as caught:
        make_app(SOLROUTER_METRICS_TOKEN="short-secret")
    assert "short-secret" not in str(caught.value)
