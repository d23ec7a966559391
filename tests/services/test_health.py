"""Health in memory and in the table that all processes share, on both databases."""

import gc
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from flask import Flask
from sqlalchemy import select, text, update
from sqlalchemy.exc import DBAPIError

from solrouter import database
from solrouter.errors import DatabaseUnavailable
from solrouter.models import OfferHealth
from solrouter.models.columns import db_now_us
from solrouter.services import health, housekeeping
from solrouter.services.health import FAULT, OK, OVERLOADED, STALL, UNDECIDED, table
from solrouter.services.health.monitor import EVENTS_MAX, Measured, Monitor
from solrouter.services.routing import COOLING, HEALTHY, PROBING

ROOT = Path(__file__).resolve().parents[2]
OFFER = 7
MakeApp = Callable[..., Flask]
Two = tuple[Flask, Flask]


@pytest.fixture
def two(make_app: MakeApp, database_url: str) -> Two:
    """Two apps, as two processes, on one database; on each kind."""
    return make_app(database_url), make_app(database_url)


@contextmanager
def inside(app: Flask) -> Iterator[None]:
    """What happens in this app, told to the others and learnt from them before and after."""
    with app.app_context():
        health.exchange()
        yield
        health.exchange()


def state(offer_id: int = OFFER) -> str:
    known = health.conditions().get(offer_id)
    return known.state if known else HEALTHY


def trip(offer_id: int = OFFER) -> None:
    for _ in range(5):
        health.note(offer_id, FAULT)


def let_time_pass(seconds: int) -> None:
    """Moves what is in the table into the past, and reads it."""
    health.exchange()
    by_us = seconds * 1_000_000

    def verb(connection: database.Connection) -> None:
        values = {
            name: getattr(OfferHealth, name) - by_us
            for name in ("counted_at_us", "tripped_at_us", "cooling_until_us", "probe_until_us")
        }
        connection.execute(update(OfferHealth).values(changed_at_us=db_now_us(), **values))

    database.transact(verb)
    health.exchange()


def test_faults_trip_at_once_and_without_the_database(context: None) -> None:
    assert state() == HEALTHY
    assert health.may_try(OFFER)
    trip()
    assert state() == COOLING
    assert not health.may_try(OFFER)
    assert health.conditions()[OFFER].error_rate == 1.0
    assert 4 < health.conditions()[OFFER].cooling_until_s - time.monotonic() <= 5


def test_one_process_learns_from_the_other(two: Two) -> None:
    one, other = two
    with inside(one):
        trip()
        assert health.is_due(), "the others should know soon"
    with inside(other):
        assert state() == COOLING
        assert 4 < health.conditions()[OFFER].cooling_until_s - time.monotonic() <= 5
        assert state(8) == HEALTHY


def test_faults_of_several_processes_add_up(two: Two) -> None:
    for app, faults in zip(two, (3, 2), strict=True):
        with inside(app):
            for _ in range(faults):
                health.note(OFFER, STALL)
    for app in two:
        with inside(app):
            assert state() == COOLING
            assert health.conditions()[OFFER].stall_rate == pytest.approx(1, abs=0.1)


def test_an_answer_brings_it_back_for_all(two: Two) -> None:
    one, other = two
    with inside(one):
        trip()
    with inside(other):
        health.note(OFFER, OK)
        assert state() == HEALTHY
    with inside(one):
        assert state() == HEALTHY
        health.note(OFFER, FAULT)
        assert state() == HEALTHY, "a new start"


def test_an_answer_that_began_before_brings_nothing_back(two: Two) -> None:
    one, other = two
    with inside(one):
        trip()
    with inside(other):
        health.note(OFFER, OK, duration_ms=60_000)
        assert state() == COOLING


def test_a_wish_for_rest_holds_for_all(two: Two) -> None:
    one, other = two
    with inside(one):
        health.note(OFFER, OVERLOADED, retry_after_s=17.5)
    with inside(other):
        assert 16 < health.conditions()[OFFER].cooling_until_s - time.monotonic() <= 18


