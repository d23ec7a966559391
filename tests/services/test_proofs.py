"""Addresses, passwords and identities that change hands, on both databases."""

from collections.abc import Iterator

import pytest
from flask import Flask

from solrouter.errors import NotFound, Refused
from solrouter.services import (
    accounts,
    delivery,
    email_tokens,
    emails,
    identities,
    invitations,
    recovery,
    sign_ins,
)
from solrouter.services.identities import ProvenIdentity
from solrouter.smtp_address import SmtpServer
from tests.edge.mailbox import link_of
from tests.fakes.smtp import FakeSmtp

ADA, NEW = "ada@example.com", "countess@example.com"
PASSWORD, NEW_PASSWORD = "engine of analysis", "analytical machinery"
HOME = "198.51.100.7"


@pytest.fixture(autouse=True)
def in_app(context_on_both: Flask, smtp: FakeSmtp) -> Iterator[None]:
    context_on_both.config["SMTP_URL"] = SmtpServer.parse(smtp.url)
    yield


def token(smtp: FakeSmtp, recipient: str) -> str:
    """What the link in the last mail to this address ends with."""
    delivery.deliver_due()
    mails = [mail for mail in smtp.taken if mail.recipients == (recipient,)]
    return link_of(mails[-1]).replace("=", "/").rpartition("/")[2]


def github(subject: str = "7", email: str = ADA) -> ProvenIdentity:
    return ProvenIdentity("github", subject, "ada", "Ada", email)


def test_an_address_is_proven_and_changed(smtp: FakeSmtp) -> None:
    user = accounts.sign_up(ADA, PASSWORD)
    first = token(smtp, ADA)
    assert emails.proven_by(user.id, first, email_tokens.VERIFY_EMAIL) == ADA
    assert emails.verify(user.id, first).is_verified
    emails.ask_change(user.id, NEW, password=PASSWORD)
    assert emails.change(user.id, token(smtp, NEW)).email == NEW
    assert sign_ins.sign_in(NEW, PASSWORD, HOME).user.id == user.id
    delivery.deliver_due()
    assert smtp.taken[-1].recipients == (ADA,), "the old address is told"


def test_a_password_is_reset_once(smtp: FakeSmtp) -> None:
    user = accounts.sign_up(ADA, PASSWORD, verified=True)
    recovery.ask_reset(ADA, HOME)
    secret = token(smtp, ADA)
    recovery.reset(secret, NEW_PASSWORD)
    with pytest.raises(Refused):
        recovery.reset(secret, "some third password")
    assert sign_ins.sign_in(ADA, NEW_PASSWORD, HOME).user.id == user.id


@pytest.mark.parametrize("way", ["mail", "proof", "change"])
def test_an_unproven_address_goes_to_its_owner_with_nothing_else(smtp: FakeSmtp, way: str) -> None:
    squatter = accounts.sign_up(ADA, PASSWORD)
    if way == "mail":
        recovery.ask_reset(ADA, HOME)
        recovery.reset(token(smtp, ADA), NEW_PASSWORD)
    elif way == "proof":
        identities.take_address(github())
    else:
        other = accounts.sign_up(NEW, PASSWORD)
        emails.ask_change(other.id, ADA, password=PASSWORD)
        emails.change(other.id, token(smtp, ADA))
    owner = accounts.find_user(ADA)
    assert owner is not None and owner.is_verified and owner.user_id != squatter.id
    left = accounts.user_row(squatter.public_id)
    assert left.disabled and left.email.endswith("@released.invalid")
    with pytest.raises(Refused):
        sign_ins.sign_in(left.email, PASSWORD, HOME)


def test_the_last_way_in_stays() -> None:
    user = identities.sign_in_with(github())
    with pytest.raises(Refused, match="only way"):
        identities.unlink(user.id, "github")
    identities.link(user.id, ProvenIdentity("google", "g", "ada", "Ada", ADA))
    assert identities.unlink(user.id, "github") == "GitHub"
    assert [row.provider for row in identities.list_of(user.id)] == ["google"]
    with pytest.raises(NotFound):
        identities.unlink(user.id, "github")


def test_an_invitation_is_renewed_and_taken_once(smtp: FakeSmtp) -> None:
    for _ in range(2):
        assert invitations.invite(ADA, actor="operator:test").link is None
    secret = token(smtp, ADA)
    assert accounts.sign_up("", PASSWORD, invitation=secret).is_verified
    with pytest.raises(Refused):
        accounts.sign_up("", PASSWORD, invitation=secret)
