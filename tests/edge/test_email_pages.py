"""An address is proven by a mail's link, and changed by one; as browsers do it."""

import logging
from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.services import accounts, delivery, links, outbox
from tests.edge.conftest import PASSWORD, sign_up, visitor_of
from tests.edge.mailbox import Mailbox
from tests.edge.pages import FormPage
from tests.fakes.smtp import FakeSmtp

ADA, NEW = "ada@example.com", "countess@example.com"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def log_lines() -> Iterator[list[str]]:
    """What is logged of mails."""
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("solrouter.services.delivery")
    logger.addHandler(handler)
    yield lines
    logger.removeHandler(handler)


@pytest.fixture
def ada(mail_app: Flask) -> FlaskClient:
    """Ada's browser, signed up a moment ago."""
    client = visitor_of(mail_app)
    sign_up(client, ADA)
    return client


def is_verified(app: Flask, email: str = ADA) -> bool:
    with app.app_context():
        row = accounts.find_user(email)
    return row is not None and row.is_verified


def ask_change(client: FlaskClient, email: str = NEW, password: str = PASSWORD) -> int:
    form = {"email": email, "password": password}
    return client.post("/account/settings/email", data=form).status_code


# Confirming.


def test_a_link_in_the_mail_confirms_the_address(
    mail_app: Flask, ada: FlaskClient, mailbox: Mailbox
) -> None:
    link = mailbox.link(ADA)
    shown = ada.get(link)
    assert FormPage(shown).heading == "Confirm your address" and ADA in shown.text
    assert shown.headers["Referrer-Policy"] == "same-origin"
    assert not is_verified(mail_app), "programs that look into mails open links"
    assert ada.post(link).location == "/account"
    assert is_verified(mail_app)


def test_a_link_works_once(ada: FlaskClient, mailbox: Mailbox) -> None:
    link = mailbox.link(ADA)
    ada.post(link)
    assert ada.post(link).status_code == ada.get(link).status_code == 422


def test_a_stranger_to_the_session_signs_in_first_and_comes_back(
    mail_app: Flask, ada: FlaskClient, mailbox: Mailbox
) -> None:
    link = mailbox.link(ADA)
    phone = visitor_of(mail_app)
    sent = phone.get(link)
    assert sent.location == f"/login?next={link}"
    answer = phone.post("/login", data={"email": ADA, "password": PASSWORD, "next": link})
    assert answer.location == link
    phone.post(link)
    assert is_verified(mail_app)


def test_account_pages_say_so_until_then(ada: FlaskClient, mailbox: Mailbox) -> None:
    assert "Confirm your address." in FormPage(ada.get("/account")).text
    ada.post(mailbox.link(ADA))
    assert "Confirm your address." not in FormPage(ada.get("/account")).text


def test_who_may_not_pay_yet_can_ask_for_the_mail_there(ada: FlaskClient) -> None:
    answer = ada.post("/account/payments", data={"preset": "$10.00", "method": "test:test"})
    page = FormPage(answer)
    assert "Confirm your e-mail address first" in page.text and "Send it again" in page.text


def test_the_mail_is_sent_again_but_not_without_end(ada: FlaskClient, mailbox: Mailbox) -> None:
    statuses = [ada.post("/account/settings/email/confirmation").status_code for _ in range(4)]
    assert statuses == [303, 303, 303, 429]
    assert len(mailbox.read()) == 4


def test_the_newest_and_the_older_link_both_work_and_one_of_them_once(
    mail_app: Flask, ada: FlaskClient, mailbox: Mailbox
) -> None:
    first = mailbox.link(ADA)
    ada.post("/account/settings/email/confirmation")
    second = mailbox.link(ADA)
    assert first != second
    assert ada.post(first).status_code == 303
    assert ada.post(second).status_code == 422


def test_asking_again_by_htmx_shows_the_section(ada: FlaskClient) -> None:
    answer = ada.post("/account/settings/email/confirmation", headers=HTMX)
    assert answer.text.lstrip().startswith('<section id="email"')
    assert ADA in answer.text and "on its way" in answer.text


def test_nobody_is_sent_a_link_that_they_need_no_more(
    mail_app: Flask, ada: FlaskClient, mailbox: Mailbox
) -> None:
    ada.post("/account/settings/email/confirmation")
    ada.post(mailbox.link(ADA))
    count = len(mailbox.read())
    ada.post("/account/settings/email/confirmation")
    assert len(mailbox.read()) == count


# Changing.


def test_an_address_changes_when_the_new_one_is_proven_and_the_old_one_is_told(
    mail_app: Flask, ada: FlaskClient, mailbox: Mailbox
) -> None:
    ada.post(mailbox.link(ADA))
    assert ask_change(ada) == 303
    link = mailbox.link(NEW)
    assert is_verified(mail_app, ADA) and NEW in ada.get(link).text
    assert ada.post(link).location == "/account/settings"
    assert is_verified(mail_app, NEW) and not is_verified(mail_app, ADA)
    told = mailbox.newest(ADA)
    assert told.subject == "Your e-mail address was changed"
    assert "c…@example.com" in told.text and NEW not in told.text
    assert ada.get("/account").status_code == 200


