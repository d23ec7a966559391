"""What was asked and answered, made small enough to keep. Pure.

| what                                     | becomes                                     |
|------------------------------------------|---------------------------------------------|
| a picture, a sound or a file in the body | a remark of its size                        |
| a text beyond TEXT_CHARACTERS_MAX        | its beginning, and how much is not here     |
| messages beyond what fits                | the first, the last, and how many are gone  |
"""

from collections.abc import Mapping
from typing import Any

import orjson

# What one request's content may be, as JSON, before it is encrypted.
CONTENT_BYTES_MAX = 512 * 1024
TEXT_CHARACTERS_MAX = 64 * 1024
# The least that is left of a text where even short ones are too much.
TEXT_CHARACTERS_MIN = 64
# Base64 is no text that anybody reads: what is longer than this under these names is left out.
MEDIA_FIELDS = frozenset(("data", "file_data", "b64_json"))
MEDIA_CHARACTERS_MAX = 200
DATA_URL = "data:"
LEFT_OUT = "messages_left_out"
DEPTH_MAX = 64


def fitted(request: Mapping[str, Any], answer: Mapping[str, Any] | None) -> bytes:
    """Both as JSON of at most CONTENT_BYTES_MAX bytes."""
    characters_max = TEXT_CHARACTERS_MAX
    while characters_max >= TEXT_CHARACTERS_MIN:
        content = {
            "request": _shortened(request, characters_max),
            "answer": _shortened(answer, characters_max),
        }
        dumped = _with_fewer_messages(content)
        if dumped is not None:
            return dumped
        # It is not the messages: then all texts are too long together.
        characters_max //= 8
    return orjson.dumps({"request": {}, "answer": None, LEFT_OUT: _count(request)})


def _with_fewer_messages(content: dict[str, Any]) -> bytes | None:
    """The content, without messages from the middle if need be; None where that is not enough."""
    dumped = orjson.dumps(content)
    messages = content["request"].get("messages")
    if not isinstance(messages, list):
        return dumped if len(dumped) <= CONTENT_BYTES_MAX else None
    over = len(dumped) - CONTENT_BYTES_MAX
    sizes = [len(orjson.dumps(message)) + 1 for message in messages]
    # The first says what all is about, the last what was asked; the oldest between them go.
    gone, start = 0, 1
    while over > 0 and start + gone < len(messages) - 1:
        over -= sizes[start + gone]
        gone += 1
    if not gone:
        return dumped if over <= 0 else None
    kept = [*messages[:start], *messages[start + gone :]]
    fewer = {**content, "request": {**content["request"], "messages": kept}, LEFT_OUT: gone}
    dumped = orjson.dumps(fewer)
    return dumped if len(dumped) <= CONTENT_BYTES_MAX else None


def _shortened(value: Any, characters_max: int, depth: int = 0, name: str = "") -> Any:
    if isinstance(value, str):
        return _text(value, characters_max, name)
    if depth >= DEPTH_MAX and isinstance(value, Mapping | list | tuple):
        return "[too deep to be kept]"
    if isinstance(value, Mapping):
        return {
            str(key): _shortened(item, characters_max, depth + 1, str(key))
            for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [_shortened(item, characters_max, depth + 1, name) for item in value]
    return value


def _text(text: str, characters_max: int, name: str) -> str:
    if text.startswith(DATA_URL):
        kind = text.removeprefix(DATA_URL)[:100].partition(";")[0].partition(",")[0]
        return f"[{kind or 'data'} of {len(text)} characters, not kept]"
    if name in MEDIA_FIELDS and len(text) > MEDIA_CHARACTERS_MAX:
        return f"[data of {len(text)} characters, not kept]"
    if len(text) <= characters_max:
        return text
    return f"{text[:characters_max]}… [{len(text) - characters_max} more characters, not kept]"


def _count(request: Mapping[str, Any]) -> int:
    messages = request.get("messages")
    return len(messages) if isinstance(messages, list) else 0
