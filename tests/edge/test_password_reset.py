"""A forgotten password: who asks learns nothing, who reads the mail sets a new one, once."""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from solrouter import clock, database, models
from solrouter.services import accounts, identities, outbox
from solrouter.services.identities import ProvenIdentity
from tests.edge.conftest import PASSWORD, sign_up, visitor_of
from tests.edge.mailbox import PUBLIC_URL, Mailbox, link_of
from tests.edge.pages import FormPage
from tests.fakes.smtp import FakeSmtp

ADA, NOBODY = "ada@example.com", "nobody@example.com"
NEW_PASSWORD = "analytical machinery"
HTMX = {"HX-Request": "true"}


@pytest.fixture
def visitor(mail_app: Flask) -> FlaskClient:
    return visitor_of(mail_app)


@pytest.fixture
def ada(mail_app: Flask) -> None:
    """Ada, who has proven her address."""
    with mail_app.app_context():
        accounts.sign_up(ADA, PASSWORD, verified=True)


def ask(client: FlaskClient, email: str = ADA, **headers: str) -> str:
    answer = client.post("/password/forgot", data={"email": email}, headers=headers)
    assert answer.status_code == 200
    return FormPage(answer).text


def can_sign_in(app: Flask, password: str) -> bool:
    client = visitor_of(app)
    answer = client.post("/login", data={"email": ADA, "password": password})
    return answer.status_code == 303


def test_a_link_sets_a_new_password_and_signs_nobody_in(
    mail_app: Flask, visitor: FlaskClient, ada: None, mailbox: Mailbox
) -> None:
    ask(visitor)
    link = mailbox.link(ADA)
    page = FormPage(visitor.get(link))
    assert page.heading == "Set a new password" and ADA in page.text
    answer = visitor.post(link, data={"password": NEW_PASSWORD})
    assert answer.location == "/login"
    assert visitor.get("/account").status_code == 303
    assert can_sign_in(mail_app, NEW_PASSWORD) and not can_sign_in(mail_app, PASSWORD)
    assert mailbox.newest(ADA).subject == "Your password was changed"


def test_a_reset_ends_every_session(
    mail_app: Flask, visitor: FlaskClient, ada: None, mailbox: Mailbox
) -> None:
    inside = visitor_of(mail_app)
    inside.post("/login", data={"email": ADA, "password": PASSWORD})
    assert inside.get("/account").status_code == 200
    ask(visitor)
    visitor.post(mailbox.link(ADA), data={"password": NEW_PASSWORD})
    assert inside.get("/account").status_code == 303


def test_a_weak_password_is_refused_and_the_link_still_works(
    visitor: FlaskClient, ada: None, mailbox: Mailbox
) -> None:
    ask(visitor)
    link = mailbox.link(ADA)
    answer = visitor.post(link, data={"password": "dragon1234"})
    assert answer.status_code == 422
    assert [e.get("name") for e in FormPage(answer).fields(aria_invalid="true")] == ["password"]
    fragment = visitor.post(link, data={"password": "dragon1234"}, headers=HTMX)
    assert fragment.text.lstrip().startswith('<div id="reset-password"')
    assert visitor.post(link, data={"password": NEW_PASSWORD}).status_code == 303


def test_a_token_works_once_and_so_do_its_siblings(
    mail_app: Flask, visitor: FlaskClient, ada: None, mailbox: Mailbox
) -> None:
    ask(visitor)
    first = mailbox.link(ADA)
    ask(visitor)
    second = mailbox.link(ADA)
    visitor.post(first, data={"password": NEW_PASSWORD})
    for link in (first, second):
        assert visitor.get(link).status_code == 422
        assert visitor.post(link, data={"password": "some third one"}).status_code == 422
    assert can_sign_in(mail_app, NEW_PASSWORD)


def test_a_token_is_short_lived(
    mail_app: Flask, visitor: FlaskClient, ada: None, mailbox: Mailbox
) -> None:
    ask(visitor)
    link = mailbox.link(ADA)
    past = update(models.EmailToken).values(expires_at=clock.utcnow())
    with mail_app.app_context():
        database.transact(lambda connection: connection.execute(past).rowcount)
    assert visitor.post(link, data={"password": NEW_PASSWORD}).status_code == 422
    assert can_sign_in(mail_app, PASSWORD)


def test_a_token_is_kept_as_a_digest(
    mail_app: Flask, visitor: FlaskClient, ada: None, mailbox: Mailbox
) -> None:
    ask(visitor)
    token = mailbox.link(ADA).rpartition("/")[2]
    path = mail_app.config["DATABASE_URL"].removeprefix("sqlite:///")
    for suffix in ("", "-wal"):
        with open(path + suffix, "rb") as file:
            assert token.encode() not in file.read()


def test_a_disabled_user_gets_no_link(
    mail_app: Flask, visitor: FlaskClient, ada: None, mailbox: Mailbox
) -> None:
    ask(visitor)
    link = mailbox.link(ADA)
    with mail_app.app_context():
        row = accounts.find_user(ADA)
        assert row is not None
        accounts.set_disabled(row.user_id, True)
    assert visitor.post(link, data={"password": NEW_PASSWORD}).status_code == 422
    ask(visitor)
    assert len(mailbox.read()) == 1


