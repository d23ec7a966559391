"""A password that changes while somebody signs in with the old one: no session slips in behind."""

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from flask import Flask
from sqlalchemy import func, select

from solrouter import database
from solrouter.errors import Refused
from solrouter.models import Session
from solrouter.services import accounts, audit, email_tokens, recovery, sessions, sign_ins

EMAIL, OLD, NEW = "ada@example.com", "correct horse battery", "staple for another horse"
HOME = "198.51.100.7"
PATIENCE_S, NAP_S = 10.0, 0.01


def open_with(step: sign_ins.FirstStep) -> str:
    return sessions.open_session(
        step.user.id, user_agent="", network=HOME, idle_s=900, total_s=900, mark=step.mark
    )


def open_sessions() -> int:
    with database.read() as connection:
        return connection.execute(select(func.count()).select_from(Session)).scalar_one()


def test_a_password_that_was_changed_since_it_was_checked_opens_nothing(
    context_on_both: Flask,
) -> None:
    accounts.sign_up(EMAIL, OLD)
    step = sign_ins.sign_in(EMAIL, OLD, HOME)
    sign_ins.change_password(step.user.id, NEW, keep_session=0)
    with pytest.raises(Refused, match="just been changed"):
        open_with(step)
    assert open_sessions() == 0
    assert open_with(sign_ins.sign_in(EMAIL, NEW, HOME))


def test_a_hash_that_is_renewed_at_the_sign_in_itself_opens_it(context_on_both: Flask) -> None:
    accounts.sign_up(EMAIL, OLD)
    context_on_both.config["SOLROUTER_ARGON2_PASSES"] += 1
    assert open_with(sign_ins.sign_in(EMAIL, OLD, HOME))


def by_its_owner(user_id: int) -> None:
    sign_ins.change_password(user_id, NEW, keep_session=0)


def by_a_mail(user_id: int) -> None:
    accounts.confirm_email(user_id, actor=audit.COMMAND)
    purpose = email_tokens.RESET_PASSWORD
    token, _ = database.transact(
        lambda connection: email_tokens.make(connection, user_id, purpose, EMAIL)
    )
    recovery.reset(token, NEW)


def by_the_operator(user_id: int) -> None:
    accounts.ensure_user(EMAIL, NEW)


def by_shutting_out(user_id: int) -> None:
    accounts.set_disabled(user_id, True)


@pytest.mark.postgresql
@pytest.mark.parametrize(
    "change",
    [by_its_owner, by_a_mail, by_the_operator, by_shutting_out],
    ids=lambda how: how.__name__,
)
def test_no_session_is_opened_while_a_change_ends_all_of_them(
    make_app: Callable[..., Flask], postgresql_url: str, change: Callable[[int], None]
) -> None:
    """A third party holds an open session's row, so that the change is caught in its middle."""
    app = make_app(postgresql_url)
    with app.app_context():
        accounts.sign_up(EMAIL, OLD)
        step = sign_ins.sign_in(EMAIL, OLD, HOME)
        open_with(step)

    def in_app(act: Callable[[], object]) -> object:
        with app.app_context():
            return act()

    with psycopg.connect(postgresql_url) as holder, ThreadPoolExecutor(2) as pool:
        holder.execute("SELECT id FROM sessions FOR UPDATE")
        changing = pool.submit(in_app, lambda: change(step.user.id))
        until(lambda: waiting_in(postgresql_url) == 1)
        opening = pool.submit(in_app, lambda: open_with(step))
        until(lambda: opening.done() or waiting_in(postgresql_url) == 2)
        holder.rollback()
        changing.result()
        with pytest.raises(Refused, match="just been changed"):
            opening.result()
    with app.app_context():
        assert open_sessions() == 0


def until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline, "it has not come about"
        time.sleep(NAP_S)


def waiting_in(url: str) -> int:
    """How many statements of this database wait for a lock."""
    query = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
    )
    with psycopg.connect(url) as connection:
        row = connection.execute(query).fetchone()
    return 0 if row is None else int(row[0])
