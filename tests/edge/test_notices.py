"""What is done with a person's sign-in or their place in an account is told to their address:
whoever did it may not be who they think.
"""

import re

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update

from solrouter import database
from solrouter.models import User
from solrouter.services import accounts, identities, members, second_factors
from tests.authenticator import Authenticator, set_up_in
from tests.edge.conftest import visitor_of
from tests.edge.mailbox import Mailbox
from tests.factories import Person, make_person
from tests.fakes.smtp import Taken
from tests.house.permissions import GITHUB_OF_ALICE, join

SECRET_LIKE = re.compile(r"\b[A-Z2-7]{32}\b|\b[2-9a-z]{6}(-[2-9a-z]{6}){3}\b|sr_\w+")


@pytest.fixture
def alice(mail_app: Flask) -> Person:
    return make_person(mail_app, "alice@example.com")


@pytest.fixture
def bob(mail_app: Flask) -> Person:
    return make_person(mail_app, "bob@example.com")


@pytest.fixture
def here(mail_app: Flask, alice: Person) -> FlaskClient:
    client = visitor_of(mail_app)
    alice.sign_in(client)
    return client


def subjects(mailbox: Mailbox, person: Person) -> list[str]:
    return [mail.subject for mail in mailbox.read() if mail.recipients == (person.email,)]


def words_of(mail: Taken) -> str:
    assert not SECRET_LIKE.search(mail.text)
    return " ".join(mail.text.split())


def phone_of(app: Flask, person: Person) -> Authenticator:
    with app.app_context():
        enrolment = second_factors.enrolment(person.user_id, name=person.email)
    assert enrolment is not None
    return Authenticator(enrolment.secret)


def test_a_second_factor_on_and_off_and_its_codes_are_told(
    mail_app: Flask, here: FlaskClient, alice: Person, mailbox: Mailbox
) -> None:
    here.post("/account/settings/second-factor")
    phone = phone_of(mail_app, alice)
    assert subjects(mailbox, alice) == [], "nothing has changed yet"
    code = phone.code(-1)
    assert here.post("/account/settings/second-factor/confirm", data={"code": code}).data
    assert "code from an authenticator app" in words_of(mailbox.newest(alice.email))
    here.post("/account/settings/recovery-codes")
    assert "former ones work no more" in words_of(mailbox.newest(alice.email))
    form = {"current": alice.password, "code": phone.code()}
    assert here.post("/account/settings/second-factor/off", data=form).status_code == 303
    assert "by the operator" not in words_of(mailbox.newest(alice.email)).lower()
    assert subjects(mailbox, alice) == [
        "Two-step sign-in is on",
        "You have new recovery codes",
        "Two-step sign-in is off",
    ]


def test_what_was_refused_is_not_told(
    mail_app: Flask, here: FlaskClient, alice: Person, mailbox: Mailbox
) -> None:
    here.post("/account/settings/second-factor")
    wrong = phone_of(mail_app, alice).wrong_code()
    here.post("/account/settings/second-factor/confirm", data={"code": wrong})
    here.post("/account/settings/recovery-codes")
    here.post("/account/settings/second-factor/off", data={"current": "not this one"})
    assert subjects(mailbox, alice) == []


def test_a_used_recovery_code_is_told_with_how_many_are_left(
    mail_app: Flask, alice: Person, mailbox: Mailbox
) -> None:
    phone, client = set_up_in(mail_app, alice.user_id), visitor_of(mail_app)
    alice.sign_in(client)
    answer = client.post("/login/code", data={"code": phone.recovery_codes[0]})
    assert answer.status_code == 303
    assert subjects(mailbox, alice)[-1] == "A recovery code was used"
    assert "Codes left: 9." in words_of(mailbox.newest(alice.email))


def test_the_operators_hand_is_told_as_such(
    mail_app: Flask, alice: Person, mailbox: Mailbox
) -> None:
    set_up_in(mail_app, alice.user_id)
    args = ["users", "drop-second-factor", alice.email]
    assert mail_app.test_cli_runner().invoke(args=args).exit_code == 0
    told = words_of(mailbox.newest(alice.email))
    assert "The operator of the server has turned two-step sign-in off." in told


def test_a_way_to_sign_in_that_is_removed_is_told(
    mail_app: Flask, here: FlaskClient, alice: Person, mailbox: Mailbox
) -> None:
    with mail_app.app_context():
        identities.link(alice.user_id, GITHUB_OF_ALICE)
    assert here.post("/account/settings/sign-in-methods/github/remove").status_code == 303
    assert subjects(mailbox, alice) == [
        "A way to sign in was added",
        "A way to sign in was removed",
    ]


def test_a_new_role_and_a_removal_are_told_to_whom_they_concern(
    mail_app: Flask, here: FlaskClient, alice: Person, bob: Person, mailbox: Mailbox
) -> None:
    join(mail_app, bob, alice.account_id, "developer")
    with mail_app.app_context():
        public_id = accounts.get_user(bob.user_id).public_id
    here.post(f"/account/team/{public_id}/role", data={"role": "developer"})
    assert subjects(mailbox, bob) == [], "it is the one they have"
    here.post(f"/account/team/{public_id}/role", data={"role": "billing"})
    told = words_of(mailbox.newest(bob.email))
    assert (
        "alice@example.com has changed the role of bob@example.com" in told
        and "keeper of its money" in told
    )
    assert mailbox.link(bob.email) == "/account/team"
    here.post(f"/account/team/{public_id}/remove")
    assert "alice@example.com has removed bob@example.com" in words_of(mailbox.newest(bob.email))
    assert mailbox.link(bob.email) == "/account"
    assert subjects(mailbox, alice) == []


def test_who_leaves_by_themselves_knows_it(
    mail_app: Flask, alice: Person, bob: Person, mailbox: Mailbox
) -> None:
    join(mail_app, bob, alice.account_id, "developer")
    with mail_app.app_context():
        members.leave(alice.account_id, bob.user_id)
    assert subjects(mailbox, bob) == []


def test_an_address_that_nobody_has_proven_is_told_nothing(
    mail_app: Flask, alice: Person, mailbox: Mailbox
) -> None:
    unproven = update(User).where(User.id == alice.user_id).values(email_verified_at=None)
    with mail_app.app_context():
        database.transact(lambda connection: connection.execute(unproven).rowcount)
    set_up_in(mail_app, alice.user_id)
    assert subjects(mailbox, alice) == []


def test_a_password_that_is_changed_is_told(
    here: FlaskClient, alice: Person, mailbox: Mailbox
) -> None:
    form = {"current": alice.password, "password": "another horse entirely"}
    assert here.post("/account/settings/password", data=form).status_code == 303
    mail = mailbox.newest(alice.email)
    assert mail.subject == "Your password was changed"
    assert alice.password not in mail.text and "another horse" not in mail.text
