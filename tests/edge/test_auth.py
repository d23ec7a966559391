"""Signing up, in and out, as browsers do it, with and without HTMX."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from flask_login import current_user
from sqlalchemy import select

from solrouter import database
from solrouter.models import Session
from solrouter.services import accounts
from solrouter.services.people import User
from tests.edge.conftest import PASSWORD, sign_up, visitor_of
from tests.edge.pages import FormPage

EMAIL = "ada@example.com"
FORM = {"email": EMAIL, "password": PASSWORD}
HTMX = {"HX-Request": "true"}
HTTPS = {"wsgi.url_scheme": "https"}


@pytest.fixture
def ada(app: Flask) -> User:
    with app.app_context():
        return accounts.sign_up(EMAIL, PASSWORD)


def is_signed_in(client: FlaskClient) -> bool:
    return client.get("/account").status_code == 200


def sessions_in(app: Flask) -> int:
    with app.app_context(), database.read() as connection:
        return len(connection.execute(select(Session.id)).all())


# Signing up.


def test_sign_up_signs_in_and_leads_to_the_account(visitor: FlaskClient) -> None:
    answer = visitor.post("/signup", data=FORM)
    assert (answer.status_code, answer.location) == (303, "/account")
    assert is_signed_in(visitor)


def test_sign_up_by_htmx_leads_there_by_a_header(visitor: FlaskClient) -> None:
    answer = visitor.post("/signup", data=FORM, headers=HTMX)
    assert (answer.status_code, answer.text) == (200, "")
    assert answer.headers["HX-Redirect"] == "/account"
    assert is_signed_in(visitor)


@pytest.mark.parametrize(
    ("change", "field"), [({"email": "ada"}, "email"), ({"password": "short"}, "password")]
)
def test_a_refused_sign_up_shows_the_form_again(
    visitor: FlaskClient, change: dict[str, str], field: str
) -> None:
    answer = visitor.post("/signup", data=FORM | change)
    page = FormPage(answer)
    assert (answer.status_code, page.heading) == (422, "Sign up")
    assert page.value("email") == (FORM | change)["email"]
    assert page.value("password") is None
    assert [e.get("name") for e in page.fields(aria_invalid="true")] == [field]
    assert (FORM | change)["password"] not in answer.text
    assert not is_signed_in(visitor)


def test_a_refused_sign_up_by_htmx_is_the_form_alone(visitor: FlaskClient) -> None:
    answer = visitor.post("/signup", data=FORM | {"email": "ada"}, headers=HTMX)
    assert answer.status_code == 422
    assert answer.text.lstrip().startswith('<form id="signup-form"')
    assert "HX-Request" in answer.headers["Vary"]


def test_closed_sign_up_says_so_and_makes_nobody(make_app: Callable[..., Flask]) -> None:
    visitor = visitor_of(make_app(SOLROUTER_SIGNUP="closed"))
    shown = visitor.get("/signup")
    posted = visitor.post("/signup", data=FORM)
    assert shown.status_code == 200 and "closed" in FormPage(shown).text
    assert FormPage(shown).fields(name="password") == []
    assert posted.status_code == 403 and "closed" in FormPage(posted).text
    assert visitor.post("/login", data=FORM).status_code == 422


# Signing in and out.


def test_sign_in_leads_to_the_account(visitor: FlaskClient, ada: User) -> None:
    answer = visitor.post("/login", data=FORM)
    assert (answer.status_code, answer.location) == (303, "/account")
    assert is_signed_in(visitor)


def test_a_wrong_password_and_an_unknown_address_look_the_same(
    visitor: FlaskClient, ada: User
) -> None:
    wrong = visitor.post("/login", data=FORM | {"password": "not this one"})
    unknown = visitor.post("/login", data=FORM | {"email": "eve@example.com"})
    assert wrong.status_code == unknown.status_code == 422
    assert FormPage(wrong).alerts() == FormPage(unknown).alerts() != []
    assert wrong.text.replace(EMAIL, "") == unknown.text.replace("eve@example.com", "")


def test_a_failed_sign_in_keeps_the_address_and_not_the_password(visitor: FlaskClient) -> None:
    answer = visitor.post("/login", data={"email": "<b>@x", "password": "canary-1f9a"})
    assert FormPage(answer).value("email") == "<b>@x"
    assert "canary-1f9a" not in answer.text
    assert "Set-Cookie" not in answer.headers


def test_too_many_failures_are_told_when_to_come_back(visitor: FlaskClient, ada: User) -> None:
    for _ in range(10):
        visitor.post("/login", data=FORM | {"password": "not this one"})
    answer = visitor.post("/login", data=FORM)
    assert (answer.status_code, FormPage(answer).heading) == (429, "Too many attempts")
    assert 0 < int(answer.headers["Retry-After"]) <= 30


def test_a_sign_in_starts_a_new_session_and_ends_the_one_it_found(
    app: Flask, visitor: FlaskClient, ada: User
) -> None:
    """Session fixation: what the browser brought along is never what it leaves with."""
    visitor.post("/login", data=FORM)
    first = visitor.get_cookie("solrouter")
    visitor.post("/login", data=FORM)
    second = visitor.get_cookie("solrouter")
    assert first and second and first.value != second.value
    assert sessions_in(app) == 1


def test_an_invented_cookie_is_not_adopted(visitor: FlaskClient, ada: User) -> None:
    visitor.set_cookie("solrouter", "chosen-by-somebody-else")
    assert visitor.get("/account").status_code == 303
    visitor.post("/login", data=FORM)
    cookie = visitor.get_cookie("solrouter")
    assert cookie and cookie.value != "chosen-by-somebody-else"


def test_sign_out_asks_first_and_ends_the_session(
    app: Flask, visitor: FlaskClient, ada: User
) -> None:
    visitor.post("/login", data=FORM)
    cookie = visitor.get_cookie("solrouter")
    assert FormPage(visitor.get("/logout")).heading == "Sign out"
    assert is_signed_in(visitor)
    assert visitor.post("/logout").status_code == 303
    assert cookie and visitor.get_cookie("solrouter") is None
    visitor.set_cookie("solrouter", cookie.value)
    assert not is_signed_in(visitor)
    assert sessions_in(app) == 0


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_the_browser_forgets_at_sign_out_and_at_no_other_time(
    visitor: FlaskClient, ada: User, headers: dict[str, str]
) -> None:
    for answer in (visitor.post("/login", data=FORM), visitor.get("/account")):
        assert "Clear-Site-Data" not in answer.headers
    left = visitor.post("/logout", headers=headers)
    assert left.headers["Clear-Site-Data"] == '"cache", "storage"'
    # Nothing of what stands beside us under the same domain.
    assert "cookies" not in left.headers["Clear-Site-Data"]


@pytest.mark.parametrize("path", ["/login", "/signup"])
def test_who_is_signed_in_is_led_on(visitor: FlaskClient, path: str) -> None:
    sign_up(visitor)
    assert visitor.get(path).location == "/account"
    assert visitor.get(f"{path}?next=/models").location == "/models"


# Where to go next.


def test_a_stranger_is_led_back_to_where_they_were(visitor: FlaskClient, ada: User) -> None:
    sent = visitor.get("/account/activity?page=2")
    assert sent.status_code == 303
    asked = FormPage(visitor.get(sent.location))
    assert asked.value("next") == "/account/activity?page=2"
    answer = visitor.post("/login", data=FORM | {"next": asked.value("next")})
    assert answer.location == "/account/activity?page=2"


def test_a_stranger_with_htmx_is_led_back_to_the_page_around_the_piece(
    visitor: FlaskClient,
) -> None:
    here = {"HX-Current-URL": "http://localhost/account/keys"}
    answer = visitor.post("/account/keys", headers=HTMX | here)
    assert answer.status_code == 200
    assert answer.headers["HX-Redirect"] == "/login?next=/account/keys"


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example"])
def test_a_link_cannot_lead_elsewhere(visitor: FlaskClient, ada: User, target: str) -> None:
    shown = visitor.get("/login", query_string={"next": target})
    assert "evil" not in shown.text
    assert visitor.post("/login", data=FORM | {"next": target}).location == "/account"


# The cookie.


def test_over_http_the_cookie_has_a_plain_name(visitor: FlaskClient) -> None:
    cookies = visitor.post("/signup", data=FORM).headers.getlist("Set-Cookie")
    (cookie,) = (text for text in cookies if text.startswith("solrouter="))
    assert "HttpOnly" in cookie and "SameSite=Lax" in cookie and "Path=/" in cookie
    assert "Secure" not in cookie and "Domain" not in cookie


def test_over_https_the_cookie_is_bound_to_the_host(visitor: FlaskClient) -> None:
    answer = visitor.post("/signup", data=FORM, environ_overrides=HTTPS)
    (cookie,) = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Host-solrouter=")
    for rule in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert rule in cookie
    assert "Domain" not in cookie


def test_a_plain_cookie_is_not_believed_over_https(visitor: FlaskClient) -> None:
    """A sister domain or a man in the middle can plant a plain cookie, but not a `__Host-` one."""
    sign_up(visitor)
    assert visitor.get("/account", environ_overrides=HTTPS).status_code == 303


def test_the_api_looks_at_no_cookie_and_sets_none(visitor: FlaskClient) -> None:
    sign_up(visitor)
    answer = visitor.get("/v1/key")
    assert answer.status_code == 401
    assert "Set-Cookie" not in answer.headers and "Cookie" not in answer.headers.get("Vary", "")


def test_a_cookie_stands_for_nobody_on_the_api(app: Flask, visitor: FlaskClient) -> None:
    sign_up(visitor)
    cookie = visitor.get_cookie("solrouter")
    assert cookie is not None
    for path, is_somebody in (("/account", True), ("/v1/key", False)):
        with app.test_request_context(path, headers={"Cookie": f"solrouter={cookie.value}"}):
            assert current_user.is_authenticated is is_somebody


def test_pages_look_at_no_bearer_key(app: Flask) -> None:
    answer = app.test_client().get("/account", headers={"Authorization": "Bearer sr_" + "a" * 44})
    assert answer.status_code == 303


# Operators.


def test_the_admin_does_not_exist_for_others(visitor: FlaskClient) -> None:
    assert visitor.get("/admin/users").location == "/login?next=/admin/users"
    sign_up(visitor)
    assert visitor.get("/admin/users").status_code == 404


def test_an_operator_may_enter_and_loses_it_at_once(
    app: Flask, visitor: FlaskClient, ada: User
) -> None:
    with app.app_context():
        accounts.set_operator(ada.id, True)
    visitor.post("/login", data=FORM)
    assert visitor.get("/admin/users").status_code == 200
    with app.app_context():
        accounts.set_operator(ada.id, False)
    assert visitor.get("/admin/users").status_code == 404


def test_a_disabled_user_is_out_with_the_next_request(
    app: Flask, visitor: FlaskClient, ada: User
) -> None:
    visitor.post("/login", data=FORM)
    with app.app_context():
        accounts.set_disabled(ada.id, True)
    assert not is_signed_in(visitor)
    assert visitor.post("/login", data=FORM).status_code == 422
