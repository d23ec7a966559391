"""Browsers for the edge: they say where their requests come from, as today's browsers do."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.edge.mailbox import PUBLIC_URL, Mailbox
from tests.fakes.smtp import FakeSmtp

PASSWORD = "engine of analysis"


def visitor_of(app: Flask) -> FlaskClient:
    """A browser that stands on one of our own pages."""
    client = app.test_client()
    client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    return client


def sign_up(client: FlaskClient, email: str = "ada@example.com") -> None:
    """Signs the browser up, and thereby in."""
    answer = client.post("/signup", data={"email": email, "password": PASSWORD})
    assert answer.status_code == 303, answer.text


@pytest.fixture
def visitor(app: Flask) -> FlaskClient:
    return visitor_of(app)


@pytest.fixture
def mail_app(make_app: Callable[..., Flask], smtp: FakeSmtp) -> Flask:
    """An app with a mail server."""
    return make_app(SMTP_URL=smtp.url, SOLROUTER_BASE_URL=PUBLIC_URL)


@pytest.fixture
def mailbox(mail_app: Flask, smtp: FakeSmtp) -> Mailbox:
    return Mailbox(mail_app, smtp)
