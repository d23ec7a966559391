"""Signing in with a second factor: two steps, and no session, and no way around, before the
second.
"""

import socket
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.services import accounts, second_factors
from tests.authenticator import Authenticator, set_up_in
from tests.edge import by_github
from tests.edge.conftest import visitor_of
from tests.edge.pages import FormPage
from tests.factories import PASSWORD, Person, make_person
from tests.fakes.github import FakeGitHub

HTMX = {"HX-Request": "true"}
STEP = "/login/code"


@pytest.fixture
def phone(app: Flask, alice: Person) -> Authenticator:
    return set_up_in(app, alice.user_id)


def first_step(client: FlaskClient, person: Person, **more: str) -> str:
    form = {"email": person.email, "password": person.password, **more}
    answer = client.post("/login", data=form)
    assert answer.status_code == 303, answer.text
    return str(answer.location)


def is_signed_in(client: FlaskClient) -> bool:
    return client.get("/account").status_code == 200


def test_both_steps_lead_to_where_the_person_was_going(
    visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    there = first_step(visitor, alice, next="/account/keys")
    assert there == f"{STEP}?next=/account/keys"
    page = FormPage(visitor.get(there))
    assert page.heading == "Enter your code"
    answer = visitor.post(STEP, data={"code": phone.code(), "next": page.value("next")})
    assert (answer.status_code, answer.location) == (303, "/account/keys")
    assert is_signed_in(visitor)


def test_by_htmx_the_steps_are_headers(
    visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    form = {"email": alice.email, "password": alice.password}
    assert visitor.post("/login", data=form, headers=HTMX).headers["HX-Redirect"].startswith(STEP)
    wrong = visitor.post(STEP, data={"code": "000"}, headers=HTMX)
    assert wrong.status_code == 422 and wrong.text.lstrip().startswith('<form id="code-form"')
    right = visitor.post(STEP, data={"code": phone.code()}, headers=HTMX)
    assert right.headers["HX-Redirect"] == "/account"


@pytest.mark.parametrize(
    "path", ["/account", "/account/keys", "/account/settings", "/account/confirm", "/account/audit"]
)
def test_no_address_leads_past_the_second_step(
    visitor: FlaskClient, alice: Person, phone: Authenticator, path: str
) -> None:
    first_step(visitor, alice)
    assert visitor.get_cookie("solrouter") is None
    answer = visitor.get(path)
    assert answer.status_code == 303 and answer.location.startswith(STEP)
    acts = ("/account/keys", "/account/settings/password", "/account/settings/second-factor/off")
    for act in acts:
        assert visitor.post(act, data={"name": "x"}).location.startswith(STEP)


def test_half_a_sign_in_is_nobody_on_open_pages(
    visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    first_step(visitor, alice)
    assert alice.email not in visitor.get("/models").text
    assert visitor.get("/login").status_code == 200


def test_without_the_first_step_there_is_no_second(
    visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    for answer in (visitor.get(STEP), visitor.post(STEP, data={"code": phone.code()})):
        assert (answer.status_code, answer.location) == (303, "/login")
    assert not is_signed_in(visitor)


def test_a_wrong_code_is_refused_and_the_right_one_still_works(
    visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    first_step(visitor, alice)
    answer = visitor.post(STEP, data={"code": phone.wrong_code()})
    assert answer.status_code == 422 and FormPage(answer).alerts()
    assert not is_signed_in(visitor)
    assert visitor.post(STEP, data={"code": phone.code()}).status_code == 303
    assert is_signed_in(visitor)


def test_a_code_seen_over_the_shoulder_opens_nothing_again(
    app: Flask, visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    code = phone.code()
    first_step(visitor, alice)
    assert visitor.post(STEP, data={"code": code}).status_code == 303
    thief = visitor_of(app)
    first_step(thief, alice)
    assert thief.post(STEP, data={"code": code}).status_code == 422
    assert not is_signed_in(thief)


def test_a_recovery_code_opens_once(
    app: Flask, visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    code = phone.recovery_codes[3]
    first_step(visitor, alice)
    assert visitor.post(STEP, data={"code": code}).status_code == 303
    assert is_signed_in(visitor)
    again = visitor_of(app)
    first_step(again, alice)
    assert again.post(STEP, data={"code": code}).status_code == 422


def test_guessing_is_stopped_and_says_when_to_come_back(
    visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    first_step(visitor, alice)
    for _ in range(5):
        assert visitor.post(STEP, data={"code": phone.wrong_code()}).status_code == 422
    answer = visitor.post(STEP, data={"code": phone.code()})
    assert answer.status_code == 429 and int(answer.headers["Retry-After"]) > 0
    assert not is_signed_in(visitor)


def test_another_password_ends_the_wait(
    app: Flask, visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    """Who had the old password is not let in by it any more, half way or not."""
    first_step(visitor, alice)
    with app.app_context():
        accounts.ensure_user(alice.email, "another horse entirely")
    answer = visitor.post(STEP, data={"code": phone.code()})
    assert answer.location.startswith("/login") and not is_signed_in(visitor)


def test_a_disabled_user_does_not_get_through_the_second_step(
    app: Flask, visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    first_step(visitor, alice)
    with app.app_context():
        accounts.set_disabled(alice.user_id, True)
    assert visitor.post(STEP, data={"code": phone.code()}).location.startswith("/login")


def test_the_session_begins_with_the_second_step(
    visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    """Session fixation: a cookie from before, and whatever the first step left, is not adopted."""
    visitor.set_cookie("solrouter", "chosen-by-somebody-else")
    first_step(visitor, alice)
    visitor.post(STEP, data={"code": phone.code()})
    cookie, passing = visitor.get_cookie("solrouter"), visitor.get_cookie("solrouter-passing")
    assert cookie is not None and cookie.value != "chosen-by-somebody-else"
    assert passing is None or "half_way" not in passing.value
    assert visitor.get(STEP).location == "/login"


def test_the_second_step_leads_to_no_other_site(
    visitor: FlaskClient, alice: Person, phone: Authenticator
) -> None:
    first_step(visitor, alice)
    assert "evil" not in visitor.get(STEP, query_string={"next": "//evil.example"}).text
    form = {"code": phone.code(), "next": "https://evil.example/"}
    assert visitor.post(STEP, data=form).location == "/account"


def test_github_too_is_only_the_first_step(
    make_app: Callable[..., Flask], github: FakeGitHub
) -> None:
    app = by_github.enabled(make_app, github)
    visitor = visitor_of(app)
    by_github.sign_in(visitor_of(app))
    with app.app_context():
        ada = accounts.find_user("ada@example.com")
    assert ada is not None
    phone = set_up_in(app, ada.user_id)
    answer = by_github.sign_in(visitor)
    assert answer.location.startswith(STEP)
    assert not is_signed_in(visitor)
    visitor.post(STEP, data={"code": phone.code()})
    assert is_signed_in(visitor)


# Operators.


def test_an_operator_is_asked_at_the_first_sign_in_and_then_reminded(
    app: Flask, visitor: FlaskClient, operator: Person
) -> None:
    there = first_step(visitor, operator, next="/admin")
    assert there == "/account/settings/second-factor?next=/admin"
    page = FormPage(visitor.get(there))
    assert page.heading == "Set up two-step sign-in" and "You run this server" in page.text
    assert "Set up a second factor" in visitor.get("/admin").text
    assert first_step(visitor_of(app), operator, next="/admin") == "/admin"


def test_the_reminder_ends_with_the_set_up(
    app: Flask, visitor: FlaskClient, operator: Person
) -> None:
    phone = set_up_in(app, operator.user_id)
    first_step(visitor, operator, next="/admin")
    assert visitor.post(STEP, data={"code": phone.code()}).location == "/account"
    assert "Set up a second factor" not in visitor.get("/admin").text


def test_others_are_not_asked(visitor: FlaskClient, alice: Person) -> None:
    assert first_step(visitor, alice) == "/account"


@pytest.mark.parametrize("path", ["/admin", "/admin/users", "/admin/audit"])
def test_the_admin_can_demand_it(make_app: Callable[..., Flask], path: str) -> None:
    app = make_app(SOLROUTER_OPERATOR_2FA="required")
    olivia = make_person(app, "olivia@example.com", operator=True)
    visitor = visitor_of(app)
    first_step(visitor, olivia)
    answer = visitor.get(path)
    assert (answer.status_code, answer.location) == (
        303,
        f"/account/settings/second-factor?next={path}",
    )
    assert visitor.post("/admin/providers", data={}).status_code == 303
    phone = set_up_in(app, olivia.user_id)
    visitor = visitor_of(app)
    first_step(visitor, olivia)
    visitor.post(STEP, data={"code": phone.code()})
    assert visitor.get(path).status_code == 200


def test_set_up_on_the_pages_shows_the_codes_once(
    app: Flask, visitor: FlaskClient, bob: Person
) -> None:
    bob.sign_in(visitor)
    assert visitor.post("/account/settings/second-factor").status_code == 303
    page = FormPage(visitor.get("/account/settings/second-factor"))
    secret = "".join(page.by_id("totp-secret").itertext())
    assert 'class="qr-code"' in page.html and page.html.count("h7v1h-7z") >= 6
    wrong = visitor.post("/account/settings/second-factor/confirm", data={"code": "12"})
    assert wrong.status_code == 422 and FormPage(wrong).alerts()
    code = Authenticator(secret).code()
    answer = visitor.post("/account/settings/second-factor/confirm", data={"code": code})
    codes = "".join(FormPage(answer).by_id("recovery-codes").itertext()).split()
    assert len(set(codes)) == second_factors.CODES
    assert answer.headers["Cache-Control"] == "no-store"
    after = visitor.get("/account/settings")
    assert "Recovery codes left: 10 of 10" in FormPage(after).text
    assert secret not in after.text and codes[0] not in after.text
    assert visitor.get("/account/settings/second-factor").location == "/account/settings"
    assert PASSWORD not in after.text


def test_an_operator_can_let_somebody_in_who_lost_everything(
    app: Flask, alice: Person, phone: Authenticator
) -> None:
    command = ["users", "drop-second-factor", alice.email]
    result = app.test_cli_runner().invoke(args=command)
    assert result.exit_code == 0 and "one step" in result.output
    assert first_step(visitor_of(app), alice) == "/account"
    assert app.test_cli_runner().invoke(args=command).exit_code == 1


def test_the_demo_account_is_not_asked_at_the_door(app: Flask) -> None:
    told = app.test_cli_runner().invoke(args=["demo"]).output
    password = told.partition("Password")[2].split()[0]
    visitor = visitor_of(app)
    form = {"email": "demo@example.com", "password": password}
    assert visitor.post("/login", data=form).location == "/account"
    assert "Set up a second factor" in visitor.get("/admin").text


def test_a_taken_port_is_told_at_each_start(make_app: Callable[..., Flask]) -> None:
    """Not at the first alone, before the demo account is made."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        runner = make_app(PORT=port, SOLROUTER_BIND="127.0.0.1").test_cli_runner()
        for before in ([], ["demo"]):
            assert not before or runner.invoke(args=before).exit_code == 0
            result = runner.invoke(args=["demo", "--before-start"])
            assert result.exit_code == 1
            assert f"Port {port} cannot be used" in result.stderr
            assert "PORT=8001 make run" in result.stderr
