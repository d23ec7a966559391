"""The team's pages: inviting, joining, roles, leaving, and moving between accounts."""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.services import accounts, keys, members
from solrouter.services.key_rules import MANAGE, Rules
from tests.browser import Browser
from tests.edge.conftest import PASSWORD, sign_up, visitor_of
from tests.edge.mailbox import Mailbox
from tests.edge.pages import FormPage
from tests.edge.signed_in import HTMX, ask, browser_of
from tests.edge.test_recent_proof import let_time_pass
from tests.factories import Person, make_person

JOIN = re.compile(r"/account/team/join/[\w-]+")
BOB = "bob@example.com"


@pytest.fixture
def here(app: Flask, alice: Person) -> Browser:
    return browser_of(app, alice)


def invite(here: Browser, email: str, role: str = "developer") -> str:
    """The path of a new invitation's link, which is shown where no mail is sent."""
    page = here.post("/account/team/invitations", {"email": email, "role": role}, status=200)
    found = JOIN.search(page.html)
    assert found is not None
    return found[0]


def joined(app: Flask, here: Browser, person: Person, role: str = "developer") -> Browser:
    """The browser of somebody who was invited and joined."""
    browser = browser_of(app, person)
    browser.post(invite(here, person.email, role))
    return browser


def id_of(app: Flask, person: Person) -> str:
    with app.app_context():
        return accounts.get_user(person.user_id).public_id


def test_an_account_of_one_says_what_to_do(here: Browser) -> None:
    page = here.get("/account/team")
    assert "Nobody else yet" in page.text and "alice@example.com (you)" in page.text
    assert "Move" not in page.text and 'class="switch"' not in page.html


def test_who_is_invited_joins_and_moves_back(app: Flask, here: Browser, bob: Person) -> None:
    path = invite(here, bob.email)
    assert (
        bob.email in here.get("/account/team").text and path not in here.get("/account/team").html
    )
    browser = browser_of(app, bob)
    page = browser.get(path)
    assert "alice@example.com invites you to “alice”" in page.text
    assert browser.post(path).location == "/account"
    page = browser.get("/account")
    assert "You belong to “alice” now" in page.text and "$5.00" in page.text
    assert browser.get("/account/keys").answer.status_code == 200
    assert browser.client.get("/account/balance").status_code == 403
    assert (
        browser.post("/account/switch", {"account": bob.account_public_id}).location == "/account"
    )
    assert "$5.00" not in browser.get("/account").text
    assert browser.get("/account/balance").answer.status_code == 200
    assert "Nobody else yet" not in here.get("/account/team").text


def test_the_invitation_is_mailed(mail_app: Flask, mailbox: Mailbox) -> None:
    """And a stranger signs up first, confirms the address, and comes back."""
    alice = make_person(mail_app, "alice@example.com")
    here = browser_of(mail_app, alice)
    answer = here.post("/account/team/invitations", {"email": BOB, "role": "billing"}, status=200)
    assert "A mail is on its way to bob@example.com" in answer.text
    assert JOIN.search(answer.html) is None, "the link is in the mail alone"
    mail = mailbox.newest(BOB)
    assert "alice@example.com invites you" in mail.subject and "keeper of its money" in mail.text
    link = mailbox.link(BOB)
    stranger = visitor_of(mail_app)
    assert stranger.get(link).location.startswith("/login?next=/account/team/join/")
    sign_up(stranger, BOB)
    assert "Confirm your e-mail address first" in stranger.get(link).text
    assert stranger.post(link).status_code == 422
    stranger.post(mailbox.link(BOB))
    assert stranger.post(link).status_code == 303
    assert "billing" in stranger.get("/account").text


def test_what_was_typed_is_kept_beside_the_error(here: Browser) -> None:
    for more in ({}, {"headers": HTMX}):
        form = {"email": "bob@", "role": "billing"}
        page = here.post("/account/team/invitations", form, status=422, **more)
        assert FormPage(page.answer).value("email") == "bob@"
        assert "That is not an e-mail address" in page.text
        assert re.search(r'value="billing" selected', page.html)


