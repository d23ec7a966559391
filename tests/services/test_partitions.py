"""The months of completions and transfers: how a table becomes months, how they are made ahead,
and that whoever admits and settles meanwhile notices nothing.
"""

import importlib.util
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext
from flask import Flask

from solrouter import database
from solrouter.clock import first_id_at, utcnow
from solrouter.database import migration_engine
from solrouter.services import activity, admission, billing, partitions
from solrouter.services.partitions import ClockIsWrong, Partition, TableBusy
from tests.factories import Person, fund, make_offer, make_person
from tests.services.test_admission import ask, ending

pytestmark = pytest.mark.postgresql
VERSIONS = Path(__file__).resolve().parents[2] / "migrations" / "versions"
CHARGE = 20_000
SOON_S = 20.0


@pytest.fixture
def app(make_app: Callable[..., Flask], postgresql_url: str) -> Iterator[Flask]:
    """On PostgreSQL, as the migrations leave it. The ledger is proven afterwards."""
    app = make_app(postgresql_url)
    with app.app_context():
        yield app
        assert list(billing.audit()) == []


@pytest.fixture
def person(app: Flask) -> Person:
    """Who can pay for what they ask."""
    return paying(app)


def paying(app: Flask) -> Person:
    make_offer(app, "http://127.0.0.1:9/v1")
    admission.beat("test-worker")
    person = make_person(app, "alice@example.com", plan="unlimited")
    fund(person.account_id, "100")
    return person


@pytest.fixture
def connection(app: Flask, postgresql_url: str) -> Iterator[psycopg.Connection[Any]]:
    """A connection that is not the app's."""
    with psycopg.connect(postgresql_url, autocommit=True) as connection:
        yield connection


def request(person: Person) -> uuid.UUID:
    """One request from admission to settlement; its id."""
    admitted = admission.admit(ask(person))
    admission.settle(admitted, ending(admitted, CHARGE))
    return admitted.id


