"""The headers of DESIGN on every answer: each route by each method, and all that goes wrong."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from werkzeug.test import TestResponse

from solrouter import create_app
from solrouter.blueprints.mounts import is_api_path
from tests.conftest import close, settings
from tests.edge.conftest import visitor_of
from tests.house.permissions import Place, Row, make_place, routes

HTTPS = {"wsgi.url_scheme": "https"}
METHODS = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE", "ODD")
PAGE_CSP = {
    "default-src": "'none'",
    "object-src": "'none'",
    "script-src": "'self'",
    "style-src": "'self'",
    "img-src": "'self' data:",
    "connect-src": "'self'",
    "font-src": "'self'",
    "form-action": "'self'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
}
API_CSP = {
    "default-src": "'none'",
    "object-src": "'none'",
    "base-uri": "'none'",
    "frame-ancestors": "'none'",
    "sandbox": "",
}
# Their addresses hold a token of a mail; the answer that shows one tells it to nobody.
WITH_TOKEN = ("/password/reset/", "/account/confirm-email/", "/account/change-email/")
PRIVATE = ("/account", "/admin", "/login", "/logout", "/signup", "/auth")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("headers")
    shutil.copy(sqlite_template, folder / "test.sqlite3")
    app = create_app(settings(f"sqlite:///{folder / 'test.sqlite3'}", folder))
    app.add_url_rule("/bug", "bug", _fail)
    app.add_url_rule("/v1/bug", "api.bug", _fail)
    yield make_place(app)
    close(app)


def _fail() -> str:
    raise RuntimeError("a bug")


def inspect(answer: TestResponse, path: str, *, is_https: bool = False) -> None:
    """Every header that an answer of this path must have, with its value."""
    headers, is_api = answer.headers, is_api_path(path)
    policy = dict(
        f"{part.strip()} ".split(" ", 1) for part in headers["Content-Security-Policy"].split(";")
    )
    policy = {name: value.strip() for name, value in policy.items()}
    assert policy == (API_CSP if is_api else PAGE_CSP), path
    assert headers.getlist("X-Content-Type-Options") == ["nosniff"]
    assert headers.getlist("X-Frame-Options") == ["DENY"]
    shows_token = path.startswith(WITH_TOKEN) and answer.status_code in (200, 422)
    shows_token &= answer.request.method != "OPTIONS"
    assert headers["Referrer-Policy"] == (
        "no-referrer"
        if is_api
        else "same-origin"
        if shows_token
        else "strict-origin-when-cross-origin"
    ), path
    assert headers["X-Request-Id"].startswith("req_")
    assert ("Strict-Transport-Security" in headers) == is_https
    assert ("Access-Control-Allow-Origin" in headers) == is_api
    assert "Access-Control-Allow-Credentials" not in headers
    assert "X-Powered-By" not in headers
    if not is_api:
        assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]
    if path.startswith(PRIVATE) and answer.status_code not in (404, 405):
        assert headers["Cache-Control"] == "no-store", path
    location = headers.get("Location", "")
    assert location.startswith("/") or not location, f"{path} leads away: {location}"


def test_every_route_by_every_method(place: Place) -> None:
    seen = set()
    for name, rule in routes(place.app).items():
        method = name.partition(" ")[0]
        if rule.endpoint in ("bug", "api.bug"):
            continue
        for who in ("anonymous", "owner", "operator", "key"):
            answer = place.ask(Row(method, rule.endpoint, {}), rule, who)
            inspect(answer, answer.request.path)
            seen.add(answer.request.path)
    client = visitor_of(place.app)
    for path in sorted(seen):
        for method in METHODS:
            for is_https in (False, True):
                inspect(
                    client.open(
                        path, method=method, buffered=True,
                        environ_overrides=HTTPS if is_https else {},
                    ),
                    path,
                    is_https=is_https,
                )  # fmt: skip


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere", "/v1/nowhere", "/v1", "/v1/", "/ai/models", "/api/v1/key", "/bug", "/v1/bug",
        "/account/", "/docs/", "//docs", "/docs//quickstart", "/static/", "/static/nowhere.css",
        "/static/../config.py", "/static/%2e%2e/config.py", "/models/", "/%00", "/%ff", "/\u00e9",
        "/account/activity/nothing", "/docs/nothing", "/models/no/body", "/admin/accounts/none",
    ],
)  # fmt: skip
def test_what_goes_wrong(place: Place, path: str) -> None:
    for who in ("anonymous", "owner"):
        client, _ = place._client(who, is_fresh=False)
        for headers in ({}, {"HX-Request": "true"}, {"Host": "evil.example"}):
            answer = client.get(path, headers=headers, buffered=True)
            assert "evil" not in answer.text or "evil" in path
            if not path.startswith(PRIVATE):
                inspect(answer, path)


@pytest.mark.parametrize("path", ["/", "/v1/models", "/static/site.css"])
def test_a_host_that_is_not_listed(tmp_path: Path, sqlite_url: str, path: str) -> None:
    app = create_app(settings(sqlite_url, tmp_path, SOLROUTER_ALLOWED_HOSTS="llm.example.com"))
    answer = app.test_client().get(path)
    assert answer.status_code == 400
    inspect(answer, path)
    close(app)


def test_a_stream_an_error_in_it_and_an_answer_that_has_not_changed(place: Place) -> None:
    client, bearer = visitor_of(place.app), place.people["owner"].bearer
    body = {"model": "demo/echo", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}
    answer = client.post("/v1/chat/completions", json=body, headers=bearer, buffered=True)
    assert (answer.status_code, answer.mimetype) == (200, "text/event-stream")
    inspect(answer, "/v1/chat/completions")
    tag = client.get("/v1/models").headers["ETag"]
    answer = client.get("/v1/models", headers={"If-None-Match": tag})
    assert answer.status_code == 304
    inspect(answer, "/v1/models")


def test_what_a_key_reads_is_not_stored(place: Place) -> None:
    client, bearer = visitor_of(place.app), place.people["owner"].bearer
    for path in ("/v1/key", "/v1/credits", f"/v1/generation?id={place.objects['receipt']}"):
        answer = client.get(path, headers=bearer)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")


def test_a_form_too_large_and_a_form_of_another_site(app: Flask) -> None:
    client = visitor_of(app)
    for data, headers, status in (
        ({"a": "a" * 2_000_000}, {}, 413),
        ({"a": "a"}, {"Sec-Fetch-Site": "cross-site"}, 403),
    ):
        answer = client.post("/login", data=data, headers=headers)
        assert answer.status_code == status
        inspect(answer, "/login")
