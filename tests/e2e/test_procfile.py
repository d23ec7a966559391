"""The Procfile by a Procfile runner, on PostgreSQL, by the lines of docs/deploy.md."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from bench.faults.books import Books
from bench.faults.databases import Databases
from tests import served as serving
from tests.conftest import SECRET_KEY, require
from tests.e2e.place import until
from tests.served import ROOT, free_port

pytestmark = pytest.mark.postgresql

PAGE = (ROOT / "docs" / "deploy.md").read_text()
EMAIL = "olivia@example.com"
WITHIN_S = 60


@pytest.fixture
def url(tmp_path: Path) -> Iterator[str]:
    """An empty database."""
    require("PostgreSQL", Databases.has_postgresql())
    with Databases(tmp_path) as databases:
        yield databases.empty()


def lines(name: str) -> list[str]:
    """The lines of a block of the page."""
    found = re.search(rf"^```sh id={name}\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/deploy.md has no block {name}"
    return found.group(1).strip().splitlines()


def test_the_procfile_runs_as_written(url: str, tmp_path: Path) -> None:
    release, start = lines("procfile")
    port = free_port()
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environ = {
        **serving.bare_environment(),
        "PATH": programs,
        "PORT": str(port),
        "DATABASE_URL": url,
        "SECRET_KEY": SECRET_KEY,
        "SOLROUTER_INSTANCE_PATH": str(tmp_path),
        "SOLROUTER_OPERATOR_EMAIL": EMAIL,
    }
    released = subprocess.run(
        ["bash", "-euc", release],
        cwd=ROOT,
        env=environ,
        check=False,
        capture_output=True,
        text=True,
    )
    assert released.returncode == 0, released.stdout + released.stderr
    assert "The catalogue is up to date" in released.stdout + released.stderr
    log_path = tmp_path / "honcho.log"
    with log_path.open("wb") as log:
        running = subprocess.Popen(
            ["bash", "-euc", f"exec {start}"], cwd=ROOT, env=environ, stdout=log, stderr=log
        )
    try:
        until(lambda: _is_ready(port), within_s=WITHIN_S)
        until(lambda: "The clock runs" in log_path.read_text(), within_s=WITHIN_S)
        assert f"{EMAIL} is the operator. Set the password here" in log_path.read_text()
        # The web worker and the clock; one of them does the periodic work.
        books = Books(url)
        until(lambda: books.number("SELECT count(*) FROM workers") == 2, within_s=WITHIN_S)
        until(lambda: books.number("SELECT count(*) FROM leases") == 1, within_s=WITHIN_S)
    finally:
        running.send_signal(signal.SIGTERM)
        running.wait(timeout=WITHIN_S)
    said = log_path.read_text()
    assert "Traceback" not in said
    assert "sending SIGKILL" not in said


def _is_ready(port: int) -> bool:
    try:
        return requests.get(f"http://127.0.0.1:{port}/readyz", timeout=5).status_code == 200
    except requests.RequestException:
        return False


def test_sqlite_wants_no_clock_beside_it(tmp_path: Path) -> None:
    environ = {
        **serving.bare_environment(),
        "SECRET_KEY": SECRET_KEY,
        "DATABASE_URL": f"sqlite:///{tmp_path / 'new.sqlite3'}",
        "SOLROUTER_INSTANCE_PATH": str(tmp_path),
    }
    result = subprocess.run(
        [sys.executable, "-m", "flask", "clock"],
        cwd=ROOT, env=environ, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert result.returncode == 1
    assert "A clock process is for PostgreSQL" in result.stderr
