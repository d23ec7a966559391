"""How PostgreSQL carries out what every request runs: no table is read through, however long it is;
and what the pages run: no month is looked into that has nothing of what is asked for.

A planner that is told to avoid reading whole tables does so only where no index leads to the rows.
"""

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from sqlalchemy import event

from solrouter import database
from solrouter.clock import months_later, start_of_month, utcnow
from solrouter.database.groups import LOCK
from solrouter.services import (
    activity,
    billing,
    key_usage,
    keys,
    ledger_days,
    partitions,
    usage_days,
)
from solrouter.services.admission.settling import _find_charge, _insert_receipt
from solrouter.services.admission.statements import ADMIT, GROW, SETTLE
from tests.services.test_key_usage import receipt

pytestmark = pytest.mark.postgresql


@pytest.fixture
def connection(make_app: Any, postgresql_url: str) -> Iterator[Any]:
    """The driver's own connection, whose planner avoids what it can."""
    app: Flask = make_app(postgresql_url)
    with app.app_context(), database.read() as opened:
        driver: Any = opened.connection.driver_connection
        driver.execute("SET idle_in_transaction_session_timeout = 0")
        driver.execute("SET enable_seqscan = off")
        driver.execute("SET plan_cache_mode = force_generic_plan")
        yield driver
        driver.rollback()


def look_up() -> Any:
    """The statement by which a key is found."""
    found = keys._find_by_digest.compiled(database.current().reader.dialect).numbered
    assert found is not None
    return found


@pytest.mark.parametrize("name", ["look_up", "lock", "admit", "grow", "settle"])
def test_every_table_is_reached_by_an_index(connection: Any, name: str) -> None:
    statements = {"lock": LOCK, "admit": ADMIT, "grow": GROW, "settle": SETTLE}
    statement = statements[name] if name in statements else look_up()
    connection.execute(f"PREPARE it AS {statement.text}")
    values = ", ".join(["NULL"] * len(statement.names))
    explained = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE it({values})").fetchone()
    nodes = list(walked(explained[0][0]["Plan"]))
    tables = {node["Relation Name"] for node in nodes if "Relation Name" in node}
    assert tables, "it must read something"
    read_through = {node["Relation Name"] for node in nodes if node["Node Type"] == "Seq Scan"}
    assert read_through == set()


MONTHS = 6
ACCOUNT, RECEIPTS_A_MONTH = 1, 30


@pytest.fixture
def newest(connection: Any) -> str:
    """The public id of a receipt of this month; there are as many in each of the months before."""
    this_month = start_of_month(utcnow())
    for month in reversed(range(MONTHS + 1)):
        partitions.keep_up(months_later(this_month, -month))
    for month in range(MONTHS):
        for n in range(RECEIPTS_A_MONTH):
            receipt(1, months_later(this_month, -month) + timedelta(seconds=n), 1)
    for roll_up in (usage_days.roll_up, key_usage.roll_up, ledger_days.roll_up):
        while roll_up():
            pass
    database.transact(partitions._analyze)
    return activity.recent(ACCOUNT, limit=1)[0].id


def test_a_settlement_looks_into_no_month(connection: Any, newest: str) -> None:
    """It appends, and PostgreSQL opens the one part that the id leads to."""
    parts = {part.name for part in partitions.overview()}
    careful: Any = _insert_receipt.compiled(database.current().reader.dialect).numbered
    for statement in (SETTLE, careful):
        connection.execute(f"PREPARE it AS {statement.text}")
        values = ", ".join(["NULL"] * len(statement.names))
        explained = connection.execute(f"EXPLAIN (FORMAT JSON) EXECUTE it({values})").fetchone()
        connection.execute("DEALLOCATE it")
        nodes = list(walked(explained[0][0]["Plan"]))
        named = {node["Relation Name"] for node in nodes if "Relation Name" in node}
        assert "completions" in named and not named & parts


def test_a_receipt_is_looked_for_in_its_month_alone(connection: Any, newest: str) -> None:
    """Also by a plan that was made before the id was known."""
    found: Any = _find_charge.compiled(database.current().reader.dialect).numbered
    connection.execute(f"PREPARE it AS {found.text}")
    identifier = activity.parse_id(newest)
    query = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE it('{identifier}')"
    assert len(executed(connection.execute(query).fetchone())) == 1


