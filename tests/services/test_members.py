"""The members of an account: who may come, who may go, and what becomes of their keys."""

import threading
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import select, update

from solrouter import clock, database
from solrouter.errors import Forbidden, KeyRevoked, NotFound, RateLimited, Refused
from solrouter.models import AuditEvent, Membership, Session, TeamInvitation, User
from solrouter.models.columns import db_now
from solrouter.services import (
    accounts,
    departures,
    key_switches,
    keys,
    members,
    people,
    playground,
    sessions,
)
from solrouter.services.key_rules import INFERENCE, MANAGE, Rules
from tests.factories import PASSWORD, Person, make_person

LINK = "/account/team/join/"


@pytest.fixture
def alice(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "alice@example.com", credit="5")


@pytest.fixture
def bob(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "bob@example.com")


@pytest.fixture
def charlie(context_on_both: Flask) -> Person:
    return make_person(context_on_both, "charlie@example.com")


def token_for(owner: Person, email: str, role: str = "developer") -> str:
    """An invitation's token: where no mail is sent the link is shown."""
    sent = members.invite(owner.account_id, email, role, by=owner.user_id)
    assert sent.link is not None
    return sent.link.rpartition(LINK)[2]


def join(owner: Person, guest: Person, role: str = "developer") -> None:
    members.accept(guest.user_id, token_for(owner, guest.email, role))


def roles(account_id: int) -> dict[str, str]:
    return {member.email: member.role for member in members.team_of(account_id).members}


def id_of(person: Person) -> str:
    return accounts.get_user(person.user_id).public_id


def acts(account_id: int) -> list[str]:
    query = select(AuditEvent.action).where(AuditEvent.account_id == account_id)
    with database.read() as connection:
        found = connection.execute(query.order_by(AuditEvent.id)).scalars().all()
    return [act for act in found if act.startswith(("member.", "session.moved"))]


def test_who_is_invited_joins_with_the_role(alice: Person, bob: Person) -> None:
    token = token_for(alice, " Bob@Example.com ", "billing")
    (pending,) = members.team_of(alice.account_id).pending
    assert (pending.email, pending.role, pending.invited_by) == (bob.email, "billing", alice.email)
    assert members.invited(bob.user_id, token).account_id == alice.account_id
    members.accept(bob.user_id, token)
    assert roles(alice.account_id) == {alice.email: "owner", bob.email: "billing"}
    assert members.team_of(alice.account_id).pending == []
    assert acts(alice.account_id) == ["member.invited", "member.joined"]


def test_an_invitation_is_used_once(alice: Person, bob: Person) -> None:
    token = token_for(alice, bob.email)
    members.accept(bob.user_id, token)
    members.leave(alice.account_id, bob.user_id)
    with pytest.raises(Refused, match="used already"):
        members.accept(bob.user_id, token)


def test_only_its_address_can_use_it(alice: Person, bob: Person, charlie: Person) -> None:
    token = token_for(alice, bob.email)
    with pytest.raises(Refused, match="another address"):
        members.accept(charlie.user_id, token)
    members.accept(bob.user_id, token)


def test_an_unproven_address_cannot_use_it(alice: Person) -> None:
    user = accounts.sign_up("dora@example.com", PASSWORD)
    token = token_for(alice, user.email)
    with pytest.raises(Refused, match="Confirm your e-mail address first"):
        members.accept(user.id, token)
    accounts.confirm_email(user.id, actor="test")
    members.accept(user.id, token)


def test_it_ends_when_it_is_taken_back_sent_again_or_too_old(alice: Person, bob: Person) -> None:
    first = token_for(alice, bob.email)
    second = token_for(alice, bob.email)
    (pending,) = members.team_of(alice.account_id).pending
    again = members.resend(alice.account_id, pending.public_id, by=alice.user_id)
    assert again.link is not None
    third = again.link.rpartition(LINK)[2]
    for token in (first, second):
        with pytest.raises(Refused, match="taken back"):
            members.accept(bob.user_id, token)
    (pending,) = members.team_of(alice.account_id).pending
    assert members.revoke(alice.account_id, pending.public_id, by=alice.user_id) == bob.email
    with pytest.raises(Refused, match="taken back"):
        members.accept(bob.user_id, third)
    late = token_for(alice, bob.email)
    old = update(TeamInvitation).values(expires_at=db_now(-1))
    database.transact(lambda connection: connection.execute(old).rowcount)
    with pytest.raises(Refused, match="too old"):
        members.accept(bob.user_id, late)
    assert roles(alice.account_id) == {alice.email: "owner"}