def test_changing_asks_for_the_password(ada: FlaskClient, mailbox: Mailbox) -> None:
    form = {"email": NEW, "password": "not this one"}
    answer = ada.post("/account/settings/email", data=form)
    page = FormPage(answer)
    assert answer.status_code == 422
    assert page.alerts() == ["That is not your password."]
    assert page.value("email") == NEW and "not this one" not in answer.text
    assert [mail.recipients for mail in mailbox.read()] == [(ADA,)]


def test_guessing_the_password_there_is_throttled(ada: FlaskClient) -> None:
    statuses = [ask_change(ada, password=f"guess {i}") for i in range(6)]
    assert statuses[-1] == 429


@pytest.mark.parametrize("email", ["nonsense", ADA, ""])
def test_what_cannot_be_an_address_is_refused(ada: FlaskClient, email: str) -> None:
    assert ask_change(ada, email) == 422


def test_asking_for_somebodys_address_sounds_the_same_and_moves_nothing(
    mail_app: Flask, ada: FlaskClient, mailbox: Mailbox
) -> None:
    with mail_app.app_context():
        accounts.sign_up(NEW, PASSWORD, verified=True)
    assert ask_change(ada) == 303
    answer = ada.post(mailbox.link(NEW))
    assert answer.status_code == 422 and "already a user" in answer.text
    assert ada.get("/account").status_code == 200
    assert is_verified(mail_app, NEW)


def test_a_link_to_change_is_no_link_to_confirm(
    mail_app: Flask, ada: FlaskClient, mailbox: Mailbox
) -> None:
    token = mailbox.link(ADA).rpartition("/")[2]
    assert ada.post(f"/account/change-email/{token}").status_code == 422
    assert ada.post(f"/password/reset/{token}", data={"password": PASSWORD}).status_code == 422
    assert not is_verified(mail_app)


# The settings page and the places of links.


def test_the_settings_show_address_and_ways_in(ada: FlaskClient) -> None:
    page = FormPage(ada.get("/account/settings"))
    assert page.heading == "Settings"
    assert ADA in page.text and "Not confirmed" in page.text and "Password" in page.text


def test_without_a_mail_server_the_pages_say_who_confirms(visitor: FlaskClient) -> None:
    assert "operator has to confirm" in FormPage(visitor.get("/signup")).text
    sign_up(visitor)
    for path in ("/account", "/account/settings"):
        assert "its operator confirms" in FormPage(visitor.get(path)).text
    for path in ("/account/settings/email/confirmation", "/account/settings/email"):
        assert visitor.post(path).status_code == 403
    assert "sends no mail" in FormPage(visitor.get("/password/forgot")).text
    assert visitor.post("/password/forgot", data={"email": ADA}).status_code == 403


def test_without_a_mail_server_nothing_waits_for_one(app: Flask, visitor: FlaskClient) -> None:
    sign_up(visitor)
    with app.app_context():
        assert delivery.deliver_due() == 0
        assert outbox.list_of() == []


@pytest.mark.parametrize("path", links.ALL)
def test_every_link_of_a_mail_is_a_page(app: Flask, path: str) -> None:
    answer = app.test_client().get(path.format(token="x"))
    assert answer.status_code in (200, 303, 422)


def test_development_shows_mails_on_a_page_and_in_the_log_and_production_neither(
    make_app: Callable[..., Flask], log_lines: list[str]
) -> None:
    app = make_app(SOLROUTER_ENV="development")
    client = visitor_of(app)
    assert "No mails yet" in client.get("/dev/mails").text
    sign_up(client)
    with app.app_context():
        delivery.deliver_due()
    page = FormPage(client.get("/dev/mails"))
    (link,) = [a.get("href", "") for a in page.all("a") if "confirm-email" in a.get("href", "")]
    assert link.startswith("http://localhost:8000/account/confirm-email/")
    assert any(link in line for line in log_lines)
    assert client.post(link.removeprefix("http://localhost:8000")).location == "/account"
    other = make_app()
    assert other.test_client().get("/dev/mails").status_code == 404


def test_outside_development_no_letter_is_kept_or_logged(
    mail_app: Flask, ada: FlaskClient, smtp: FakeSmtp, mailbox: Mailbox, log_lines: list[str]
) -> None:
    smtp.refuses["DATA"] = "451 Try later"
    mailbox.read()
    smtp.refuses.clear()
    with mail_app.app_context():
        delivery.deliver_due(ahead_s=120)
    token = mailbox.link(ADA).rpartition("/")[2]
    with mail_app.app_context():
        assert [mail.shown for mail in outbox.list_of()] == [None]
    assert log_lines and not any(token in line or ADA in line for line in log_lines)


def test_an_unverified_accounts_mail_goes_to_nobody_when_smtp_is_down(
    mail_app: Flask, ada: FlaskClient, smtp: FakeSmtp, mailbox: Mailbox
) -> None:
    """Signing up works while the mail server does not, and the mail comes later."""
    smtp.refuses["GREETING"] = "421 Try later"
    assert mailbox.read() == []
    smtp.refuses.clear()
    with mail_app.app_context():
        delivery.deliver_due(ahead_s=120)
    assert mailbox.newest(ADA).subject == "Confirm your e-mail address"