def entries_of_this_month() -> object:
    begins_at = start_of_month(utcnow())
    ends_at = months_later(begins_at, 1)
    return database.read_apart(
        lambda connection: ledger_days.lines(connection, ACCOUNT, begins_at, ends_at)
    )


@pytest.mark.parametrize(
    "work",
    [
        lambda newest: activity.find(ACCOUNT, newest),
        lambda _: activity.recent(ACCOUNT, limit=RECEIPTS_A_MONTH),
        lambda _: activity.page(ACCOUNT, activity.Filters(), limit=RECEIPTS_A_MONTH - 1),
        lambda _: usage_days.of_account(ACCOUNT, utcnow().date() - timedelta(days=150)),
        lambda _: usage_days.of_all(utcnow().date() - timedelta(days=150)),
        lambda _: key_usage.of_all([1]),
        lambda _: entries_of_this_month(),
    ],
)
def test_pages_read_no_month_that_they_do_not_show(
    connection: Any, newest: str, work: Callable[[str], object]
) -> None:
    with_old = {p.name for p in partitions.overview() if p.is_over(start_of_month(utcnow()))}
    assert len(with_old) >= 2 * (MONTHS - 1)
    looked = False
    for statement, parameters in statements_of(lambda: work(newest)):
        if "completions" not in statement and "transfers" not in statement:
            continue
        looked = True
        explained = connection.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        assert not executed(explained.fetchone()) & with_old
    assert looked


def test_the_balance_page_reads_months_in_their_order(connection: Any, newest: str) -> None:
    """One after the other, so that it stops as soon as it has enough; nothing is sorted."""
    [(statement, parameters)] = statements_of(lambda: billing.statement(ACCOUNT, limit=10))
    explained = connection.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchone()
    kinds = [node["Node Type"] for node in walked(explained[0][0]["Plan"])]
    assert "Append" in kinds and not {"Sort", "Merge Append"} & set(kinds)


def statements_of(work: Callable[[], object]) -> list[tuple[str, Any]]:
    """What work asks of the database by the pool's connections."""
    found: list[tuple[str, Any]] = []

    def note(_c: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        found.append((statement, parameters))

    reader = database.current().reader
    event.listen(reader, "before_cursor_execute", note)
    try:
        work()
    finally:
        event.remove(reader, "before_cursor_execute", note)
    return found


def executed(explained: Any) -> set[str]:
    """The parts that were read."""
    parts = {part.name for part in partitions.overview()}
    nodes = [node for node in walked(explained[0][0]["Plan"]) if node["Actual Loops"]]
    return {node["Relation Name"] for node in nodes if "Relation Name" in node} & parts


def test_no_page_waits_for_helpers_of_its_query(connection: Any, newest: str) -> None:
    """However dear the planner thinks what is younger than a watermark that it does not know."""
    since = utcnow().date() - timedelta(days=150)
    [(statement, parameters)] = statements_of(lambda: usage_days.of_account(ACCOUNT, since))
    for name in ("parallel_setup_cost", "parallel_tuple_cost", "min_parallel_index_scan_size"):
        connection.execute(f"SET {name} = 0")
    connection.execute("SET min_parallel_table_scan_size = 0")
    explained = connection.execute(f"EXPLAIN (FORMAT JSON) {statement}", parameters).fetchone()
    kinds = {node["Node Type"] for node in walked(explained[0][0]["Plan"])}
    assert "Append" in kinds and not {"Gather", "Gather Merge"} & kinds


def test_a_table_without_an_index_is_noticed(connection: Any) -> None:
    explained = connection.execute(
        "EXPLAIN (FORMAT JSON) SELECT * FROM holds WHERE tokens = 3"
    ).fetchone()
    assert "Seq Scan" in [node["Node Type"] for node in walked(explained[0][0]["Plan"])]


def walked(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The node and all beneath it."""
    yield node
    for inner in node.get("Plans", ()):
        yield from walked(inner)
