"""The document as a judge of requests and answers: plain functions for tests."""

from functools import cache
from typing import Any

from jsonschema import Draft202012Validator
from jsonschema.protocols import Validator
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from solrouter.blueprints.openapi.document import document

ROOT = "urn:document"


@cache
def told() -> dict[str, Any]:
    """The document of some server."""
    return document("https://example.com/v1")


@cache
def judge(name: str, *, is_closed: bool = False) -> Validator:
    """What says whether a value is what the document calls by this name.

    If it is closed, an object must hold nothing that the document does not name.
    """
    contents = closed(told()) if is_closed else told()
    registry = Registry().with_resource(ROOT, DRAFT202012.create_resource(contents))
    reference = {"$ref": f"{ROOT}#/components/schemas/{name}"}
    return Draft202012Validator(reference, registry=registry)


def closed(schema: Any) -> Any:
    """The same schema with nothing further allowed where fields are named."""
    if isinstance(schema, list):
        return [closed(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    inner = {name: closed(value) for name, value in schema.items()}
    is_record = schema.get("type") == "object" and "properties" in schema
    return {"additionalProperties": False, **inner} if is_record else inner


def complaints(name: str, value: Any, *, is_closed: bool = False) -> list[str]:
    """What does not fit, for people."""
    errors = judge(name, is_closed=is_closed).iter_errors(value)
    return [f"{error.json_path}: {error.message}" for error in errors]
