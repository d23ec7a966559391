"""Users and accounts: who may be one, who gets in, and who may not take over whom."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from argon2 import PasswordHasher
from flask import Flask
from sqlalchemy import func, select, update

from solrouter import clock, database, models
from solrouter.errors import AddressKnown, NotFound, RateLimited, Refused
from solrouter.services import accounts, identities, passwords, sessions, sign_ins, throttles
from solrouter.services.identities import ProvenIdentity

EMAIL = "ada@example.com"
PASSWORD = "engine of analysis"
HOME, ELSEWHERE = "198.51.100.7", "203.0.113.9"
LIFETIMES: dict[str, Any] = {"idle_s": 600, "total_s": 3600}


@pytest.fixture(autouse=True)
def in_app(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


def github(subject: str = "7", email: str = EMAIL, login: str = "ada") -> ProvenIdentity:
    return ProvenIdentity("github", subject, login, "Ada", email)


def rows_of(table: type[Any]) -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(table)).scalar_one()


def stored_hash() -> str | None:
    with database.read() as connection:
        return connection.execute(select(models.User.password_hash)).scalar_one()


def store_hash(text: str) -> None:
    statement = update(models.User).values(password_hash=text)
    database.transact(lambda connection: connection.execute(statement).rowcount)


# Signing up.


def test_sign_up_makes_a_user_who_owns_an_account() -> None:
    user = accounts.sign_up("  Ada@Example.COM ", PASSWORD, plan="unlimited")
    row = accounts.find_user(EMAIL)
    assert user.email == EMAIL and user.has_password
    assert not user.is_verified and not user.is_operator
    assert row is not None and row.public_id == user.public_id
    account = accounts.account_of(row.account_id)
    assert (account.name, account.plan_slug) == ("ada", "unlimited")
    with database.read() as connection:
        role = connection.execute(select(models.Membership.role)).scalar_one()
    assert role == "owner"


def test_public_ids_tell_nothing_and_differ() -> None:
    one, other = (accounts.sign_up(f"p{i}@example.com", PASSWORD) for i in range(2))
    assert one.public_id.startswith("user_") and len(one.public_id) == len("user_") + 24
    assert one.public_id != other.public_id


@pytest.mark.parametrize(
    "email",
    [
        "",
        "ada",
        "ada@",
        "@example.com",
        "ada@localhost",
        "ada@exa mple.com",
        "ada@example..com",
        "ada@-example.com",
        "a da@example.com",
        "ada@example.com\nbcc: b@example.com",
        "ada@example.com, b@example.com",
        "Ada <ada@example.com>",
        "ädä@example.com",
        "a" * 65 + "@example.com",
        "ada@" + "a" * 60 + "." + "b" * 60 + "." + "c" * 60 + "." + "d" * 60 + "." + "e" * 20,
    ],
)
def test_an_invalid_address_is_refused(email: str) -> None:
    with pytest.raises(Refused) as caught:
        accounts.sign_up(email, PASSWORD)
    assert caught.value.param == "email"
    assert rows_of(models.User) == 0


def test_a_taken_address_is_refused_in_any_case() -> None:
    accounts.sign_up(EMAIL, PASSWORD)
    with pytest.raises(Refused, match="already") as caught:
        accounts.sign_up(EMAIL.upper(), PASSWORD)
    assert caught.value.param == "email"
    assert rows_of(models.Account) == 1


@pytest.mark.parametrize(
    "password",
    [
        "",
        "short77",
        "x" * 257,
        "password",
        "Password2026!",
        "solrouter2026",
        "Pass word 123",
        "QWERTYuiop",
        "12345678",
        "abcdefgh",
        "aaaaaaaaaa",
        "abababab",
        "ada.lovelace",
        "!x7 ada.lovelace",
        "ada.lovelace12345678",
        "trustno1",
        "dragon1234",
        "Michael1",
        "Baseball99!",
        "sunshine12",
        "qwerty12qwerty12",
    ],
)
def test_a_weak_password_is_refused(password: str) -> None:
    with pytest.raises(Refused) as caught:
        accounts.sign_up("Ada.Lovelace@example.com", password)
    assert caught.value.param == "password"
    assert rows_of(models.User) == 0


@pytest.mark.parametrize(
    "password", ["eight ch", "some rare words " * 16, "пароль из слов", "🔑🗝️🔒🔓🔏🔐🚪🏠"]
)
def test_a_good_password_of_any_characters_is_taken(password: str) -> None:
    accounts.sign_up(EMAIL, password)
    assert sign_ins.sign_in(EMAIL, password, HOME).user.email == EMAIL


def test_one_letter_composed_in_two_ways_is_one_password() -> None:
    accounts.sign_up(EMAIL, "café au lait")
    assert sign_ins.sign_in(EMAIL, "cafe\u0301 au lait", HOME).user.email == EMAIL


def test_a_short_local_part_may_be_in_the_password() -> None:
    assert accounts.sign_up("a@example.com", "a banana a day").email == "a@example.com"


@pytest.mark.parametrize(
    ("email", "password"),
    [("nora@example.com", "nora plants nine trees"), ("amy@example.com", "creamy soup in july")],
)
def test_a_local_part_may_be_in_a_password_that_is_good_without_it(
    email: str, password: str
) -> None:
    assert accounts.sign_up(email, password).email == email


def test_an_unknown_plan_leaves_nothing_behind() -> None:
    with pytest.raises(Refused, match="unlimited") as caught:
        accounts.sign_up(EMAIL, PASSWORD, plan="golden")
    assert caught.value.param == "plan"
    assert rows_of(models.User) == rows_of(models.Account) == 0


def test_of_many_at_once_with_one_address_one_becomes_a_user(app: Flask) -> None:
    outcomes: list[str] = []
    start = threading.Barrier(6)

    def sign_up() -> None:
        start.wait()
        with app.app_context():
            try:
                outcomes.append(accounts.sign_up(EMAIL, PASSWORD).email)
            except Refused as refusal:
                outcomes.append(refusal.param or "")

    threads = [threading.Thread(target=sign_up) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == [EMAIL] + ["email"] * 5
    assert rows_of(models.User) == rows_of(models.Account) == rows_of(models.Membership) == 1


def test_sign_ups_from_one_network_are_throttled() -> None:
    for _ in range(throttles.SIGN_UPS_AT_ONCE_MAX):
        throttles.take_all((throttles.sign_ups_from(HOME),))
    with pytest.raises(RateLimited):
        accounts.sign_up(EMAIL, PASSWORD, network=HOME)
    assert accounts.sign_up(EMAIL, PASSWORD, network=ELSEWHERE).email == EMAIL


# The operator's word.


def test_ensure_user_makes_one_once() -> None:
    user, created = accounts.ensure_user(EMAIL, PASSWORD, operator=True, plan="unlimited")
    again, created_again = accounts.ensure_user(EMAIL)
    assert created and not created_again
    assert user == again
    assert user.is_verified and user.is_operator and user.has_password


def test_ensure_user_brings_in_line_what_is_given() -> None:
    accounts.sign_up(EMAIL, PASSWORD)
    user, _ = accounts.ensure_user(EMAIL, "another password", operator=True, plan="unlimited")
    row = accounts.find_user(EMAIL)
    assert user.is_verified and user.is_operator
    assert row is not None and row.plan_slug == "unlimited"
    assert sign_ins.sign_in(EMAIL, "another password", HOME).user.id == user.id


def test_a_changed_password_ends_every_session_and_the_same_one_none() -> None:
    user = accounts.sign_up(EMAIL, PASSWORD)
    token = sessions.open_session(user.id, user_agent="", network=HOME, **LIFETIMES)
    accounts.ensure_user(EMAIL, PASSWORD)
    assert sessions.load_session(token, **LIFETIMES)
    accounts.ensure_user(EMAIL, "another password")
    assert sessions.load_session(token, **LIFETIMES) is None


def test_ensure_user_refuses_an_unknown_plan_and_changes_nothing() -> None:
    accounts.sign_up(EMAIL, PASSWORD)
    with pytest.raises(Refused):
        accounts.ensure_user(EMAIL, operator=True, plan="golden")
    row = accounts.find_user(EMAIL)
    assert row is not None and not row.is_operator


def test_the_operators_password_is_judged_by_its_length_alone() -> None:
    accounts.ensure_user(EMAIL, "password")
    with pytest.raises(Refused):
        accounts.ensure_user("b@example.com", "short")


# Signing in with a password.


def refusal_of(email: str, password: str) -> str:
    with pytest.raises(Refused) as caught:
        sign_ins.sign_in(email, password, HOME)
    assert caught.value.param is None
    return caught.value.message


def test_sign_in_knows_the_password() -> None:
    user = accounts.sign_up(EMAIL, PASSWORD)
    assert sign_ins.sign_in(f" {EMAIL.upper()}", PASSWORD, HOME).user == user


def test_every_failure_sounds_the_same() -> None:
    disabled = accounts.sign_up("off@example.com", PASSWORD)
    accounts.set_disabled(disabled.id, True)
    accounts.sign_up(EMAIL, PASSWORD)
    accounts.ensure_user("passwordless@example.com")
    attempts = [
        ("nobody@example.com", PASSWORD),
        (EMAIL, "engine of analysis!"),
        (EMAIL, ""),
        ("passwordless@example.com", ""),
        ("passwordless@example.com", PASSWORD),
        ("off@example.com", PASSWORD),
        ("\udcff", PASSWORD),
    ]
    assert {refusal_of(*attempt) for attempt in attempts} == {sign_ins.WRONG}


def test_nothing_stored_lets_nobody_in() -> None:
    assert not passwords.verify(None, PASSWORD)
    assert not passwords.verify(None, "")


def test_an_unknown_address_takes_as_long_as_a_wrong_password() -> None:
    accounts.sign_up(EMAIL, PASSWORD)

    def fastest_s(email: str) -> float:
        taken = []
        for _ in range(4):
            began_s = clock.monotonic_s()
            refusal_of(email, "not this one")
            taken.append(clock.monotonic_s() - began_s)
        return min(taken)

    assert fastest_s("nobody@example.com") > fastest_s(EMAIL) / 2


def test_the_hash_is_argon2id_at_the_documented_price() -> None:
    accounts.sign_up(EMAIL, PASSWORD)
    assert (stored_hash() or "").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_the_price_of_a_hash_is_a_setting_and_is_raised_at_sign_in(
    make_app: Callable[..., Flask],
) -> None:
    cheap = {"SOLROUTER_ARGON2_MEMORY_KIB": "8192", "SOLROUTER_ARGON2_PASSES": "1"}
    with make_app(**cheap).app_context():
        accounts.sign_up(EMAIL, PASSWORD)
        assert (stored_hash() or "").startswith("$argon2id$v=19$m=8192,t=1,p=1$")
        sign_ins.sign_in(EMAIL, PASSWORD, HOME)
    assert (stored_hash() or "").startswith("$argon2id$v=19$m=8192,t=1,p=1$")
    sign_ins.sign_in(EMAIL, PASSWORD, HOME)
    assert (stored_hash() or "").startswith("$argon2id$v=19$m=19456,t=2,p=1$")


def test_a_weaker_hash_is_replaced_at_sign_in() -> None:
    accounts.sign_up(EMAIL, PASSWORD)
    store_hash(PasswordHasher(time_cost=1, memory_cost=8192, parallelism=1).hash(PASSWORD))
    sign_ins.sign_in(EMAIL, PASSWORD, HOME)
    assert not passwords.is_outdated(stored_hash() or "")
    sign_ins.sign_in(EMAIL, PASSWORD, HOME)


@pytest.mark.parametrize("stored", ["", "x", "$argon2id$v=19$m=19456,t=2,p=1$broken"])
def test_a_broken_hash_lets_nobody_in(stored: str) -> None:
    accounts.sign_up(EMAIL, PASSWORD)
    store_hash(stored)
    assert refusal_of(EMAIL, PASSWORD) == sign_ins.WRONG


def test_a_guesser_is_stopped_and_locks_nobody_out() -> None:
    user = accounts.sign_up(EMAIL, PASSWORD)
    for _ in range(10):
        refusal_of(EMAIL, "a guess")
    with pytest.raises(RateLimited) as caught:
        sign_ins.sign_in(EMAIL, PASSWORD, HOME)
    assert 0 < caught.value.retry_after_s <= 30
    assert sign_ins.sign_in(EMAIL, PASSWORD, ELSEWHERE).user == user


def test_successes_are_not_counted() -> None:
    accounts.sign_up(EMAIL, PASSWORD)
    for _ in range(12):
        sign_ins.sign_in(EMAIL, PASSWORD, HOME)


def test_guesses_from_everywhere_do_not_lock_out_a_browser_at_home() -> None:
    user = accounts.sign_up(EMAIL, PASSWORD)
    sessions.open_session(user.id, user_agent="", network=HOME, **LIFETIMES)
    *_, everyones = sign_ins.allowances(EMAIL, ELSEWHERE, is_familiar=False)
    for _ in range(everyones.burst):
        throttles.take_all((everyones,))
    with pytest.raises(RateLimited):
        sign_ins.sign_in(EMAIL, PASSWORD, ELSEWHERE)
    assert sign_ins.sign_in(EMAIL, PASSWORD, HOME).user == user


# Signing in with somebody else's proof.


def test_a_new_person_becomes_a_verified_user_with_an_account() -> None:
    user = identities.sign_in_with(github(), plan="unlimited")
    row = accounts.find_user(EMAIL)
    assert user.is_verified and not user.has_password and user.name == "Ada"
    assert row is not None and row.plan_slug == "unlimited"


def test_the_lasting_id_decides_and_not_login_or_address() -> None:
    user = identities.sign_in_with(github())
    assert identities.sign_in_with(github(email="new@example.com", login="countess")) == user
    stranger = identities.sign_in_with(github(subject="8", email="new@example.com", login="ada"))
    assert stranger.id != user.id


@pytest.mark.parametrize("verified", [True, False])
def test_a_proof_joins_no_user_by_the_address_alone(verified: bool) -> None:
    """Linking needs a session or the password, whoever has proven the address."""
    accounts.sign_up(EMAIL, PASSWORD, verified=verified)
    with pytest.raises(AddressKnown) as caught:
        identities.sign_in_with(github(email="Ada@Example.com"))
    assert caught.value.is_verified is verified and caught.value.has_password
    assert rows_of(models.Identity) == 0
    assert rows_of(models.User) == 1


@pytest.mark.parametrize("email", ["", "not an address"])
def test_a_proof_without_a_verified_address_makes_no_user(email: str) -> None:
    with pytest.raises(Refused, match="verified primary"):
        identities.sign_in_with(github(email=email))
    assert rows_of(models.User) == 0


def test_a_known_identity_needs_no_address() -> None:
    user = identities.sign_in_with(github())
    assert identities.sign_in_with(github(email="")) == user


def test_a_closed_door_lets_in_those_who_live_here() -> None:
    user = identities.sign_in_with(github())
    assert identities.sign_in_with(github(), signup="closed") == user
    with pytest.raises(Refused, match="closed"):
        identities.sign_in_with(github("8", "other@example.com"), signup="closed")


def test_a_disabled_user_stays_out_by_every_door() -> None:
    known = identities.sign_in_with(github())
    accounts.set_disabled(known.id, True)
    with pytest.raises(Refused, match="disabled"):
        identities.sign_in_with(github())
    with pytest.raises(Refused):
        identities.sign_in_with(github(subject="8"))
    accounts.set_disabled(known.id, False)
    assert identities.sign_in_with(github()).id == known.id


def test_a_signed_in_user_can_connect_an_identity_and_is_thereby_verified() -> None:
    user = accounts.sign_up(EMAIL, PASSWORD)
    for _ in range(2):
        identities.link(user.id, github())
    assert accounts.get_user(user.id).is_verified
    assert identities.sign_in_with(github()).id == user.id


def test_another_address_connects_and_verifies_nothing() -> None:
    user = accounts.sign_up(EMAIL, PASSWORD)
    identities.link(user.id, github(email="other@example.com"))
    assert not accounts.get_user(user.id).is_verified


def test_an_identity_belongs_to_one_user() -> None:
    identities.sign_in_with(github())
    other = accounts.sign_up("other@example.com", PASSWORD)
    with pytest.raises(Refused, match="another user"):
        identities.link(other.id, github())


# What operators see and change.


def test_users_are_listed_newest_first_in_pages() -> None:
    emails = [f"p{i}@example.com" for i in range(5)]
    for email in emails:
        accounts.ensure_user(email)
    first = accounts.list_users(limit=3)
    rest = accounts.list_users(limit=3, before=first[-1].public_id)
    assert [row.email for row in first + rest] == emails[::-1]


@pytest.mark.parametrize("query", ["ADA@", "example.org", "  lovelace "])
def test_users_are_found_by_address_and_name(query: str) -> None:
    identities.sign_in_with(ProvenIdentity("github", "1", "a", "Ada Lovelace", "ada@example.org"))
    accounts.ensure_user("percent_sign@example.com")
    assert [row.email for row in accounts.list_users(query)] == ["ada@example.org"]


def test_users_are_found_by_public_ids_and_a_wildcard_is_a_character() -> None:
    accounts.ensure_user(EMAIL)
    row = accounts.find_user(EMAIL)
    assert row is not None
    for query in (row.public_id, row.account_public_id):
        assert accounts.list_users(query) == [row]
    assert accounts.list_users("%") == accounts.list_users("_") == []


def test_an_account_is_found_by_its_public_id() -> None:
    accounts.ensure_user(EMAIL)
    row = accounts.find_user(EMAIL)
    assert row is not None
    assert accounts.find_account(row.account_public_id) == accounts.account_of(row.account_id)
    assert accounts.find_account("acct_nothing") is None
    assert accounts.find_user("nobody@example.com") is None
    assert (row.posted_nanos, row.held_nanos, row.disabled) == (0, 0, False)


def test_the_operator_confirms_promotes_and_plans() -> None:
    user = accounts.sign_up(EMAIL, PASSWORD)
    row = accounts.find_user(EMAIL)
    assert row is not None
    accounts.confirm_email(user.id, actor="operator:test")
    accounts.set_operator(user.id, True)
    accounts.set_plan(row.account_id, "unlimited")
    changed = accounts.find_user(EMAIL)
    assert changed is not None
    assert changed.is_verified and changed.is_operator and changed.plan_slug == "unlimited"


@pytest.mark.parametrize("text", ["\0", "\udcff", "a\0b@example.com"])
def test_what_no_database_can_hold_is_found_nowhere(text: str) -> None:
    accounts.ensure_user(EMAIL)
    assert accounts.list_users(text) == accounts.list_users(before=text) == []
    assert accounts.find_user(text) is None
    assert accounts.find_account(text) is None


def test_a_name_keeps_what_can_be_printed() -> None:
    profile = ProvenIdentity("github", "1", "a\0da", "Ada\0\n\u202e Lovelace\udcff" * 30, EMAIL)
    user = identities.sign_in_with(profile)
    assert user.name.startswith("Ada Lovelace") and len(user.name) == 200


def test_what_is_not_there_is_not_found() -> None:
    with pytest.raises(NotFound):
        accounts.get_user(99)
    with pytest.raises(NotFound):
        accounts.account_of(99)
    with pytest.raises(NotFound):
        accounts.confirm_email(99, actor="operator:test")
    with pytest.raises(NotFound):
        accounts.set_plan(99, "unlimited")
