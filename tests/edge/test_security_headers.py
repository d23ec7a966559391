"""Headers of every answer, hosts, proxies, request ids, and what people see of errors."""

import io
import logging
import re
import secrets
from collections.abc import Callable
from contextlib import redirect_stderr
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.authenticator import set_up_in
from tests.edge.conftest import sign_up, visitor_of
from tests.edge.pages import FormPage
from tests.edge.test_recent_proof import let_time_pass
from tests.factories import Person

NEW = "another horse entirely"
HTTPS = {"wsgi.url_scheme": "https"}
REQUEST_ID = re.compile(r"req_[0-9a-f]{24}")


# What goes out.


@pytest.mark.parametrize("path", ["/login", "/signup", "/nowhere", "/account", "/static/site.css"])
def test_every_page_has_a_strict_policy(client: FlaskClient, path: str) -> None:
    headers = client.get(path, buffered=True).headers
    policy = dict(part.strip().split(" ", 1) for part in headers[CSP].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["form-action"] == "'self'"
    assert policy["frame-ancestors"] == policy["base-uri"] == "'none'"
    assert "unsafe" not in headers[CSP]
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] and headers["Permissions-Policy"]
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "Access-Control-Allow-Origin" not in headers


CSP = "Content-Security-Policy"


def test_a_form_may_lead_to_github_where_github_is_set_up(make_app: Callable[..., Flask]) -> None:
    other = make_app(GITHUB_CLIENT_ID="id", SOLROUTER_GITHUB_URL="https://git.example/sub")
    policy = other.test_client().get("/login").headers[CSP]
    assert "form-action 'self' https://git.example;" in policy


def test_hsts_follows_the_scheme(client: FlaskClient) -> None:
    over_https = client.get("/login", environ_overrides=HTTPS).headers
    assert over_https["Strict-Transport-Security"] == "max-age=31536000"
    assert "Strict-Transport-Security" not in client.get("/login").headers


def test_private_pages_are_not_stored(visitor: FlaskClient) -> None:
    assert visitor.get("/login").headers["Cache-Control"] == "no-store"
    assert "Cache-Control" not in visitor.get("/docs").headers
    sign_up(visitor)
    assert visitor.get("/account").headers["Cache-Control"] == "no-store"
    assert visitor.get("/docs").headers["Cache-Control"] == "private, no-cache"
    assert "private" not in visitor.get("/static/site.css", buffered=True).headers["Cache-Control"]


@pytest.mark.parametrize("path", ["/v1/models", "/v1/key", "/v1/nowhere"])
def test_the_api_is_open_to_other_sites_without_credentials(client: FlaskClient, path: str) -> None:
    headers = client.get(path, headers={"Origin": "https://app.example"}).headers
    assert headers["Access-Control-Allow-Origin"] == "*"
    assert "Access-Control-Allow-Credentials" not in headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers[CSP].startswith("default-src 'none'; ")


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/ai/chat/completions", "/api/v1/models"])
def test_a_preflight_is_answered(client: FlaskClient, path: str) -> None:
    asked = {
        "Origin": "https://app.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,x-stainless-lang",
    }
    answer = client.options(path, headers=asked)
    assert answer.status_code == 204
    assert answer.headers["Access-Control-Allow-Origin"] == "*"
    assert "POST" in answer.headers["Access-Control-Allow-Methods"]
    assert "Authorization" in answer.headers["Access-Control-Allow-Headers"]


def test_pages_answer_no_preflight(client: FlaskClient) -> None:
    asked = {"Origin": "https://app.example", "Access-Control-Request-Method": "POST"}
    headers = client.options("/login", headers=asked).headers
    assert not any(name.startswith("Access-Control") for name, _ in headers)


# Hosts and proxies.


@pytest.mark.parametrize("host", ["llm.example.com", "LLM.example.com:8443", "[::1]:8000"])
def test_a_listed_host_is_served(make_app: Callable[..., Flask], host: str) -> None:
    client = make_app(SOLROUTER_ALLOWED_HOSTS="llm.example.com,[::1]").test_client()
    assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "llm.example.com.evil.example",
        "evil.example:llm.example.com",
        "llm.example.com@evil.example",
        "localhost:4000/#@llm.example.com",
        "llm.example.com/#@x",
        "llm.example.com#.evil.example",
        "llm.example.com?x",
        "llm.example.com:80:80",
        "llm.example.com:port",
        "llm.example.com:",
        "",
    ],
)
@pytest.mark.parametrize("path", ["/healthz", "/login", "/v1/models"])
def test_every_other_host_is_refused(make_app: Callable[..., Flask], host: str, path: str) -> None:
    client = make_app(SOLROUTER_ALLOWED_HOSTS="llm.example.com").test_client()
    answer = client.get(path, headers={"Host": host})
    assert answer.status_code == 400
    assert "evil" not in answer.text


