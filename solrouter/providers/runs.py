"""Runs of events that differ in one text alone, taken from the bytes without parsing them. Pure.

Most of a stream is the same event again and again, with another piece of text in it. Once one such
event has been read in full, its bytes before and after the text are known, and those that follow
are recognised by comparing bytes: the text between must be one JSON string, by the grammar of RFC
8259 §7, and valid UTF-8. Whatever differs in anything else is read in full, as the first one was.
"""

import re
from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from solrouter.chat import CHAT_COMPLETION_CHUNK, Chunk

# How upstreams spell the texts that may run → the field of our delta.
SPELLINGS = {
    b"content": "content",
    b"text": "content",
    b"reasoning_content": "reasoning_content",
    b"reasoning": "reasoning_content",
    b"thinking": "reasoning_content",
}
# An event that is cut between two reads waits for its other half, up to here.
HALF_BYTES_MAX = 64 * 1024
# A lone surrogate is grammatical and no text, so escaped ones are left to the parser.
LITERAL = re.compile(
    rb'"[^"\\\x00-\x1f]*(?:\\(?:["\\/bfnrt]|u(?![dD][89a-fA-F])[0-9a-fA-F]{4})[^"\\\x00-\x1f]*)*"'
)
KEY = re.compile(rb'"([a-z_]+)"\s*:\s*$')


class Template(NamedTuple):
    """The bytes around the text of an event, and which text of the delta it is.

    Compared whole, so an event that is recognised differs in nothing but the text.
    """

    before: bytes
    after: bytes
    field: str

    def take(self, block: bytes, position: int = 0) -> tuple[list[bytes], int]:
        """The texts of like events from a place in the block on, as JSON; then where they end."""
        before, after = self.before, self.after
        if not block.startswith(before, position):
            return [], position
        # What ends one event and begins the next stands between two texts, and in none of them.
        pieces = block[position + len(before) :].split(after + before)
        last = pieces.pop()
        for place, is_one in enumerate(map(LITERAL.fullmatch, pieces)):
            if is_one is None:
                last = pieces[place]
                del pieces[place:]
                break
        found = LITERAL.match(last)
        if found is not None and last.startswith(after, found.end()):
            pieces.append(found.group())
        if not pieces or not _is_text(pieces):
            return [], position
        around = (len(before) + len(after)) * len(pieces)
        return pieces, position + around + sum(map(len, pieces))

    def may_begin(self, half: bytes) -> bool:
        """Whether the bytes may be the first half of one more such event."""
        if len(half) > HALF_BYTES_MAX or self.after[-2:] in half:
            return False
        return self.before.startswith(half[: len(self.before)])


def learn(event: bytes, chunk: Chunk) -> Template | None:
    """The template of an event whose chunk says one text and nothing else; None of any other.

    `event` is all of it as it came, with its names and line ends.
    """
    if chunk.usage is not None or chunk.finish:
        return None
    field, text = _only_text(chunk.payload)
    if field is None:
        return None
    literal = orjson.dumps(text)
    before, found, after = event.partition(literal)
    key = KEY.search(before)
    # Found twice, it could be another field's; and b"" says that it was written in another way.
    if not found or literal in after or key is None or SPELLINGS.get(key.group(1)) != field:
        return None
    return Template(before, after, field)


def _only_text(payload: dict[str, Any]) -> tuple[str | None, str]:
    """Which text is all that the chunk's only choice says, and the text."""
    choices: Sequence[Any] = payload.get("choices") or ()
    if payload.get("object") != CHAT_COMPLETION_CHUNK or len(choices) != 1:
        return None, ""
    delta, choice = choices[0].get("delta") or {}, choices[0]
    said = [name for name, value in delta.items() if name != "role" and value]
    if len(said) != 1 or said[0] not in SPELLINGS.values():
        return None, ""
    if choice.get("finish_reason") is not None or choice.get("logprobs"):
        return None, ""
    text = delta[said[0]]
    return (said[0], text) if isinstance(text, str) else (None, "")


def _is_text(literals: list[bytes]) -> bool:
    try:
        b"".join(literals).decode()
    except UnicodeDecodeError:
        return False
    return True
