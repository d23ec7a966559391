"""Repairs the tool calls of a stream: every piece has an index, and id and name come once.

Upstreams leave the index out, give the same one to parallel calls, or repeat id and name in every
piece; clients assemble by index alone, so that any of it corrupts arguments.
"""

from typing import Any

import orjson

from solrouter.providers.payloads import new_call_id


class ToolCalls:
    """The tool calls of one choice so far."""

    def __init__(self) -> None:
        self._index_of_place: dict[int, int] = {}
        self._ids: list[str] = []
        self._arguments: list[str] = []

    def repaired(self, pieces: Any) -> list[dict[str, Any]]:
        """The pieces of one delta with true indexes; what is no piece is left out."""
        if not isinstance(pieces, list):
            return []
        return [self._repair(piece) for piece in pieces if isinstance(piece, dict)]

    def _repair(self, piece: dict[str, Any]) -> dict[str, Any]:
        kind = "custom" if isinstance(piece.get("custom"), dict) else "function"
        body = piece.get(kind)
        body = dict(body) if isinstance(body, dict) else {}
        text_field = "input" if kind == "custom" else "arguments"
        body[text_field] = argument_text(body.get(text_field))
        index, is_new = self._place(piece, body)
        self._arguments[index] += body[text_field]
        rest = {key: piece[key] for key in piece.keys() - {"index", "id", "type", kind}}
        if is_new:
            return {"index": index, "id": self._ids[index], "type": kind, kind: body, **rest}
        body.pop("name", None)
        return {"index": index, kind: body, **rest}

    def _place(self, piece: dict[str, Any], body: dict[str, Any]) -> tuple[int, bool]:
        """Which call a piece belongs to, and whether it is the first of it."""
        told, identifier = piece.get("index"), piece.get("id")
        identifier = identifier if isinstance(identifier, str) else ""
        if identifier and identifier in self._ids:
            return self._ids.index(identifier), False
        if not isinstance(told, int) or isinstance(told, bool):
            # Without an index only an id or a name can begin a call; else the last one goes on.
            if self._ids and not identifier and not body.get("name"):
                return len(self._ids) - 1, False
            return self._begin(None, identifier), True
        known = self._index_of_place.get(told)
        if known is None or (body.get("name") and self._is_another(known, identifier)):
            return self._begin(told, identifier), True
        return known, False

    def _is_another(self, known: int, identifier: str) -> bool:
        """Whether a named piece at a known index begins a parallel call that collides with it."""
        return bool(identifier) or _is_json(self._arguments[known])

    def _begin(self, told: int | None, identifier: str) -> int:
        self._ids.append(identifier or new_call_id())
        self._arguments.append("")
        index = len(self._ids) - 1
        if told is not None:
            self._index_of_place[told] = index
        return index


def _is_json(text: str) -> bool:
    try:
        orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return True


def argument_text(value: Any) -> str:
    """Arguments as the text that OpenAI sends; some upstreams send the object itself."""
    if value is None:
        return ""
    return value if isinstance(value, str) else orjson.dumps(value).decode()
