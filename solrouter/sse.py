"""Server-sent events, both ways. Pure: bytes in, events out; knows nothing of what they carry.

Lines are split on bytes and never on text, so that no character is torn and U+2028 ends nothing.
Wherever the bytes are cut on their way here, the same events come out. Beyond the standard it
tolerates two things that upstreams do: no blank line between `data:` lines that are each a whole
JSON object, and no blank line before the end of the stream.
"""

from typing import NamedTuple

import orjson

# No honest event is larger: an image of 12 MB in base64 just fits.
EVENT_BYTES_MAX = 16 * 1024 * 1024
# What is no event at all (a bare JSON error, a page of HTML) is kept up to here, to explain it.
STRAY_BYTES_MAX = 16 * 1024

DONE_DATA = b"[DONE]"
DONE = b"data: [DONE]\n\n"
# One newline only: with two, parsers that carry an `id:` over dispatch an empty event and crash.
KEEP_ALIVE = b": keep-alive\n"

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"


class EventTooLarge(ValueError):
    """One event has passed `EVENT_BYTES_MAX` bytes and has no end yet."""


class Event(NamedTuple):
    """One event: its name (`message` where the stream names none) and its data, undecoded."""

    name: str
    data: bytes


class Decoder:
    """Turns pieces of a byte stream into events. Feed it in order, then say `end` once.

    `stray` holds lines that no event stream would contain.
    """

    def __init__(self) -> None:
        self.stray = b""
        self._tail: list[bytes] = []
        self._tail_bytes = 0
        self._ends_in_cr = False
        self._is_first_line = True
        self._data: list[bytes] = []
        self._data_bytes = 0
        self._name = ""
        self._late_name = ""

    @property
    def is_between_events(self) -> bool:
        """Whether nothing of an event that is still to be completed is kept."""
        return not (self._tail or self._data or self._ends_in_cr or self._name)

    def feed(self, piece: bytes) -> list[Event]:
        """Takes the next bytes and returns the events that they complete.

        Raises EventTooLarge.
        """
        if self._ends_in_cr and piece:
            self._ends_in_cr = False
            # The second half of a CRLF that was torn apart ends no line of its own.
            piece = piece.removeprefix(b"\n")
        if b"\n" not in piece and b"\r" not in piece:
            self._keep_tail(piece)
            return []
        self._ends_in_cr = piece.endswith(b"\r")
        lines = piece.splitlines()
        lines[0] = b"".join([*self._tail, lines[0]])
        self._tail, self._tail_bytes = [], 0
        if not piece.endswith((b"\n", b"\r")):
            self._keep_tail(lines.pop())
        events: list[Event] = []
        for line in lines:
            self._take_line(line, events)
        return events

    def end(self) -> list[Event]:
        """Says that no more bytes come and returns the event that still lacked its blank line."""
        events: list[Event] = []
        if self._tail:
            line, self._tail, self._tail_bytes = b"".join(self._tail), [], 0
            self._take_line(line, events)
        self._dispatch(events)
        return events

    def _keep_tail(self, piece: bytes) -> None:
        if not piece:
            return
        self._tail.append(piece)
        self._tail_bytes += len(piece)
        self._check_size()

    def _take_line(self, line: bytes, events: list[Event]) -> None:
        if self._is_first_line:
            self._is_first_line = False
            line = line.removeprefix(_BYTE_ORDER_MARK)
        if not line:
            self._dispatch(events)
            return
        field, colon, value = line.partition(b":")
        value = value.removeprefix(b" ")
        if field == b"data":
            self._take_data(value, events)
        elif field == b"event":
            name = value.decode(errors="replace")
            # After data it may be the same event's name, or the next one's: see _take_data.
            if self._data:
                self._late_name = name
            else:
                self._name = name
        elif field not in (b"", b"id", b"retry"):
            self.stray = (self.stray + field + colon + value + b"\n")[:STRAY_BYTES_MAX]

    def _take_data(self, value: bytes, events: list[Event]) -> None:
        if self._data and _is_whole(b"\n".join(self._data)):
            # The upstream leaves out blank lines. A standard event of several lines never gets
            # here, because its first lines are not a whole object.
            next_name, self._late_name = self._late_name, ""
            self._dispatch(events)
            self._name = next_name
        self._data.append(value)
        self._data_bytes += len(value) + 1
        self._check_size()

    def _check_size(self) -> None:
        if self._data_bytes + self._tail_bytes > EVENT_BYTES_MAX:
            raise EventTooLarge(f"an event has passed {EVENT_BYTES_MAX} bytes")

    def _dispatch(self, events: list[Event]) -> None:
        if self._data:
            name = self._late_name or self._name or "message"
            events.append(Event(name, b"\n".join(self._data)))
        self._data, self._data_bytes = [], 0
        self._name = self._late_name = ""


def _is_whole(data: bytes) -> bool:
    """Whether the data is a JSON object, or the end mark, that needs no further line."""
    if data == DONE_DATA:
        return True
    if not (data.startswith(b"{") and data.rstrip().endswith(b"}")):
        return False
    try:
        orjson.loads(data)
    except orjson.JSONDecodeError:
        return False
    return True


def data_event(payload: bytes) -> bytes:
    """Writes one event without a name; a line break inside becomes a second `data:` line."""
    if b"\n" in payload or b"\r" in payload:
        payload = b"\ndata: ".join(payload.splitlines())
    return b"data: " + payload + b"\n\n"


def named_event(name: str, payload: bytes) -> bytes:
    """Writes one event with a name, for the dialects that name theirs."""
    assert "\n" not in name and "\r" not in name, "a name is one line"
    return b"event: " + name.encode() + b"\n" + data_event(payload)
