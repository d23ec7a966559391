"""What we build on: pinned with hashes, each justified, each under a licence that we accept."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tools import licences
from tools.licences import Package

ROOT = Path(__file__).resolve().parents[2]
WISHES = sorted(ROOT.glob("requirements*.in"))
PINNED = sorted(ROOT.glob("requirements*.txt"))
JUSTIFIED = (ROOT / "docs" / "dependencies.md").read_text().lower()


def wished(path: Path) -> list[str]:
    """The packages that a file asks for by name."""
    lines = [line.strip() for line in path.read_text().splitlines()]
    return [Requirement(line).name for line in lines if line and line[0] not in "#-"]


def test_each_wish_is_pinned() -> None:
    assert [path.stem for path in WISHES] == [path.stem for path in PINNED]


@pytest.mark.parametrize("path", PINNED, ids=lambda path: path.name)
def test_each_pin_has_a_hash(path: Path) -> None:
    entries = re.split(r"^(?=[a-zA-Z0-9])", path.read_text(), flags=re.MULTILINE)
    pins = [entry for entry in entries if "==" in entry]
    assert pins
    assert [pin.split()[0] for pin in pins if "--hash=sha256:" not in pin] == []


@pytest.mark.parametrize("path", WISHES, ids=lambda path: path.name)
def test_each_package_that_we_chose_is_justified(path: Path) -> None:
    missing = [
        name for name in wished(path) if not re.search(rf"\b{re.escape(name.lower())}\b", JUSTIFIED)
    ]
    assert missing == [], f"docs/dependencies.md does not say why we need {', '.join(missing)}"


def test_what_the_server_chose_has_a_row_of_its_own() -> None:
    rows = " ".join(re.findall(r"^\| ([^|]+) \|", JUSTIFIED, re.MULTILINE))
    missing = [
        name
        for name in wished(ROOT / "requirements.in")
        if not re.search(rf"\b{re.escape(name.lower())}\b", rows)
    ]
    assert missing == []


def test_the_page_of_licences_is_of_these_packages() -> None:
    assert licences.page(licences.packages()) == licences.PAGE.read_text(), "run: make licences"


@pytest.mark.parametrize("package", licences.packages(), ids=lambda package: package.name)
def test_each_licence_is_one_that_we_accept(package: Package) -> None:
    assert package.is_accepted, (
        f"{package.name} is under {package.licence}. Whether we can live with it is a decision: "
        "then add it to ACCEPTED in tools/licences.py"
    )


@pytest.mark.parametrize(
    ("licence", "is_accepted"),
    [
        ("MIT", True),
        ("GPL-3.0-only OR MIT", True),
        ("MIT AND PSF-2.0", True),
        ("AGPL-3.0-only", False),
        ("MIT AND GPL-2.0-only", False),
        ("GPL-2.0-only AND (MIT OR Apache-2.0)", False),
        ("GPL-2.0-only WITH Classpath-exception-2.0", False),
        ("Free for friends", False),
        ("unknown", False),
    ],
)
def test_a_licence_that_asks_for_more_is_refused(licence: str, is_accepted: bool) -> None:
    assert Package("acme", "1", licence).is_accepted is is_accepted


@pytest.mark.parametrize(("required", "code"), [("", 0), ("required", 1)])
def test_an_audit_that_cannot_be_made_says_so(required: str, code: int, tmp_path: Path) -> None:
    """There is no pip-audit beside the tests, which is one way not to reach a service."""
    result = subprocess.run(
        [sys.executable, "-m", "tools.audit_packages", str(tmp_path / "none.txt")],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, "CI_AUDIT": required},
    )
    assert result.returncode == code
    assert "NOT DONE" in result.stdout
    assert "Run it where one can be reached" in result.stdout
