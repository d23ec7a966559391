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
from solrouter.services import accounts, throttles
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


def identities_in(app: Flask) -> int:
    with app.app_context(), database.read() as connection:
        return len(connection.execute(select(models.Identity.id)).all())


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


@pytest.mark.parametrize("verified", [True, False])
def test_a_known_address_is_joined_by_its_password(
    github_app: Flask, visitor: FlaskClient, verified: bool
) -> None:
    with github_app.app_context():
        accounts.sign_up("ada@example.com", PASSWORD, verified=verified)
    answer = walk(visitor, "/auth/github?next=/account/keys")
    assert account_page(visitor) == 303, "the address alone opens nothing"
    page = FormPage(visitor.get(answer.location))
    assert page.heading == "You are here already" and page.value("email") == "ada@example.com"
    form = {"email": page.value("email"), "next": page.fields(name="next")[0].get("value")}
    assert visitor.post("/login", data=form | {"password": "not this one"}).status_code == 422
    assert visitor.post("/login", data=form | {"password": PASSWORD}).location == "/account/keys"
    other = visitor_of(github_app)
    walk(other)
    assert account_page(other) == 200 and users_in(github_app) == 1
    with github_app.app_context():
        row = accounts.find_user("ada@example.com")
    assert row is not None and row.is_verified, "GitHub has proven the address"


def test_what_waits_is_given_to_nobody_else_who_signs_in(
    github_app: Flask, visitor: FlaskClient
) -> None:
    """Or somebody could leave their GitHub in a victim's browser and wait for the victim."""
    with github_app.app_context():
        accounts.sign_up("ada@example.com", PASSWORD, verified=True)
        accounts.sign_up("victim@example.com", PASSWORD, verified=True)
    walk(visitor)
    visitor.post("/login", data={"email": "victim@example.com", "password": PASSWORD})
    assert account_page(visitor) == 200
    assert identities_in(github_app) == 0


def test_what_waits_does_not_wait_for_ever(
    github_app: Flask, visitor: FlaskClient, github: FakeGitHub
) -> None:
    with github_app.app_context():
        accounts.sign_up("ada@example.com", PASSWORD)
    walk(visitor)
    with visitor.session_transaction(base_url="http://localhost") as passing:
        passing["proven"] = {**passing["proven"], "at": passing["proven"]["at"] - 601}
    assert visitor.get("/auth/known-address").location == "/login"
    assert visitor.post("/auth/known-address").status_code == 422
    visitor.post("/login", data={"email": "ada@example.com", "password": PASSWORD})
    assert identities_in(github_app) == 0


def test_the_owner_of_an_unproven_address_can_begin_anew(
    github_app: Flask, visitor: FlaskClient
) -> None:
    """Pre-registration: nothing that the one who came first has leads to where the owner is."""
    squatter = visitor_of(github_app)
    sign_up(squatter)
    with github_app.app_context():
        before = accounts.find_user("ada@example.com")
    answer = walk(visitor)
    page = FormPage(visitor.get(answer.location))
    assert "This account is not yours?" in page.text
    assert visitor.post("/auth/known-address").location == "/account"
    assert account_page(visitor) == 200 and account_page(squatter) == 303
    form = {"email": "ada@example.com", "password": PASSWORD}
    assert visitor_of(github_app).post("/login", data=form).status_code == 422
    with github_app.app_context():
        after = accounts.find_user("ada@example.com")
    assert before is not None and after is not None
    assert after.is_verified and after.account_id != before.account_id


def test_a_proven_address_is_taken_from_nobody(github_app: Flask, visitor: FlaskClient) -> None:
    with github_app.app_context():
        accounts.sign_up("ada@example.com", PASSWORD, verified=True)
    answer = walk(visitor)
    assert "not yours" not in FormPage(visitor.get(answer.location)).text
    assert visitor.post("/auth/known-address").status_code == 422
    assert account_page(visitor) == 303 and identities_in(github_app) == 0


def test_the_page_of_a_known_address_is_nobodys_without_a_proof(visitor: FlaskClient) -> None:
    assert visitor.get("/auth/known-address").location == "/login"
    assert visitor.post("/auth/known-address").status_code == 422


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


def test_an_account_can_be_removed_and_never_the_last_way_in(
    github_app: Flask, visitor: FlaskClient
) -> None:
    walk(visitor)
    remove = "/account/settings/sign-in-methods/github/remove"
    page = FormPage(visitor.get("/account/settings"))
    assert "GitHub: ada" in page.text and "Not set" in page.text
    assert FormPage(visitor.get(remove)).heading == "Remove GitHub?"
    refused = visitor.post(remove)
    assert refused.status_code == 422 and "only way to sign in" in FormPage(refused).alerts()[0]
    assert identities_in(github_app) == 1
    with github_app.app_context():
        accounts.ensure_user("ada@example.com", PASSWORD)
    visitor.post("/login", data={"email": "ada@example.com", "password": PASSWORD})
    assert visitor.post(remove).location == "/account/settings"
    assert identities_in(github_app) == 0
    assert visitor.get(remove).status_code == visitor.post(remove).status_code == 404


def test_removing_by_htmx_shows_the_section(github_app: Flask, visitor: FlaskClient) -> None:
    sign_up(visitor)
    visitor.get(there(visitor.post("/auth/github").location))
    remove = "/account/settings/sign-in-methods/github/remove"
    answer = visitor.post(remove, headers={"HX-Request": "true"})
    assert answer.text.lstrip().startswith('<section id="sign-in-methods"')
    assert "GitHub is removed" in FormPage(answer).text


def test_a_second_github_account_and_another_users_are_refused_on_the_settings_page(
    github_app: Flask, visitor: FlaskClient, github: FakeGitHub
) -> None:
    sign_up(visitor)
    visitor.get(there(visitor.post("/auth/github").location))
    github.person = GitHubPerson(id=8, login="eve", emails=[Email("eve@example.com", primary=True)])
    answer = visitor.get(there(visitor.post("/auth/github").location))
    assert answer.location == "/account/settings"
    assert "Remove it first" in FormPage(visitor.get("/account/settings")).text
    other = visitor_of(github_app)
    sign_up(other, "other@example.com")
    github.person = ADA
    other.get(there(other.post("/auth/github").location))
    assert "another user" in FormPage(other.get("/account/settings")).text
    assert identities_in(github_app) == 1


def test_sign_ups_through_github_count_for_the_network_too(
    github_app: Flask, visitor: FlaskClient
) -> None:
    with github_app.app_context():
        for _ in range(throttles.SIGN_UPS_AT_ONCE_MAX):
            throttles.take_all((throttles.sign_ups_from("127.0.0.1"),))
    assert walk(visitor).status_code == 429
    assert users_in(github_app) == 0


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