# Nobody learns who has an account.


def test_known_and_unknown_addresses_get_the_same_answer(
    visitor: FlaskClient, ada: None, mailbox: Mailbox
) -> None:
    assert ask(visitor).replace(ADA, "") == ask(visitor, NOBODY).replace(NOBODY, "")
    assert [mail.recipients for mail in mailbox.read()] == [(ADA,)]


def test_known_and_unknown_addresses_cost_the_same_work(
    mail_app: Flask, visitor: FlaskClient, ada: None
) -> None:
    """Not measured but counted: the request does the same writes, and looks for nobody."""
    with mail_app.app_context():
        before = len(outbox.list_of())
        ask(visitor)
        ask(visitor, NOBODY)
        orders = outbox.list_of()[: len(outbox.list_of()) - before]
    shapes = {(mail.kind, mail.tries, mail.problem, mail.shown) for mail in orders}
    assert len(orders) == 2 and len(shapes) == 1
    with mail_app.app_context(), database.read() as connection:
        assert connection.execute(models.EmailToken.__table__.select()).first() is None


def test_known_and_unknown_addresses_take_the_same_time(
    make_app: Callable[..., Flask], smtp: FakeSmtp
) -> None:
    app = make_app(SMTP_URL=smtp.url, SOLROUTER_BASE_URL=PUBLIC_URL)
    with app.app_context():
        for number in range(10):
            accounts.ensure_user(f"known{number}@example.com")
    client = visitor_of(app)
    taken: dict[str, list[float]] = {"known": [], "other": []}
    for number in range(10):
        for name, samples in taken.items():
            began_s = clock.monotonic_s()
            ask(client, f"{name}{number}@example.com")
            samples.append(clock.monotonic_s() - began_s)
    known, other = (sorted(samples)[:5] for samples in taken.values())
    assert sum(known) < 1.8 * sum(other) and sum(other) < 1.8 * sum(known)


def test_too_many_mails_to_one_address_are_refused_known_or_not(
    visitor: FlaskClient, ada: None
) -> None:
    for email in (ADA, NOBODY):
        form = {"email": email}
        statuses = [visitor.post("/password/forgot", data=form).status_code for _ in range(6)]
        assert statuses == [200] * 5 + [429]


def test_nonsense_is_told_apart_beside_the_field(visitor: FlaskClient) -> None:
    answer = visitor.post("/password/forgot", data={"email": "nonsense"})
    assert answer.status_code == 422 and FormPage(answer).value("email") == "nonsense"
    fragment = visitor.post("/password/forgot", data={"email": "nonsense"}, headers=HTMX)
    assert fragment.text.lstrip().startswith('<div id="forgot-password"')


# The attacks.


def test_the_links_host_is_ours_whatever_the_request_says(
    visitor: FlaskClient, ada: None, mailbox: Mailbox
) -> None:
    """Host-header poisoning: the owner would carry the token to the attacker."""
    poisoned = {
        "Host": "evil.example",
        "X-Forwarded-Host": "evil.example",
        "X-Forwarded-Server": "evil.example",
        "Forwarded": "host=evil.example",
        "Origin": "http://evil.example",
    }
    ask(visitor, **poisoned)
    mail = mailbox.newest(ADA)
    assert link_of(mail).startswith(f"{PUBLIC_URL}/password/reset/")
    assert "evil" not in str(mail.message)


def test_the_owner_of_an_unproven_address_gets_an_account_of_their_own(
    mail_app: Flask, visitor: FlaskClient, mailbox: Mailbox
) -> None:
    """Pre-hijacking: whoever registered the address first has a password, a session, a key, and
    another site's account in that account; none of them may lead to where the owner is.
    """
    squatter = visitor_of(mail_app)
    sign_up(squatter, ADA)
    made = squatter.post("/account/keys", data={"name": "trap", "resets": "never"})
    assert made.status_code == 200
    trojan = ProvenIdentity("github", "666", "mallory", "Mallory", "mallory@example.com")
    with mail_app.app_context():
        before = accounts.find_user(ADA)
        assert before is not None
        identities.link(before.user_id, trojan)
    squatters_link = mailbox.link(ADA)
    ask(visitor)
    visitor.post(mailbox.link(ADA), data={"password": NEW_PASSWORD})
    with mail_app.app_context():
        after = accounts.find_user(ADA)
        assert after is not None and after.is_verified
        assert after.account_id != before.account_id and after.user_id != before.user_id
        assert identities.list_of(after.user_id) == []
        assert identities.sign_in_with(trojan).id not in (before.user_id, after.user_id)
    assert squatter.get("/account").status_code == 303
    assert squatter.post(squatters_link).status_code == 303
    assert not can_sign_in(mail_app, PASSWORD) and can_sign_in(mail_app, NEW_PASSWORD)
