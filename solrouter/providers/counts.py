"""Numbers that upstreams tell us about tokens, believed only when they can be true. Pure."""

from collections.abc import Mapping
from typing import Any

# No context window and no answer comes near it; a larger number is a bug, and would be billed. All
# classes of as many calls as are merged into one answer, at the dearest price that a catalogue may
# name, still fit 64 bits.
TOKENS_MAX = 100_000_000


def token_count(value: Any) -> int | None:
    """A count of tokens, or None for what cannot be one: text, NaN, negative or absurd numbers."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        return None
    return value if 0 <= value <= TOKENS_MAX else None


def count_in(values: Any, *names: str) -> int:
    """The first believable count under these names, or 0."""
    if isinstance(values, Mapping):
        for name in names:
            count = token_count(values.get(name))
            if count is not None:
                return count
    return 0
