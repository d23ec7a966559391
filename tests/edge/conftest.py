"""Browsers for the edge: they say where their requests come from, as today's browsers do."""

import pytest
from flask import Flask
from flask.testing import FlaskClient

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
