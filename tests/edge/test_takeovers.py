"""Attempts to get into somebody's account, or to have them in one's own; each must fail.

The other attempts stand beside what they attack: `test_password_reset` (reused tokens, a poisoned
host, timing, pre-registration), `test_github` (foreign and replayed states, unverified addresses,
pre-registration), `test_auth` (session fixation, open redirects), `test_cross_origin` (each form).
"""

from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.services import accounts
from tests.edge.conftest import PASSWORD, sign_up, visitor_of
from tests.edge.mailbox import PUBLIC_URL, Mailbox
from tests.edge.pages import FormPage
from tests.edge.test_chat import post
from tests.factories import Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream

VICTIM, MALLORY = "victim@example.com", "mallory@example.com"
NEW_PASSWORD = "analytical machinery"


@pytest.fixture
def mallory(mail_app: Flask) -> FlaskClient:
    """Signed up with the victim's address."""
    client = visitor_of(mail_app)
    sign_up(client, VICTIM)
    return client


def user_of(app: Flask, email: str) -> accounts.UserRow | None:
    with app.app_context():
        return accounts.find_user(email)


def test_a_victim_who_opens_the_link_confirms_nothing_for_a_stranger(
    mail_app: Flask, mallory: FlaskClient, mailbox: Mailbox
) -> None:
    link = mailbox.link(VICTIM)
    victim = visitor_of(mail_app)
    for answer in (victim.get(link), victim.post(link)):
        assert answer.location.startswith("/login")
    with mail_app.app_context():
        accounts.sign_up("another@example.com", PASSWORD)
    victim.post("/login", data={"email": "another@example.com", "password": PASSWORD})
    assert victim.get(link).status_code == victim.post(link).status_code == 422
    row = user_of(mail_app, VICTIM)
    assert row is not None and not row.is_verified
    assert mallory.post(link).status_code == 303, "the attempts have not used it up"


def test_a_victim_who_opens_a_strangers_link_gives_their_address_to_nobody(
    mail_app: Flask, mailbox: Mailbox
) -> None:
    """Mallory asks for the victim's address as their new one."""
    mallory, victim = visitor_of(mail_app), visitor_of(mail_app)
    sign_up(mallory, MALLORY)
    sign_up(victim, VICTIM)
    form = {"email": "victim+other@example.com", "password": PASSWORD}
    mallory.post("/account/settings/email", data=form)
    link = mailbox.link("victim+other@example.com")
    assert victim.post(link).status_code == 422
    assert user_of(mail_app, MALLORY) is not None


def test_a_change_that_was_begun_before_the_owner_came_leads_nowhere(
    mail_app: Flask, mallory: FlaskClient, mailbox: Mailbox
) -> None:
    """Pre-hijacking by a change of address that is still open when the owner has recovered."""
    form = {"email": MALLORY, "password": PASSWORD}
    mallory.post("/account/settings/email", data=form)
    change = mailbox.link(MALLORY)
    victim = visitor_of(mail_app)
    victim.post("/password/forgot", data={"email": VICTIM})
    victim.post(mailbox.link(VICTIM), data={"password": NEW_PASSWORD})
    victim.post("/login", data={"email": VICTIM, "password": NEW_PASSWORD})
    for client in (mallory, victim):
        assert client.post(change).status_code in (303, 422)
    assert user_of(mail_app, VICTIM) is not None and user_of(mail_app, MALLORY) is None


def test_a_change_that_was_begun_before_a_reset_leads_nowhere(
    mail_app: Flask, mailbox: Mailbox
) -> None:
    """Mallory was in a proven account for a while, and left an open change behind."""
    with mail_app.app_context():
        accounts.sign_up(VICTIM, PASSWORD, verified=True)
    mallory = visitor_of(mail_app)
    mallory.post("/login", data={"email": VICTIM, "password": PASSWORD})
    mallory.post("/account/settings/email", data={"email": MALLORY, "password": PASSWORD})
    change = mailbox.link(MALLORY)
    victim = visitor_of(mail_app)
    victim.post("/password/forgot", data={"email": VICTIM})
    victim.post(mailbox.link(VICTIM), data={"password": NEW_PASSWORD})
    victim.post("/login", data={"email": VICTIM, "password": NEW_PASSWORD})
    assert victim.post(change).status_code == 422
    assert user_of(mail_app, VICTIM) is not None


def test_a_squatter_of_a_new_address_gives_it_up(mail_app: Flask, mailbox: Mailbox) -> None:
    mallory, victim = visitor_of(mail_app), visitor_of(mail_app)
    sign_up(victim, "old@example.com")
    sign_up(mallory, VICTIM)
    victim.post("/account/settings/email", data={"email": VICTIM, "password": PASSWORD})
    assert victim.post(mailbox.link(VICTIM)).location == "/account/settings"
    assert mallory.get("/account").status_code == 303
    assert (
        visitor_of(mail_app)
        .post("/login", data={"email": VICTIM, "password": "not the victim's"})
        .status_code
        == 422
    )


