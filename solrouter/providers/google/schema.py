"""A JSON schema as Gemini's `responseJsonSchema` takes it. Pure.

The words are those that google-genai 3.4 names in `GenerateContentConfig.response_json_schema`.
"""

from typing import Any

from solrouter.providers.schemas import cut_schema

_SUPPORTED = frozenset(
    {
        "$anchor",
        "$defs",
        "$id",
        "$ref",
        "additionalProperties",
        "anyOf",
        "description",
        "enum",
        "format",
        "items",
        "maxItems",
        "maximum",
        "minItems",
        "minimum",
        "oneOf",
        "prefixItems",
        "properties",
        "propertyOrdering",
        "required",
        "title",
        "type",
    }
)


def supported_schema(schema: Any) -> Any:
    """The schema in Gemini's subset. A reference stands alone there, beside `$` words only."""
    return _lonely_references(cut_schema(schema, _word))


def _word(key: str, value: Any) -> tuple[str, Any] | None:
    if key in _SUPPORTED:
        return key, value
    if key == "const" and isinstance(value, str | int | float):
        return "enum", [value]
    if key == "definitions":
        return "$defs", value
    return None


def _lonely_references(schema: Any) -> Any:
    if isinstance(schema, list):
        return [_lonely_references(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = reference.replace("#/definitions/", "#/$defs/")
        rest = {name: value for name, value in schema.items() if name in ("$defs", "$id")}
        return {"$ref": target, **_lonely_references(rest)}
    return {name: _lonely_references(value) for name, value in schema.items()}
