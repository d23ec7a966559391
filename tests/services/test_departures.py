"""Deleting a user: nothing of the person stays, nothing of the books goes."""

import pytest
from flask import Flask
from sqlalchemy import insert, select

from solrouter import clock, database
from solrouter.errors import KeyRevoked, Refused
from solrouter.models import Account, Identity, Membership, Session, Transfer, User
from solrouter.money import parse_usd
from solrouter.services import (
    accounts,
    admission,
    billing,
    buyers,
    departures,
    identities,
    keys,
    sessions,
    sign_ins,
)
from solrouter.services.buyers import Buyer
from solrouter.services.identities import ProvenIdentity
from tests.authenticator import set_up
from tests.factories import PASSWORD, Person, fund, make_offer, make_person
from tests.services.test_admission import ask, ending

FIVE = parse_usd("5")
ADA = ProvenIdentity("github", "7", "ada", "Ada", "ada@example.com")


@pytest.fixture
def ada(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "ada@example.com", credit="5")


def join(user_id: int, account_id: int, role: str) -> None:
    row = insert(Membership).values(
        user_id=user_id, account_id=account_id, role=role, created_at=clock.utcnow()
    )
    database.transact(lambda connection: connection.execute(row).rowcount)


def test_the_person_is_gone_and_the_books_stay(ada: Person) -> None:
    identities.link(ada.user_id, ADA)
    set_up(ada.user_id)
    sessions.open_session(ada.user_id, user_agent="", network="", idle_s=900, total_s=900)
    buyers.put(ada.account_id, Buyer("Ada & Co.\n1 High Street", "GB 1"), actor="test")
    departures.delete_user(ada.user_id, forfeit_nanos=FIVE)
    assert buyers.of_account(ada.account_id) == Buyer()
    with database.read() as connection:
        (user,) = connection.execute(select(User.__table__)).all()
        assert connection.execute(select(Session.id)).first() is None
        assert connection.execute(select(Identity.id)).first() is None
        kinds = connection.execute(select(Transfer.kind).order_by(Transfer.id)).scalars().all()
        (account,) = connection.execute(select(Account.__table__)).all()
    assert (user.name, user.password_hash, user.email_verified_at) == ("", None, None)
    assert user.email.endswith("@deleted.invalid") and user.disabled_at and user.deleted_at
    assert kinds == ["grant", "forfeit"]
    assert account.frozen_at is not None and account.name == departures.NAMELESS
    assert billing.balance(ada.account_id).posted_nanos == 0
    with pytest.raises(KeyRevoked):
        keys.authenticate(ada.key_text)
    with pytest.raises(Refused):
        sign_ins.sign_in(ada.email, PASSWORD, "198.51.100.1")


def test_the_address_is_free_again(ada: Person) -> None:
    departures.delete_user(ada.user_id, forfeit_nanos=FIVE)
    again = accounts.sign_up("ada@example.com", "another horse entirely")
    assert again.id != ada.user_id
    row = accounts.find_user("ada@example.com")
    assert row is not None and row.posted_nanos == 0


@pytest.mark.parametrize("agreed", [0, FIVE - 1, FIVE + 1])
def test_only_what_was_agreed_to_is_given_up(ada: Person, agreed: int) -> None:
    with pytest.raises(Refused):
        departures.delete_user(ada.user_id, forfeit_nanos=agreed)
    assert billing.balance(ada.account_id).posted_nanos == FIVE
    assert keys.authenticate(ada.key_text)


def test_credit_that_comes_meanwhile_is_not_taken_along(ada: Person) -> None:
    fund(ada.account_id, "1")
    with pytest.raises(Refused):
        departures.delete_user(ada.user_id, forfeit_nanos=FIVE)
    assert accounts.find_user("ada@example.com") is not None


def test_running_requests_are_waited_for(context_on_both: Flask, ada: Person) -> None:
    """What they hold is not given up: it is about to be charged, or to come back."""
    make_offer(context_on_both, "http://127.0.0.1:9/v1")
    admission.beat("test-worker")
    admitted = admission.admit(ask(ada))
    with pytest.raises(Refused, match="running"):
        departures.delete_user(ada.user_id, forfeit_nanos=FIVE)
    admission.settle(admitted, ending(admitted, 1_000))
    departures.delete_user(ada.user_id, forfeit_nanos=FIVE - 1_000)


def test_an_account_with_members_needs_another_owner(context_on_both: Flask, ada: Person) -> None:
    bob = make_person(context_on_both, "bob@example.com")
    join(bob.user_id, ada.account_id, "developer")
    with pytest.raises(Refused, match="owner"):
        departures.delete_user(ada.user_id, forfeit_nanos=0)
    assert accounts.find_user("ada@example.com") is not None


def test_an_owner_who_is_shut_out_keeps_no_account(context_on_both: Flask, ada: Person) -> None:
    """As nobody may leave so: the money would stay where nobody can enter."""
    bob = make_person(context_on_both, "bob@example.com")
    join(bob.user_id, ada.account_id, "owner")
    accounts.set_disabled(bob.user_id, True)
    with pytest.raises(Refused, match="no other owner of it can sign in"):
        departures.delete_user(ada.user_id, forfeit_nanos=0)
    assert accounts.find_user("ada@example.com") is not None
    accounts.set_disabled(bob.user_id, False)
    departures.delete_user(ada.user_id, forfeit_nanos=0)
    assert billing.balance(ada.account_id).posted_nanos == FIVE


def test_keys_in_others_accounts_stop_and_stay_in_sight(
    context_on_both: Flask, ada: Person
) -> None:
    bob = make_person(context_on_both, "bob@example.com", credit="2")
    join(bob.user_id, ada.account_id, "developer")
    made = keys.create(ada.account_id, user_id=bob.user_id, name="Bob’s")
    assert [c.account_id for c in departures.closings(bob.user_id)] == [bob.account_id]
    departures.delete_user(bob.user_id, forfeit_nanos=parse_usd("2"))
    assert keys.find(ada.account_id, made.key.public_id).status == "disabled"
    assert billing.balance(ada.account_id).posted_nanos == FIVE
    assert keys.authenticate(ada.key_text)
