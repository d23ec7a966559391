"""CSRF by headers: what another site's page can send is refused, what ours sends is not."""

from collections.abc import Mapping

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.blueprints import guards
from tests.edge.conftest import sign_up
from tests.edge.pages import FormPage

Headers = Mapping[str, str]

OURS: list[Headers] = [
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "none"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    {"Origin": "http://localhost"},
    {"Origin": "http://LOCALHOST"},
]
NOT_OURS: list[Headers] = [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Sec-Fetch-Site": "cross-site", "Origin": "http://localhost"},
    {"Sec-Fetch-Site": ""},
    {"Sec-Fetch-Site": "same-origin, cross-site"},
    {"Origin": "http://evil.example"},
    {"Origin": "http://localhost.evil.example"},
    {"Origin": "http://localhost:8000"},
    {"Origin": "null"},
    {"Origin": ""},
    {"Origin": "http://[broken"},
    {},
]


@pytest.fixture
def signed_in(app: Flask, visitor: FlaskClient) -> FlaskClient:
    """A browser with a session that says nothing of where its requests come from."""
    sign_up(visitor)
    del visitor.environ_base["HTTP_SEC_FETCH_SITE"]
    return visitor


@pytest.mark.parametrize("headers", OURS, ids=str)
def test_a_form_of_ours_is_taken(signed_in: FlaskClient, headers: Headers) -> None:
    assert signed_in.post("/logout", headers=headers).status_code == 303
    assert signed_in.get("/account").status_code == 303


@pytest.mark.parametrize("headers", NOT_OURS, ids=str)
def test_a_form_of_another_site_is_refused(signed_in: FlaskClient, headers: Headers) -> None:
    answer = signed_in.post("/logout", headers=headers)
    assert (answer.status_code, FormPage(answer).heading) == (403, "Not allowed")
    assert signed_in.get("/account").status_code == 200


def test_a_program_without_a_cookie_needs_neither_header(app: Flask) -> None:
    answer = app.test_client().post("/login", data={"email": "a@example.com", "password": "x"})
    assert answer.status_code == 422


def test_reading_is_never_refused(signed_in: FlaskClient) -> None:
    assert signed_in.get("/account", headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_every_unsafe_route_for_browsers_refuses_another_site(
    app: Flask, signed_in: FlaskClient
) -> None:
    unsafe = [
        (method, rule)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"GET", "HEAD", "OPTIONS"}
        if not guards.is_cookie_blind(rule.endpoint.rpartition(".")[0] or None)
    ]
    assert unsafe
    with app.test_request_context():
        adapter = app.url_map.bind("localhost")
        paths = [
            (method, adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, "x"), method))
            for method, rule in unsafe
        ]
    for method, path in paths:
        answer = signed_in.open(path, method=method, headers={"Sec-Fetch-Site": "cross-site"})
        # Rooms of operators do not even exist for others.
        assert answer.status_code == (404 if path.startswith("/admin") else 403), (method, path)


def test_the_api_may_be_called_from_other_sites(signed_in: FlaskClient) -> None:
    answer = signed_in.post(
        "/v1/chat/completions", json={}, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert answer.status_code == 401


def test_an_unknown_address_is_unknown_and_not_refused(signed_in: FlaskClient) -> None:
    headers = {"Sec-Fetch-Site": "cross-site"}
    assert signed_in.post("/nowhere", headers=headers).status_code == 404
    assert signed_in.post("/account/balance", headers=headers).status_code == 405