def test_one_of_many_probes(two: Two) -> None:
    one, other = two
    with inside(one):
        trip()
        let_time_pass(6)
        assert state() == PROBING

    def may_try(app: Flask) -> bool:
        with app.app_context():
            return health.may_try(OFFER)

    with inside(other):
        assert state() == PROBING
    with ThreadPoolExecutor(16) as threads:
        granted = list(threads.map(may_try, [one, other] * 50))
    assert granted.count(True) == 1


def test_many_transactions_take_one_probe(context_on_both: Flask) -> None:
    trip()
    let_time_pass(6)
    mine = database.current()
    with ThreadPoolExecutor(8) as threads:
        taken = threads.map(
            lambda _: mine.transact(lambda connection: table.take_probe(connection, OFFER)),
            range(40),
        )
        assert list(taken).count(True) == 1
    let_time_pass(table.PROBE_S + 1)
    assert health.may_try(OFFER), "whoever took it has gone without a word"


def test_a_probe_that_fails_doubles_the_rest(two: Two) -> None:
    one, other = two
    with inside(one):
        trip()
        let_time_pass(6)
        assert health.may_try(OFFER)
        health.note(OFFER, FAULT)
        assert state() == COOLING
    with inside(other):
        assert state() == COOLING
        assert 8 < health.conditions()[OFFER].cooling_until_s - time.monotonic() <= 10
        let_time_pass(11)
        assert health.may_try(OFFER)
        health.note(OFFER, OK)
    with inside(one):
        assert state() == HEALTHY
        assert health.may_try(OFFER)


def test_a_probe_without_a_verdict_lets_the_next_one_try(two: Two) -> None:
    one, other = two
    with inside(one):
        trip()
        let_time_pass(6)
        assert health.may_try(OFFER)
    with inside(other):
        health.note(OFFER, UNDECIDED)
        health.exchange()
        assert not health.may_try(OFFER), "it is not this one's probe"
    with inside(one):
        health.note(OFFER, UNDECIDED)
        assert health.is_due()
        assert state() == PROBING
    assert _leave_is_free(other)


def _leave_is_free(app: Flask) -> bool:
    with app.app_context(), database.read() as connection:
        row = connection.execute(select(OfferHealth.probe_until_us)).scalar_one()
        return bool(row == 0)


def test_the_first_content_is_proof_enough(context_on_both: Flask) -> None:
    health.note(OFFER, health.ALIVE)
    assert OFFER not in health.conditions(), "of a healthy one it says nothing new"
    trip()
    let_time_pass(6)
    assert health.may_try(OFFER)
    health.note(OFFER, health.ALIVE)
    assert state() == HEALTHY
    health.exchange()
    assert state() == HEALTHY


def test_notes_need_no_context(app: Flask) -> None:
    """A stream ends when its request's context is gone."""
    with app.app_context():
        assert state() == HEALTHY
    trip()
    assert health.tokens_per_s(OFFER) is None
    with app.app_context():
        assert state() == COOLING


def test_callers_change_nothing(context_on_both: Flask) -> None:
    for _ in range(1000):
        health.note(OFFER, UNDECIDED)
    health.exchange()
    assert OFFER not in health.conditions()


def test_speeds_are_medians_of_all(two: Two) -> None:
    one, other = two
    with inside(one):
        assert health.tokens_per_s(OFFER) is None
        for _ in range(5):
            health.note(OFFER, OK, first_content_ms=400, output_tokens=100, duration_ms=2000)
        assert health.tokens_per_s(OFFER) == pytest.approx(50, rel=0.05)
        # Too short to say anything.
        health.note(OFFER, OK, first_content_ms=0, output_tokens=1, duration_ms=1)
    with inside(other):
        assert health.tokens_per_s(OFFER) == pytest.approx(50, rel=0.05)
        assert health.conditions()[OFFER].first_content_ms == pytest.approx(400, rel=0.05)
        for _ in range(20):
            health.note(OFFER, OK, first_content_ms=100, output_tokens=400, duration_ms=2000)
    with inside(one):
        assert health.tokens_per_s(OFFER) == pytest.approx(200, rel=0.05)
        assert health.conditions()[OFFER].first_content_ms == pytest.approx(100, rel=0.05)


