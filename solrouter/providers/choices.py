"""Several choices from a dialect that makes one at a time. (Being written.)"""

from collections.abc import Mapping
from typing import Any


def calls_needed(kind: str, capabilities: Mapping[str, Any], choices: int) -> int:
    """How many upstream calls so many choices take."""
    return 1
