"""The settings page: password, sessions, two-step sign-in, data; and what each act asks for."""

import io
import json
import zipfile

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from solrouter import database
from solrouter.models import User
from solrouter.services import accounts, billing
from tests.authenticator import Authenticator, set_up_in
from tests.edge.conftest import visitor_of
from tests.edge.mailbox import Mailbox
from tests.edge.pages import FormPage
from tests.edge.signed_in import ask
from tests.edge.test_recent_proof import let_time_pass
from tests.factories import Person, make_person

HTMX = {"HX-Request": "true"}
NEW = "another horse entirely"
FIREFOX = "Mozilla/5.0 (Windows NT 10.0; Win64; x64; rv:130.0) Gecko/20100101 Firefox/130.0"
PASSWORD_FORM = "/account/settings/password"
ADDRESS_FORM = "/account/settings/email"


@pytest.fixture
def here(visitor: FlaskClient, alice: Person) -> FlaskClient:
    alice.sign_in(visitor)
    return visitor


def is_signed_in(client: FlaskClient) -> bool:
    return client.get("/account").status_code == 200


def signed_in_again(app: Flask, person: Person) -> FlaskClient:
    client = visitor_of(app)
    client.environ_base["HTTP_USER_AGENT"] = FIREFOX
    person.sign_in(client)
    return client


def with_phone(app: Flask, person: Person) -> tuple[FlaskClient, Authenticator]:
    phone, client = set_up_in(app, person.user_id), visitor_of(app)
    person.sign_in(client)
    client.post("/login/code", data={"code": phone.code(-1)})
    return client, phone


def forget_password(app: Flask, person: Person) -> None:
    """As if the person had only ever come by GitHub."""
    mine = update(User).where(User.id == person.user_id).values(password_hash=None)
    with app.app_context():
        database.transact(lambda connection: connection.execute(mine))


# The password.


def test_a_new_password_ends_all_other_sessions(
    app: Flask, here: FlaskClient, alice: Person
) -> None:
    elsewhere = signed_in_again(app, alice)
    form = {"current": alice.password, "password": NEW}
    assert here.post(PASSWORD_FORM, data=form).status_code == 303
    assert is_signed_in(here) and not is_signed_in(elsewhere)
    old = visitor_of(app).post("/login", data={"email": alice.email, "password": alice.password})
    new = visitor_of(app).post("/login", data={"email": alice.email, "password": NEW})
    assert (old.status_code, new.status_code) == (422, 303)


@pytest.mark.parametrize(
    ("form", "field"),
    [
        ({"current": "not this one", "password": NEW}, "current"),
        ({"current": "", "password": NEW}, "current"),
        ({"current": "RIGHT", "password": "short"}, "password"),
    ],
)
def test_a_password_that_does_not_fit_changes_nothing(
    here: FlaskClient, alice: Person, form: dict[str, str], field: str
) -> None:
    data = {name: alice.password if text == "RIGHT" else text for name, text in form.items()}
    answer = here.post(PASSWORD_FORM, data=data)
    page = FormPage(answer)
    assert (answer.status_code, page.heading) == (422, "Settings")
    assert [e.get("name") for e in page.fields(aria_invalid="true")] == [field]
    part = FormPage(here.post(PASSWORD_FORM, data=data, headers=HTMX))
    assert part.by_id("password-settings") is not None and not part.is_whole


def test_with_a_second_factor_the_password_alone_does_not_change_it(
    app: Flask, alice: Person
) -> None:
    here, phone = with_phone(app, alice)
    form = {"current": alice.password, "password": NEW}
    assert here.post(PASSWORD_FORM, data=form).status_code == 422
    assert here.post(PASSWORD_FORM, data=form | {"code": phone.wrong_code()}).status_code == 422
    assert here.post(PASSWORD_FORM, data=form | {"code": phone.code()}).status_code == 303


@pytest.mark.parametrize("has_password", [True, False])
def test_with_a_second_factor_the_password_alone_does_not_change_the_address(
    mail_app: Flask, mailbox: Mailbox, has_password: bool
) -> None:
    ann = make_person(mail_app, "ann@example.com")
    here, phone = with_phone(mail_app, ann)
    if not has_password:
        forget_password(mail_app, ann)
    form = {"email": "new@example.com", "password": ann.password if has_password else ""}
    for code in ({}, {"code": phone.wrong_code()}):
        assert here.post(ADDRESS_FORM, data=form | code).status_code == 422
    assert not [mail for mail in mailbox.read() if mail.recipients == ("new@example.com",)]
    if has_password:
        wrong = form | {"password": "not mine", "code": phone.code()}
        assert "email-password-error" in here.post(ADDRESS_FORM, data=wrong).text
    assert here.post(ADDRESS_FORM, data=form | {"code": phone.code()}).status_code == 303
    assert mailbox.newest("new@example.com")


# Two-step sign-in.


def test_turning_it_off_asks_for_both(app: Flask, alice: Person) -> None:
    here, phone = with_phone(app, alice)
    off = "/account/settings/second-factor/off"
    assert here.post(off, data={"current": alice.password}).status_code == 422
    assert here.post(off, data={"code": phone.code()}).status_code == 422
    assert "Recovery codes left" in here.get("/account/settings").text
    code = phone.recovery_codes[0]
    assert here.post(off, data={"current": alice.password, "code": code}).status_code == 303
    assert "Recovery codes left" not in here.get("/account/settings").text
    signed_in_again(app, alice)


