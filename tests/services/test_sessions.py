"""Sessions: a row behind a token, dead the moment the row is."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from flask import Flask
from sqlalchemy import delete, select

from solrouter import clock, database
from solrouter.models import Membership, Session
from solrouter.services import accounts, sessions
from solrouter.services.people import User
from solrouter.services.sessions import SignedIn

IDLE_S, TOTAL_S = 600, 3600


@pytest.fixture(autouse=True)
def in_app(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


@pytest.fixture
def user() -> User:
    return accounts.ensure_user("ada@example.com", operator=True)[0]


def opened(user: User) -> str:
    return sessions.open_session(
        user.id, user_agent="Firefox" * 100, network="198.51.100.7", idle_s=IDLE_S, total_s=TOTAL_S
    )


def loaded(token: str, *, after_s: float = 0) -> SignedIn | None:
    now = clock.utcnow() + timedelta(seconds=after_s)
    return sessions.load_session(token, idle_s=IDLE_S, total_s=TOTAL_S, now=now)


def stored() -> Session:
    with database.read() as connection:
        return connection.execute(select(Session.__table__)).one()  # type: ignore[return-value]


def test_a_token_stands_for_its_user_and_their_account(user: User) -> None:
    row = accounts.find_user(user.email)
    person = loaded(opened(user))
    assert row is not None and person is not None
    assert (person.user_id, person.user_public_id) == (user.id, user.public_id)
    assert (person.account_id, person.account_public_id) == (row.account_id, row.account_public_id)
    assert (person.account_name, person.role) == ("ada", "owner")
    assert person.is_operator and person.is_verified


def test_it_is_what_flask_login_expects(user: User) -> None:
    person = loaded(opened(user))
    assert person is not None
    assert person.is_authenticated and person.is_active and not person.is_anonymous
    assert person.get_id() == user.public_id


def test_tokens_are_long_random_and_stored_as_digests(user: User) -> None:
    one, other = opened(user), opened(user)
    assert one != other and len(one) == 43
    with database.read() as connection:
        rows = connection.execute(select(Session.__table__)).all()
    assert one not in repr(rows) and other not in repr(rows)
    assert {len(row.digest) for row in rows} == {32}
    assert {len(row.user_agent) for row in rows} == {300}


@pytest.mark.parametrize("token", ["", "nonsense", "\udcff", "x" * 10_000])
def test_another_token_stands_for_nobody(user: User, token: str) -> None:
    opened(user)
    assert loaded(token) is None


def test_a_session_ends_after_silence(user: User) -> None:
    token = opened(user)
    assert loaded(token, after_s=IDLE_S - 5)
    assert loaded(opened(user), after_s=IDLE_S + 5) is None


def test_use_keeps_a_session_alive_up_to_its_age(user: User) -> None:
    token = opened(user)
    for after_s in range(500, TOTAL_S, 500):
        assert loaded(token, after_s=after_s)
    assert loaded(token, after_s=TOTAL_S + 5) is None


def test_a_shorter_age_ends_sessions_that_are_open_already(user: User) -> None:
    token = opened(user)
    now = clock.utcnow() + timedelta(seconds=100)
    assert sessions.load_session(token, idle_s=IDLE_S, total_s=50, now=now) is None


def test_use_is_noted_once_a_minute(user: User) -> None:
    token = opened(user)
    first = stored().seen_at
    loaded(token, after_s=30)
    assert stored().seen_at == first
    loaded(token, after_s=90)
    assert stored().seen_at > first
    assert stored().expires_at > datetime.now(UTC) + timedelta(seconds=IDLE_S + 60)


def test_a_closed_session_is_dead(user: User) -> None:
    token = opened(user)
    sessions.close_session(token)
    sessions.close_session(token)
    assert loaded(token) is None


def test_all_others_can_be_closed(user: User) -> None:
    mine, other = opened(user), opened(user)
    bystander = opened(accounts.ensure_user("bob@example.com")[0])
    person = loaded(mine)
    assert person is not None
    assert sessions.close_other_sessions(user.id, keep=person.session_id) == 1
    assert loaded(mine) and loaded(bystander) and loaded(other) is None


def test_a_disabled_user_is_signed_out(user: User) -> None:
    token = opened(user)
    accounts.set_disabled(user.id, True)
    assert loaded(token) is None
    assert loaded(opened(user)) is None
    accounts.set_disabled(user.id, False)
    assert loaded(token) is None


def test_who_left_the_account_is_signed_out_of_it(user: User) -> None:
    token = opened(user)
    database.transact(lambda connection: connection.execute(delete(Membership)).rowcount)
    assert loaded(token) is None
