"""Numbers that upstreams tell us about tokens, believed only when they can be true. Pure."""

from typing import Any

# No context window and no answer comes near it; a larger number is a bug, and would be billed. All
# classes of as many calls as are merged into one answer, at the dearest price that a catalogue may
# name, still fit 64 bits.
TOKENS_MAX = 100_000_000


def token_count(value: Any) -> int | None:
    """A count of tokens, or None for what cannot be one: text, NaN, negative or absurd numbers."""
    kind = type(value)
    if kind is float and value.is_integer():
        kind, value = int, int(value)
    return value if kind is int and 0 <= value <= TOKENS_MAX else None


def count_in(values: Any, *names: str) -> int:
    """The first believable count under these names of a JSON object, or 0."""
    if isinstance(values, dict):
        for name in names:
            told = values.get(name)
            if told is not None and (count := token_count(told)) is not None:
                return count
    return 0
