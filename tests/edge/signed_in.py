"""Browsers of people who are signed in, and the requests that they have made."""

from typing import Any

from flask import Flask

from tests.browser import Browser
from tests.factories import Person

HTMX = {"HX-Request": "true"}
QUESTION = [{"role": "user", "content": "What is the meaning of life?"}]


def browser_of(app: Flask, person: Person) -> Browser:
    """A browser that this person has signed in with."""
    browser = Browser(app)
    browser.client.environ_base["HTTP_SEC_FETCH_SITE"] = "same-origin"
    person.sign_in(browser.client)
    return browser


def ask(app: Flask, person: Person, model: str = "demo/echo", **body: Any) -> str:
    """Makes a request with the person's key and returns its id, if it was answered."""
    body = {"model": model, "messages": QUESTION, **body}
    answer = app.test_client().post("/v1/chat/completions", json=body, headers=person.bearer)
    assert answer.data
    return answer.headers.get("X-Generation-Id", "")