def test_an_invitation_is_sent_again_and_taken_back(here: Browser, app: Flask, bob: Person) -> None:
    first = invite(here, bob.email)
    public_id = re.search(r"tinv_[0-9a-f]+", here.get("/account/team").html)
    assert public_id is not None
    base = f"/account/team/invitations/{public_id[0]}"
    again = here.post(f"{base}/resend", status=200)
    second = JOIN.search(again.html)
    assert second is not None and second[0] != first
    browser = browser_of(app, bob)
    assert browser.client.post(first).status_code == 422, "the first link works no more"
    page = here.post(f"{base}/revoke", status=200, headers=HTMX)
    assert "is taken back" in page.text and not page.is_whole
    assert browser.client.post(second[0]).status_code == 422
    assert here.client.post(f"{base}/revoke").status_code == 404


def test_an_invitation_helps_nobody_else(
    app: Flask, here: Browser, bob: Person, charlie: Person
) -> None:
    path = invite(here, bob.email)
    thief = browser_of(app, charlie)
    for page in (thief.get(path, status=422), thief.post(path, status=422)):
        assert "for another address than yours" in page.text
        assert bob.email not in page.text and "alice" not in page.text
    assert thief.client.post("/account/switch", data={"account": "x"}).status_code == 404
    browser = browser_of(app, bob)
    browser.post(path)
    with app.app_context():
        members.leave(accounts.find_user("alice@example.com").account_id, bob.user_id)  # type: ignore[union-attr]
    assert "used already" in browser.post(path, status=422).text


def test_outsiders_find_nothing(app: Flask, here: Browser, alice: Person, charlie: Person) -> None:
    invite(here, BOB)
    public_id = re.search(r"tinv_[0-9a-f]+", here.get("/account/team").html)
    assert public_id is not None
    client = browser_of(app, charlie).client
    for path in (
        f"/account/team/invitations/{public_id[0]}/resend",
        f"/account/team/invitations/{public_id[0]}/revoke",
        f"/account/team/{id_of(app, alice)}/role",
        f"/account/team/{id_of(app, alice)}/remove",
    ):
        assert client.post(path, data={"role": "developer"}).status_code == 404, path
    assert client.get(f"/account/team/{id_of(app, alice)}/remove").status_code == 404
    form = {"account": alice.account_public_id}
    assert client.post("/account/switch", data=form).status_code == 404
    assert "alice" not in client.get("/account/team").text


@pytest.mark.parametrize("role", ["billing", "developer"])
def test_only_owners_manage(
    app: Flask, here: Browser, alice: Person, bob: Person, role: str
) -> None:
    browser = joined(app, here, bob, role)
    page = browser.get("/account/team")
    assert "alice@example.com" in page.text and 'name="role"' not in page.html
    for path in ("invitations", f"{id_of(app, bob)}/role", f"{id_of(app, alice)}/remove"):
        form = {"email": "x@example.com", "role": "owner"}
        assert browser.client.post(f"/account/team/{path}", data=form).status_code == 403, path


def test_a_role_holds_from_the_next_request_on(app: Flask, here: Browser, bob: Person) -> None:
    browser = joined(app, here, bob, "developer")
    path = f"/account/team/{id_of(app, bob)}/role"
    page = here.post(path, {"role": "billing"}, status=200, headers=HTMX)
    assert "bob@example.com is “billing” from now on" in page.text
    assert browser.client.get("/account/keys").status_code == 403
    assert browser.get("/account/balance").answer.status_code == 200
    assert here.post(path, {"role": "operator"}, status=422)


def test_the_last_owner_stays(app: Flask, here: Browser, alice: Person) -> None:
    me = id_of(app, alice)
    for path, form in (
        (f"{me}/role", {"role": "developer"}),
        (f"{me}/remove", {}),
        ("leave", {}),
    ):
        page = here.post(f"/account/team/{path}", form, status=422)
        assert "An account needs an owner" in page.text


def test_an_owner_steps_down(app: Flask, here: Browser, alice: Person, bob: Person) -> None:
    joined(app, here, bob, "owner")
    answer = here.post(
        f"/account/team/{id_of(app, alice)}/role", {"role": "developer"}, headers=HTMX, status=200
    )
    assert answer.headers["HX-Redirect"] == "/account/team"
    assert 'name="role"' not in here.get("/account/team").html


