"""The OpenAPI document as rows for a page. It reads the document that the server serves and nothing
else, so that page, document and checks say the same.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from solrouter.blueprints.openapi.document import document

Schema = Mapping[str, Any]
# Deeper ones are shown by their names alone; the document has them whole.
DEPTH_MAX = 4
ENUM_SHOWN_MAX = 12
BOUNDS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "more than {}",
    "maximum": "at most {}",
    "minLength": "{} or more characters",
    "maxLength": "at most {} characters",
    "minItems": "{} or more items",
    "maxItems": "at most {} items",
}
NULL = {"type": "null"}


@dataclass(frozen=True, slots=True)
class Field:
    """One field: its path such as `messages[].role`, what it may be, and what is said of it."""

    path: str
    kinds: str
    bounds: str
    is_required: bool
    words: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One kind of answer: its status, media type and schema."""

    status: str
    media_type: str
    schema: str


@dataclass(frozen=True, slots=True)
class Call:
    """One method of one path."""

    id: str
    method: str
    path: str
    summary: str
    access: str
    parameters: Sequence[Field]
    body: str
    answers: Sequence[Answer]
    errors: Sequence[str]


@dataclass(frozen=True, slots=True)
class Shape:
    """One named schema and its fields."""

    name: str
    fields: Sequence[Field]


@dataclass(frozen=True, slots=True)
class Reference:
    """All of it. `errors` are the statuses with the codes that they carry."""

    calls: Sequence[Call]
    shapes: Sequence[Shape]
    errors: Sequence[tuple[str, str, Sequence[str]]]


def reference(base_url: str) -> Reference:
    """What the API at this address offers."""
    found = document(base_url)
    calls = [
        _call(path, method, operation)
        for path, methods in found["paths"].items()
        for method, operation in methods.items()
    ]
    schemas: Mapping[str, Schema] = found["components"]["schemas"]
    shapes = [
        Shape(name, list(_fields(schema)))
        for name, schema in schemas.items()
        if not name.startswith("Error")
    ]
    errors = [
        _error(name.removeprefix("Error"), schema)
        for name, schema in sorted(schemas.items())
        if name.startswith("Error")
    ]
    return Reference(calls, shapes, errors)


def _call(path: str, method: str, operation: Schema) -> Call:
    statuses: Mapping[str, Schema] = operation["responses"]
    answers = [
        Answer(status, kind, _name(content["schema"]))
        for status, told in statuses.items()
        for kind, content in told.get("content", {}).items()
    ]
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    return Call(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        access=_access(operation),
        parameters=[_parameter(each) for each in operation.get("parameters", ())],
        body=_name(body["schema"]) if body else "",
        answers=answers,
        errors=sorted(status for status, told in statuses.items() if "$ref" in told),
    )


def _access(operation: Schema) -> str:
    ways: Sequence[Schema] | None = operation.get("security")
    if ways is None:
        return "With a key"
    if {} in ways:
        return "Without a key"
    scopes = sorted({scope for way in ways for each in way.values() for scope in each})
    return f"With a key for {' or '.join(scopes)}"


def _parameter(told: Schema) -> Field:
    schema = told["schema"]
    where = f"{told['in']}: {told['name']}"
    required = bool(told.get("required"))
    return Field(where, _kinds(schema), _bounds(schema), required, told.get("description", ""))


def _error(status: str, schema: Schema) -> tuple[str, str, Sequence[str]]:
    error = schema["properties"]["error"]["properties"]
    return status, str(error["type"].get("const", "")), error["code"].get("examples", ())


def _fields(schema: Schema, prefix: str = "", depth: int = 1) -> Iterator[Field]:
    """The fields of an object, and of the objects and lists in it."""
    schema = _without_null(schema)
    if schema.get("type") == "array" or "items" in schema:
        yield from _fields(schema.get("items", {}), f"{prefix}[]", depth)
        return
    required = schema.get("required", ())
    for name, its in schema.get("properties", {}).items():
        path = f"{prefix}.{name}" if prefix else name
        words = str(its.get("description", ""))
        yield Field(path, _kinds(its), _bounds(_without_null(its)), name in required, words)
        if depth < DEPTH_MAX:
            yield from _fields(its, path, depth + 1)


def _without_null(schema: Schema) -> Schema:
    """The one alternative beside null, where there is but one."""
    others = [each for each in schema.get("anyOf", ()) if each != NULL]
    if "properties" not in schema and len(others) == 1:
        return _without_null(others[0])
    return schema


def _kinds(schema: Schema) -> str:
    """What a value may be, in words."""
    if "$ref" in schema:
        return _name(schema)
    if "const" in schema:
        return _json(schema["const"])
    if "enum" in schema:
        return _enumerated(schema["enum"])
    if "anyOf" in schema and "properties" not in schema:
        return " or ".join(dict.fromkeys(_kinds(each) for each in schema["anyOf"]))
    kind = schema.get("type", "anything")
    kinds = [kind] if isinstance(kind, str) else list(kind)
    if "array" in kinds and "items" in schema:
        kinds[kinds.index("array")] = f"array of {_kinds(schema['items'])}"
    if "object" in kinds and (mark := _mark(schema)):
        kinds[kinds.index("object")] = mark
    return " or ".join(kinds)


def _enumerated(values: Sequence[Any]) -> str:
    shown = [_json(value) for value in values[:ENUM_SHOWN_MAX]]
    return " or ".join(shown + ["…"] * (len(values) > ENUM_SHOWN_MAX))


def _mark(schema: Schema) -> str:
    """The constant by which an object of several kinds is told from the others."""
    for name in ("role", "type"):
        its = schema.get("properties", {}).get(name, {})
        if "const" in its:
            return f"object ({name} {_json(its['const'])})"
    return ""


def _bounds(schema: Schema) -> str:
    return ", ".join(
        words.format(f"{schema[name]:,}") for name, words in BOUNDS.items() if name in schema
    )


def _name(schema: Schema) -> str:
    return str(schema["$ref"]).rpartition("/")[2]


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
