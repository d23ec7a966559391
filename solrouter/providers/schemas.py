"""A JSON schema cut to what a provider's grammar enforces. Pure.

What it cannot enforce is moved into the description, so that the model still reads it.
"""

from collections.abc import Callable
from typing import Any

import orjson

# Under these, names are the caller's own and not words of the schema.
_NAMED = frozenset({"properties", "$defs", "definitions", "dependentSchemas", "patternProperties"})
_VALUES = frozenset({"const", "default", "enum", "examples", "required", "propertyOrdering"})

# Takes a word of a schema and its value; says what stands for it, or that nothing does.
Word = Callable[[str, Any], tuple[str, Any] | None]


def cut_schema(schema: Any, word: Word, *, closes_objects: bool = False) -> Any:
    """The schema with only the words that `word` lets through, at every depth."""
    if isinstance(schema, list):
        return [cut_schema(item, word, closes_objects=closes_objects) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    moved: dict[str, Any] = {}
    for key, value in schema.items():
        said = word(key, value)
        if said is None:
            moved[key] = value
        else:
            kept[said[0]] = _inner(*said, word, closes_objects)
    if closes_objects and (kept.get("type") == "object" or "properties" in kept):
        kept["additionalProperties"] = False
    if moved:
        told = orjson.dumps(moved).decode()
        kept["description"] = f"{kept.get('description', '')} Constraints: {told}".strip()
    return kept


def _inner(key: str, value: Any, word: Word, closes_objects: bool) -> Any:
    if key in _VALUES:
        return value
    if key in _NAMED and isinstance(value, dict):
        return {
            name: cut_schema(inner, word, closes_objects=closes_objects)
            for name, inner in value.items()
        }
    return cut_schema(value, word, closes_objects=closes_objects)
