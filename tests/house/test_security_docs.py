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
    for line in PAGE.partition("## The requirements")[2].partition("## Left out")[0].splitlines()
    if line.startswith("| ") and not line.startswith("| ASVS")
]
STATES = ("met", "met over https", "partly", "not yet", "operator's")
MINIMUM_ROWS = 50
# How many requirements of levels 1 and 2 each section of version 5.0.0 has; they come first in it.
ASVS = """
1.1:2 1.2:9 1.3:11 1.4:3 1.5:2 2.1:3 2.2:3 2.3:4 2.4:1 3.2:2 3.3:4 3.4:6 3.5:5 3.7:2 4.1:3 4.2:1
4.3:2 4.4:4 5.1:1 5.2:3 5.3:2 5.4:3 6.1:3 6.2:12 6.3:4 6.4:4 6.5:5 6.6:3 6.8:4 7.1:3 7.2:4 7.3:2
7.4:5 7.5:2 7.6:2 8.1:2 8.2:3 8.3:1 8.4:1 9.1:3 9.2:4 10.1:2 10.2:2 10.3:4 10.4:11 10.5:5 10.6:2
10.7:3 11.1:2 11.2:3 11.3:3 11.4:4 11.5:1 11.6:1 12.1:3 12.2:2 12.3:4 13.1:1 13.2:5 13.3:2 13.4:5
14.1:2 14.2:4 14.3:3 15.1:3 15.2:3 15.3:7 16.1:1 16.2:5 16.3:4 16.4:3 16.5:3 17.1:1 17.2:4 17.3:2
"""
LEVELS_1_AND_2 = 70 + 183


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


def test_every_requirement_of_levels_1_and_2_has_a_row_or_is_left_out() -> None:
    sections = [entry.split(":") for entry in ASVS.split()]
    asked = {f"{name}.{n}" for name, count in sections for n in range(1, int(count) + 1)}
    assert len(asked) == LEVELS_1_AND_2
    told = [number for row in ROWS for number in numbers(row[0])]
    left_out = numbers(PAGE.partition("## Left out")[2].partition("## ")[0])
    assert asked - {*told, *left_out} == set()
    assert not {*told} & {*left_out}
    assert {*left_out} <= asked


def numbers(text: str) -> list[str]:
    """The requirements that a text names: `1.2.3`, and `1.2.3–1.2.5` for all three."""
    found = []
    for section, first, last in re.findall(r"(\d+\.\d+)\.(\d+)(?:–\d+\.\d+\.(\d+))?", text):
        found += [f"{section}.{n}" for n in range(int(first), int(last or first) + 1)]
    return found


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
