"""A migration that says it expands must only add: older code writes to its tables meanwhile."""

import ast
from operator import attrgetter
from pathlib import Path

import pytest

VERSIONS = sorted((Path(__file__).resolve().parents[2] / "migrations" / "versions").glob("*.py"))
ADDS = {"add_column", "bulk_insert", "create_index", "create_table", "execute", "f", "get_bind"}


def named(tree: ast.Module, name: str) -> object:
    """What a migration sets this name to; None where it does not."""
    for statement in tree.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets[0]) == name:
            return ast.literal_eval(statement.value)
    return None


def upgrade_of(tree: ast.Module) -> ast.FunctionDef:
    """The function that upgrades."""
    found = (one for one in tree.body if isinstance(one, ast.FunctionDef) and one.name == "upgrade")
    return next(found)


def is_column_that_old_rows_lack(call: ast.Call) -> bool:
    """Whether rows that are written without this column are refused."""
    column = call.args[1]
    if not isinstance(column, ast.Call):
        return False
    given = {word.arg: ast.unparse(word.value) for word in column.keywords}
    return given.get("nullable") == "False" and "server_default" not in given


@pytest.mark.parametrize("path", VERSIONS, ids=attrgetter("stem"))
def test_what_says_that_it_expands_only_adds(path: Path) -> None:
    tree = ast.parse(path.read_text())
    number = str(named(tree, "revision"))
    assert number.isdecimal(), "a migration's name is its number"
    assert path.stem.startswith(f"{number}_"), "a migration's file begins with its number"
    expands = named(tree, "expands")
    if expands is not True:
        assert expands in (None, False)
        return
    for call in (one for one in ast.walk(upgrade_of(tree)) if isinstance(one, ast.Call)):
        name = ast.unparse(call.func)
        if not name.startswith("op."):
            continue
        assert name.removeprefix("op.") in ADDS, (
            f"{path.name} calls {name}, and says that it expands. What takes away or changes "
            "belongs into the release after the one that stopped using it: docs/upgrading.md"
        )
        if name == "op.add_column":
            assert not is_column_that_old_rows_lack(call), (
                f"{path.name} adds a column that older code does not write: give it a "
                "server_default, or let it be null"
            )
