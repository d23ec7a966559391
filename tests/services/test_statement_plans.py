"""How PostgreSQL carries out what every request runs: no table is read through, however long it is.

A planner that is told to avoid reading whole tables does so only where no index leads to the rows.
"""

from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from solrouter import database
from solrouter.database.groups import LOCK
from solrouter.services import keys
from solrouter.services.admission.statements import ADMIT, GROW, SETTLE

pytestmark = pytest.mark.postgresql


@pytest.fixture
def connection(make_app: Any, postgresql_url: str) -> Iterator[Any]:
    """The driver's own connection, whose planner avoids what it can."""
    app: Flask = make_app(postgresql_url)
    with app.app_context(), database.read() as opened:
        driver = opened.connection.driver_connection
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
