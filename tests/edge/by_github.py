"""Walking through GitHub, as a program on a socket, for tests of what comes after it."""

from collections.abc import Callable
from urllib.parse import urlsplit

import requests
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from tests.fakes.github import CLIENT_ID, CLIENT_SECRET, Email, FakeGitHub, GitHubPerson

ADA = GitHubPerson(id=7, login="ada", name="Ada", emails=[Email("ada@example.com", primary=True)])
EVE = GitHubPerson(id=8, login="eve", name="Eve", emails=[Email("eve@example.com", primary=True)])
DEADLINE_S = 10


def enabled(make_app: Callable[..., Flask], github: FakeGitHub) -> Flask:
    """An app that is set up with the fake GitHub, at which Ada is signed in."""
    github.person = ADA
    github.callback_url = "http://localhost/auth/github/callback"
    return make_app(
        GITHUB_CLIENT_ID=CLIENT_ID,
        GITHUB_CLIENT_SECRET=CLIENT_SECRET,
        SOLROUTER_GITHUB_URL=github.url,
        SOLROUTER_GITHUB_API_URL=f"{github.url}/api",
    )


def back_from(visitor: FlaskClient, out: TestResponse) -> TestResponse:
    """To GitHub, where our answer leads, and back to us."""
    answer = requests.get(out.location, allow_redirects=False, timeout=DEADLINE_S)
    assert answer.status_code == 302, answer.text
    back = urlsplit(answer.headers["Location"])
    return visitor.get(f"{back.path}?{back.query}")


def sign_in(visitor: FlaskClient) -> TestResponse:
    """From the button to GitHub and back."""
    return back_from(visitor, visitor.get("/auth/github"))
