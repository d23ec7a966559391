"""Signing in through GitHub: the real redirects, against GitHub as a program on a socket."""

from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

import pytest
import requests
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import func, select
from werkzeug.test import TestResponse

from solrouter import database, models
from solrouter.services import accounts
from tests.edge.conftest import PASSWORD, sign_up, visitor_of
from tests.edge.pages import FormPage
from tests.fakes.github import CLIENT_ID, CLIENT_SECRET, Email, FakeGitHub, GitHubPerson

ADA = GitHubPerson(id=7, login="ada", name="Ada", emails=[Email("ada@example.com", primary=True)])
DEADLINE_S = 10


@pytest.fixture
def github_app(make_app: Callable[..., Flask], github: FakeGitHub) -> Flask:
    """An app that is set up with the fake GitHub, which is as strict as it can be."""
    github.person = ADA
    github.requires_pkce = True
    github.callback_url = "http://localhost/auth/github/callback"
    return make_app(
        GITHUB_CLIENT_ID=CLIENT_ID,
        GITHUB_CLIENT_SECRET=CLIENT_SECRET,
        SOLROUTER_GITHUB_URL=github.url,
        SOLROUTER_GITHUB_API_URL=f"{github.url}/api",
    )


@pytest.fixture
def visitor(github_app: Flask) -> FlaskClient:
    return visitor_of(github_app)


def there(location: str) -> str:
    """What GitHub sends the browser back with: the path and query of our callback."""
    answer = requests.get(location, allow_redirects=False, timeout=DEADLINE_S)
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["Location"])
    assert (back.netloc, back.path) == ("localhost", "/auth/github/callback")
    return f"{back.path}?{back.query}"


def walk(visitor: FlaskClient, start: str = "/auth/github") -> TestResponse:
    """From the button to GitHub and back."""
    return visitor.get(there(visitor.get(start).location))


def account_page(visitor: FlaskClient) -> int:
    return visitor.get("/account").status_code


def users_in(app: Flask) -> int:
    with app.app_context(), database.read() as connection:
        return connection.execute(select(func.count()).select_from(models.User)).scalar_one()


def test_a_stranger_becomes_a_user_and_is_signed_in(
    github_app: Flask, visitor: FlaskClient
) -> None:
    answer = walk(visitor)
    assert (answer.status_code, answer.location) == (303, "/account")
    assert account_page(visitor) == 200
    with github_app.app_context():
        row = accounts.find_user("ada@example.com")
    assert row is not None and row.is_verified and row.name == "Ada"


def test_who_comes_back_is_the_same_user(github_app: Flask, visitor: FlaskClient) -> None:
    walk(visitor)
    walk(visitor_of(github_app))
    assert users_in(github_app) == 1


def test_the_way_out_has_state_pkce_and_little_scope(
    visitor: FlaskClient, github: FakeGitHub
) -> None:
    asked = parse_qs(urlsplit(visitor.get("/auth/github").location).query)
    assert asked["code_challenge_method"] == ["S256"]
    assert len(asked["code_challenge"][0]) == 43 and len(asked["state"][0]) >= 30
    assert asked["scope"] == ["read:user user:email"]
    assert asked["redirect_uri"] == ["http://localhost/auth/github/callback"]
    assert CLIENT_SECRET not in str(asked)


def test_the_callback_address_comes_from_the_setting(
    make_app: Callable[..., Flask], github: FakeGitHub
) -> None:
    app = make_app(
        GITHUB_CLIENT_ID=CLIENT_ID,
        GITHUB_CLIENT_SECRET=CLIENT_SECRET,
        SOLROUTER_GITHUB_URL=github.url,
        SOLROUTER_BASE_URL="https://llm.example.com",
    )
    answer = app.test_client().get("/auth/github", headers={"Host": "evil.example"})
    asked = parse_qs(urlsplit(answer.location).query)
    assert asked["redirect_uri"] == ["https://llm.example.com/auth/github/callback"]


def test_next_survives_the_journey(visitor: FlaskClient) -> None:
    assert walk(visitor, "/auth/github?next=/account/keys").location == "/account/keys"


def test_next_leads_nowhere_else(visitor: FlaskClient) -> None:
    assert walk(visitor, "/auth/github?next=//evil.example").location == "/account"


def test_a_verified_user_is_joined(github_app: Flask, visitor: FlaskClient) -> None:
    with github_app.app_context():
        accounts.sign_up("ada@example.com", PASSWORD, verified=True)
    walk(visitor)
    assert account_page(visitor) == 200
    assert users_in(github_app) == 1


def test_an_unverified_user_is_not_joined(github_app: Flask, visitor: FlaskClient) -> None:
    """Whoever typed the address first must not find its owner in the same account."""
    sign_up(visitor_of(github_app))
    answer = walk(visitor)
    assert answer.status_code == 422
    assert "password first" in FormPage(answer).alerts()[0]
    assert account_page(visitor) == 303


