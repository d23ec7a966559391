"""The smallest value that a JSON schema allows, near enough for a demonstration. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

DEPTH_MAX = 32
# However a schema multiplies itself, an example is a small thing.
VALUES_MAX = 1_000
ITEMS_MAX = 10
LENGTH_MAX = 1_000

_PLAIN: dict[str, Any] = {
    "string": "example",
    "integer": 0,
    "number": 0,
    "boolean": False,
    "null": None,
}
_FORMATS = {
    "date": "2026-01-01",
    "date-time": "2026-01-01T00:00:00Z",
    "time": "00:00:00Z",
    "email": "alice@example.com",
    "uri": "https://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}


@dataclass(slots=True)
class _Root:
    """The schema in which references are followed, and how many values may still be made."""

    schema: Any
    left: int = VALUES_MAX


def example_of(schema: Any) -> Any:
    """A value for a schema; references are followed within it, up to a depth and a size."""
    return _value(schema, _Root(schema), DEPTH_MAX)


def _value(schema: Any, root: _Root, depth: int) -> Any:
    root.left -= 1
    if not isinstance(schema, Mapping) or depth == 0 or root.left < 0:
        return {}
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if schema.get("enum"):
        return schema["enum"][0]
    inner = _referred(schema, root)
    if inner is not None:
        return _value(inner, root, depth - 1)
    return _typed(schema, root, depth)


def _referred(schema: Mapping[str, Any], root: _Root) -> Any:
    """The schema that stands for this one: a reference's target, or the first alternative."""
    for key in ("anyOf", "oneOf", "allOf"):
        if isinstance(schema.get(key), list) and schema[key]:
            return schema[key][0]
    reference = schema.get("$ref")
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    found = root.schema
    for step in reference.removeprefix("#").strip("/").split("/"):
        if step:
            found = found.get(step) if isinstance(found, Mapping) else None
    return found


def _typed(schema: Mapping[str, Any], root: _Root, depth: int) -> Any:
    kind = schema.get("type")
    kind = kind[0] if isinstance(kind, list) and kind else kind
    if kind == "array":
        count = min(int(schema.get("minItems", 0)), ITEMS_MAX)
        return [_value(schema.get("items", {}), root, depth - 1) for _ in range(count)]
    if kind == "string":
        text = _FORMATS.get(schema.get("format", ""), "example")
        length = min(int(schema.get("minLength", 0)), LENGTH_MAX)
        return text.ljust(length, ".")[: schema.get("maxLength")]
    if kind in ("integer", "number"):
        return _number(schema)
    if kind in _PLAIN:
        return _PLAIN[kind]
    return _object(schema, root, depth)


def _number(schema: Mapping[str, Any]) -> Any:
    if "minimum" in schema:
        return schema["minimum"]
    if "exclusiveMinimum" in schema:
        return schema["exclusiveMinimum"] + 1
    return min(0, schema.get("maximum", 0))


def _object(schema: Mapping[str, Any], root: _Root, depth: int) -> dict[str, Any]:
    properties = schema.get("properties")
    properties = properties if isinstance(properties, Mapping) else {}
    required = schema.get("required", list(properties))
    return {
        name: _value(properties.get(name, {}), root, depth - 1)
        for name in required
        if isinstance(name, str)
    }
