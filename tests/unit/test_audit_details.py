"""What an audit row tells, as people read it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from solrouter.blueprints import audit_words
from solrouter.services.trail import Event


def told(**details: Any) -> list[tuple[str, str]]:
    names: dict[str, Any] = dict.fromkeys(Event.__dataclass_fields__)
    event = Event(**{**names, "action": "key.created", "details": details})
    return audit_words.of(event).details


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("scopes", ["inference"], "inference"),
        ("scopes", ["inference", "read"], "inference, read"),
        ("scopes", [["inference"], ["inference", "read"]], "inference → inference, read"),
        ("models_allowed", [None, ["a/b", "c/d"]], "none → a/b, c/d"),
        ("role", ["owner", "developer"], "owner → developer"),
        ("limit_nanos", [None, 10**9], "none → $1.00"),
        ("former_ends_at", datetime(2026, 11, 28, 18, 45, tzinfo=UTC).isoformat(),
         "28 Nov 2026, 18:45 UTC"),
        ("is_operator", False, "no"),
    ],
)  # fmt: skip
def test_values_are_told_in_words(key: str, value: Any, words: str) -> None:
    assert [said for _, said in told(**{key: value})] == [words]