@pytest.mark.parametrize(
    "emails",
    [
        [],
        [Email("ada@example.com", primary=True, verified=False)],
        [Email("ada@example.com", primary=False, verified=True)],
        [
            Email("victim@example.com", primary=True, verified=False),
            Email("ada@example.com", primary=False, verified=True),
        ],
    ],
    ids=["none", "unverified", "not primary", "primary unverified"],
)
def test_only_a_verified_primary_address_counts(
    github_app: Flask, visitor: FlaskClient, github: FakeGitHub, emails: list[Email]
) -> None:
    github.person = GitHubPerson(id=7, login="ada", emails=emails, public_email="ada@example.com")
    answer = walk(visitor)
    assert answer.status_code == 422
    assert "verified primary" in FormPage(answer).alerts()[0]
    assert users_in(github_app) == 0


def test_who_says_no_at_github_is_told_so(visitor: FlaskClient, github: FakeGitHub) -> None:
    github.denies = True
    answer = walk(visitor)
    assert answer.status_code == 422
    assert "did not allow" in FormPage(answer).alerts()[0]


@pytest.mark.parametrize("status", [500, 404, 302])
def test_a_github_that_fails_is_not_our_failure(
    visitor: FlaskClient, github: FakeGitHub, status: int
) -> None:
    back = there(visitor.get("/auth/github").location)
    github.fails_with = status
    answer = visitor.get(back)
    assert answer.status_code == 422
    assert "GitHub did not let us finish" in FormPage(answer).alerts()[0]


def test_a_github_that_is_gone_is_not_our_failure(visitor: FlaskClient, github: FakeGitHub) -> None:
    back = there(visitor.get("/auth/github").location)
    github.close()
    assert visitor.get(back).status_code == 422


def test_a_state_of_another_browser_is_refused(github_app: Flask, visitor: FlaskClient) -> None:
    """Login CSRF: a link with somebody else's code must not sign a victim in as them."""
    attackers = there(visitor.get("/auth/github").location)
    victim = visitor_of(github_app)
    for _ in range(2):
        assert victim.get(attackers).status_code == 422
        assert account_page(victim) == 303
        victim.get("/auth/github")


def test_a_callback_works_once(github_app: Flask, visitor: FlaskClient) -> None:
    back = there(visitor.get("/auth/github").location)
    assert visitor.get(back).status_code == 303
    visitor.post("/logout")
    assert visitor.get(back).status_code == 422
    assert account_page(visitor) == 303


def test_a_stolen_code_is_worth_nothing_without_its_verifier(
    github_app: Flask, visitor: FlaskClient, github: FakeGitHub
) -> None:
    stolen = parse_qs(urlsplit(there(visitor.get("/auth/github").location)).query)["code"][0]
    thief = visitor_of(github_app)
    state = parse_qs(urlsplit(thief.get("/auth/github").location).query)["state"][0]
    answer = thief.get("/auth/github/callback", query_string={"code": stolen, "state": state})
    assert answer.status_code == 422
    assert account_page(thief) == 303


def test_a_cookie_holds_the_journey_only_until_its_end(visitor: FlaskClient) -> None:
    visitor.get("/auth/github")
    assert visitor.get_cookie("solrouter-passing") is not None
    walk(visitor)
    assert visitor.get_cookie("solrouter-passing") is None


# Connecting.


def test_a_signed_in_user_connects_github_by_a_form(
    github_app: Flask, visitor: FlaskClient
) -> None:
    sign_up(visitor)
    sent = visitor.post("/auth/github")
    assert visitor.get(there(sent.location)).location == "/account"
    other = visitor_of(github_app)
    walk(other)
    assert account_page(other) == 200
    assert users_in(github_app) == 1


def test_another_site_cannot_connect_its_github(visitor: FlaskClient) -> None:
    sign_up(visitor)
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert visitor.post("/auth/github", headers=headers).status_code == 403
    assert visitor.get("/auth/github", headers=headers).location == "/account"


def test_a_connection_begun_by_one_is_not_ended_by_another(
    github_app: Flask, visitor: FlaskClient
) -> None:
    sign_up(visitor)
    back = there(visitor.post("/auth/github").location)
    visitor.post("/logout")
    assert visitor.get(back).status_code == 422
    with github_app.app_context(), database.read() as connection:
        assert connection.execute(select(models.Identity)).all() == []


# Set up or not.


def test_closed_sign_up_is_closed_here_too(
    github_app: Flask, visitor: FlaskClient, github: FakeGitHub
) -> None:
    github_app.config["SOLROUTER_SIGNUP"] = "closed"
    assert walk(visitor).status_code == 422
    assert users_in(github_app) == 0


def test_the_button_is_there_when_github_is_set_up(visitor: FlaskClient, app: Flask) -> None:
    for path in ("/login", "/signup"):
        with_it, without = visitor.get(path), app.test_client().get(path)
        assert "Continue with GitHub" in FormPage(with_it).text
        assert "GitHub" not in FormPage(without).text


@pytest.mark.parametrize("path", ["/auth/github", "/auth/github/callback?code=x&state=y"])
def test_without_github_there_is_no_such_page(app: Flask, path: str) -> None:
    assert app.test_client().get(path).status_code == 404