def test_many_threads_lose_nothing(two: Two) -> None:
    def work(app: Flask) -> None:
        with app.app_context():
            for n in range(200):
                health.note(n % 3, OK)
                if n % 20 == 0:
                    health.exchange()
            health.exchange()

    threads = [threading.Thread(target=work, args=(app,)) for app in two * 2]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with two[0].app_context(), database.read() as connection:
        counted = connection.execute(select(OfferHealth.attempts)).scalars().all()
        assert sum(counted) == pytest.approx(800, rel=0.2), "less what has faded"


def test_the_garbage_collector_may_note_amidst_a_note() -> None:
    """It ends answers that nobody reads any more, wherever it happens to run."""
    monitor = Monitor()

    def note(offer_id: int) -> None:
        monitor.note(offer_id, FAULT, took_ms=1, pause_s=0, how=Measured(9.0, 9.0))

    def answer() -> Iterator[list[object]]:
        try:
            cycle: list[object] = []
            yield cycle
        finally:
            note(OFFER)

    def work() -> None:
        for n in range(300):
            abandoned = answer()
            next(abandoned).append(abandoned)
            del abandoned
            note(n)

    usual = gc.get_threshold()
    gc.set_threshold(5, 1, 1)
    try:
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        worker.join(timeout=10)
        assert not worker.is_alive()
    finally:
        gc.set_threshold(*usual)


def test_without_the_database_news_are_kept(context_on_both: Flask) -> None:
    database.transact(lambda connection: connection.execute(text("DROP TABLE offer_health")))
    trip()
    with pytest.raises(DBAPIError):
        health.exchange()
    assert state() == COOLING
    kept = health._of_this_process().monitor.take_news()
    assert len(kept[OFFER].events) == 5


def test_news_that_cannot_be_told_for_long_forget_the_oldest(context: None) -> None:
    monitor = health._of_this_process().monitor
    for _ in range(300):
        health.note(OFFER, FAULT)
        health.note(OFFER, OK)
    taken = monitor.take_news()
    assert len(taken[OFFER].events) == EVENTS_MAX
    health.note(OFFER, STALL)
    monitor.give_back(taken)
    told = monitor.take_news()[OFFER].events
    assert len(told) == EVENTS_MAX
    assert told[-1].outcome == STALL


def test_a_database_that_is_away_stops_no_probe(make_app: MakeApp, tmp_path: Path) -> None:
    app = make_app("postgresql+psycopg://nobody@127.0.0.1:9/none", SOLROUTER_DB_TIMEOUT_S="0.2")
    with app.app_context():
        health.note(OFFER, OVERLOADED, retry_after_s=0.01)
        until_s = time.monotonic() + 5
        while state() == COOLING and time.monotonic() < until_s:
            time.sleep(0.05)
        assert state() == PROBING
        assert health.may_try(OFFER)
        assert not health.may_try(OFFER), "one at a time"
        with pytest.raises(DatabaseUnavailable):
            health.exchange()


def test_the_house_shares_news_by_itself(two: Two) -> None:
    one, other = two
    with one.app_context():
        trip()
        housekeeping.share_health()
        assert not health.is_due()
    with other.app_context():
        housekeeping.share_health()
        assert state() == COOLING


def test_a_table_that_is_gone_does_not_stop_the_house(context_on_both: Flask) -> None:
    database.transact(lambda connection: connection.execute(text("DROP TABLE offer_health")))
    trip()
    housekeeping.share_health()
    assert state() == COOLING


PROCESS = """
import sys
from pathlib import Path
from tests.conftest import settings
from solrouter import create_app, database
from solrouter.services import health
app = create_app(settings(sys.argv[1], Path(sys.argv[2])))
with app.app_context():
    health.exchange()
    print(health.conditions()[7].state, health.may_try(7))
    health.note(7, health.OK)
    health.exchange()
    database.current().close()
"""


@pytest.mark.postgresql
def test_another_process_probes_and_brings_it_back(
    make_app: MakeApp, postgresql_url: str, tmp_path: Path
) -> None:
    """On SQLite there is one worker."""
    with make_app(postgresql_url).app_context():
        trip()
        let_time_pass(6)
        command = [sys.executable, "-c", PROCESS, postgresql_url, str(tmp_path)]
        ran = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
        assert ran.stdout.strip() == "probing True"
        assert state() == PROBING
        health.exchange()
        assert state() == HEALTHY