def test_new_recovery_codes_are_shown_by_the_answer_alone(app: Flask, alice: Person) -> None:
    here, phone = with_phone(app, alice)
    answer = here.post("/account/settings/recovery-codes")
    codes = "".join(FormPage(answer).by_id("recovery-codes").itertext()).split()
    assert len(codes) == 10 and not set(codes) & set(phone.recovery_codes)
    (link,) = (a for a in FormPage(answer).all("a") if a.get("download"))
    assert codes[0] in (link.get("href") or "")


# Sessions.


def test_sessions_are_listed_by_device_and_ended_one_by_one(
    app: Flask, here: FlaskClient, alice: Person
) -> None:
    elsewhere, third = signed_in_again(app, alice), signed_in_again(app, alice)
    page = FormPage(here.get("/account/settings"))
    assert page.text.count("Firefox on Windows") >= 2 and "127.0.0.1" in page.text
    ends = [f.get("action") or "" for f in page.all("form")]
    first = next(action for action in ends if action.endswith("/end"))
    answer = here.post(first, headers=HTMX)
    assert answer.status_code == 200 and "That session is ended" in answer.text
    assert sorted((is_signed_in(elsewhere), is_signed_in(third))) == [False, True]
    assert here.post("/account/settings/sessions/end-others").status_code == 303
    assert not is_signed_in(elsewhere) and not is_signed_in(third) and is_signed_in(here)
    assert here.post(first).status_code == 404


def test_nobody_ends_anothers_session(app: Flask, here: FlaskClient, charlie: Person) -> None:
    theirs = signed_in_again(app, charlie)
    extra = signed_in_again(app, charlie)
    page = FormPage(theirs.get("/account/settings"))
    (action,) = [
        f.get("action") for f in page.all("form") if (f.get("action") or "").endswith("/end")
    ]
    assert action and here.post(action).status_code == 404
    assert is_signed_in(extra)


# Data.


def read_export(answer_data: bytes) -> dict[str, list[dict[str, object]]]:
    with zipfile.ZipFile(io.BytesIO(answer_data)) as archive:
        assert archive.testzip() is None
        return {
            name.removesuffix(".jsonl"): [json.loads(line) for line in archive.open(name)]
            for name in archive.namelist()
            if name.endswith(".jsonl")
        }


def test_the_export_holds_all_that_is_kept_and_no_secret(
    app: Flask, here: FlaskClient, alice: Person, charlie: Person
) -> None:
    charlies = ask(app, charlie)
    asked = ask(app, alice)
    here.post("/account/settings/buyer", data={"address": "Alice & Co.", "tax_id": "GB 1"})
    answer = here.post("/account/settings/export")
    assert answer.mimetype == "application/zip"
    assert "attachment" in answer.headers["Content-Disposition"]
    files = read_export(answer.data)
    assert set(files) == {
        "profile",
        "buyer",
        "keys",
        "sessions",
        "transfers",
        "payments",
        "receipts",
        "contents",
        "audit",
        "webhooks",
    }
    assert files["contents"] == files["webhooks"] == []
    assert files["buyer"] == [{"address": "Alice & Co.", "tax_id": "GB 1"}]
    assert files["profile"][0]["email"] == alice.email
    assert [row["id"] for row in files["receipts"]] == [asked]
    assert {row["kind"] for row in files["transfers"]} >= {"grant"}
    assert "key.created" in {row["action"] for row in files["audit"]}
    told = json.dumps(files)
    assert alice.key_text not in told and "argon2" not in told and alice.password not in told
    assert charlies not in told and charlie.email not in told
    assert "meaning of life" not in told


def test_deleting_asks_for_the_amount_the_address_and_the_password(
    app: Flask, here: FlaskClient, alice: Person
) -> None:
    page = FormPage(here.get("/account/settings/delete"))
    assert "$5" in page.text
    amount = page.value("forfeit") or ""
    whole = {"forfeit": amount, "email": alice.email, "current": alice.password}
    for missing in whole:
        part = {name: text for name, text in whole.items() if name != missing}
        answer = here.post("/account/settings/delete", data=part)
        assert answer.status_code == 422, missing
    wrong = here.post("/account/settings/delete", data=whole | {"forfeit": "1"})
    assert wrong.status_code == 422 and is_signed_in(here)
    kept = FormPage(here.post("/account/settings/delete", data=whole | {"current": "no"}))
    assert kept.value("email") == alice.email
    gone = here.post("/account/settings/delete", data=whole)
    assert gone.location == "/" and gone.headers["Clear-Site-Data"] == '"cache", "storage"'
    assert not is_signed_in(here)
    with app.app_context():
        assert accounts.find_user(alice.email) is None
        assert billing.balance(alice.account_id).posted_nanos == 0
        assert list(billing.audit()) == []
    answer = app.test_client().get("/v1/key", headers=alice.bearer)
    assert answer.status_code == 401


def test_deleting_asks_for_the_code_too(app: Flask, bob: Person) -> None:
    here, phone = with_phone(app, bob)
    form = {"email": bob.email, "current": bob.password}
    assert here.post("/account/settings/delete", data=form).status_code == 422
    let_time_pass(app)
    form |= {"code": phone.code()}
    assert here.post("/account/settings/delete", data=form).status_code == 303
