"""The ledger's tests notice every bug of a list: each is planted in a copy, where they must fail.

Slow, so that `make test` leaves them out and `make mutants` runs them, two at a time.
"""

import os
import re
import shutil
import subprocess
import sys
from operator import attrgetter
from pathlib import Path

import pytest

from tests.services.mutants import LEAN_MUTANTS, MUTANTS, Mutant

ROOT = Path(__file__).resolve().parents[2]
COPIED = ("solrouter", "tests", "migrations", "tools")
MACHINE = "tests/services/test_ledger_machine.py"
ADMISSION = "tests/services/test_admission.py"
LEAN = "tests/services/test_lean.py"
SUBSET = "ledger or settle or hold or balance"
CAREFULLY = ("-m", "not postgresql", "-k", SUBSET, MACHINE, ADMISSION)
EXAMPLES = 10
TIMEOUT_S = 120

pytestmark = pytest.mark.mutants


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the tree to plant a bug in."""
    root = tmp_path / "copy"
    for name in COPIED:
        ignored = shutil.ignore_patterns("__pycache__", "static", "e2e")
        shutil.copytree(ROOT / name, root / name, ignore=ignored)
    shutil.copy(ROOT / "pyproject.toml", root)
    return root


def run_tests(copy: Path, *chosen: str) -> subprocess.CompletedProcess[str]:
    """Some tests of the copy, the machine in a small profile, until one fails."""
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "LEDGER_MACHINE_EXAMPLES": str(EXAMPLES),
        "PYTHONDONTWRITEBYTECODE": "1",
    }
    command = [sys.executable, "-m", "pytest", "-p", "no:randomly", "-p", "no:xdist", "-x", "-rfE"]
    return subprocess.run(
        [*command, "--tb=line", *chosen],
        check=False,
        cwd=copy,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )


def failures(output: str, path: str) -> int:
    """Tests that failed, and those after which the audit found something."""
    return len(re.findall(rf"^(?:FAILED|ERROR) {re.escape(path)}", output, re.MULTILINE))


def test_the_sound_copy_passes(copy: Path) -> None:
    result = run_tests(copy, *CAREFULLY)
    assert result.returncode == 0, result.stdout + result.stderr
    assert " passed" in result.stdout


@pytest.mark.parametrize("mutant", MUTANTS, ids=attrgetter("name"))
def test_the_bug_is_noticed(copy: Path, mutant: Mutant) -> None:
    """By the machine itself, which runs first."""
    mutant.plant(copy)
    result = run_tests(copy, *CAREFULLY)
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout + result.stderr
    assert failures(result.stdout, MACHINE), result.stdout


@pytest.mark.postgresql
@pytest.mark.parametrize("mutant", LEAN_MUTANTS, ids=attrgetter("name"))
def test_the_bug_of_a_single_statement_is_noticed(
    copy: Path, mutant: Mutant, postgresql_url: str
) -> None:
    """By playing each life both ways."""
    mutant.plant(copy)
    result = run_tests(copy, LEAN)
    assert result.returncode == pytest.ExitCode.TESTS_FAILED, result.stdout + result.stderr
    assert failures(result.stdout, LEAN), result.stdout
