"""The second factor: codes once each, recovery codes once each, guessers slowed, owners not."""

import re
from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import select, update

from solrouter import clock, database
from solrouter.errors import RateLimited, Refused
from solrouter.models import RecoveryCode, SecondFactor
from solrouter.services import accounts, second_factors, sessions, trail
from solrouter.services.people import User
from tests.authenticator import Authenticator, set_up
from tests.factories import PASSWORD

HOME = "198.51.100.1"
NOW = clock.utcnow()


@pytest.fixture
def ada(context_on_both: Flask) -> User:
    return accounts.ensure_user("ada@example.com", PASSWORD)[0]


@pytest.fixture
def phone(ada: User) -> Authenticator:
    return set_up(ada.id, at=NOW - timedelta(hours=1))


def prove(user: User, code: str, *, network: str = HOME, seconds: float = 0) -> None:
    second_factors.prove(user.id, code, network=network, now=NOW + timedelta(seconds=seconds))


def is_taken(user: User, code: str, *, network: str = HOME, seconds: float = 0) -> bool:
    try:
        prove(user, code, network=network, seconds=seconds)
    except Refused:
        return False
    return True


def test_it_is_off_until_the_first_code_proves_that_the_app_works(ada: User) -> None:
    second_factors.begin(ada.id)
    enrolment = second_factors.enrolment(ada.id, name=ada.email)
    assert enrolment is not None and "ada%40example.com" in enrolment.uri
    assert not second_factors.state_of(ada.id).is_on
    app = Authenticator(enrolment.secret)
    with pytest.raises(Refused):
        second_factors.confirm(ada.id, app.wrong_code(), keep_session=0, network=HOME)
    assert not second_factors.state_of(ada.id).is_on
    second_factors.confirm(ada.id, app.code(), keep_session=0, network=HOME)
    assert second_factors.state_of(ada.id).is_on
    assert second_factors.enrolment(ada.id, name=ada.email) is None


def test_a_code_works_once(ada: User, phone: Authenticator) -> None:
    code = phone.code(now=NOW)
    assert is_taken(ada, code)
    assert not is_taken(ada, code)
    assert not is_taken(ada, code, seconds=29)


def test_the_code_that_turned_it_on_is_used_up(ada: User) -> None:
    app = set_up(ada.id, at=NOW)
    assert not is_taken(ada, app.code(now=NOW))


def test_no_code_before_the_last_one_is_taken(ada: User, phone: Authenticator) -> None:
    assert is_taken(ada, phone.code(1, now=NOW))
    assert not is_taken(ada, phone.code(0, now=NOW))


@pytest.mark.parametrize(
    ("steps", "fits"), [(-2, False), (-1, True), (0, True), (1, True), (2, False)]
)
def test_a_clock_may_be_one_step_wrong(
    ada: User, phone: Authenticator, steps: int, fits: bool
) -> None:
    assert is_taken(ada, phone.code(steps, now=NOW)) is fits


def test_a_recovery_code_works_once_however_it_is_typed(ada: User, phone: Authenticator) -> None:
    code = phone.recovery_codes[0]
    assert is_taken(ada, code.upper().replace("-", " "))
    assert not is_taken(ada, code)
    assert second_factors.state_of(ada.id).codes_left == second_factors.CODES - 1


def test_a_recovery_code_is_its_owners_alone(ada: User, phone: Authenticator) -> None:
    bob, _ = accounts.ensure_user("bob@example.com", PASSWORD)
    set_up(bob.id)
    assert not is_taken(bob, phone.recovery_codes[0])


def test_new_recovery_codes_end_the_old_ones(ada: User, phone: Authenticator) -> None:
    new = second_factors.renew_codes(ada.id)
    assert not is_taken(ada, phone.recovery_codes[0])
    assert is_taken(ada, new[0])


def test_neither_secret_nor_codes_can_be_read_in_the_database(
    ada: User, phone: Authenticator
) -> None:
    with database.read() as connection:
        sealed = connection.execute(select(SecondFactor.secret_encrypted)).scalar_one()
        digests = connection.execute(select(RecoveryCode.digest)).scalars().all()
    assert phone.secret.encode() not in bytes(sealed)
    assert {len(digest) for digest in digests} == {32}
    assert all(re.fullmatch(r"([2-9a-z]{6}-){3}[2-9a-z]{6}", code) for code in phone.recovery_codes)


