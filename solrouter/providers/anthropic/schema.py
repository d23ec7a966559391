"""A JSON schema as Anthropic's structured output takes it. Pure.

Left out is what Anthropic's documentation of structured outputs names as not supported.
"""

from typing import Any

from solrouter.providers.schemas import cut_schema

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


def supported_schema(schema: Any) -> Any:
    """The schema without what Anthropic refuses; every object is closed."""
    return cut_schema(schema, _word, closes_objects=True)


def _word(key: str, value: Any) -> tuple[str, Any] | None:
    if key in _UNSUPPORTED or (key == "minItems" and value not in (0, 1)):
        return None
    return ("anyOf" if key == "oneOf" else key, value)