def test_the_key_of_who_is_removed_is_refused_from_the_next_request_on(
    app: Flask, here: Browser, alice: Person, bob: Person
) -> None:
    joined(app, here, bob)
    with app.app_context():
        made = keys.create(alice.account_id, user_id=bob.user_id, name="Bot", is_owner=False)
    bearer = {"Authorization": f"Bearer {made.text}"}
    assert app.test_client().get("/v1/key", headers=bearer).status_code == 200
    path = f"/account/team/{id_of(app, bob)}/remove"
    assert "every key that they made" in here.get(path).text
    assert here.post(path).location == "/account/team"
    answer = app.test_client().get("/v1/key", headers=bearer)
    assert answer.status_code == 401
    body = {"model": "demo/echo", "messages": [{"role": "user", "content": "Hi"}]}
    answer = app.test_client().post("/v1/chat/completions", json=body, headers=bearer)
    assert answer.status_code == 401
    assert ask(app, bob, "demo/echo") is not None, "his own account is his"
    page = here.get("/account/team")
    assert "Keys that people left behind" in page.text and made.key.hint in page.text
    assert "Left behind by its maker" in here.get("/account/keys").text
    assert "Left behind by its maker" in here.get(f"/account/keys/{made.key.public_id}").text
    here.post(f"/account/keys/{made.key.public_id}/enable")
    assert app.test_client().get("/v1/key", headers=bearer).status_code == 200
    assert "Keys that people left behind" not in here.get("/account/team").text


def test_a_management_key_is_refused_from_its_makers_next_role_on(
    app: Flask, here: Browser, alice: Person, bob: Person
) -> None:
    joined(app, here, bob, "owner")
    with app.app_context():
        rules = Rules(scopes=(MANAGE,))
        made = keys.create(alice.account_id, user_id=bob.user_id, name="Robot", rules=rules)
    bearer = {"Authorization": f"Bearer {made.text}"}
    assert app.test_client().get("/v1/keys", headers=bearer).status_code == 200
    assert "A new role stops the keys that it may not have" in here.get("/account/team").text
    path = f"/account/team/{id_of(app, bob)}/role"
    page = here.post(path, {"role": "developer"}, status=200, headers=HTMX)
    assert "from now on. Keys of theirs that are stopped: 1." in page.text
    assert "Keys that people left behind" in page.text and made.key.hint in page.text
    client = app.test_client()
    assert client.get("/v1/keys", headers=bearer).status_code == 401
    assert client.post(f"/v1/keys/{made.key.public_id}/rotate", headers=bearer).status_code == 401
    audit = here.get("/account/audit").text
    assert "Changed a member’s role" in audit and "Keys disabled" in audit


def test_a_removed_member_is_out_of_every_page(app: Flask, here: Browser, bob: Person) -> None:
    browser = joined(app, here, bob)
    here.post(f"/account/team/{id_of(app, bob)}/remove")
    page = browser.get("/account")
    assert "$5.00" not in page.text and "bob@example.com" in page.text, "still signed in"
    assert "alice" not in browser.get("/account/team").text


def test_leaving_asks_first(app: Flask, here: Browser, bob: Person) -> None:
    browser = joined(app, here, bob)
    assert "Leave “alice”?" in browser.get("/account/team/leave").text
    assert browser.post("/account/team/leave").location == "/account"
    assert "You have left “alice”" in browser.get("/account").text
    assert BOB not in here.get("/account/team").text
    audit = here.get("/account/audit").text
    assert "Left the account" in audit and "Joined the account" in audit
    assert "Somebody who left" in audit, "and no operator did it"


def test_managing_asks_who_is_there(app: Flask, here: Browser, alice: Person, bob: Person) -> None:
    browser = joined(app, here, bob)
    let_time_pass(app)
    for path, form in (
        ("invitations", {"email": "x@example.com", "role": "owner"}),
        (f"{id_of(app, bob)}/role", {"role": "owner"}),
        (f"{id_of(app, bob)}/remove", {}),
    ):
        answer = here.client.post(f"/account/team/{path}", data=form)
        assert answer.status_code == 403 and "Confirm it is you" in answer.text, path
    with app.app_context():
        team = members.team_of(alice.account_id)
    assert [member.role for member in team.members] == ["owner", "developer"] and not team.pending
    browser.post("/account/team/leave")


def test_an_address_that_was_changed_meanwhile_joins_nothing(
    app: Flask, here: Browser, visitor: FlaskClient
) -> None:
    """Whoever takes a freed address must prove it before the invitation is theirs."""
    path = invite(here, "dora@example.com")
    answer = visitor.post("/signup", data={"email": "dora@example.com", "password": PASSWORD})
    assert answer.status_code == 303
    assert visitor.post(path).status_code == 422
    assert "alice" not in visitor.get(path).text
