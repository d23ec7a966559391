"""What a picture, a sound and a file can be at the most, and of which nobody can say."""

import base64
import struct
from typing import Any

import pytest

from solrouter import media_tokens
from solrouter.blueprints.api.messages import input_classes
from solrouter.blueprints.api.schemas import prompt_bound
from solrouter.chat import RECALLED_BYTES_MAX

PDF = "data:application/pdf;base64,JVBERi0="


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file(data: str, **told: str) -> dict[str, Any]:
    return {"type": "file", "file": {"file_data": data, **told}}


def sound(data: bytes, form: str) -> dict[str, Any]:
    text = base64.b64encode(data).decode()
    return {"type": "input_audio", "input_audio": {"data": text, "format": form}}


def wave(*, kind: int = 1, frames_per_s: int = 16_000, bits: int = 16) -> bytes:
    form = struct.pack("<HHIIHH", kind, 1, frames_per_s, frames_per_s * bits // 8, bits // 8, bits)
    return b"RIFF" + bytes(4) + b"WAVEfmt " + struct.pack("<I", 16) + form + b"data" + bytes(4_000)


BOUNDED = {
    "a picture": image("data:image/png;base64,iVBORw0="),
    "a picture's address": image("https://example.com/cat.JPG?size=1"),
    "an address that leaves it open": image("https://example.com/cat"),
    "a picture as a file": file("data:image/webp;base64,UklGRg=="),
    "a text": file("data:text/plain;base64,aGVsbG8="),
    "a text with its charset": file("data:TEXT/csv;charset=utf-8;base64,aGVsbG8="),
    "MP3 with a tag": sound(b"ID3\x04" + bytes(100), "mp3"),
    "MP3 from its first frame": sound(b"\xff\xfb\x90" + bytes(100), "mp3"),
    "WAVE": sound(wave(), "wav"),
}
UNBOUNDED = {
    "a PDF": file(PDF),
    "a PDF's address": file("https://example.com/a.pdf"),
    "any file's address": file("https://example.com/a.txt"),
    "a file elsewhere": file("", file_id="file-1"),
    "a file of a vague type": file("data:application/octet-stream;base64,AAAA", filename="a.txt"),
    "a film called a picture": image("https://example.com/film.mp4"),
    "a film called a picture, inline": image("data:video/mp4;base64,AAAA"),
    "a PDF called a picture": image(PDF),
    "an address that is none": image("http://[x"),
    "another format called MP3": sound(b"fLaC" + bytes(100), "mp3"),
    "another format called WAVE": sound(b"OggS" + bytes(100), "wav"),
    "WAVE that is packed": sound(wave(kind=0x31), "wav"),
    "WAVE of a frame a second": sound(wave(frames_per_s=1), "wav"),
    "no base64": {"type": "input_audio", "input_audio": {"data": "é", "format": "wav"}},
    "no sound": {"type": "input_audio", "input_audio": {}},
}


@pytest.mark.parametrize("name", BOUNDED)
def test_what_has_a_bound(name: str) -> None:
    assert media_tokens.is_bounded(BOUNDED[name])
    assert media_tokens.likely(BOUNDED[name]) <= media_tokens.most(BOUNDED[name])


@pytest.mark.parametrize("name", UNBOUNDED)
def test_what_has_none(name: str) -> None:
    """It takes no more bytes for being longer, or its bytes are not here."""
    assert not media_tokens.is_bounded(UNBOUNDED[name])
    assert media_tokens.likely(UNBOUNDED[name]) <= media_tokens.most(UNBOUNDED[name])


def test_a_picture_counts_as_one_however_it_is_sent() -> None:
    for part in (BOUNDED["a picture"], BOUNDED["a picture as a file"]):
        assert media_tokens.most(part) == media_tokens.IMAGE_TOKENS_MAX


@pytest.mark.parametrize(
    ("part", "classes"),
    [
        (BOUNDED["a picture"], ("input_image",)),
        (BOUNDED["WAVE"], ("input_audio",)),
        (UNBOUNDED["a film called a picture"], ("input_audio", "input_image")),
        (UNBOUNDED["a PDF"], ("input_audio", "input_image")),
        (
            {**BOUNDED["a picture"], "cache_control": {"ttl": "1h"}},
            ("cache_write_1h", "input_image"),
        ),
    ],
)
def test_the_priced_classes_of_a_part(part: dict[str, Any], classes: tuple[str, ...]) -> None:
    assert input_classes([{"role": "user", "content": [part]}], []) == classes


def test_a_tool_that_is_cached_for_an_hour_is_priced_so() -> None:
    told = [{"role": "user", "content": "Hello"}]
    tool = {"type": "function", "function": {"name": "f"}, "cache_control": {"ttl": "1h"}}
    assert input_classes(told, [tool]) == ("cache_write_1h",)
    assert input_classes(told, []) == ()


def test_what_may_be_recalled_is_a_part_of_the_bound() -> None:
    """A call that came back without its thinking gets it again, and the caller pays for it."""
    call = {"role": "assistant", "tool_calls": [{"id": "a", "function": {"name": "f"}}]}
    plain = {"messages": [call]}
    thinks = {**plain, "reasoning_effort": "low"}
    alone = prompt_bound(thinks, {}) - prompt_bound(plain, {})
    assert RECALLED_BYTES_MAX < alone < RECALLED_BYTES_MAX + 100
    whole = {"messages": [{**call, "reasoning_details": [{}]}], "reasoning_effort": "low"}
    assert prompt_bound(whole, {}) < RECALLED_BYTES_MAX
