"""Prompts and answers: kept for who asks for it, encrypted, bounded in number and time, and gone
when they are to be.
"""

import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Self

import pytest
from flask import Flask
from sqlalchemy import Connection, delete, select, update

from solrouter import clock, database
from solrouter.chat import ChatRequest, Chunk
from solrouter.errors import Refused
from solrouter.models import Account, KeptContent
from solrouter.services import contents, departures, keys, root_secrets
from solrouter.services.contents import Content, Keeping
from tests.conftest import SECRET_KEY
from tests.factories import Person, fund, make_person

SAID = "the meaning of life"


@pytest.fixture
def ada(context_on_both: Flask) -> Person:
    person = make_person(context_on_both, "ada@example.com")
    contents.keep_for(person.account_id, 30, actor="test")
    return person


@pytest.fixture(autouse=True)
def nothing_waits() -> None:
    contents._waiting.clear()


def begun(person: Person, text: str = SAID) -> Keeping:
    """A request under way."""
    body = {"messages": [{"role": "user", "content": text}]}
    request = ChatRequest("demo/echo", body, True, False, None, 1, 100)
    days = keys.authenticate(person.key_text).content_days
    keeping = contents.keeping(person.account_id, days, request)
    assert keeping is not None
    return keeping


def step(text: str) -> Chunk:
    choice = {"index": 0, "delta": {"content": text}, "finish_reason": None}
    payload = {"object": "chat.completion.chunk", "choices": [choice]}
    return Chunk(payload, has_content=True, output_bytes=len(text.encode()))


def kept(person: Person, text: str = SAID, answer: str = "Forty-two.") -> uuid.UUID:
    """The id of a request that has ended and is written."""
    keeping, identifier = begun(person, text), clock.new_id()
    keeping.take(step(answer))
    keeping.put(identifier, clock.utcnow())
    assert contents.write_waiting() == 1
    return identifier


def found(person: Person, identifier: uuid.UUID) -> Content:
    content = contents.find(person.account_id, identifier)
    assert content is not None
    return content


def ids() -> list[uuid.UUID]:
    with database.read() as connection:
        query = select(KeptContent.completion_id).order_by(KeptContent.completion_id)
        return list(connection.execute(query).scalars())


def make_older(identifier: uuid.UUID, days: int) -> None:
    """As if it had been kept so many days ago."""
    past = timedelta(days=days)
    with database.read() as connection:
        row = connection.execute(
            select(KeptContent.created_at, KeptContent.expires_at).where(
                KeptContent.completion_id == identifier
            )
        ).one()
    values = {"created_at": row.created_at - past, "expires_at": row.expires_at - past}
    of_it = update(KeptContent).where(KeptContent.completion_id == identifier).values(**values)
    database.transact(lambda connection: connection.execute(of_it).rowcount)


def test_who_asks_for_nothing_has_nothing_kept(context_on_both: Flask) -> None:
    bob = make_person(context_on_both, "bob@example.com")
    principal = keys.authenticate(bob.key_text)
    assert principal.content_days is None
    request = ChatRequest("demo/echo", {}, True, False, None, 1, 100)
    assert contents.keeping(bob.account_id, principal.content_days, request) is None
    assert contents.terms_of(bob.account_id) == contents.Terms(None, 30, 0)


def test_what_is_kept_comes_back_and_nobody_reads_it_in_the_table(ada: Person) -> None:
    identifier = kept(ada)
    content = found(ada, identifier)
    assert content.request["messages"] == [{"role": "user", "content": SAID}]
    assert content.request["model"] == "demo/echo"
    assert content.answer is not None
    assert content.answer["choices"][0]["message"]["content"] == "Forty-two."
    days = (content.expires_at - clock.utcnow()) / timedelta(days=1)
    assert 29.9 < days < 30.1
    with database.read() as connection:
        (sealed,) = connection.execute(select(KeptContent.content)).scalars()
    assert b"meaning" not in bytes(sealed) and b"Forty" not in bytes(sealed)


