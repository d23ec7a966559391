"""The shelf: one account's, encrypted, gone after an hour, and never a reason to fail."""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from datetime import timedelta

from flask import Flask
from sqlalchemy import select, update

from solrouter import database
from solrouter.clock import utcnow
from solrouter.models import Keepsake
from solrouter.secrets import Secrets
from solrouter.services import keepsakes
from tests.conftest import SECRET_KEY, close

NAME, OTHER = b"n" * 32, b"o" * 32


def shelf(account_id: int = 1) -> keepsakes.AccountShelf:
    return keepsakes.shelf_of(account_id, nullcontext)


def test_what_is_put_is_found_by_its_owner_alone(context_on_both: Flask) -> None:
    shelf().put(NAME, b'"first"')
    shelf().put(NAME, '"sécond"'.encode())
    assert shelf().find([OTHER, NAME]) == {NAME: '"sécond"'.encode()}
    assert shelf().find([]) == {}
    assert shelf(2).find([NAME]) == {}
    with database.read() as connection:
        [kept] = connection.execute(select(Keepsake.value)).scalars()
    assert b"cond" not in bytes(kept), "nobody reads it in the table"


def test_after_an_hour_it_is_gone(context_on_both: Flask) -> None:
    shelf().put(NAME, b"1")
    shelf().put(OTHER, b"2")
    past = update(Keepsake).where(Keepsake.digest == NAME)
    past = past.values(expires_at=utcnow() - timedelta(seconds=1))
    database.transact(lambda connection: connection.execute(past).rowcount)
    assert shelf().find([NAME, OTHER]) == {OTHER: b"2"}
    assert keepsakes.forget_expired() == 1
    assert keepsakes.forget_expired() == 0


def test_a_retired_secret_and_a_silent_database_are_no_failure(
    make_app: Callable[..., Flask], postgresql_url: str
) -> None:
    app = make_app(postgresql_url)
    with app.app_context():
        mine = shelf()
        mine.put(NAME, b"1")
        assert replace(mine, secrets=Secrets("x" * 40, ())).find([NAME]) == {}
        rotated = Secrets("x" * 40, (SECRET_KEY,))
        assert replace(mine, secrets=rotated).find([NAME]) == {NAME: b"1"}
    close(app)
    nowhere = make_app("postgresql://postgres@127.0.0.1:9/nothing", SOLROUTER_DB_TIMEOUT_S="1")
    with nowhere.app_context():
        shelf().put(NAME, b"1")
        assert shelf().find([NAME]) == {}
