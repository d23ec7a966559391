"""docs/security.md is true: each test that it names exists, and what it calls met names one."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "security.md").read_text()
NAMED = sorted(set(re.findall(r"`(tests/[\w/]+\.py)::(test_\w+)`", PAGE)))
ROWS = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in PAGE.partition("## The requirements")[2].splitlines()
    if line.startswith("| ") and not line.startswith("| ASVS")
]
STATES = ("met", "met over https", "partly", "not yet", "operator's")
MINIMUM_ROWS = 50


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda value: str(value).rpartition("/")[2])
def test_every_test_that_is_named_exists(file: str, name: str) -> None:
    path = ROOT / file
    assert path.exists(), f"docs/security.md names {file}, which is gone"
    functions = {n.name for n in ast.walk(ast.parse(path.read_text())) if hasattr(n, "name")}
    assert name in functions, f"docs/security.md names {name}, which is not in {file}"


def test_every_row_says_its_state_and_what_holds_it() -> None:
    assert len(ROWS) >= MINIMUM_ROWS
    for row in ROWS:
        asvs, asks, state, _, held = row
        assert state in STATES, (asvs, asks)
        if state.startswith(("met", "partly")):
            assert "::test_" in held, f"{asvs} {asks}: name the test that holds it"
        else:
            assert not held, f"{asvs} {asks}: if a test holds it, it is met or partly met"


def test_what_is_named_like_a_test_is_one() -> None:
    assert len(re.findall(r"::test_", PAGE)) == len(
        re.findall(r"`tests/[\w/]+\.py::test_\w+`", PAGE)
    )


def test_every_dependency_is_pinned_with_its_hash() -> None:
    for path in (ROOT / "requirements.txt", ROOT / "requirements-dev.txt"):
        entries = re.split(r"\n(?=\S)", path.read_text().strip())
        assert entries
        for entry in entries:
            assert re.match(r"[\w.\[\],-]+==\S+", entry), entry.splitlines()[0]
            assert "--hash=sha256:" in entry, entry.splitlines()[0]
