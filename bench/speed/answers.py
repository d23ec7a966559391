"""Whether an answer is right: status, content and usage; each answer, and some to the letter."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field

from bench.speed.shapes import MARK, Shape

CONTENT_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
CHUNKED = re.compile(rb"\r\ntransfer-encoding: *chunked", re.IGNORECASE)
CLOSES = re.compile(rb"\r\nconnection: *close", re.IGNORECASE)
COMPLETION_TOKENS = re.compile(rb'"completion_tokens": ?(\d+)')
HEAD_END = b"\r\n\r\n"
LAST_CHUNK = b"\r\n0\r\n\r\n"
DONE = b"data: [DONE]"
TAIL_BYTES = 2048
# Each answer is counted; one in so many is parsed and compared in full.
IN_FULL_EVERY = 50
TEXT_SHOWN = 300

Judge = Callable[[bytes | bytearray, int], str]


def any_ok(data: bytes | bytearray, head_end: int) -> str:
    """Judges by the status alone."""
    del head_end
    return "" if data[9:12] == b"200" else _unwanted(data)


@dataclass
class Expected:
    """Judges answers of one shape: an empty text, or what is wrong."""

    shape: Shape
    is_streamed: bool
    seen: int = 0
    usage: bytes = field(init=False)

    def __post_init__(self) -> None:
        self.usage = str(self.shape.events).encode()

    def __call__(self, data: bytes | bytearray, head_end: int) -> str:
        """What is wrong with this answer."""
        if data[9:12] != b"200":
            return _unwanted(data)
        self.seen += 1
        if self.seen % IN_FULL_EVERY == 1:
            return self._in_full(data, head_end)
        # A relay may cut an event at any byte, also where we look: then all of it is read.
        return "" if self._looks_right(data, head_end) else self._in_full(data, head_end)

    def _looks_right(self, data: bytes | bytearray, head_end: int) -> bool:
        start = max(len(data) - TAIL_BYTES, 0) if self.is_streamed else head_end
        told = COMPLETION_TOKENS.findall(data, start)
        is_ended = not self.is_streamed or data.rfind(DONE) >= 0
        return told[-1:] == [self.usage] and is_ended and data.count(MARK) == self.shape.events

    def _in_full(self, data: bytes | bytearray, head_end: int) -> str:
        try:
            body = body_of(data, head_end)
        except ValueError:
            return "broken chunks"
        if self.is_streamed and not body.rstrip().endswith(DONE):
            return "no [DONE]"
        try:
            text, usage = (_streamed if self.is_streamed else _whole)(body)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            return f"not an answer ({error!r}): {body[-TEXT_SHOWN:]!r}"
        if text != self.shape.text:
            return "wrong content"
        wanted = self.shape.usage
        return "" if {name: usage.get(name) for name in wanted} == wanted else "wrong usage"


def _unwanted(data: bytes | bytearray) -> str:
    body = bytes(data).partition(HEAD_END)[2]
    status = bytes(data[9:12]).decode(errors="replace")
    return f"status {status}: {body[:TEXT_SHOWN].decode(errors='replace')}"


def _whole(body: bytes) -> tuple[str, dict[str, int]]:
    facts = json.loads(body)
    return str(facts["choices"][0]["message"]["content"]), facts["usage"]


def _streamed(body: bytes) -> tuple[str, dict[str, int]]:
    words: list[str] = []
    usage: dict[str, int] = {}
    for line in body.split(b"\n"):
        data = line.removeprefix(b"data:").strip()
        if not line.startswith(b"data:") or data == b"[DONE]":
            continue
        facts = json.loads(data)
        usage = facts.get("usage") or usage
        words += [choice["delta"].get("content") or "" for choice in facts["choices"]]
    return "".join(words), usage


def body_of(data: bytes | bytearray, head_end: int) -> bytes:
    """The body without its framing."""
    start = head_end + len(HEAD_END)
    if not CHUNKED.search(data, 0, start):
        return bytes(data[start:])
    parts: list[bytes] = []
    while True:
        line_end = data.index(b"\r\n", start)
        size = int(bytes(data[start:line_end]).split(b";")[0], 16)
        if size == 0:
            return b"".join(parts)
        parts.append(bytes(data[line_end + 2 : line_end + 2 + size]))
        start = line_end + size + 4
