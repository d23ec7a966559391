"""The short form of `make faults`: money and limits under load, faults, kill −9 and outages.

Each check runs here once, on the database where it is hardest; `make faults` runs all on both.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.faults import kill, leave, outage, overspend, receipts, restore, rolling
from bench.faults.databases import POSTGRESQL, SQLITE, Databases, postgresql_programs
from bench.faults.front import nginx_program
from bench.faults.place import Stage
from bench.faults.report import Report
from bench.faults.upstream import Upstream
from tests.conftest import require


@pytest.fixture(scope="module")
def databases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Databases]:
    """Fresh databases of either kind."""
    with Databases(tmp_path_factory.mktemp("faults")) as found:
        yield found


@pytest.fixture
def report() -> Iterator[Report]:
    """Collects what was checked; all of it must hold."""
    found = Report()
    yield found
    assert found.passed > 0
    assert found.failed == []


@pytest.fixture
def stage(databases: Databases, kind: str, tmp_path: Path) -> Iterator[Stage]:
    """Where a check plays."""
    if kind == POSTGRESQL:
        require("PostgreSQL", Databases.has_postgresql())
    with Upstream.start() as upstream:
        yield Stage(databases, kind, upstream, tmp_path, workers_max=2)


on_sqlite = pytest.mark.parametrize("kind", [SQLITE])
on_postgresql = pytest.mark.parametrize(
    "kind", [pytest.param(POSTGRESQL, marks=pytest.mark.postgresql)]
)
on_both = pytest.mark.parametrize(
    "kind", [SQLITE, pytest.param(POSTGRESQL, marks=pytest.mark.postgresql)]
)


@on_both
def test_exactly_the_affordable_and_the_allowed_are_served(report: Report, stage: Stage) -> None:
    overspend.run(report, stage, overspend.SHORT)


@on_sqlite
def test_each_request_has_a_receipt_that_adds_up(report: Report, stage: Stage) -> None:
    receipts.run(report, stage, receipts.SHORT)


@on_both
def test_a_client_that_leaves_pays_for_what_was_made(report: Report, stage: Stage) -> None:
    leave.run(report, stage, leave.SHORT)


@on_postgresql
def test_processes_that_die_leave_nothing_stuck_doubled_or_lost(
    report: Report, stage: Stage
) -> None:
    kill.run(report, stage, kill.SHORT)


@on_both
def test_a_backup_taken_under_load_restores(report: Report, stage: Stage) -> None:
    if stage.kind == POSTGRESQL:
        require("pg_dump and pg_restore", all(map(shutil.which, ("pg_dump", "pg_restore"))))
    restore.run(report, stage, restore.SHORT)


@on_postgresql
def test_a_database_that_dies_under_streams_loses_nothing(report: Report, stage: Stage) -> None:
    has_postgres = os.geteuid() != 0 or Path("/usr/sbin/runuser").exists()
    require("initdb of PostgreSQL", postgresql_programs() is not None and has_postgres)
    outage.run(report, stage, outage.SHORT)


@on_postgresql
def test_limits_are_exact_over_two_machines_behind_nginx(report: Report, stage: Stage) -> None:
    require("nginx", nginx_program() is not None)
    overspend.run(report, replace(stage, machines=2), overspend.SHORT)


@on_postgresql
def test_a_rolling_restart_of_two_machines_fails_nobody(report: Report, stage: Stage) -> None:
    require("nginx", nginx_program() is not None)
    rolling.run(report, replace(stage, machines=2, workers_max=1), rolling.SHORT)