def migration() -> Any:
    """That by which the tables become months."""
    [path] = VERSIONS.glob("*_cut_history_by_month.py")
    spec = importlib.util.spec_from_file_location("cut_history_by_month", path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def migrate(url: str, step: Callable[[], None]) -> None:
    """Runs a step of a migration as `flask db` does, in one transaction."""
    engine = migration_engine(url)
    with (
        engine.begin() as connection,
        Operations.context(MigrationContext.configure(connection)),
    ):
        step()
    engine.dispose()


def names(table: str) -> list[str]:
    return [each.name for each in partitions.overview() if each.table == table]


def home(connection: psycopg.Connection[Any], table: str, identifier: uuid.UUID) -> str:
    """The partition in which a row is."""
    query = f"SELECT tableoid::regclass::text FROM {table} WHERE id = %s"
    found = {row[0] for row in connection.execute(query.encode(), [identifier])}
    assert len(found) == 1, found
    return str(found.pop())


def dated(connection: psycopg.Connection[Any], like: uuid.UUID, moment: datetime) -> uuid.UUID:
    """A copy of a free receipt that began at another moment."""
    identifier = uuid.UUID(int=first_id_at(moment).int | uuid.uuid4().int & (2**62 - 1))
    connection.execute(
        "CREATE TEMPORARY TABLE copy AS SELECT * FROM completions WHERE id = %s", [like]
    )
    connection.execute("UPDATE copy SET id = %s, charge_nanos = 0", [identifier])
    connection.execute("INSERT INTO completions SELECT * FROM copy")
    connection.execute("DROP TABLE copy")
    return identifier


@contextmanager
def working(app: Flask, person: Person) -> Iterator[list[uuid.UUID]]:
    """Requests all the time, three at once; each must be answered. Gives the ids of the settled."""
    done: list[uuid.UUID] = []
    stop = threading.Event()

    def work() -> None:
        with app.app_context():
            while not stop.is_set():
                done.append(request(person))

    with ThreadPoolExecutor(3) as pool:
        workers = [pool.submit(work) for _ in range(3)]
        try:
            wait_for(lambda: len(done) > 10)
            yield done
            before = len(done)
            wait_for(lambda: len(done) > before + 10)
        finally:
            stop.set()
        for worker in workers:
            worker.result()


def wait_for(is_so: Callable[[], bool]) -> None:
    until = utcnow() + timedelta(seconds=SOON_S)
    tick = threading.Event()
    while not is_so():
        assert utcnow() < until, "it takes too long"
        tick.wait(0.01)


def test_a_table_in_use_becomes_months_and_nobody_notices(
    app: Flask, person: Person, postgresql_url: str, connection: psycopg.Connection[Any]
) -> None:
    """Rows from before, and servers that go on meanwhile with the statements they have prepared."""
    ours = migration()
    partitions.keep_up()
    first = request(person)
    migrate(postgresql_url, ours.downgrade)
    assert names("completions") == names("transfers") == []
    plain = "SELECT relkind FROM pg_class WHERE relname IN ('completions', 'transfers')"
    assert {row[0] for row in connection.execute(plain)} == {"r"}
    with working(app, person) as done:
        migrate(postgresql_url, ours.upgrade)
        assert names("transfers") == ["transfers_from_start"]
        before = len(done)
        wait_for(lambda: len(done) > before + 10)
        assert partitions.keep_up() > 0
    for identifier in (first, *done):
        assert activity.find(person.account_id, activity.public_id(identifier)).charge_nanos
    charged = 100 * 10**9 - billing.balance(person.account_id).posted_nanos
    assert charged == CHARGE * (len(done) + 1)
    assert partitions.problem() is None


def test_grants_and_indexes_outlive_the_change(
    app: Flask, postgresql_url: str, connection: psycopg.Connection[Any]
) -> None:
    ours = migration()
    granted = "SELECT has_table_privilege('pg_monitor', %s, 'SELECT')"
    indexes = "SELECT indexname FROM pg_indexes WHERE tablename = %s ORDER BY 1"
    connection.execute("GRANT SELECT ON completions TO pg_monitor")
    before = {t: connection.execute(indexes, [t]).fetchall() for t in partitions.TABLES}
    for step in (ours.downgrade, ours.upgrade):
        migrate(postgresql_url, step)
        assert connection.execute(granted, ["completions"]).fetchone() == (True,)
        assert connection.execute(granted, ["transfers"]).fetchone() == (False,)
        for table, found in before.items():
            assert connection.execute(indexes, [table]).fetchall() == found


def test_months_are_ready_ahead_of_time_and_need_nothing_more(app: Flask) -> None:
    now = datetime(2026, 11, 15, 12, tzinfo=UTC)
    assert partitions.problem(now) is not None
    assert partitions.keep_up(now) == 8
    assert names("completions") == [
        "completions_before_2026_12",
        "completions_2026_12",
        "completions_2027_01",
        "completions_2027_02",
        "completions_from_2027_03",
    ]
    assert partitions.problem(now) is None
    assert partitions.keep_up(now) == 0
    assert partitions.keep_up(datetime(2026, 12, 1, tzinfo=UTC)) == 2
    assert names("transfers")[-2:] == ["transfers_2027_03", "transfers_from_2027_04"]


def test_an_end_is_never_so_near_that_a_late_row_could_meet_it(app: Flask) -> None:
    partitions.keep_up(datetime(2026, 11, 29, tzinfo=UTC))
    assert names("completions")[0] == "completions_before_2027_01"


def test_rows_find_their_month_to_the_millisecond(
    app: Flask, person: Person, connection: psycopg.Connection[Any]
) -> None:
    partitions.keep_up(datetime(2026, 11, 15, tzinfo=UTC))
    model, edge = request(person), datetime(2027, 1, 1, tzinfo=UTC)
    last = dated(connection, model, edge - timedelta(milliseconds=1))
    first = dated(connection, model, edge)
    assert home(connection, "completions", last) == "completions_2026_12"
    assert home(connection, "completions", first) == "completions_2027_01"
    newest = [receipt.id for receipt in activity.recent(person.account_id, limit=2)]
    assert newest == [activity.public_id(first), activity.public_id(last)]


def test_what_came_while_no_month_was_made_stays_where_it_is(
    app: Flask, connection: psycopg.Connection[Any]
) -> None:
    """For months nobody made any: the open partition took the rows, and gets its end later."""
    partitions.keep_up(datetime(2025, 1, 15, tzinfo=UTC))
    assert names("completions")[-1] == "completions_from_2025_05"
    person = paying(app)
    identifier = request(person)
    assert home(connection, "completions", identifier) == "completions_from_2025_05"
    assert partitions.problem() is not None
    assert partitions.keep_up() > 0
    for table in partitions.TABLES:
        assert home(connection, table, identifier) == f"{table}_2025_05"
    [whole] = [each for each in partitions.overview() if each.name == "completions_2025_05"]
    assert whole.holds(utcnow()) and whole.ends_at is not None
    assert partitions.problem() is None
    assert activity.find(person.account_id, activity.public_id(identifier)).charge_nanos == CHARGE
    later = dated(connection, identifier, whole.ends_at)
    assert home(connection, "completions", later) == f"completions_{whole.ends_at:%Y_%m}"


def test_a_month_that_a_fast_clock_wrote_to_is_closed_behind_it(
    app: Flask, person: Person, connection: psycopg.Connection[Any]
) -> None:
    now = datetime(2026, 11, 15, tzinfo=UTC)
    early = dated(connection, request(person), datetime(2027, 1, 20, tzinfo=UTC))
    partitions.keep_up(now)
    assert home(connection, "completions", early) == "completions_before_2027_02"


def test_a_clock_that_is_wrong_by_years_is_told(
    app: Flask, person: Person, connection: psycopg.Connection[Any]
) -> None:
    dated(connection, request(person), utcnow() + timedelta(days=3650))
    with pytest.raises(ClockIsWrong):
        partitions.keep_up()
    assert partitions.problem() is not None
    request(person)


def test_requests_go_on_while_a_month_in_use_is_closed(
    app: Flask, person: Person, connection: psycopg.Connection[Any]
) -> None:
    with working(app, person) as done:
        assert partitions.keep_up() > 0
    assert home(connection, "transfers", done[-1]) == names("transfers")[0]
    assert names("transfers")[0].startswith("transfers_before_")


def test_a_table_that_is_read_for_long_is_left_for_later(
    app: Flask, person: Person, connection: psycopg.Connection[Any]
) -> None:
    with connection.transaction():
        connection.execute("SELECT count(*) FROM completions")
        with pytest.raises(TableBusy):
            partitions.keep_up()
    # No end was left behind that rows of a later month would meet.
    dated(connection, request(person), utcnow() + timedelta(days=70))
    assert names("completions") == ["completions_from_start"]
    assert partitions.keep_up() > 0


def test_an_end_that_somebody_could_not_take_back_is_taken_back_by_the_next(
    app: Flask, person: Person, connection: psycopg.Connection[Any]
) -> None:
    """A process was killed between telling an end and closing."""
    edge = first_id_at(utcnow() + timedelta(days=40))
    check = f"ALTER TABLE completions_from_start ADD CONSTRAINT its_end CHECK (id < '{edge}')"
    connection.execute(check.encode())
    assert partitions.keep_up() > 0
    left = "SELECT count(*) FROM pg_constraint WHERE conname = 'its_end'"
    assert connection.execute(left).fetchone() == (0,)


def test_of_two_processes_one_makes_the_months(
    app: Flask, make_app: Callable[..., Flask], postgresql_url: str
) -> None:
    def keep_up(app: Flask) -> int:
        with app.app_context():
            try:
                return partitions.keep_up()
            except TableBusy:
                return 0

    others = [make_app(postgresql_url) for _ in range(3)]
    with ThreadPoolExecutor(3) as pool:
        made = sum(pool.map(keep_up, others))
    made += partitions.keep_up()
    # One that ran into another may have made some before, and told nobody.
    assert 0 < made <= sum(len(names(table)) - 1 for table in partitions.TABLES)
    assert partitions.keep_up() == 0
    assert partitions.problem() is None


def test_a_part_that_another_process_has_renamed_meanwhile_is_no_error(
    app: Flask, person: Person
) -> None:
    request(person)
    with database.read() as connection:
        [*_, before] = partitions.parts(connection, "completions")
    partitions.keep_up()
    with database.read() as connection:
        assert before.name not in {
            part.name for part in partitions.parts(connection, "completions")
        }
        assert partitions._end_of(connection, before, utcnow()) is not None


def test_the_ledgers_parts_are_append_only_too(
    app: Flask, person: Person, connection: psycopg.Connection[Any]
) -> None:
    partitions.keep_up()
    request(person)
    for name in ("transfers", *names("transfers")):
        for change in ("UPDATE {} SET note = 'x'", "DELETE FROM {}", "TRUNCATE {}"):
            with pytest.raises(psycopg.errors.RaiseException, match="append-only"):
                connection.execute(change.format(name).encode())


def test_the_command_lists_them_and_tells_when_none_are_ready(app: Flask, person: Person) -> None:
    runner = app.test_cli_runner()
    told = runner.invoke(args=["partitions", "list"])
    assert told.exit_code == 1 and "no months ready ahead" in told.output
    assert runner.invoke(args=["partitions", "make"]).exit_code == 0
    told = runner.invoke(args=["partitions", "list"])
    assert told.exit_code == 0
    assert all(name in told.output for name in names("completions") + names("transfers"))


def test_partitions_say_what_they_hold() -> None:
    begins_at = datetime(2026, 12, 1, tzinfo=UTC)
    month = Partition("t", "t_2026_12", begins_at, datetime(2027, 1, 1, tzinfo=UTC), 0, 0)
    assert month.holds(begins_at) and not month.holds(begins_at - timedelta(microseconds=1))
    assert not month.holds(datetime(2027, 1, 1, tzinfo=UTC))
    assert Partition("t", "t_from_start", None, None, 0, 0).holds(begins_at)
