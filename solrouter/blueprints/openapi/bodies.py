"""What the API is sent, as schemas: each field as its check takes it."""

from collections.abc import Mapping

from solrouter.blueprints.api import key_objects, schemas
from solrouter.blueprints.api.fields import Check, Schema, nullable


def _chat() -> Schema:
    """A chat request: each field as its check takes it, or as it may be left."""
    fields = {**{name: check.schema for name, check in schemas.PASSED.items()}, **schemas.OWN}
    properties = {name: nullable(schema) for name, schema in fields.items()}
    properties["messages"] = schemas.OWN["messages"]
    harmless = {**schemas.COSTED, **schemas.ROUTING}
    properties |= {name: {"enum": list(values)} for name, values in harmless.items()}
    return {
        "type": "object",
        "required": ["messages"],
        "properties": dict(sorted(properties.items())),
        # `models` may name the model, too.
        "anyOf": [_named("model"), _named("models")],
    }


def _named(field: str) -> Schema:
    return {"required": [field], "properties": {field: {"not": {"type": "null"}}}}


def _of_key(terms: Mapping[str, Check], *required: str) -> Schema:
    """What may be said of a key, and nothing further: an unknown name is refused."""
    return {
        "type": "object",
        "required": list(required),
        "properties": key_objects.described(terms),
        "additionalProperties": False,
    }


BODIES: dict[str, Schema] = {
    "ChatCompletionRequest": _chat(),
    "KeyCreation": _of_key(key_objects.TERMS, "name"),
    "KeyChange": _of_key(key_objects.CHANGES),
    "KeyRotation": _of_key(key_objects.ROTATION),
}
