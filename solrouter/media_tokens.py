"""How many tokens the parts of a message are that are not text: the most, and the likely. Pure."""

import base64
import binascii
import mimetypes
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

# The most tokens that one picture can become, over all providers that we know.
IMAGE_TOKENS_MAX = 50_000
AUDIO_BYTES_PER_TOKEN = 16
# What a part without a bound takes from the token limits; the settlement corrects it.
FILE_TOKENS_MIN = 4_096
# What they mostly are. Sizes are of what is sent: base64.
IMAGE_TOKENS_LIKELY = 765
AUDIO_BYTES_PER_TOKEN_LIKELY = 600
FILE_TOKENS_LIKELY = 1_500
FILE_BYTES_PER_TOKEN_LIKELY = 16
TEXT_PARTS = ("text", "refusal")
TEXT_TYPES = ("text/", "application/json")
# Below this many bytes a second sound has more tokens than `AUDIO_BYTES_PER_TOKEN` says.
AUDIO_BYTES_PER_S_MIN = 1_000
# How MP3 begins, in base64: an ID3 tag, or a frame.
MP3_BEGINNINGS = ("SUQz", "//", "/+")
# The canonical head of WAVE (RIFF, 1991): tags, then format, channels, frames a second, bytes a
# second, bytes of a frame, bits of a sample. 1 is PCM.
WAV_HEAD = struct.Struct("<4s4x8s4xHHII2xH")
PCM = 1

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


def is_bounded(part: Part) -> bool:
    """Whether `most` is a bound.

    It is none for what takes no more bytes for being longer: pages of a PDF, minutes of a film or
    of packed silence, whatever stands behind an address. The model's context alone bounds those.
    """
    kind = part.get("type")
    if kind == "image_url":
        return _is_image(_text(part, "image_url", "url"))
    if kind == "input_audio":
        return _is_steady(part)
    return _inline_type(_text(part, "file", "file_data")).startswith((*TEXT_TYPES, "image/"))


def can_sound(part: Part) -> bool:
    """Whether a provider may hear it, whatever the caller calls it."""
    kind = part.get("type")
    return kind == "input_audio" or (kind in ("image_url", "file") and not is_bounded(part))


def most(part: Part) -> int:
    """The most tokens that it can be; where it is not bounded, the most that is usual."""
    if part.get("type") == "image_url":
        return IMAGE_TOKENS_MAX
    if part.get("type") == "input_audio":
        return _size(part, "input_audio", "data") // AUDIO_BYTES_PER_TOKEN + 1
    if _inline_type(_text(part, "file", "file_data")).startswith("image/"):
        return IMAGE_TOKENS_MAX
    return max(_size(part, "file", "file_data"), FILE_TOKENS_MIN)


def likely(part: Part) -> int:
    """About how many it is; never above `most`."""
    if part.get("type") == "image_url":
        return IMAGE_TOKENS_LIKELY
    if part.get("type") == "input_audio":
        return _size(part, "input_audio", "data") // AUDIO_BYTES_PER_TOKEN_LIKELY + 1
    by_size = _size(part, "file", "file_data") // FILE_BYTES_PER_TOKEN_LIKELY
    return min(max(by_size, FILE_TOKENS_LIKELY), most(part))


def _is_image(address: str) -> bool:
    """Whether every provider takes it for a picture; an address may leave its type open."""
    if address.startswith("data:"):
        return _inline_type(address).startswith("image/")
    try:
        guessed, _ = mimetypes.guess_type(urlsplit(address).path)
    except ValueError:
        return False
    return (guessed or "image/").startswith("image/")


def _is_steady(part: Part) -> bool:
    """Whether a second of this sound has a number of bytes: MP3, and WAVE of samples."""
    data = _text(part, "input_audio", "data")
    if _text(part, "input_audio", "format") == "mp3":
        return data.startswith(MP3_BEGINNINGS)
    try:
        head = base64.b64decode(data[: 4 * WAV_HEAD.size], validate=True)[: WAV_HEAD.size]
        riff, wave, kind, channels, frames_per_s, _, bits = WAV_HEAD.unpack(head)
    except (binascii.Error, ValueError, struct.error):
        return False
    is_wave = (riff, wave, kind) == (b"RIFF", b"WAVEfmt ", PCM)
    return is_wave and channels * frames_per_s * bits // 8 >= AUDIO_BYTES_PER_S_MIN


def _inline_type(address: str) -> str:
    """The media type that a `data:` address names; "" for any other."""
    if not address.startswith("data:"):
        return ""
    return address[5:].split(",", 1)[0].split(";", 1)[0].lower()


def _text(part: Part, kind: str, name: str) -> str:
    value = (part.get(kind) or {}).get(name, "")
    return value if isinstance(value, str) else ""


def _size(part: Part, kind: str, name: str) -> int:
    return len(str((part.get(kind) or {}).get(name, "")))
