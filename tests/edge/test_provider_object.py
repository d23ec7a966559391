"""The caller's say in the route, from the request to the receipt: two providers of one model."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.factories import MODEL, Person, make_offer
from tests.fakes.upstream import FakeUpstream

HELLO = [{"role": "user", "content": "Hi"}]
Ask = Callable[..., TestResponse]


@pytest.fixture
def cheap(app: Flask) -> Iterator[FakeUpstream]:
    """The cheap provider of the model."""
    with FakeUpstream() as fake:
        make_offer(app, fake.url, provider="cheap", input_usd="1", output_usd="2")
        fake.answers("From the cheap one.")
        yield fake


@pytest.fixture
def dear(app: Flask) -> Iterator[FakeUpstream]:
    """The dear provider of the same model."""
    with FakeUpstream() as fake:
        make_offer(app, fake.url, provider="dear", input_usd="2", output_usd="4")
        fake.answers("From the dear one.")
        yield fake


@pytest.fixture
def ask(client: FlaskClient, alice: Person, cheap: FakeUpstream, dear: FakeUpstream) -> Ask:
    """Asks, with further fields in the body."""

    def post(**fields: Any) -> TestResponse:
        headers = {**alice.bearer, "X-SolRouter-Explain": "1"}
        body = {"model": MODEL, "messages": HELLO, **fields}
        return client.post("/v1/chat/completions", json=body, headers=headers)

    return post


def said(answer: TestResponse) -> str:
    assert answer.status_code == 200, answer.text
    return str(answer.json["choices"][0]["message"]["content"])


@pytest.mark.parametrize(
    ("fields", "by", "route"),
    [
        ({}, "cheap", "cheap (single); not dear (dearer)"),
        ({"provider": {"order": ["DEAR"]}}, "dear", "dear (order) > cheap (order)"),
        ({"provider": {"only": "dear"}}, "dear", "dear (single); not cheap (not in only)"),
        ({"provider": {"ignore": ["cheap"]}}, "dear", "dear (single); not cheap (ignored)"),
        (
            {"provider": {"max_price": {"prompt": "2", "completion": 4.0}}},
            "cheap",
            "cheap (price) > dear (price)",
        ),
    ],
)
def test_the_provider_object_is_honoured(
    ask: Ask, fields: dict[str, Any], by: str, route: str
) -> None:
    answer = ask(**fields)
    assert said(answer) == f"From the {by} one."
    told = answer.headers["X-SolRouter-Route"].removesuffix(f"; tried: {by}=ok")
    assert told == route


def test_an_outage_of_the_cheap_one_makes_nothing_dearer(
    ask: Ask, cheap: FakeUpstream, dear: FakeUpstream
) -> None:
    cheap.answers(status=500)
    for _ in range(6):
        assert ask().status_code == 502
    assert dear.requests == 0
    assert said(ask(provider={"order": ["cheap", "dear"]})) == "From the dear one."


def test_nobody_fits(ask: Ask) -> None:
    answer = ask(provider={"max_price": {"prompt": "0.5"}})
    error = answer.json["error"]
    assert (answer.status_code, error["code"], error["param"]) == (
        400,
        "model_unavailable",
        "provider",
    )
    assert "above max_price" in error["message"]


def test_what_is_not_honoured_is_told_or_refused(ask: Ask) -> None:
    fields = {"provider": {"preferred_max_latency": 3}}
    assert ask(**fields).json["warnings"] == [
        "provider.preferred_max_latency: not known here, and not honoured"
    ]
    error = ask(**fields, strict=True).json["error"]
    assert (error["code"], error["param"]) == (
        "unsupported_parameter",
        "provider.preferred_max_latency",
    )


def test_the_next_model_answers(ask: Ask, cheap: FakeUpstream, dear: FakeUpstream) -> None:
    cheap.answers(status=500)
    answer = ask(models=["demo/echo"])
    assert answer.json["model"] == "demo/echo"
    assert answer.headers["X-SolRouter-Route"].startswith("cheap acme/tiny (single) > demo ")
