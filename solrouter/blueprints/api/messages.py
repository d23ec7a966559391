"""The messages of a chat request: checked part by part, each mistake named by its path."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from solrouter import media_tokens
from solrouter.blueprints.api.fields import (
    LIST,
    OBJECT,
    TEXT,
    Check,
    Schema,
    checks,
    fields_of,
    nullable,
    optional,
)
from solrouter.errors import BadRequest

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
USER_PARTS = ("text", "image_url", "input_audio", "file")
OTHER_PARTS = ("text", "refusal")
PARTS_PER_MESSAGE_MAX = 1024
# Images, sounds and files of one request.
MEDIA_PARTS_MAX = 500
MEDIA_CLASSES = {"image_url": "input_image", "input_audio": "input_audio", "file": "input_image"}
TEXT_PARTS = ("text", "refusal")
USER_ROLES = ("user", "tool")
# What an assistant's turn may hold instead of content.
IN_PLACE_OF_CONTENT = ("tool_calls", "function_call", "refusal", "audio")
# What a call, a tool or a choice of one may be.
TOOL_TYPES = ("function", "custom")
# Anthropic's mark of a prefix to remember.
CACHE_HINT = fields_of(ttl=TEXT)


@checks({"type": "string"})
def _address(name: str, value: Any) -> Any:
    """Where something is to be fetched, or all of it as a data: address."""
    TEXT(name, value)
    if value.startswith(("http://", "https://")):
        try:
            urlsplit(value)
        except ValueError:
            raise _wrong(name, "must be an address") from None
    return value


# What may stand in any message, and in any part, beside what it must hold.
MESSAGE_FIELDS: Mapping[str, Check] = {
    "audio": OBJECT,
    "cache_control": CACHE_HINT,
    "function_call": OBJECT,
    "name": TEXT,
    "reasoning_details": LIST,
    "refusal": TEXT,
}
PART_FIELDS: Mapping[str, Check] = {
    **dict.fromkeys(TEXT_PARTS, TEXT),
    "cache_control": CACHE_HINT,
}
PART_BODIES: Mapping[str, Check] = {
    **dict.fromkeys(TEXT_PARTS, TEXT),
    "file": fields_of(file_data=_address, file_id=TEXT, filename=TEXT),
    "image_url": fields_of(url=_address),
    "input_audio": fields_of(data=TEXT, format=TEXT),
}


def parse_messages(body: Mapping[str, Any], *, messages_max: int) -> list[dict[str, Any]]:
    """The messages as they came, once they are known to fit. Raises BadRequest."""
    messages = body.get("messages")
    if messages is None:
        raise BadRequest(
            "You must provide a 'messages' parameter: a list of messages.",
            code="missing_parameter",
            param="messages",
        )
    if not isinstance(messages, list):
        raise _wrong("messages", "must be a list")
    if not messages:
        raise _wrong("messages", "must hold at least one message")
    if len(messages) > messages_max:
        raise _wrong("messages", f"must hold at most {messages_max} messages")
    for index, message in enumerate(messages):
        _check(message, f"messages[{index}]")
    lists = [content for m in messages if isinstance(content := m.get("content"), list)]
    if lists and sum(part["type"] in MEDIA_CLASSES for parts in lists for part in parts) > (
        MEDIA_PARTS_MAX
    ):
        raise _wrong("messages", f"must hold at most {MEDIA_PARTS_MAX} images, sounds and files")
    return messages


def input_classes(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> tuple[str, ...]:
    """The priced classes of input, beyond text, that these messages and tools can cause."""
    lists = [content for m in messages if isinstance(content := m.get("content"), list)]
    if not lists and not any("cache_control" in item for item in (*messages, *tools)):
        return ()
    parts = [part for content in lists for part in content]
    found = {name for part in parts for name in _media_classes(part)}
    if any(
        isinstance(item.get("cache_control"), dict) and item["cache_control"].get("ttl") == "1h"
        for item in (*messages, *parts, *tools)
    ):
        found.add("cache_write_1h")
    return tuple(sorted(found))


def _media_classes(part: Mapping[str, Any]) -> tuple[str, ...]:
    if part["type"] not in MEDIA_CLASSES:
        return ()
    own = MEDIA_CLASSES[part["type"]]
    return (own, "input_audio") if media_tokens.can_sound(part) else (own,)


def _check(message: Any, path: str) -> None:
    if not isinstance(message, dict):
        raise _wrong(path, "must be an object")
    role = message.get("role")
    if role is None:
        raise _missing(f"{path}.role")
    if role not in ROLES:
        raise _wrong(f"{path}.role", f"must be one of {', '.join(ROLES)}")
    _check_fields(message, path, MESSAGE_FIELDS)
    _check_content(message, path)
    if message.get("tool_calls") is not None:
        _check_tool_calls(message["tool_calls"], f"{path}.tool_calls")
    if role == "tool" and not isinstance(message.get("tool_call_id"), str):
        raise _missing(f"{path}.tool_call_id")


def _check_fields(said: Mapping[str, Any], path: str, checks: Mapping[str, Check]) -> None:
    for name in checks.keys() & said.keys():
        optional(said, name, checks[name], path=f"{path}.")


def _check_content(message: Mapping[str, Any], path: str) -> None:
    content = message.get("content")
    if isinstance(content, str):
        return
    if content is None:
        says_otherwise = any(message.get(name) for name in IN_PLACE_OF_CONTENT)
        if message["role"] == "assistant" and says_otherwise:
            return
        raise _missing(f"{path}.content")
    if not isinstance(content, list):
        raise _wrong(f"{path}.content", "must be a string or a list of parts")
    if len(content) > PARTS_PER_MESSAGE_MAX:
        raise _wrong(f"{path}.content", f"must hold at most {PARTS_PER_MESSAGE_MAX} parts")
    allowed = USER_PARTS if message["role"] in USER_ROLES else OTHER_PARTS
    for index, part in enumerate(content):
        _check_part(part, f"{path}.content[{index}]", allowed)


def _check_part(part: Any, path: str, allowed: tuple[str, ...]) -> None:
    if not isinstance(part, dict):
        raise _wrong(path, "must be an object")
    kind = part.get("type")
    if kind not in allowed:
        raise _wrong(f"{path}.type", f"must be one of {', '.join(allowed)}")
    _check_fields(part, path, PART_FIELDS)
    PART_BODIES[kind](f"{path}.{kind}", part.get(kind))
    if kind == "image_url" and not isinstance(part[kind].get("url"), str):
        raise _missing(f"{path}.image_url.url")


def _check_tool_calls(calls: Any, path: str) -> None:
    if not isinstance(calls, list):
        raise _wrong(path, "must be a list")
    for index, call in enumerate(calls):
        here = f"{path}[{index}]"
        if not isinstance(call, dict):
            raise _wrong(here, "must be an object")
        if not isinstance(call.get("id"), str):
            raise _missing(f"{here}.id")
        needed = "custom" if call.get("type") == "custom" else "function"
        for kind in TOOL_TYPES:
            if kind == needed or call.get(kind) is not None:
                _check_called(call.get(kind), f"{here}.{kind}")


def _check_called(body: Any, path: str) -> None:
    if not isinstance(body, dict) or not isinstance(body.get("name"), str):
        raise _missing(f"{path}.name")
    if "arguments" in body and not isinstance(body["arguments"], str):
        raise _wrong(f"{path}.arguments", "must be a string of JSON")
    if "input" in body and not isinstance(body["input"], str):
        raise _wrong(f"{path}.input", "must be a string")


def _missing(path: str) -> BadRequest:
    return BadRequest(f"'{path}' is required.", code="missing_parameter", param=path)


def _wrong(path: str, words: str) -> BadRequest:
    return BadRequest(f"'{path}' {words}.", param=path)


def _fields_schema(checks: Mapping[str, Check]) -> dict[str, Schema]:
    return {name: nullable(check.schema) for name, check in checks.items()}


def _part_schema(kind: str) -> Schema:
    body = PART_BODIES[kind].schema
    if kind == "image_url":
        body = {"type": "object", "required": ["url"], "properties": {"url": _address.schema}}
    properties = {**_fields_schema(PART_FIELDS), "type": {"const": kind}, kind: body}
    return {"type": "object", "required": ["type", kind], "properties": properties}


def _content_schema(kinds: tuple[str, ...]) -> Schema:
    parts = {"anyOf": [_part_schema(kind) for kind in kinds]}
    listed = {"type": "array", "items": parts, "maxItems": PARTS_PER_MESSAGE_MAX}
    return {"anyOf": [{"type": "string"}, listed]}


_NAMED: Schema = {
    "type": "object",
    "required": ["name"],
    "properties": {name: {"type": "string"} for name in ("name", "arguments", "input")},
}
_ID: Schema = {"type": "string"}
_CALL: Schema = {
    "type": "object",
    "required": ["id", "type"],
    "properties": {"id": _ID, **dict.fromkeys(TOOL_TYPES, nullable(_NAMED))},
    "anyOf": [
        {"properties": {"type": {"const": kind}, kind: _NAMED}, "required": [kind]}
        for kind in TOOL_TYPES
    ],
}


def _message_schema(role: str) -> Schema:
    kinds = USER_PARTS if role in USER_ROLES else OTHER_PARTS
    properties: dict[str, Any] = {
        **_fields_schema(MESSAGE_FIELDS),
        "role": {"const": role},
        "content": _content_schema(kinds),
        "tool_calls": {"type": ["array", "null"], "items": _CALL},
    }
    schema: dict[str, Any] = {
        "type": "object",
        "required": ["role", "content"],
        "properties": properties,
    }
    if role == "tool":
        schema["required"] = ["role", "content", "tool_call_id"]
        properties["tool_call_id"] = _ID
    if role == "assistant":
        properties["content"] = {"anyOf": [properties["content"], {"type": "null"}]}
        schema["required"] = ["role"]
        instead = [
            {"required": [name], "properties": {name: {"minItems": 1, "type": kind}}}
            for name, kind in zip(
                IN_PLACE_OF_CONTENT, ("array", "object", "string", "object"), strict=True
            )
        ]
        said = {"required": ["content"], "properties": {"content": {"not": {"type": "null"}}}}
        schema["anyOf"] = [said, *instead]
    return schema


# The same rules as a schema, for /openapi.json.
MESSAGES: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {"anyOf": [_message_schema(role) for role in ROLES]},
}