def test_the_text_of_a_token_is_kept_nowhere(alice: Person, bob: Person) -> None:
    token = token_for(alice, bob.email)
    with database.read() as connection:
        (row,) = connection.execute(select(TeamInvitation.__table__)).all()
        events = connection.execute(select(AuditEvent.__table__)).all()
    assert token not in repr(row) and token not in repr(events) and len(row.digest) == 32


def test_members_are_invited_once_and_with_a_known_role(alice: Person, bob: Person) -> None:
    join(alice, bob)
    for email, role, param in (
        (bob.email, "owner", "email"),
        ("no address", "owner", "email"),
        ("new@example.com", "operator", "role"),
    ):
        with pytest.raises(Refused) as refused:
            members.invite(alice.account_id, email, role, by=alice.user_id)
        assert refused.value.param == param


def test_nobody_mails_the_world_through_us(alice: Person) -> None:
    with pytest.raises(RateLimited):
        for number in range(members.INVITATIONS_AT_ONCE_MAX + 1):
            token_for(alice, f"guest{number}@example.com")


@pytest.mark.parametrize("role", ["billing", "developer"])
def test_only_owners_manage(alice: Person, bob: Person, charlie: Person, role: str) -> None:
    """Whatever a page let through: the service looks again, behind the account's lock."""
    join(alice, bob, role)
    token_for(alice, "dora@example.com")
    (pending,) = members.team_of(alice.account_id).pending
    account_id = alice.account_id
    tries: list[Callable[[int], Any]] = [
        lambda by: members.invite(account_id, "x@example.com", "owner", by=by),
        lambda by: members.resend(account_id, pending.public_id, by=by),
        lambda by: members.revoke(account_id, pending.public_id, by=by),
        lambda by: members.change_role(account_id, id_of(bob), "owner", by=by),
        lambda by: members.remove(account_id, id_of(alice), by=by),
    ]
    for act in tries:
        for by in (bob.user_id, charlie.user_id):
            with pytest.raises(Forbidden):
                act(by)
    assert roles(account_id) == {alice.email: "owner", bob.email: role}


def test_an_owner_reaches_into_no_other_account(alice: Person, bob: Person) -> None:
    token_for(alice, "dora@example.com")
    (pending,) = members.team_of(alice.account_id).pending
    for act in (
        lambda: members.revoke(bob.account_id, pending.public_id, by=bob.user_id),
        lambda: members.resend(bob.account_id, pending.public_id, by=bob.user_id),
        lambda: members.change_role(bob.account_id, id_of(alice), "developer", by=bob.user_id),
        lambda: members.remove(bob.account_id, id_of(alice), by=bob.user_id),
        lambda: members.find(bob.account_id, id_of(alice)),
        lambda: members.leave(alice.account_id, bob.user_id),
        lambda: members.remove(bob.account_id, "user_\0", by=bob.user_id),
    ):
        with pytest.raises(NotFound):
            act()


def test_the_last_owner_can_neither_leave_nor_be_demoted(alice: Person, bob: Person) -> None:
    join(alice, bob)
    with pytest.raises(Refused, match="needs an owner"):
        members.leave(alice.account_id, alice.user_id)
    with pytest.raises(Refused, match="needs an owner"):
        members.remove(alice.account_id, id_of(alice), by=alice.user_id)
    with pytest.raises(Refused, match="needs an owner"):
        members.change_role(alice.account_id, id_of(alice), "billing", by=alice.user_id)
    members.change_role(alice.account_id, id_of(bob), "owner", by=alice.user_id)
    members.leave(alice.account_id, alice.user_id)
    assert roles(alice.account_id) == {bob.email: "owner"}


