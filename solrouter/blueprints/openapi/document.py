"""The OpenAPI document, put together from the operations and from what validates and answers.

What a request may hold comes from the checks themselves, what an error says from the one table of
errors; nothing of either is written a second time.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from solrouter.blueprints.api import errors
from solrouter.blueprints.api.fields import Schema
from solrouter.blueprints.openapi.answers import ANSWERS, error_schema
from solrouter.blueprints.openapi.bodies import BODIES
from solrouter.blueprints.openapi.key_answers import KEY_ANSWERS
from solrouter.blueprints.openapi.operations import OPERATIONS, Operation
from solrouter.errors import SolRouterError

OPENAPI_VERSION = "3.1.0"
# The version of the contract, which is the version in its path.
CONTRACT_VERSION = "1"
BEARER = "apiKey"
SECURITY = {
    "type": "http",
    "scheme": "bearer",
    "description": "An API key. Where roles are named, a key needs the scope of that name.",
}
DESCRIPTION = (
    "One API for many models, compatible with OpenAI's clients. "
    "Fields that are not listed are passed to providers that take them, or named in `warnings`."
)


def document(base_url: str) -> dict[str, Any]:
    """The whole document for an API at this address."""
    paths: dict[str, dict[str, Any]] = {}
    for operation in OPERATIONS:
        paths.setdefault(operation.path, {})[operation.method] = _operation(operation)
    return {
        "openapi": OPENAPI_VERSION,
        "info": {
            "title": "SolRouter",
            "version": CONTRACT_VERSION,
            "description": DESCRIPTION,
        },
        "servers": [{"url": base_url}],
        "security": [{BEARER: []}],
        "paths": paths,
        "components": {
            "schemas": {**BODIES, **ANSWERS, **KEY_ANSWERS, **dict(_error_schemas())},
            "responses": dict(_error_responses()),
            "securitySchemes": {BEARER: SECURITY},
        },
    }


def _operation(operation: Operation) -> dict[str, Any]:
    told: dict[str, Any] = {
        "operationId": operation.name,
        "summary": operation.summary,
        "responses": {
            str(operation.status): {
                "description": operation.answer,
                "content": {
                    kind: {"schema": _reference(name)} for kind, name in operation.answers.items()
                },
            },
            **{str(s): {"$ref": f"#/components/responses/{s}"} for s in operation.errors},
        },
    }
    if operation.parameters:
        told["parameters"] = list(operation.parameters)
    if operation.body is not None:
        content = {"application/json": {"schema": _reference(operation.body)}}
        told["requestBody"] = {"required": operation.needs_body, "content": content}
    if operation.is_public:
        told["security"] = [{}, {BEARER: []}]
    if operation.scopes:
        told["security"] = [{BEARER: [scope]} for scope in operation.scopes]
    return told


def _reference(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _statuses() -> Mapping[int, str]:
    """Every status that an error can have, with its type."""
    return {status: kind for _, status, kind in errors.TABLE}


def _error_schemas() -> Iterator[tuple[str, Schema]]:
    for status, kind in _statuses().items():
        yield f"Error{status}", error_schema(kind, sorted(_codes(status)))


def _error_responses() -> Iterator[tuple[str, Any]]:
    for status, kind in _statuses().items():
        content = {"application/json": {"schema": _reference(f"Error{status}")}}
        yield str(status), {"description": kind, "content": content}


def _codes(status: int) -> Iterable[str]:
    """The codes of all classes that are told with this status."""
    waiting: list[type[SolRouterError]] = [SolRouterError]
    while waiting:
        cls = waiting.pop()
        waiting += cls.__subclasses__()
        if next(row[1] for row in errors.TABLE if issubclass(cls, row[0])) == status:
            yield cls.code
