"""The fake GitHub, spoken to with plain http.client: is it as strict as it claims?"""

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, parse_qsl, urlencode, urlsplit

import pytest

from tests.fakes.github import CLIENT_ID, CLIENT_SECRET, Email, FakeGitHub, GitHubPerson

ROOT = Path(__file__).parents[2]
CALLBACK = "http://localhost:5000/auth/github/callback"
VERIFIER = "a-verifier-that-is-long-enough-to-be-one-0123456789"
CHALLENGE = base64.urlsafe_b64encode(hashlib.sha256(VERIFIER.encode()).digest()).decode()[:43]
PKCE = {"code_challenge": CHALLENGE, "code_challenge_method": "S256"}
AGENT = {"User-Agent": "test"}


@pytest.fixture
def github() -> Iterator[FakeGitHub]:
    with FakeGitHub() as program:
        yield program


def ask(
    github: FakeGitHub, method: str, path: str, form: dict[str, str] | None = None, **headers: str
) -> tuple[int, dict[str, str], str]:
    """One request; underscores in header names stand for hyphens."""
    connection = HTTPConnection(urlsplit(github.url).netloc, timeout=5)
    sent = {name.replace("_", "-"): value for name, value in headers.items()} | AGENT
    if form is not None:
        sent.setdefault("Content-Type", "application/x-www-form-urlencoded")
    connection.request(method, path, urlencode(form) if form is not None else None, sent)
    response = connection.getresponse()
    answer = response.read().decode()
    connection.close()
    return response.status, {name.lower(): value for name, value in response.getheaders()}, answer


def authorize(github: FakeGitHub, **change: str) -> tuple[int, dict[str, str], str]:
    asked = {
        "client_id": CLIENT_ID,
        "redirect_uri": CALLBACK,
        "state": "s t&te",
        "scope": "read:user user:email",
    }
    return ask(github, "GET", "/login/oauth/authorize?" + urlencode(asked | change))


def returned(answer: tuple[int, dict[str, str], str]) -> dict[str, str]:
    """What the browser carries back to the callback."""
    status, headers, _ = answer
    assert status == 302
    assert headers["location"].startswith(CALLBACK + "?")
    return dict(parse_qsl(urlsplit(headers["location"]).query))


def exchange(github: FakeGitHub, code: str, **change: str) -> dict[str, Any]:
    form = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "code": code,
        "redirect_uri": CALLBACK,
    }
    path = "/login/oauth/access_token"
    status, _, body = ask(github, "POST", path, form | change, Accept="application/json")
    assert status == 200
    answer: dict[str, Any] = json.loads(body)
    return answer


def signed_in(github: FakeGitHub, **change: str) -> str:
    token = exchange(github, returned(authorize(github, **change))["code"])["access_token"]
    assert isinstance(token, str)
    return token


def profile(github: FakeGitHub, path: str, token: str) -> tuple[int, Any]:
    status, _, body = ask(github, "GET", path, Authorization=f"Bearer {token}")
    return status, json.loads(body)


def test_the_whole_flow_tells_who_is_signed_in(github: FakeGitHub) -> None:
    github.person = GitHubPerson(
        id=7, login="alice", name=None, emails=[Email("alice@example.com", primary=True)]
    )
    back = returned(authorize(github, **PKCE))
    assert back["state"] == "s t&te"
    answer = exchange(github, back["code"], code_verifier=VERIFIER)
    assert answer["token_type"] == "bearer"
    assert answer["scope"] == "read:user,user:email"
    status, user = profile(github, "/api/user", answer["access_token"])
    assert (status, user["id"], user["login"], user["name"]) == (200, 7, "alice", None)
    status, emails = profile(github, "/api/user/emails", answer["access_token"])
    assert status == 200
    assert emails == [
        {"email": "alice@example.com", "primary": True, "verified": True, "visibility": None}
    ]


def test_the_profile_is_at_every_api_root(github: FakeGitHub) -> None:
    token = signed_in(github)
    assert {profile(github, f"{root}/user", token)[0] for root in ("", "/api", "/api/v3")} == {200}


def test_a_token_is_form_encoded_unless_json_is_accepted(github: FakeGitHub) -> None:
    form = {
        "client_id": CLIENT_ID,
        "client_secret": CLIENT_SECRET,
        "code": returned(authorize(github))["code"],
    }
    _, headers, body = ask(github, "POST", "/login/oauth/access_token", form)
    assert headers["content-type"] == "application/x-www-form-urlencoded"
    assert parse_qs(body)["access_token"][0].startswith("gho_")


def test_the_client_may_name_itself_by_basic_authentication(github: FakeGitHub) -> None:
    basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
    form = {"code": returned(authorize(github))["code"]}
    path = "/login/oauth/access_token"
    _, _, body = ask(github, "POST", path, form, Authorization=f"Basic {basic}")
    assert "access_token" in parse_qs(body)


def test_a_code_works_once(github: FakeGitHub) -> None:
    code = returned(authorize(github))["code"]
    assert "access_token" in exchange(github, code)
    assert exchange(github, code)["error"] == "bad_verification_code"