def test_a_reset_link_that_was_sent_to_a_former_address_is_worth_nothing(
    mail_app: Flask, mailbox: Mailbox
) -> None:
    """The old mailbox may be somebody else's by now."""
    client = visitor_of(mail_app)
    sign_up(client, "old@example.com")
    client.post(mailbox.link("old@example.com"))
    visitor_of(mail_app).post("/password/forgot", data={"email": "old@example.com"})
    reset = mailbox.link("old@example.com")
    client.post("/account/settings/email", data={"email": VICTIM, "password": PASSWORD})
    client.post(mailbox.link(VICTIM))
    stranger = visitor_of(mail_app)
    assert stranger.post(reset, data={"password": NEW_PASSWORD}).status_code == 422


@pytest.mark.parametrize("target", ["//evil.example", "https://evil.example/", "/\\evil.example"])
def test_no_way_in_leads_elsewhere(mail_app: Flask, mailbox: Mailbox, target: str) -> None:
    visitor = visitor_of(mail_app)
    form = {"email": VICTIM, "password": PASSWORD, "next": target}
    assert visitor.post("/signup", data=form).location == "/account"
    assert visitor.post(mailbox.link(VICTIM), data={"next": target}).location == "/account"
    visitor.post("/logout")
    assert "evil" not in visitor.get("/auth/known-address", query_string={"next": target}).location


def test_a_confirmation_starts_no_session_and_a_reset_none(
    mail_app: Flask, mallory: FlaskClient, mailbox: Mailbox
) -> None:
    before = mallory.get_cookie("solrouter")
    mallory.post(mailbox.link(VICTIM))
    assert mallory.get_cookie("solrouter") == before
    victim = visitor_of(mail_app)
    victim.post("/password/forgot", data={"email": VICTIM})
    victim.post(mailbox.link(VICTIM), data={"password": NEW_PASSWORD})
    assert victim.get_cookie("solrouter") is None


@pytest.mark.parametrize(
    "host", ["evil.example", "llm.example.com.evil.example", "evil.example:80"]
)
def test_a_host_that_is_not_ours_is_in_no_mail(
    mail_app: Flask, mailbox: Mailbox, host: str
) -> None:
    client = visitor_of(mail_app)
    form = {"email": VICTIM, "password": PASSWORD}
    client.post("/signup", data=form, headers={"Host": host, "X-Forwarded-Host": host})
    mail = mailbox.newest(VICTIM)
    assert "evil" not in str(mail.message) and "https://llm.example.com/" in mail.text


def test_a_host_that_is_not_ours_is_in_no_link_that_is_handed_over(
    make_app: Callable[..., Flask],
) -> None:
    """Without a mail server the page itself shows the link of an invitation."""
    app = make_app(SOLROUTER_BASE_URL=PUBLIC_URL)
    client = visitor_of(app)
    make_person(app, VICTIM).sign_in(client)
    cookie = client.get_cookie("solrouter")
    assert cookie is not None
    headers = {
        "Host": "evil.example",
        "Origin": "http://evil.example",
        "Cookie": f"solrouter={cookie.value}",
    }
    form = {"email": MALLORY, "role": "developer"}
    asking = app.test_client(use_cookies=False)
    page = asking.post("/account/team/invitations", data=form, headers=headers).text
    assert f"{PUBLIC_URL}/account/team/join/" in page and "evil.example/" not in page


# An account that nobody has proven.


def test_its_keys_can_be_made_and_spend_nothing(
    app: Flask, visitor: FlaskClient, upstream: FakeUpstream
) -> None:
    paid = make_offer(app, upstream.url)
    free = make_offer(
        app, upstream.url, model="acme/free", provider="free", input_usd="0", output_usd="0"
    )
    sign_up(visitor)
    made = FormPage(visitor.post("/account/keys", data={"name": "first", "resets": "never"}))
    key = "".join(made.by_id("new-key-text").itertext()).strip()
    row = user_of(app, "ada@example.com")
    assert row is not None
    person = Person(row.user_id, row.account_id, row.account_public_id, row.email, PASSWORD, key)
    client = app.test_client()
    assert post(client, person, paid).status_code == 402
    refused = post(client, person, free)
    assert refused.json is not None and refused.status_code == 403
    assert refused.json["error"]["code"] == "email_not_verified"
    assert upstream.requests == 0


def test_an_operator_can_give_it_nothing(app: Flask, visitor: FlaskClient) -> None:
    sign_up(visitor)
    runner = app.test_cli_runner()
    result = runner.invoke(args=["credits", "grant", "ada@example.com", "5", "--note", "x"])
    assert result.exit_code == 1 and "verified" in result.stderr