def test_without_a_list_any_host_is_served(client: FlaskClient) -> None:
    assert client.get("/login", headers={"Host": "anything.example"}).status_code == 200


def test_a_proxy_is_believed_only_when_it_is_ours(
    app: Flask, make_app: Callable[..., Flask]
) -> None:
    said = {"X-Forwarded-Proto": "https", "X-Forwarded-For": "203.0.113.9"}
    hsts = "Strict-Transport-Security"
    assert hsts not in app.test_client().get("/login", headers=said).headers
    ours = make_app(SOLROUTER_PROXY_HOPS="1").test_client()
    assert hsts in ours.get("/login", headers=said).headers
    assert hsts not in ours.get("/login").headers


# Request ids.


def test_every_answer_has_an_id_of_its_own(client: FlaskClient) -> None:
    paths = ("/login", "/nowhere", "/v1/models", "/v1/nowhere", "/static/site.css", "/account")
    ids = [client.get(path, buffered=True).headers["X-Request-Id"] for path in paths]
    assert all(REQUEST_ID.fullmatch(text) for text in ids)
    assert len(set(ids)) == len(paths)


def test_a_clients_own_id_is_not_believed(client: FlaskClient) -> None:
    answer = client.get("/login", headers={"X-Request-Id": "req_" + "0" * 24})
    assert answer.headers["X-Request-Id"] != "req_" + "0" * 24


@pytest.fixture
def access_log(
    app: Flask, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> Callable[[], list[str]]:
    """The lines of the access log; after `app`, which sets the level of a test's quieter log."""
    caplog.set_level(logging.INFO, "solrouter.access")

    def lines() -> list[str]:
        return capsys.readouterr().err.splitlines()

    return lines


def test_the_access_log_has_one_line_with_ids_and_no_query(
    client: FlaskClient, access_log: Callable[[], list[str]]
) -> None:
    answer = client.get("/login?next=canary-5e1f")
    (line,) = access_log()
    stamp = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3}Z INFO solrouter\.access "
    assert re.fullmatch(stamp + r"GET /login 200 \d+\.\dms id=req_[0-9a-f]{24}", line)
    assert answer.headers["X-Request-Id"] in line


def test_a_path_cannot_write_a_line_of_its_own(
    client: FlaskClient, access_log: Callable[[], list[str]]
) -> None:
    client.get("/x%0aGET%20/admin%20200")
    (line,) = access_log()
    assert " 404 " in line


def test_what_looks_like_a_key_in_a_path_is_blanked(
    client: FlaskClient, access_log: Callable[[], list[str]]
) -> None:
    client.get("/x/sr_0123456789abcdef0123456789abcdef")
    (line,) = access_log()
    assert "/x/[redacted] 404 " in line and "sr_" not in line


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "OPTIONS"])
@pytest.mark.parametrize(
    "path",
    [
        "/password/reset/{}",
        "/password/reset/{}/",
        "/en/password/reset/{}",
        "/account/confirm-email/{}x/y",
        "/{}",
        "/signup?invitation={}",
    ],
)
def test_a_link_of_a_mail_is_not_logged_wherever_it_leads(
    client: FlaskClient, access_log: Callable[[], list[str]], method: str, path: str
) -> None:
    token = secrets.token_urlsafe(32)
    client.open(path.format(token), method=method)
    (line,) = access_log()
    assert token not in line and f"{method} /" in line


def test_a_refused_proof_of_who_somebody_is_stands_in_the_access_log(
    app: Flask, visitor: FlaskClient, bob: Person, access_log: Callable[[], list[str]]
) -> None:
    wrong = "not the password of anybody"

    def said(path: str, **form: str) -> str:
        answer = visitor.post(path, data=form)
        (line,) = access_log()
        assert wrong not in line and bob.email not in line and answer.status_code < 500
        return line

    access_log()
    assert "proof=refused" in said("/login", email=bob.email, password=wrong)
    assert "proof" not in said("/login", email=bob.email, password=bob.password)
    let_time_pass(app)
    assert "proof=refused" in said("/account/confirm", current=wrong)
    assert "proof=refused" in said("/account/settings/password", current=wrong, password=NEW)
    phone = set_up_in(app, bob.user_id)
    visitor.delete_cookie("solrouter")
    assert "proof" not in said("/login", email=bob.email, password=bob.password)
    assert "proof=refused" in said("/login/code", code=phone.wrong_code())
    assert "proof" not in said("/login/code", code=phone.code())


