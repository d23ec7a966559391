"""Every act that leaves an audit row has words for people; nobody reads `key.rotated`."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from solrouter.blueprints.audit_words import ACTIONS

SERVICES = Path(__file__).resolve().parents[2] / "solrouter" / "services"
# Texts of the same shape that are no acts.
NO_ACTS = frozenset(("catalogue.json",))
SUBJECTS = "|".join(sorted({name.partition(".")[0] for name in ACTIONS}))
ACT = re.compile(rf"(?:{SUBJECTS})\.[a-z_]+")


def acts() -> Iterator[str]:
    """What the services call their acts: by whole names, and of keys by the second half."""
    for path in SERVICES.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if ACT.fullmatch(_text(node)):
                yield _text(node)
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "key_rows.event":
                yield from (
                    f"key.{_text(argument)}" for argument in node.args[:1] if _text(argument)
                )


def _text(node: ast.AST) -> str:
    """The text of a literal; empty for anything else."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        return node.value
    return ""


def test_every_act_has_words() -> None:
    found = set(acts()) - NO_ACTS
    assert len(found) > 60
    missing = found - set(ACTIONS)
    assert not missing, f"say in audit_words.ACTIONS what these are called: {sorted(missing)}"
