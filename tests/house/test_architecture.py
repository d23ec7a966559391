"""Data flows one way, and the other rules that no reader should have to check."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "solrouter"
SOURCES = sorted(PACKAGE.rglob("*.py"))
FUNCTION_LINES_MAX = 70
FORBIDDEN_NAMES = ("utils", "helpers", "common", "manager", "misc")
# Who may open a connection or a session: the one door, the migrations, and backups.
DATABASE_DOORS = {
    f"solrouter/database/{name}.py" for name in ("__init__", "copies", "engines", "writer")
}
OPENERS = ("create_engine", "sessionmaker", "begin", "connect")
DRIVERS = ("sqlite3", "psycopg")


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.FunctionDef):
            yield node


def test_the_import_contracts_hold() -> None:
    result = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as c; c()",
            "--no-cache",
        ],
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Contracts: " in result.stdout


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_no_function_is_longer_than_a_screen(path: Path) -> None:
    for node in functions(path):
        assert node.end_lineno is not None
        lines = node.end_lineno - node.lineno + 1
        assert lines <= FUNCTION_LINES_MAX, f"{relative(path)}: {node.name} has {lines} lines"


@pytest.mark.parametrize("path", SOURCES, ids=relative)
def test_every_room_says_what_it_is_for(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text())), f"{relative(path)} has no docstring"
    assert not path.stem.endswith(FORBIDDEN_NAMES), f"{relative(path)} says nothing by its name"


def test_only_the_one_door_opens_connections() -> None:
    for path in SOURCES:
        if relative(path) in DATABASE_DOORS:
            continue
        source = path.read_text()
        assert "db.session" not in source, f"{relative(path)} opens a session"
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.Call):
                continue
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            owner = ast.unparse(node.func)
            is_engine = "engine" in owner or name in ("create_engine", "sessionmaker")
            is_driver = owner in {f"{driver}.connect" for driver in DRIVERS}
            opens = is_driver or (is_engine and name in OPENERS)
            assert not opens, f"{relative(path)} opens a connection"


def test_the_environment_is_read_in_one_place() -> None:
    readers = [
        relative(path)
        for path in SOURCES
        if any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv")
            and ast.unparse(node.value) == "os"
            for node in ast.walk(ast.parse(path.read_text()))
        )
    ]  # fmt: skip
    assert readers == ["solrouter/config/__init__.py"]


def test_only_wsgi_patches() -> None:
    patchers = [relative(path) for path in SOURCES if "patch_all" in path.read_text()]
    assert patchers == []
    lines = [line for line in (ROOT / "wsgi.py").read_text().splitlines() if line.strip()]
    code = [line for line in lines if not line.startswith('"""')]
    assert code[:2] == ["from gevent import monkey", "monkey.patch_all()"]


def test_money_is_never_a_float() -> None:
    exact = ("services/pricing.py", "services/billing.py", "services/admission/*.py", "money.py")
    files = [path for pattern in exact for path in sorted(PACKAGE.glob(pattern))]
    assert len(files) > len(exact)
    for path in files:
        tree, name = ast.parse(path.read_text()), relative(path)
        floats = [
            node for node in ast.walk(tree)
            if (isinstance(node, ast.Constant) and isinstance(node.value, float))
            or (isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div)
                and "Decimal" not in ast.unparse(node))
        ]  # fmt: skip
        assert not floats, f"{name} reckons with floats: {[ast.unparse(n) for n in floats]}"


def test_no_mock_of_our_own_code() -> None:
    for path in sorted((ROOT / "tests").rglob("*.py")):
        source = path.read_text()
        if path == Path(__file__):
            continue
        for banned in ("unittest.mock", "monkeypatch.setattr", "mocker."):
            assert banned not in source, f"{relative(path)} uses {banned}"
