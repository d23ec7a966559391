"""Signing in through Google: OpenID Connect, against Google as a program on a socket."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from solrouter.services import accounts
from tests.edge.conftest import PASSWORD, visitor_of
from tests.edge.pages import FormPage
from tests.fakes.google import CLIENT_ID, CLIENT_SECRET, FakeGoogle, GooglePerson

GINA = GooglePerson(sub="110", email="gina@example.com", name="Gina")
DEADLINE_S = 10


@pytest.fixture
def google_app(make_app: Callable[..., Flask], google: FakeGoogle) -> Flask:
    google.person = GINA
    google.requires_pkce = True
    google.callback_url = "http://localhost/auth/google/callback"
    return make_app(
        GOOGLE_CLIENT_ID=CLIENT_ID,
        GOOGLE_CLIENT_SECRET=CLIENT_SECRET,
        SOLROUTER_GOOGLE_URL=google.url,
    )


@pytest.fixture
def visitor(google_app: Flask) -> FlaskClient:
    return visitor_of(google_app)


def walk(visitor: FlaskClient) -> TestResponse:
    sent = visitor.get("/auth/google")
    answer = requests.get(sent.location, allow_redirects=False, timeout=DEADLINE_S)
    back = urlsplit(answer.headers["Location"])
    return visitor.get(f"{back.path}?{back.query}")


def user_of(app: Flask, email: str = GINA.email) -> accounts.UserRow | None:
    with app.app_context():
        return accounts.find_user(email)


def test_configuration_alone_makes_it_a_way_in(google_app: Flask, visitor: FlaskClient) -> None:
    assert "Continue with Google" in FormPage(visitor.get("/login")).text
    assert "GitHub" not in FormPage(visitor.get("/login")).text
    assert walk(visitor).location == "/account"
    row = user_of(google_app)
    assert row is not None and row.is_verified and row.name == "Gina"
    assert walk(visitor_of(google_app)).location == "/account"


def test_without_it_there_is_no_such_page(app: Flask) -> None:
    assert app.test_client().get("/auth/google").status_code == 404
    assert app.test_client().get("/auth/nonsense").status_code == 404


def test_the_way_out_has_state_nonce_and_pkce(visitor: FlaskClient) -> None:
    asked = parse_qs(urlsplit(visitor.get("/auth/google").location).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["state"][0]) >= 30 and len(asked["nonce"][0]) >= 20
    assert asked["scope"] == ["openid email profile"]


def test_an_address_that_google_has_not_verified_makes_no_user(
    google_app: Flask, visitor: FlaskClient, google: FakeGoogle
) -> None:
    for value in (False, "true", None):
        google.claims = {"email_verified": value}
        answer = walk(visitor)
        assert answer.status_code == 422
        assert "verified" in FormPage(answer).alerts()[0]
    assert user_of(google_app) is None


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": "of another journey"},
        {"aud": "another application"},
        {"iss": "https://evil.example"},
        {"exp": 1_000_000_000},
        {"sub": None},
    ],
    ids=lambda claims: next(iter(claims)),
)
def test_a_token_that_is_not_for_this_journey_is_refused(
    google_app: Flask, visitor: FlaskClient, google: FakeGoogle, claims: dict[str, Any]
) -> None:
    google.claims = claims
    assert walk(visitor).status_code == 422
    assert user_of(google_app) is None


def test_a_token_that_somebody_else_signed_is_refused(
    google_app: Flask, visitor: FlaskClient, google: FakeGoogle
) -> None:
    google.signs_with_another_key = True
    assert walk(visitor).status_code == 422
    assert user_of(google_app) is None


@pytest.mark.parametrize("status", [500, 404])
def test_a_google_that_fails_is_not_our_failure(
    visitor: FlaskClient, google: FakeGoogle, status: int
) -> None:
    google.fails_with = status
    answer = visitor.get("/auth/google")
    assert answer.status_code == 422
    assert "Google did not let us finish" in FormPage(answer).alerts()[0]


def test_who_says_no_at_google_is_told_so(visitor: FlaskClient, google: FakeGoogle) -> None:
    google.denies = True
    assert "did not allow" in FormPage(walk(visitor)).alerts()[0]


def test_a_known_address_is_joined_by_its_password(google_app: Flask, visitor: FlaskClient) -> None:
    with google_app.app_context():
        accounts.sign_up(GINA.email, PASSWORD, verified=True)
    page = FormPage(visitor.get(walk(visitor).location))
    assert page.heading == "You are here already"
    visitor.post("/login", data={"email": GINA.email, "password": PASSWORD})
    assert walk(visitor_of(google_app)).location == "/account"


def test_a_form_may_lead_to_google(visitor: FlaskClient, google: FakeGoogle) -> None:
    policy = visitor.get("/login").headers["Content-Security-Policy"]
    assert f"form-action 'self' {google.url};" in policy