def test_a_secret_copied_to_another_user_is_no_secret(ada: User, phone: Authenticator) -> None:
    """Who can write rows but not read secrets must not move theirs under somebody else's name."""
    bob, _ = accounts.ensure_user("bob@example.com", PASSWORD)
    set_up(bob.id)
    theirs = select(SecondFactor.secret_encrypted).where(SecondFactor.user_id == ada.id)
    swap = update(SecondFactor).where(SecondFactor.user_id == bob.id)
    swap = swap.values(secret_encrypted=theirs.scalar_subquery())
    database.transact(lambda connection: connection.execute(swap).rowcount)
    assert not is_taken(bob, phone.code(now=NOW))


def test_who_guesses_is_stopped_after_a_few(ada: User, phone: Authenticator) -> None:
    for _ in range(5):
        assert not is_taken(ada, phone.wrong_code())
    with pytest.raises(RateLimited):
        prove(ada, phone.code(now=NOW))


def test_a_guesser_does_not_lock_out_the_owner(ada: User, phone: Authenticator) -> None:
    """He has the password and many networks; she is signed in at home, or has her paper codes."""
    sessions.open_session(ada.id, user_agent="", network=HOME, idle_s=900, total_s=900)
    with pytest.raises(RateLimited):
        for number in range(100):
            is_taken(ada, phone.wrong_code(), network=f"203.0.113.{number}")
    assert is_taken(ada, phone.code(now=NOW), network=HOME)
    assert is_taken(ada, phone.recovery_codes[0], network="203.0.113.1")


def test_the_right_code_costs_no_attempt(ada: User, phone: Authenticator) -> None:
    assert is_taken(ada, phone.code(0, now=NOW))
    for step in range(1, 8):
        assert is_taken(ada, phone.code(step, now=NOW), seconds=30 * step)


def test_turning_it_on_ends_the_sessions_that_knew_only_the_password(ada: User) -> None:
    def opened() -> str:
        return sessions.open_session(ada.id, user_agent="", network=HOME, idle_s=900, total_s=900)

    here, elsewhere = opened(), opened()
    present = sessions.load_session(here, idle_s=900, total_s=900)
    assert present is not None and not present.has_second_factor
    set_up(ada.id, keep_session=present.session_id)
    kept = sessions.load_session(here, idle_s=900, total_s=900)
    assert kept is not None and kept.has_second_factor
    assert sessions.load_session(elsewhere, idle_s=900, total_s=900) is None


def test_it_is_set_up_once_and_can_be_turned_off(ada: User, phone: Authenticator) -> None:
    with pytest.raises(Refused):
        second_factors.begin(ada.id)
    assert second_factors.turn_off(ada.id)
    assert not second_factors.turn_off(ada.id)
    assert not second_factors.state_of(ada.id).is_on
    assert not is_taken(ada, phone.recovery_codes[0])


def test_a_set_up_that_was_left_half_done_is_forgotten(ada: User) -> None:
    """Its secret was on a screen; who saw it must not wait for the owner to finish it one day."""
    second_factors.begin(ada.id)
    enrolment = second_factors.enrolment(ada.id, name=ada.email)
    assert enrolment is not None
    long_ago = clock.utcnow() - timedelta(hours=1)
    aged = update(SecondFactor).values(created_at=long_ago)
    database.transact(lambda connection: connection.execute(aged).rowcount)
    assert second_factors.enrolment(ada.id, name=ada.email) is None
    code = Authenticator(enrolment.secret).code()
    with pytest.raises(Refused):
        second_factors.confirm(ada.id, code, keep_session=0, network=HOME)
    assert not second_factors.state_of(ada.id).is_on


def test_each_act_leaves_a_row(ada: User, phone: Authenticator) -> None:
    prove(ada, phone.recovery_codes[0])
    second_factors.renew_codes(ada.id)
    second_factors.turn_off(ada.id, actor="operator:cli")
    row = accounts.find_user(ada.email)
    assert row is not None
    found = trail.of_account(row.account_id, limit=4)
    assert [event.action.partition(".")[2] for event in found] == [
        "off",
        "codes_renewed",
        "recovery_code_used",
        "on",
    ]
    assert found[0].actor == trail.COMMAND
    told = repr(found)
    assert phone.secret not in told and phone.recovery_codes[0] not in told


def test_operators_are_asked_once(ada: User) -> None:
    assert second_factors.ask_once(ada.id)
    assert not second_factors.ask_once(ada.id)