def test_a_log_that_is_gone_fails_nobodys_request(
    client: FlaskClient, access_log: Callable[[], list[str]]
) -> None:
    gone = io.StringIO()
    gone.close()
    with redirect_stderr(gone):
        assert client.get("/login").status_code == 200


# What people see of errors.


def test_an_unknown_page_says_so(client: FlaskClient) -> None:
    answer = client.get("/nowhere")
    page = FormPage(answer)
    assert (answer.status_code, page.heading) == (404, "Page not found")
    assert answer.headers["X-Request-Id"] in page.text


def test_a_wrong_method_names_the_right_ones(client: FlaskClient) -> None:
    answer = client.post("/account/balance")
    assert answer.status_code == 405
    assert "GET" in answer.headers["Allow"]


@pytest.mark.parametrize(
    ("address", "page"),
    [
        ("/account/settings/email", "/account/settings"),
        ("/account/settings/sessions/s1/end", "/account/settings"),
        ("/account/keys/key_1/rotate", "/account/keys/key_1"),
        ("/account/payments", "/account/balance"),
        ("/account/webhooks/wh_1/messages/m1/again", "/account/webhooks/wh_1"),
        ("/account/team/u1/role", "/account/team"),
        ("/account/team/invitations", "/account/team"),
        ("/admin/incidents", "/admin/notices"),
        ("/admin/users/u1/confirm-email", "/admin/users"),
        ("/playground/completions", "/playground"),
    ],
)
def test_the_address_of_a_form_leads_to_its_page(
    client: FlaskClient, address: str, page: str
) -> None:
    answer = client.get(address)
    assert (answer.status_code, answer.location) == (303, page)
    assert client.put(address).status_code == 405


@pytest.mark.parametrize("address", ["/theme", "/webhooks/stripe", "/v1/chat/completions"])
def test_an_address_that_is_on_no_page_says_that_it_cannot(
    client: FlaskClient, address: str
) -> None:
    answer = client.get(address)
    assert answer.status_code == 405 and "POST" in answer.headers["Allow"]


def test_with_htmx_an_error_goes_to_the_toast(client: FlaskClient) -> None:
    answer = client.get("/nowhere", headers={"HX-Request": "true"})
    assert answer.status_code == 404
    assert answer.headers["HX-Retarget"] == "#toast"
    assert answer.text.startswith('<p id="problem"')


def test_the_api_answers_errors_in_its_own_shape(client: FlaskClient) -> None:
    answer = client.get("/v1/nowhere", headers={"HX-Request": "true", "Accept": "text/html"})
    assert answer.status_code == 404
    assert answer.get_json()["error"]["code"] == "not_found"
    assert "HX-Retarget" not in answer.headers


class Bug(Exception):
    """What no handler knows."""


@pytest.fixture
def buggy(make_app: Callable[..., Flask]) -> FlaskClient:
    """A browser in front of an app with a view that fails and a room without a guard."""
    other = make_app()
    other.testing = False
    other.add_url_rule("/bug", "bug", _fail)
    return visitor_of(other)


def _fail() -> str:
    raise Bug("canary-77aa")


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}], ids=["page", "htmx"])
def test_a_bug_is_told_without_its_insides(buggy: FlaskClient, headers: dict[str, str]) -> None:
    answer = buggy.get("/bug", headers=headers)
    assert answer.status_code == 500
    assert "canary" not in answer.text and "Traceback" not in answer.text
    assert answer.headers["X-Request-Id"] in answer.text


def test_a_bug_is_logged_with_its_request_id(
    buggy: FlaskClient, caplog: pytest.LogCaptureFixture
) -> None:
    request_id = buggy.get("/bug").headers["X-Request-Id"]
    (record,) = (r for r in caplog.records if r.levelno >= logging.ERROR)
    assert request_id in record.getMessage() and record.exc_info


def test_a_database_that_is_away_is_a_503_and_not_a_sign_in(
    visitor: FlaskClient, make_app: Callable[..., Flask], tmp_path: Path
) -> None:
    sign_up(visitor)
    client = visitor_of(make_app(f"sqlite:///{tmp_path}/nowhere/at/all.sqlite3"))
    cookie = visitor.get_cookie("solrouter")
    assert cookie is not None
    client.set_cookie("solrouter", cookie.value)
    answer = client.get("/account")
    assert (answer.status_code, FormPage(answer).heading) == (503, "Back in a moment")
    assert answer.headers["Retry-After"] == "1"