def test_a_content_copied_to_another_request_is_no_content(
    ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = kept(ada), kept(ada, "another")
    with database.read() as connection:
        sealed = connection.execute(
            select(KeptContent.content).where(KeptContent.completion_id == first)
        ).scalar_one()
    of_second = update(KeptContent).where(KeptContent.completion_id == second)
    database.transact(lambda c: c.execute(of_second.values(content=sealed)).rowcount)
    assert contents.find(ada.account_id, second) is None
    assert "another request's" in caplog.text and SAID not in caplog.text


def test_a_long_answer_is_cut_and_says_so(ada: Person) -> None:
    keeping, identifier = begun(ada), clock.new_id()
    piece = "x" * 1000
    for _ in range(contents.ANSWER_BYTES_MAX // 1000 + 5):
        keeping.take(step(piece))
    keeping.put(identifier, clock.utcnow())
    contents.write_waiting()
    content = found(ada, identifier)
    assert content.is_cut and content.answer is not None
    assert content.answer["choices"][0]["message"]["content"].startswith(piece)


def test_a_chunk_that_nobody_understands_costs_nobody_their_answer(
    ada: Person, caplog: pytest.LogCaptureFixture
) -> None:
    keeping, identifier = begun(ada), clock.new_id()
    keeping.take(Chunk({"choices": [{"index": 0, "delta": {"tool_calls": 7}}]}))
    keeping.take(step("more"))
    keeping.put(identifier, clock.utcnow())
    contents.write_waiting()
    content = found(ada, identifier)
    assert content.is_cut and content.answer is None
    assert "could not be collected" in caplog.text


def test_days_are_between_one_and_the_operators(ada: Person) -> None:
    for days in (0, -1, 31):
        with pytest.raises(Refused):
            contents.keep_for(ada.account_id, days, actor="test")
    assert contents.terms_of(ada.account_id).days == 30


def test_fewer_days_hold_for_what_is_there_and_more_do_not(ada: Person) -> None:
    old, new = kept(ada), kept(ada)
    make_older(old, 8)
    contents.keep_for(ada.account_id, 10, actor="test")
    assert contents.forget_expired() == 0
    contents.keep_for(ada.account_id, 7, actor="test")
    assert contents.find(ada.account_id, old) is None, "not even until it is deleted"
    assert contents.forget_expired() == 1 and ids() == [new]
    contents.keep_for(ada.account_id, 30, actor="test")
    assert found(ada, new).expires_at - clock.utcnow() < timedelta(days=7)


def test_what_has_expired_is_deleted_however_much_it_is(ada: Person) -> None:
    expired = [kept(ada) for _ in range(5)]
    stays = kept(ada)
    for identifier in expired:
        make_older(identifier, 31)
    assert contents.forget_expired(at_once=2) == 5 and ids() == [stays]


def test_the_operators_days_end_all_of_it(make_app: Callable[..., Flask], sqlite_url: str) -> None:
    app = make_app()
    with app.app_context():
        person = make_person(app, "ada@example.com")
        contents.keep_for(person.account_id, 30, actor="test")
        kept(person)
    strict = make_app(SOLROUTER_CONTENT_DAYS_MAX="0")
    with strict.app_context():
        days = keys.authenticate(person.key_text).content_days
        request = ChatRequest("demo/echo", {}, True, False, None, 1, 100)
        assert contents.keeping(person.account_id, days, request) is None
        assert not contents.terms_of(person.account_id).is_on
        assert contents.forget_expired() == 1 and ids() == []
        with pytest.raises(Refused):
            contents.keep_for(person.account_id, 1, actor="test")


def test_deleting_says_how_many_and_spares_no_running_request(
    context_on_both: Flask, ada: Person
) -> None:
    charlie = make_person(context_on_both, "charlie@example.com")
    contents.keep_for(charlie.account_id, 30, actor="test")
    theirs = kept(charlie)
    kept(ada), kept(ada)
    running, asked_at = begun(ada), clock.utcnow()
    assert contents.clear(ada.account_id, actor="test") == 2
    running.put(clock.new_id(), asked_at)
    assert contents.write_waiting() == 1
    assert ids() == [theirs]


def test_one_that_asked_within_the_thousandth_of_the_deletion_is_not_written(ada: Person) -> None:
    """SQLite writes the deletion's time rounded down, so that it looks earlier than it was."""
    contents.clear(ada.account_id, actor="test")
    with database.read() as connection:
        cleared_at = connection.execute(select(Account.content_cleared_at)).scalar_one()
    begun(ada).put(clock.new_id(), cleared_at + timedelta(microseconds=900))
    assert contents.write_waiting() == 1 and ids() == []
    after = clock.new_id()
    begun(ada).put(after, cleared_at + timedelta(microseconds=1_100))
    assert contents.write_waiting() == 1 and ids() == [after], "it is still on"


def test_turned_off_nothing_is_written_and_what_is_there_stays_for_its_days(ada: Person) -> None:
    before, running = kept(ada), begun(ada)
    contents.keep_for(ada.account_id, None, actor="test")
    running.put(clock.new_id(), clock.utcnow())
    contents.write_waiting()
    assert ids() == [before] and found(ada, before)
    assert keys.authenticate(ada.key_text).content_days is None


def test_it_goes_with_the_account(ada: Person) -> None:
    running, asked_at = begun(ada), clock.utcnow()
    kept(ada)
    departures.delete_user(ada.user_id, forfeit_nanos=0)
    running.put(clock.new_id(), asked_at)
    contents.write_waiting()
    assert ids() == []


def test_a_rotation_of_the_root_secret_takes_it_along(
    make_app: Callable[..., Flask], database_url: str
) -> None:
    app = make_app(database_url)
    with app.app_context():
        person = make_person(app, "ada@example.com")
        contents.keep_for(person.account_id, 30, actor="test")
        identifier = kept(person)
    newer = {"SECRET_KEY": "another-root-secret-that-is-long-enough"}
    with make_app(database_url, **newer, SECRET_KEY_FALLBACKS=SECRET_KEY).app_context():
        assert root_secrets.rotate(actor="test").rewritten >= 1
    with make_app(database_url, **newer).app_context():
        assert found(person, identifier).request["messages"][0]["content"] == SAID


def test_what_the_database_does_not_take_waits_and_too_much_is_let_go(
    make_app: Callable[..., Flask], caplog: pytest.LogCaptureFixture
) -> None:
    app = make_app()
    with app.app_context():
        person = make_person(app, "ada@example.com")
        contents.keep_for(person.account_id, 30, actor="test")
        keeping, there = begun(person), database.current()
    nowhere = make_app("postgresql://postgres@127.0.0.1:9/nothing", SOLROUTER_DB_TIMEOUT_S="1")
    with nowhere.app_context():
        keeping._database = database.current()
    for _ in range(contents.WAITING_MAX + 1):
        keeping.put(clock.new_id(), clock.utcnow())
    assert "too many wait" in caplog.text and SAID not in caplog.text
    assert contents.write_waiting() == 0
    again = [waiting._replace(database=there) for waiting in contents._waiting]
    contents._waiting.clear()
    contents._waiting.extend(again)
    with app.app_context():
        assert contents.write_waiting() == contents.WAITING_MAX == len(ids())


def test_a_request_whose_account_is_gone_is_let_go(context_on_both: Flask, ada: Person) -> None:
    keeping = begun(ada)
    off = update(Account).where(Account.id == ada.account_id).values(content_days=None)
    database.transact(lambda connection: connection.execute(off).rowcount)
    keeping.put(clock.new_id(), clock.utcnow())
    assert contents.write_waiting() == 1 and ids() == []


def test_pages_come_newest_first(ada: Person) -> None:
    # Sorted: those of one millisecond have no order among them.
    made = sorted(kept(ada, f"question {number}") for number in range(5))
    first = contents.page(ada.account_id, limit=3)
    rest = contents.page(ada.account_id, limit=3, before=first[-1][0])
    assert [identifier for identifier, _ in (*first, *rest)] == made[::-1]
    database.transact(lambda connection: connection.execute(delete(KeptContent)).rowcount)
    assert contents.page(ada.account_id, limit=3) == []


# Two at once, where the database lets them.


@pytest.fixture
def busy(make_app: Callable[..., Flask], postgresql_url: str) -> Iterator[Flask]:
    """Beside it a thread may act, too."""
    app = make_app(postgresql_url)
    with app.app_context():
        yield app


class Meanwhile:
    """A transaction that stays open, in a thread of its own, until it is told to end."""

    def __init__(self, app: Flask, verb: Callable[[Connection], object]) -> None:
        self._app, self._verb = app, verb
        self._has_acted, self._may_end = threading.Event(), threading.Event()
        self._pool = ThreadPoolExecutor(1)

    def __enter__(self) -> Self:
        self._running = self._pool.submit(self._run)
        assert self._has_acted.wait(5)
        return self

    def __exit__(self, *_: object) -> None:
        self.end()
        self._pool.shutdown()

    def end(self, *, after_s: float = 0) -> None:
        """Commits, and waits for that; or soon, while somebody waits for it."""
        if after_s:
            threading.Timer(after_s, self._may_end.set).start()
            return
        self._may_end.set()
        self._running.result(5)

    @property
    def is_open(self) -> bool:
        return not self._running.done()

    def _run(self) -> None:
        def act(connection: Connection) -> None:
            self._verb(connection)
            self._has_acted.set()
            assert self._may_end.wait(5)

        with self._app.app_context():
            database.transact(act)


def waiting_of(person: Person) -> contents._Waiting:
    begun(person).put(clock.new_id(), clock.utcnow())
    return contents._waiting.pop()


@pytest.mark.postgresql
def test_what_is_just_being_written_is_deleted_too(busy: Flask) -> None:
    person = make_person(busy, "ada@example.com")
    contents.keep_for(person.account_id, 30, actor="test")
    waiting = waiting_of(person)
    sealed = waiting.secrets.encrypt(waiting.content.decode())
    with Meanwhile(busy, lambda connection: contents._put(connection, waiting, sealed)) as writing:
        # No request of the account waits for it.
        fund(person.account_id, "1")
        assert writing.is_open
        writing.end(after_s=0.3)
        assert contents.clear(person.account_id, actor="test") == 1
    assert ids() == []


@pytest.mark.postgresql
@pytest.mark.parametrize("act", [contents.close, contents.remove_all], ids=["end", "delete"])
def test_what_is_to_be_written_while_all_is_deleted_is_not(
    busy: Flask, act: Callable[[Connection, int], object]
) -> None:
    person = make_person(busy, "ada@example.com")
    contents.keep_for(person.account_id, 30, actor="test")
    contents._waiting.append(waiting_of(person))
    with Meanwhile(busy, lambda connection: act(connection, person.account_id)) as deleting:
        deleting.end(after_s=0.3)
        assert contents.write_waiting() == 1
    assert ids() == []