def test_a_code_expires(github: FakeGitHub) -> None:
    github.code_ttl_s = 0
    code = returned(authorize(github))["code"]
    assert exchange(github, code)["error"] == "bad_verification_code"


@pytest.mark.parametrize(
    ("asked", "form", "error"),
    [
        (PKCE, {}, "bad_verification_code"),
        (PKCE, {"code_verifier": "not it"}, "bad_verification_code"),
        ({}, {"code_verifier": VERIFIER}, "bad_verification_code"),
        ({}, {"client_secret": "wrong"}, "incorrect_client_credentials"),
        ({}, {"client_id": "wrong"}, "incorrect_client_credentials"),
        ({}, {"redirect_uri": CALLBACK + "/else"}, "redirect_uri_mismatch"),
        ({}, {"code": "wrong"}, "bad_verification_code"),
    ],
    ids=[
        "verifier missing",
        "verifier wrong",
        "challenge missing",
        "secret wrong",
        "client wrong",
        "redirect changed",
        "code wrong",
    ],
)
def test_a_wrong_exchange_is_refused(
    github: FakeGitHub, asked: dict[str, str], form: dict[str, str], error: str
) -> None:
    code = returned(authorize(github, **asked))["code"]
    assert exchange(github, **({"code": code} | form))["error"] == error


@pytest.mark.parametrize(
    "asked",
    [
        {"code_challenge": VERIFIER, "code_challenge_method": "plain"},
        {"code_challenge": CHALLENGE},
        {"code_challenge": "short", "code_challenge_method": "S256"},
    ],
    ids=["plain", "no method", "short"],
)
def test_only_s256_challenges_are_taken(github: FakeGitHub, asked: dict[str, str]) -> None:
    assert returned(authorize(github, **asked))["error"] == "invalid_request"


def test_a_challenge_can_be_required(github: FakeGitHub) -> None:
    github.requires_pkce = True
    assert returned(authorize(github))["error"] == "invalid_request"
    assert "code" in returned(authorize(github, **PKCE))


@pytest.mark.parametrize(
    "change",
    [{"client_id": "wrong"}, {"state": ""}, {"redirect_uri": "/relative"}],
    ids=["client", "state", "redirect"],
)
def test_a_caller_who_cannot_be_answered_gets_a_page(
    github: FakeGitHub, change: dict[str, str]
) -> None:
    status, headers, _ = authorize(github, **change)
    assert status == 404
    assert "location" not in headers


def test_only_the_registered_callback_is_used(github: FakeGitHub) -> None:
    github.callback_url = CALLBACK
    assert "code" in returned(authorize(github))
    _, headers, _ = authorize(github, redirect_uri=CALLBACK + "/below")
    assert headers["location"].startswith(CALLBACK + "/below?code=")
    elsewhere = authorize(github, redirect_uri="http://evil.example/auth/github/callback")
    assert returned(elsewhere)["error"] == "redirect_uri_mismatch"


def test_a_person_can_say_no(github: FakeGitHub) -> None:
    github.denies = True
    back = returned(authorize(github))
    assert (back["error"], back["state"]) == ("access_denied", "s t&te")
    assert "code" not in back


@pytest.mark.parametrize(("choice", "word"), [("1", "code"), ("0", "error")])
def test_the_page_asks_and_its_answer_counts(github: FakeGitHub, choice: str, word: str) -> None:
    github.interactive = True
    status, _, page = authorize(github)
    assert status == 200
    assert "octocat" in page
    hidden = dict(re.findall(r'name="(\w+)" value="([^"]*)"', page.split("<button")[0]))
    assert hidden["state"] == "s t&amp;te"
    form = hidden | {"state": "s t&te", "authorize": choice}
    assert word in returned(ask(github, "POST", "/login/oauth/authorize", form))


def test_a_wrong_token_is_refused(github: FakeGitHub) -> None:
    assert profile(github, "/user", "gho_wrong") == (
        401,
        {
            "message": "Bad credentials",
            "documentation_url": "https://docs.github.com/rest",
            "status": "401",
        },
    )


def test_addresses_need_their_scope(github: FakeGitHub) -> None:
    token = signed_in(github, scope="read:user")
    assert profile(github, "/user", token)[0] == 200
    assert profile(github, "/user/emails", token)[0] == 404


def test_it_can_be_out_of_order(github: FakeGitHub) -> None:
    github.fails_with = 503
    assert profile(github, "/user", "any")[0] == 503


def test_it_remembers_what_it_saw(github: FakeGitHub) -> None:
    exchange(github, returned(authorize(github))["code"])
    assert [seen.path for seen in github.seen] == [
        "/login/oauth/authorize",
        "/login/oauth/access_token",
    ]
    assert github.seen[0].query["scope"] == "read:user user:email"
    assert github.seen[1].form["client_secret"] == CLIENT_SECRET
    assert github.requests == 2


def test_it_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "tests.fakes.github", "--port", "0", "--client-id", "mine"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
        assert program.stdout is not None
        place = urlsplit(program.stdout.readline().strip())
        connection = HTTPConnection(place.netloc, timeout=5)
        connection.request("GET", "/user", headers=AGENT)
        assert connection.getresponse().status == 401
        connection.close()
        program.terminate()
    assert program.returncode == 0
