"""What the fake provider is told to do for one request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal, Self, get_args

Json = dict[str, Any]
UsageMode = Literal[
    "as_asked",  # what the vendor does: OpenAI only on include_usage, Gemini on every chunk
    "final_chunk",
    "on_finish_chunk",
    "every_chunk",
    "none",
    "null",
    "negative",
    "absurd",
]
Framing = Literal["auto", "content_length", "chunked"]
Counting = Literal["events", "content"]
EventKind = Literal["frame", "content", "done"]

DEFAULT_TEXT = "Hello from the fake upstream."


@dataclass(frozen=True, kw_only=True)
class Script:
    """How to answer one request. Every field has a harmless default; each fault is one field.

    `cut_after_events`, `stall_after`, `error_event` and `garbage_after` count events on the wire
    (the role chunk or `message_start` is the first), or, with `counting="content"`, only those
    that carry text, reasoning or tool calls. An answer that is not streamed is one event.
    """

    # What is said. `pieces` are the streamed deltas; without them `text` is cut into words.
    text: str | None = None
    pieces: Sequence[str] = ()
    reasoning: str = ""
    reasoning_field: str = "reasoning_content"
    tool_calls: Sequence[Mapping[str, Any]] = ()
    fragment_chars: int = 8
    signature: str = "c2lnbmF0dXJl"  # of thinking, and of the first call where it has one
    logprobs: bool = False
    finish_reason: str | None = None  # OpenAI's word; one that is not in the tables goes verbatim
    model: str | None = None  # None: the name that was asked for
    extra: Mapping[str, Any] = field(default_factory=dict)  # merged into the answer, each chunk
    events: Sequence[Mapping[str, Any] | str] = ()  # recorded events, instead of all the above

    # What is counted: (prompt, completion), or a dict taken verbatim; None: counted in words.
    usage: Sequence[int] | Mapping[str, Any] | None = None
    usage_mode: UsageMode = "as_asked"
    cached_tokens: int = 0
    cache_write_tokens: int = 0

    # Another answer altogether. `error_body` is laid over the dialect's own error object, or
    # taken verbatim when it has an "error" key; `body` is always taken verbatim.
    status: int = 200
    body: Any = None
    error_body: Mapping[str, Any] | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after: float | str | None = None
    path_part: str = ""  # "": completions only; else any request whose path contains it

    # Time.
    stall_before_s: float = 0.0  # before the status line
    stall_after_headers_s: float = 0.0
    stall_between_s: float = 0.0
    stall_after: tuple[int, float] | None = None  # (n, seconds), once
    ping_every_s: float = 0.0  # keep-alives while a stream stalls

    # Ends. A cut is a reset (SO_LINGER 0), unless `cut_with_fin`.
    cut_before_status: bool = False
    cut_after_events: int | None = None
    cut_mid_event: bool = False  # half of the next event still goes out
    cut_with_fin: bool = False
    error_event: tuple[int, Mapping[str, Any]] | None = None
    no_done: bool = False
    no_finish: bool = False
    endless: bool = False
    ignore_max_tokens: bool = False

    # Shape.
    force_stream: bool | None = None  # None: as the request asks
    framing: Framing = "auto"  # auto: chunked for a stream, else Content-Length
    close_delimited: bool = False
    split_bytes: int = 0  # each piece is a send and an HTTP chunk of its own
    split_pause_s: float = 0.0
    crlf: bool = False
    comments: bool = False
    pings: bool = False  # the vendor's own keep-alive before each event
    blank_lines: bool = True
    data_space: bool = True
    counting: Counting = "events"

    # Nonsense.
    garbage: bool = False
    garbage_after: int = 0
    empty: bool = False
    huge_line_bytes: int = 0

    def __post_init__(self) -> None:
        """Refuses what could only be a slip in a test."""
        words = ((self.usage_mode, UsageMode), (self.framing, Framing), (self.counting, Counting))
        for word, allowed in words:
            if word not in get_args(allowed):
                raise ValueError(f"{word!r} is not one of {get_args(allowed)}")
        if self.endless and self.framing == "content_length":
            raise ValueError("an endless answer has no Content-Length")

    @classmethod
    def from_json(cls, said: Mapping[str, Any]) -> Self:
        """Reads a Script from parsed JSON; raises ValueError on a name it does not know."""
        unknown = set(said) - {one.name for one in fields(cls)}
        if unknown:
            raise ValueError(f"unknown script fields: {sorted(unknown)}")
        return cls(**said)


@dataclass
class Rule:
    """A script and how many more requests it is for (None: all)."""

    script: Script
    times_left: int | None

    def fits(self, path: str, *, is_completion: bool) -> bool:
        """Says whether a request to this path is meant."""
        if self.times_left == 0:
            return False
        return self.script.path_part in path if self.script.path_part else is_completion
