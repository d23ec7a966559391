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
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if ACT.fullmatch(node.value):
                    yield node.value
            if isinstance(node, ast.Call) and ast.unparse(node.func) in (
                "key_rows.event",
                "_event",
            ):
                first = node.args[0] if node.args else None
                if isinstance(first, ast.Constant) and "." not in str(first.value):
                    yield f"key.{first.value}"


def test_every_act_has_words() -> None:
    found = set(acts()) - NO_ACTS
    assert len(found) > 60
    missing = found - set(ACTIONS)
    assert not missing, f"say in audit_words.ACTIONS what these are called: {sorted(missing)}"