def test_an_owner_who_is_shut_out_is_none(alice: Person, bob: Person) -> None:
    join(alice, bob, "owner")
    accounts.set_disabled(bob.user_id, True)
    with pytest.raises(Refused, match="needs an owner"):
        members.leave(alice.account_id, alice.user_id)


def test_of_two_owners_who_leave_at_once_one_stays(
    context_on_both: Flask, alice: Person, bob: Person
) -> None:
    join(alice, bob, "owner")
    start = threading.Barrier(2)

    def leave(person: Person) -> None:
        with context_on_both.app_context():
            start.wait(timeout=10)
            try:
                members.leave(alice.account_id, person.user_id)
            except Refused as refused:
                refusals.append(refused.message)

    refusals: list[str] = []
    threads = [threading.Thread(target=leave, args=(person,)) for person in (alice, bob)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert refusals == [members.LAST_OWNER]
    assert list(roles(alice.account_id).values()) == ["owner"]


def test_the_keys_of_who_is_removed_are_stopped_and_shown(alice: Person, bob: Person) -> None:
    join(alice, bob)
    made = keys.create(alice.account_id, user_id=bob.user_id, name="Bot", is_owner=False)
    off = keys.create(alice.account_id, user_id=bob.user_id, name="Off", is_owner=False)
    key_switches.set_disabled(alice.account_id, off.key.public_id, True, actor="test")
    dead = keys.create(alice.account_id, user_id=bob.user_id, name="Dead", is_owner=False)
    keys.revoke(alice.account_id, dead.key.public_id)
    assert keys.authenticate(made.text)
    gone = members.remove(alice.account_id, id_of(bob), by=alice.user_id)
    assert (gone.email, gone.live_keys) == (bob.email, 1)
    with pytest.raises(KeyRevoked):
        keys.authenticate(made.text)
    assert keys.authenticate(bob.key_text), "those of their own account go on"
    assert keys.authenticate(alice.key_text)
    left = members.team_of(alice.account_id).left_keys
    assert {key.name: key.maker for key in left} == {"Bot": bob.email, "Off": bob.email}
    listed = {key.name: key for key in keys.list_of(alice.account_id)}
    assert listed["Bot"].status == "disabled" and listed["Bot"].maker_left_at is not None
    assert listed["Dead"].status == "revoked" and listed["First key"].maker_left_at is None
    assert acts(alice.account_id)[-1] == "member.removed"


def test_only_an_owner_lets_them_go_again(alice: Person, bob: Person) -> None:
    """Also when who made them comes back."""
    join(alice, bob)
    made = keys.create(alice.account_id, user_id=bob.user_id, name="Bot", is_owner=False)
    members.leave(alice.account_id, bob.user_id)
    join(alice, bob)
    public_id = made.key.public_id
    with pytest.raises(Refused, match="An owner"):
        key_switches.set_disabled(alice.account_id, public_id, False, actor="t", is_owner=False)
    with pytest.raises(KeyRevoked):
        keys.authenticate(made.text)
    key = key_switches.set_disabled(alice.account_id, public_id, False, actor="t", is_owner=True)
    assert key.status == "active" and key.maker_left_at is None
    assert keys.authenticate(made.text)
    assert members.team_of(alice.account_id).left_keys == []


def test_a_role_stops_the_keys_that_it_may_not_have(alice: Person, bob: Person) -> None:
    join(alice, bob, "owner")
    account_id, made = alice.account_id, {}
    for name, scopes in (("Bot", (INFERENCE,)), ("Manager", (INFERENCE, MANAGE))):
        rules = Rules(scopes=scopes)
        made[name] = keys.create(account_id, user_id=bob.user_id, name=name, rules=rules)
    playground.principal(account_id, bob.user_id, address="")
    moved = members.change_role(account_id, id_of(bob), "developer", by=alice.user_id)
    assert (moved.member.role, moved.keys_stopped) == ("developer", 1)
    with pytest.raises(KeyRevoked, match="disabled"):
        keys.authenticate(made["Manager"].text)
    assert keys.authenticate(made["Bot"].text) and keys.authenticate(alice.key_text)
    assert playground.principal(account_id, bob.user_id, address="")
    (left,) = members.team_of(account_id).left_keys
    assert (left.name, left.maker) == ("Manager", bob.email)
    moved = members.change_role(account_id, id_of(bob), "billing", by=alice.user_id)
    assert moved.keys_stopped == 2
    with pytest.raises(KeyRevoked, match="disabled"):
        keys.authenticate(made["Bot"].text)
    assert keys.authenticate(bob.key_text), "those of their own account go on"
    rows = select(AuditEvent.details).where(AuditEvent.action == "member.role")
    with database.read() as connection:
        told = connection.execute(rows.order_by(AuditEvent.id)).scalars().all()
    assert [each["keys_disabled"] for each in told] == [1, 2]


def test_a_role_that_comes_back_brings_no_key_back(alice: Person, bob: Person) -> None:
    join(alice, bob)
    made = keys.create(alice.account_id, user_id=bob.user_id, name="Bot", is_owner=False)
    members.change_role(alice.account_id, id_of(bob), "billing", by=alice.user_id)
    back = members.change_role(alice.account_id, id_of(bob), "developer", by=alice.user_id)
    assert back.keys_stopped == 0
    public_id = made.key.public_id
    with pytest.raises(Refused, match=r"got another role\. An owner"):
        key_switches.set_disabled(alice.account_id, public_id, False, actor="t", is_owner=False)
    with pytest.raises(KeyRevoked):
        keys.authenticate(made.text)
    key_switches.set_disabled(alice.account_id, public_id, False, actor="t", is_owner=True)
    assert keys.authenticate(made.text)


def test_who_owns_no_longer_makes_no_management_key(alice: Person, bob: Person) -> None:
    """Whatever a page let through: the service looks again, behind the account's lock."""
    join(alice, bob)
    rules = Rules(scopes=(MANAGE,))
    with pytest.raises(Forbidden) as refused:
        keys.create(alice.account_id, user_id=bob.user_id, name="Late", rules=rules)
    assert refused.value.code == "role_required"
    assert [key.name for key in keys.list_of(alice.account_id)] == ["First key"]


def test_who_left_makes_no_key_any_more(alice: Person, bob: Person) -> None:
    join(alice, bob)
    members.leave(alice.account_id, bob.user_id)
    with pytest.raises(Forbidden):
        keys.create(alice.account_id, user_id=bob.user_id, name="Late", is_owner=False)


def test_browsers_of_who_leaves_act_for_their_own_account(alice: Person, bob: Person) -> None:
    join(alice, bob)
    token = sessions.open_session(bob.user_id, user_agent="", network="", idle_s=900, total_s=900)
    before = sessions.load_session(token, idle_s=900, total_s=900)
    assert before is not None
    account = accounts.account_of(alice.account_id)
    members.act_for(before.session_id, bob.user_id, account.public_id)
    acting = sessions.load_session(token, idle_s=900, total_s=900)
    assert acting is not None and (acting.account_id, acting.role) == (
        alice.account_id,
        "developer",
    )
    members.change_role(alice.account_id, id_of(bob), "billing", by=alice.user_id)
    acting = sessions.load_session(token, idle_s=900, total_s=900)
    assert acting is not None and acting.role == "billing"
    members.remove(alice.account_id, id_of(bob), by=alice.user_id)
    after = sessions.load_session(token, idle_s=900, total_s=900)
    assert after is not None and (after.account_id, after.role) == (bob.account_id, "owner")


def test_nobody_moves_where_they_do_not_belong(alice: Person, bob: Person) -> None:
    token = sessions.open_session(bob.user_id, user_agent="", network="", idle_s=900, total_s=900)
    signed_in = sessions.load_session(token, idle_s=900, total_s=900)
    assert signed_in is not None
    for public_id in (accounts.account_of(alice.account_id).public_id, "acct_none", "\0", ""):
        with pytest.raises(NotFound):
            members.act_for(signed_in.session_id, bob.user_id, public_id)
    with database.read() as connection:
        acting_for = connection.execute(select(Session.account_id)).scalars().all()
    assert set(acting_for) == {bob.account_id}


@pytest.mark.parametrize("act", ["leave", "demote"])
def test_who_gives_their_own_account_away_gets_a_new_one(
    alice: Person, bob: Person, act: str
) -> None:
    join(alice, bob, "owner")
    if act == "leave":
        members.leave(alice.account_id, alice.user_id)
    else:
        members.change_role(alice.account_id, id_of(alice), "developer", by=bob.user_id)
    with database.read() as connection:
        own = people.owned_account(connection, alice.user_id)
    assert own not in (alice.account_id, bob.account_id)
    assert roles(own) == {alice.email: "owner"}
    row = accounts.find_user(alice.email)
    assert row is not None and (row.account_id, row.posted_nanos) == (own, 0)


def test_an_owner_of_an_older_account_keeps_their_own(alice: Person, bob: Person) -> None:
    join(alice, bob, "owner")
    with database.read() as connection:
        assert people.owned_account(connection, bob.user_id) == bob.account_id


def test_a_user_of_the_version_before_has_an_own_account(alice: Person) -> None:
    forgotten = update(User).where(User.id == alice.user_id).values(own_account_id=None)
    database.transact(lambda connection: connection.execute(forgotten).rowcount)
    with database.read() as connection:
        assert people.owned_account(connection, alice.user_id) == alice.account_id
    row = accounts.find_user(alice.email)
    assert row is not None and row.account_id == alice.account_id


@pytest.mark.parametrize("act", ["leave", "demote"])
def test_what_they_invited_ends_with_their_ownership(
    alice: Person, bob: Person, charlie: Person, act: str
) -> None:
    join(alice, bob, "owner")
    sent = members.invite(alice.account_id, charlie.email, "owner", by=bob.user_id)
    assert sent.link is not None
    if act == "leave":
        members.leave(alice.account_id, bob.user_id)
    else:
        members.change_role(alice.account_id, id_of(bob), "developer", by=alice.user_id)
    with pytest.raises(Refused, match="taken back"):
        members.accept(charlie.user_id, sent.link.rpartition(LINK)[2])


def test_a_deleted_account_takes_nobody_in(alice: Person, bob: Person) -> None:
    token = token_for(alice, bob.email)
    (closing,) = departures.closings(alice.user_id)
    departures.delete_user(alice.user_id, forfeit_nanos=closing.posted_nanos)
    with pytest.raises(Refused):
        members.accept(bob.user_id, token)


def test_a_deleted_members_keys_are_shown_too(alice: Person, bob: Person) -> None:
    join(alice, bob)
    keys.create(alice.account_id, user_id=bob.user_id, name="Bot", is_owner=False)
    departures.delete_user(bob.user_id, forfeit_nanos=0)
    (left,) = members.team_of(alice.account_id).left_keys
    assert left.name == "Bot" and left.maker.endswith("@deleted.invalid")


def test_a_team_has_an_end(alice: Person) -> None:
    now = clock.utcnow()

    def fill(connection: Any) -> None:
        for number in range(members.MEMBERS_MAX - 1):
            newcomer = people.Newcomer(
                email=f"m{number}@example.com", name="", password_hash=None, is_verified=True,
                is_operator=False, plan=people.DEFAULT_PLAN,
            )  # fmt: skip
            user = people.add(connection, newcomer)
            row = {"user_id": user.id, "account_id": alice.account_id, "role": "developer"}
            connection.execute(Membership.__table__.insert().values(created_at=now, **row))

    database.transact(fill)
    with pytest.raises(Refused, match="at most"):
        members.invite(alice.account_id, "more@example.com", "developer", by=alice.user_id)
    assert members.team_of(alice.account_id).pending == []
