"""Reading a request's body within its limits. Knows JSON, and nothing of what it says."""

from typing import Any

import orjson

from solrouter import config
from solrouter.blueprints import slow_clients
from solrouter.blueprints.contexts import header, request_itself
from solrouter.errors import BadRequest, BodyTooLarge, UnsupportedMediaType

JSON_TYPES = ("application/json", "")
JSON_DEPTH_MAX = 64
JSON_NODES_MAX = 200_000
JSON_ITEMS_MAX = 1_000_000


def read() -> bytes:
    """The body, within its limits. Raises UnsupportedMediaType and BodyTooLarge."""
    # Said in the one way in which nearly everybody says it, it needs no parser.
    if header("CONTENT_TYPE") != JSON_TYPES[0]:
        kind = request_itself().mimetype
        if kind not in JSON_TYPES and not kind.endswith("+json"):
            raise UnsupportedMediaType(
                "Send JSON, with the header Content-Type: application/json.",
            )
    most = config.current()["SOLROUTER_BODY_BYTES_MAX"]
    if (slow_clients.stated_length() or 0) > most:
        raise BodyTooLarge(f"The request body has at most {most} bytes.")
    return slow_clients.body()


def json_object(data: bytes) -> dict[str, Any]:
    """The body as a JSON object. Raises BadRequest."""
    # Counted before anything is built of it: a body of brackets alone would fill the memory.
    nodes = data.count(b"[") + data.count(b"{")
    if nodes > JSON_NODES_MAX or data.count(b",") > JSON_ITEMS_MAX:
        raise BadRequest("The request body has too many parts.", code="invalid_json")
    body = _parse(data)
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.", code="invalid_json")
    if nodes > JSON_DEPTH_MAX:
        _refuse_depth(body)
    return body


def _parse(data: bytes) -> Any:
    if not data.strip():
        raise BadRequest("The request body is empty: send a JSON object.", code="invalid_json")
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise BadRequest(
            f"The request body is not valid JSON: {error.msg} at line {error.lineno}, column "
            f"{error.colno}.",
            code="invalid_json",
        ) from None


def _refuse_depth(value: Any) -> None:
    """Refuses nesting that no chat needs, before anything walks it recursively."""
    level = [value]
    for _ in range(JSON_DEPTH_MAX):
        level = [
            child
            for item in level
            for child in (item.values() if isinstance(item, dict) else item)
            if isinstance(child, dict | list)
        ]
        if not level:
            return
    raise BadRequest(
        f"The JSON is nested deeper than {JSON_DEPTH_MAX} levels.", code="invalid_json"
    )
