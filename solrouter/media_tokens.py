"""How many tokens the parts of a message are that are not text: the most, and the likely. Pure."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

# The most tokens that one part which is not text can become, over all providers that we know.
IMAGE_TOKENS_MAX = 50_000
AUDIO_BYTES_PER_TOKEN = 16
FILE_TOKENS_MIN = 4_096
# What they mostly are. Sizes are of what is sent: base64.
IMAGE_TOKENS_LIKELY = 765
AUDIO_BYTES_PER_TOKEN_LIKELY = 600
FILE_TOKENS_LIKELY = 1_500
FILE_BYTES_PER_TOKEN_LIKELY = 16
TEXT_PARTS = ("text", "refusal")

Part = Mapping[str, Any]
Sizing = Callable[[Part], int]


def split(messages: Sequence[Mapping[str, Any]]) -> tuple[list[Mapping[str, Any]], list[Part]]:
    """The messages less their images, sounds and files, and those."""
    stripped: list[Mapping[str, Any]] = []
    media: list[Part] = []
    for message in messages:
        content = message.get("content")
        if not isinstance(content, list):
            stripped.append(message)
            continue
        texts = [part for part in content if part.get("type") in TEXT_PARTS]
        media += [part for part in content if part.get("type") not in TEXT_PARTS]
        stripped.append({**message, "content": texts})
    return stripped, media


def most(part: Part) -> int:
    """The most tokens that it can be."""
    if part.get("type") == "image_url":
        return IMAGE_TOKENS_MAX
    if part.get("type") == "input_audio":
        return _size(part, "input_audio", "data") // AUDIO_BYTES_PER_TOKEN + 1
    return max(_size(part, "file", "file_data"), FILE_TOKENS_MIN)


def likely(part: Part) -> int:
    """About how many it is; never above `most`."""
    if part.get("type") == "image_url":
        return IMAGE_TOKENS_LIKELY
    if part.get("type") == "input_audio":
        return _size(part, "input_audio", "data") // AUDIO_BYTES_PER_TOKEN_LIKELY + 1
    by_size = _size(part, "file", "file_data") // FILE_BYTES_PER_TOKEN_LIKELY
    return max(by_size, FILE_TOKENS_LIKELY)


def _size(part: Part, kind: str, name: str) -> int:
    return len(str((part.get(kind) or {}).get(name, "")))
