"""Who may sign up: anybody, the invited, nobody; and what an operator does about addresses."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from solrouter import clock, database, models
from solrouter.errors import Refused
from solrouter.services import accounts, delivery, identities, invitations
from solrouter.services.identities import ProvenIdentity
from tests.edge.conftest import PASSWORD, sign_up, visitor_of
from tests.edge.mailbox import PUBLIC_URL, Mailbox
from tests.edge.pages import FormPage
from tests.edge.signed_in import browser_of
from tests.factories import Person, make_person
from tests.fakes.smtp import FakeSmtp

ADA = "ada@example.com"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def invite_app(make_app: Callable[..., Flask], smtp: FakeSmtp) -> Flask:
    return make_app(SMTP_URL=smtp.url, SOLROUTER_BASE_URL=PUBLIC_URL, SOLROUTER_SIGNUP="invite")


@pytest.fixture
def olivia(invite_app: Flask) -> Person:
    return make_person(invite_app, "olivia@example.com", operator=True)


def invitation(app: Flask, email: str = ADA) -> None:
    """Invites somebody, and sends the mail."""
    with app.app_context():
        invitations.invite(email, actor="operator:test")
        delivery.deliver_due()


def user_of(app: Flask, email: str = ADA) -> accounts.UserRow | None:
    with app.app_context():
        return accounts.find_user(email)


def test_without_an_invitation_there_is_no_form_and_no_account(invite_app: Flask) -> None:
    visitor = visitor_of(invite_app)
    page = FormPage(visitor.get("/signup"))
    assert "You need an invitation" in page.text and page.fields(name="password") == []
    answer = visitor.post("/signup", data={"email": ADA, "password": PASSWORD})
    assert answer.status_code == 403 and user_of(invite_app) is None
    links = [link.get("href") for link in FormPage(visitor.get("/login")).all("a")]
    assert "/login" in links and "/signup" not in links


def test_an_operator_invites_by_a_page_and_the_invited_is_in_and_confirmed(
    invite_app: Flask, olivia: Person, smtp: FakeSmtp
) -> None:
    answer = browser_of(invite_app, olivia).post("/admin/invitations", {"email": ADA}, status=200)
    assert "on its way" in answer.text and "signup?" not in answer.html
    link = Mailbox(invite_app, smtp).link(ADA)
    visitor = visitor_of(invite_app)
    page = FormPage(visitor.get(link))
    assert page.value("email") == ADA
    form = {"invitation": page.value("invitation"), "email": "eve@example.com"}
    assert visitor.post("/signup", data=form | {"password": "short"}).status_code == 422
    assert visitor.post("/signup", data=form | {"password": PASSWORD}).location == "/account"
    row = user_of(invite_app)
    assert row is not None and row.is_verified
    assert user_of(invite_app, "eve@example.com") is None, "the address is the invitation's"


def test_an_invitation_works_once_and_not_after_it_is_taken_back(
    invite_app: Flask, olivia: Person, smtp: FakeSmtp
) -> None:
    mailbox = Mailbox(invite_app, smtp)
    tokens = []
    for email in (ADA, "bea@example.com", "cleo@example.com"):
        invitation(invite_app, email)
        tokens.append(mailbox.link(email).partition("=")[2])
    used, taken_back, old = tokens
    with invite_app.app_context():
        accounts.sign_up("", PASSWORD, invitation=used)
        by_email = {row.email: row.public_id for row in invitations.list_of()}
    browser = browser_of(invite_app, olivia)
    browser.post(f"/admin/invitations/{by_email['bea@example.com']}/revoke")
    browser.post(f"/admin/invitations/{by_email['bea@example.com']}/revoke", status=404)
    browser.post(f"/admin/invitations/{by_email[ADA]}/revoke", status=404)
    expire = update(models.SignupInvitation).where(
        models.SignupInvitation.email == "cleo@example.com"
    )
    with invite_app.app_context():
        expired = expire.values(expires_at=clock.utcnow())
        database.transact(lambda connection: connection.execute(expired).rowcount)
    for token in (used, taken_back, old, "invented"):
        visitor = visitor_of(invite_app)
        shown = FormPage(visitor.get(f"/signup?invitation={token}"))
        assert shown.alerts() and shown.fields(name="password") == []
        form = {"invitation": token, "email": "eve@example.com", "password": PASSWORD}
        assert visitor.post("/signup", data=form).status_code == 422
    assert user_of(invite_app, "eve@example.com") is None


def test_of_two_at_once_with_one_invitation_one_gets_in(invite_app: Flask, smtp: FakeSmtp) -> None:
    invitation(invite_app)
    token = Mailbox(invite_app, smtp).link(ADA).partition("=")[2]
    with invite_app.app_context():
        accounts.sign_up("", PASSWORD, invitation=token)
        with pytest.raises(Refused):
            database.transact(lambda connection: invitations.take(connection, token))


def test_a_proven_address_that_is_invited_needs_no_link(invite_app: Flask) -> None:
    ada = ProvenIdentity("github", "7", "ada", "Ada", ADA)
    with invite_app.app_context():
        with pytest.raises(Refused, match="invitation"):
            identities.sign_in_with(ada, signup="invite")
        invitations.invite(ADA, actor="operator:test")
        assert identities.sign_in_with(ada, signup="invite").is_verified
        assert [row.accepted_at is not None for row in invitations.list_of()] == [True]


def test_who_is_here_is_not_invited_again(invite_app: Flask, olivia: Person) -> None:
    page = browser_of(invite_app, olivia)
    answer = page.post("/admin/invitations", {"email": olivia.email}, status=422)
    assert "already a user" in answer.text


def test_without_a_mail_server_the_link_is_handed_over_once(app: Flask, operator: Person) -> None:
    browser = browser_of(app, operator)
    answer = browser.post("/admin/invitations", {"email": ADA}, status=200)
    link = "".join(answer.by_id("invitation-link").itertext())
    assert link.startswith("http://localhost:8000/signup?invitation=")
    assert link not in browser.get("/admin/invitations").html
    path = link.removeprefix("http://localhost:8000")
    assert FormPage(visitor_of(app).get(path)).value("email") == ADA


def test_the_commands_invite_and_confirm(app: Flask, visitor: FlaskClient) -> None:
    runner = app.test_cli_runner()
    printed = runner.invoke(args=["users", "invite", "bea@example.com"])
    assert printed.exit_code == 0 and "/signup?invitation=" in printed.stdout
    sign_up(visitor)
    assert runner.invoke(args=["users", "confirm", ADA]).exit_code == 0
    row = user_of(app)
    assert row is not None and row.is_verified
    assert runner.invoke(args=["users", "confirm", "nobody@example.com"]).exit_code == 1


def test_the_commands_of_mails(mail_app: Flask, smtp: FakeSmtp) -> None:
    smtp.refuses["RCPT"] = "550 No"
    invitation(mail_app)
    runner = mail_app.test_cli_runner()
    assert "550" in runner.invoke(args=["mails", "failed"]).stdout
    assert "1 mails" in runner.invoke(args=["mails", "retry"]).stderr


def test_an_operator_confirms_an_address_on_the_accounts_page(
    app: Flask, visitor: FlaskClient, operator: Person
) -> None:
    sign_up(visitor)
    row = user_of(app)
    assert row is not None
    browser = browser_of(app, operator)
    assert "Confirm address" in browser.get(f"/admin/accounts/{row.account_public_id}").text
    sent = browser.post(f"/admin/users/{row.public_id}/confirm-email")
    assert sent.location == f"/admin/accounts/{row.account_public_id}"
    assert "is confirmed" in browser.get(sent.location).text
    row = user_of(app)
    assert row is not None and row.is_verified
    again = f"/admin/users/{row.public_id}/confirm-email"
    answer = browser.client.post(again, headers=HTMX)
    assert answer.headers["HX-Redirect"] == sent.location
    browser.post("/admin/users/user_x/confirm-email", status=404)


def test_others_confirm_nobody(app: Flask, visitor: FlaskClient) -> None:
    sign_up(visitor)
    row = user_of(app)
    assert row is not None
    assert visitor.post(f"/admin/users/{row.public_id}/confirm-email").status_code == 404
    assert visitor.post("/admin/invitations", data={"email": "x@example.com"}).status_code == 404
    row = user_of(app)
    assert row is not None and not row.is_verified


def test_the_overview_tells_operators_of_mails_that_were_given_up(
    mail_app: Flask, smtp: FakeSmtp
) -> None:
    operator = make_person(mail_app, "olivia@example.com", operator=True)
    browser = browser_of(mail_app, operator)
    assert "given up" not in browser.get("/admin").text
    smtp.refuses["RCPT"] = "550 No"
    invitation(mail_app)
    assert "1 mail was given up" in browser.get("/admin").text


def test_the_welcome_credit_comes_with_the_confirmation_and_once(
    make_app: Callable[..., Flask], smtp: FakeSmtp
) -> None:
    app = make_app(SMTP_URL=smtp.url, SOLROUTER_WELCOME_CREDIT="2.50")
    visitor = visitor_of(app)
    sign_up(visitor)
    assert "$2.50" not in FormPage(visitor.get("/account/balance")).text
    visitor.post(Mailbox(app, smtp).link(ADA))
    page = FormPage(visitor.get("/account/balance"))
    assert "$2.50" in page.text and "Welcome credit" in page.text
    visitor.post("/logout")
    visitor.post("/login", data={"email": ADA, "password": PASSWORD})
    assert FormPage(visitor.get("/account/balance")).text.count("Welcome credit") == 1
