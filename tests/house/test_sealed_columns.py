"""What is encrypted under the root secret is found by `flask secrets rotate`."""

import ast
from pathlib import Path

from sqlalchemy import LargeBinary

from solrouter.extensions import Base
from solrouter.models.columns import TimeOrderedId
from solrouter.services import root_secrets

SOURCES = Path(__file__).resolve().parents[2] / "solrouter"
ADVICE = (
    "if a column holds what is encrypted here, give it info=SEALED and name it in this test; "
    "otherwise say None and why"
)
# Each file that encrypts, with the column that it fills.
WRITERS = {
    "services/catalogue/provider_keys.py": "providers.key_encrypted",
    "services/contents.py": "kept_contents.content",
    "services/keepsakes.py": "keepsakes.value",
    "services/second_factors.py": "second_factors.secret_encrypted",
    "services/webhooks.py": "webhook_endpoints.secret_encrypted",
    # A note that a browser brings back within minutes.
    "blueprints/sealed.py": None,
    # idempotency_keys.answer, under a key that only the caller has.
    "services/repeats.py": None,
    # The means themselves, and the rotation.
    "secrets.py": None,
}
# Bytes that are no ciphertext of the root secret.
DIGESTS = ("digest", "body_digest")
UNDER_THE_CALLERS_KEY = ("idempotency_keys.answer",)


def test_what_is_encrypted_is_found_by_a_rotation() -> None:
    found = {
        path.relative_to(SOURCES).as_posix()
        for path in SOURCES.rglob("*.py")
        if "encrypt" in _methods_called(path)
    }
    assert found == set(WRITERS), ADVICE
    sealed = {f"{column.table.name}.{column.name}" for column in root_secrets.sealed_columns()}
    assert sealed == {column for column in WRITERS.values() if column}, ADVICE


def test_every_column_of_bytes_says_what_it_holds() -> None:
    for table in Base.metadata.sorted_tables:
        for column in table.columns:
            if not isinstance(column.type, LargeBinary):
                continue
            name = f"{table.name}.{column.name}"
            is_known = column.name in DIGESTS or name in UNDER_THE_CALLERS_KEY
            assert is_known != bool(column.info.get("sealed")), f"{name}: {ADVICE}"
    assert not issubclass(TimeOrderedId, LargeBinary)


def _methods_called(path: Path) -> set[str]:
    return {
        node.func.attr
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)
    }
