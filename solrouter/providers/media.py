"""Images, files and sound in OpenAI's content parts, read for adapters. Pure; fetches nothing."""

import mimetypes
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_to_bytes, urlsplit

from solrouter.providers.parameters import refuse

# They say nothing: the file's name says more.
_VAGUE_TYPES = frozenset({"", "application/octet-stream"})
_AUDIO_TYPES = {"wav": "audio/wav", "mp3": "audio/mp3"}


@dataclass(frozen=True, slots=True)
class Media:
    """Something that is no text: its base64 data, or the address where the upstream finds it.

    `is_file` says that the caller sent it as a file, whatever its type.
    """

    media_type: str
    data: str = ""
    url: str = ""
    name: str | None = None
    is_file: bool = False


def media_of(part: Mapping[str, Any], where: str) -> Media | None:
    """The media of a part, None if it is text. Raises UpstreamRefused naming `where`."""
    kind = part.get("type")
    if kind == "image_url":
        image = part.get("image_url")
        address = image.get("url") if isinstance(image, Mapping) else image
        return _addressed(address, where)
    if kind == "input_audio":
        audio = part.get("input_audio") or {}
        media_type = _AUDIO_TYPES.get(audio.get("format", ""))
        if media_type is None or not isinstance(audio.get("data"), str):
            refuse(where, "sound must be base64 data in wav or mp3")
        return Media(media_type, data=audio["data"])
    if kind == "file":
        return _file(part.get("file") or {}, where)
    return None


def _file(file: Mapping[str, Any], where: str) -> Media:
    if not isinstance(file.get("file_data"), str):
        refuse(where, "a file must come with its data: this provider does not know file ids")
    name = file.get("filename")
    name = name if isinstance(name, str) and name else None
    media = _addressed(file["file_data"], where)
    media_type = media.media_type
    if name and media_type in _VAGUE_TYPES:
        media_type = mimetypes.guess_type(name)[0] or media_type
    return Media(media_type, media.data, media.url, name, is_file=True)


def _addressed(address: Any, where: str) -> Media:
    if not isinstance(address, str):
        refuse(where, "the address is missing")
    if address.startswith("data:"):
        return _inline(address, where)
    if address.startswith(("http://", "https://")):
        guessed, _ = mimetypes.guess_type(urlsplit(address).path)
        return Media(guessed or "", url=address)
    return refuse(where, "the address must begin with https:// or data:")


def _inline(address: str, where: str) -> Media:
    head, comma, data = address.removeprefix("data:").partition(",")
    media_type, *options = head.split(";")
    if not comma or "base64" not in options or not media_type:
        refuse(where, "a data: address must name its type and be base64")
    return Media(media_type.lower(), data=unquote_to_bytes(data).decode("ascii", "replace"))
