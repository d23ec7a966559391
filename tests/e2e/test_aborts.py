"""The short form of `make soak`'s aborts: hundreds leave, and nothing of them is left behind."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.faults.databases import Databases
from bench.faults.place import Stage
from bench.faults.report import Report
from bench.faults.upstream import Upstream
from bench.soak import aborts


@pytest.fixture
def report() -> Iterator[Report]:
    """Collects what was checked; all of it must hold."""
    found = Report()
    yield found
    assert found.passed > 0
    assert found.failed == []


def test_streams_that_are_aborted_leave_nothing_behind(
    report: Report, kind: str, tmp_path: Path
) -> None:
    with Databases(tmp_path) as databases, Upstream.start() as upstream:
        stage = Stage(databases, kind, upstream, tmp_path, workers_max=1)
        aborts.run(report, stage, aborts.SHORT)
