"""`make audit` with pip-audit itself and a service that knows of what a test plants."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import require
from tests.fakes.osv import FakeOsv
from tests.served import ROOT

pytestmark = pytest.mark.real

PYTHON = ROOT / ".venv-supply" / "bin" / "python"


def audit(osv: FakeOsv, cache: Path) -> subprocess.CompletedProcess[str]:
    require("pip-audit (make test-real)", PYTHON.exists())
    return subprocess.run(
        [PYTHON, "-m", "tools.audit_packages", "requirements.txt"],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "AUDIT_OSV_URL": osv.url, "XDG_CACHE_HOME": str(cache)},
    )


def test_a_weakness_of_a_package_that_we_pin_fails_it(tmp_path: Path) -> None:
    with FakeOsv({"jinja2": "99.1"}) as osv:
        result = audit(osv, tmp_path)
    assert result.returncode == 1, result.stdout + result.stderr
    assert "jinja2 " in result.stdout and "mended in 99.1" in result.stdout
    assert "CVE-2026-0001" in result.stdout
    assert "NOT DONE" not in result.stdout
    assert {"flask", "jinja2", "opentelemetry-sdk", "psycopg-binary"} <= set(osv.asked)


def test_where_none_is_known_it_says_of_how_many(tmp_path: Path) -> None:
    with FakeOsv({"a-package-of-others": "1"}) as osv:
        result = audit(osv, tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
    assert f"knows of weaknesses in 0 of {len(osv.asked)} packages" in result.stdout
