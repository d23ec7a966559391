"""A JSON schema as Anthropic's structured output takes it. Pure.

What its grammar cannot enforce is moved into the description, so that the model still reads it.
"""

from typing import Any

import orjson

_UNSUPPORTED = frozenset(
    {
        "minimum",
        "maximum",
        "exclusiveMinimum",
        "exclusiveMaximum",
        "multipleOf",
        "minLength",
        "maxLength",
        "maxItems",
        "uniqueItems",
        "contains",
        "prefixItems",
        "patternProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
        "dependentRequired",
        "dependentSchemas",
        "if",
        "then",
        "else",
        "not",
        "unevaluatedProperties",
    }
)
# Under these, names are the caller's own and not words of the schema.
_NAMED = frozenset({"properties", "$defs", "definitions"})
_VALUES = frozenset({"const", "default", "enum", "examples"})


def supported_schema(schema: Any) -> Any:
    """The schema without what Anthropic refuses; every object is closed."""
    if isinstance(schema, list):
        return [supported_schema(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    kept: dict[str, Any] = {}
    moved: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _UNSUPPORTED or (key == "minItems" and value not in (0, 1)):
            moved[key] = value
        else:
            kept["anyOf" if key == "oneOf" else key] = _inner(key, value)
    if kept.get("type") == "object" or "properties" in kept:
        kept["additionalProperties"] = False
    if moved:
        told = orjson.dumps(moved).decode()
        kept["description"] = f"{kept.get('description', '')} Constraints: {told}".strip()
    return kept


def _inner(key: str, value: Any) -> Any:
    if key in _VALUES:
        return value
    if key in _NAMED and isinstance(value, dict):
        return {name: supported_schema(inner) for name, inner in value.items()}
    return supported_schema(value)
