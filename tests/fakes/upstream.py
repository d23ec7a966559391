"""A model provider as a program, in the dialects of OpenAI, Anthropic and Gemini.

It does what a `Script` tells it, faults included, and remembers what it saw. It refuses to know
anything of SolRouter: it speaks the vendors' words over plain sockets and threads, and nothing in
it is imported from the house. Run it alone with `python -m tests.fakes.upstream --port 9001`.

| path                                                 | dialect                                  |
|------------------------------------------------------|------------------------------------------|
| `POST …/chat/completions`                            | OpenAI                                   |
| `POST …/v1/messages`                                 | Anthropic                                |
| `POST …/models/{m}:generateContent`, `:stream…`      | Gemini (without `alt=sse`: a JSON array) |
| `GET …/models`                                       | by path and headers                      |
| `POST /_control/script`, `POST /_control/reset`      | a Script as JSON, plus `times`           |
| `GET /_control/requests`                             | what was seen, aborted and connected     |
"""

import argparse
import itertools
import json
import math
import re
import select
import signal
import socket
import struct
import sys
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, fields, replace
from http import HTTPStatus
from typing import Any, BinaryIO, ClassVar, Literal, Self, TypeVar, get_args
from urllib.parse import parse_qs, unquote

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
Found = TypeVar("Found")

DEFAULT_TEXT = "Hello from the fake upstream."
DEFAULT_MODELS = ("gpt-4o", "gpt-4o-mini")
CREATED_AT_S = 1_760_000_000
ABSURD_TOKENS = 10**15
ENDLESS_PAUSE_S = 0.001
ACCEPT_PAUSE_S = 0.01
CLOSE_WAIT_S = 2.0
LINE_BYTES_MAX = 65_536
BACKLOG = 1_024
GARBAGE_HTML = b"<html><body><h1>502 Bad Gateway</h1></body></html>"
GARBAGE_EVENT = "{not json"


# What it is told.


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


# What it remembers.


@dataclass(frozen=True)
class Seen:
    """One request as it came; header names in lower case, `body` None when it is not an object."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: Json | None
    raw: bytes
    at_monotonic: float


@dataclass(frozen=True)
class Abort:
    """A client that went away before its answer was complete."""

    at_monotonic: float
    events_sent: int
    path: str


@dataclass(frozen=True)
class Connections:
    """TCP connections: accepted since the start, open now, and in the middle of an answer now."""

    accepted: int
    open: int
    busy: int


# The words that all dialects share.


@dataclass(frozen=True)
class ToolCall:
    """A tool call with its arguments as the text they are streamed as."""

    id: str
    name: str
    arguments: str

    @classmethod
    def of(cls, position: int, said: Mapping[str, Any]) -> Self:
        """Reads {id, name, arguments}, or the same in OpenAI's nesting; arguments may be a dict."""
        function = said.get("function", said)
        arguments = function.get("arguments", "{}")
        text = arguments if isinstance(arguments, str) else _dumps(arguments)
        return cls(said.get("id", f"call_fake_{position}"), function["name"], text)

    def parsed(self) -> Json:
        """The arguments as an object; empty when they are not one."""
        with suppress(ValueError):
            parsed = json.loads(self.arguments)
            if isinstance(parsed, dict):
                return parsed
        return {}

    def fragments(self, size_chars: int) -> list[str]:
        """The arguments in pieces, as they are streamed."""
        starts = range(0, len(self.arguments), max(size_chars, 1))
        return [self.arguments[start : start + max(size_chars, 1)] for start in starts]


@dataclass(frozen=True)
class Count:
    """Tokens. Caches are inside the prompt and reasoning inside the completion."""

    prompt: int
    completion: int
    cached: int = 0
    cache_write: int = 0
    reasoning: int = 0


@dataclass(frozen=True)
class Saying:
    """What an answer says, after the output limit has been applied."""

    thoughts: Sequence[str] = ()
    pieces: Sequence[str] = ()
    calls: Sequence[ToolCall] = ()
    finish: str | None = None


@dataclass(frozen=True)
class Event:
    """One server-sent event."""

    text: str
    name: str = ""
    kind: EventKind = "frame"

    def encoded(self, script: Script) -> bytes:
        """The event as bytes, with the script's line ends, spaces and blank lines."""
        line_end = "\r\n" if script.crlf else "\n"
        colon = ": " if script.data_space else ":"
        lines = [f"event{colon}{self.name}"] if self.name else []
        lines.append(f"data{colon}{self.text}")
        lines += [""] if script.blank_lines else []
        return "".join(line + line_end for line in lines).encode()


@dataclass(frozen=True)
class Turn:
    """One answer about to be given: the script applied to the request, in no dialect yet."""

    dialect: "Dialect"
    script: Script
    body: Json
    serial: int
    model: str
    choices: int
    saying: Saying
    count: Count

    @property
    def text(self) -> str:
        """The whole text of the answer."""
        return "".join(self.saying.pieces)

    @property
    def reasoning(self) -> str:
        """The whole reasoning of the answer."""
        return "".join(self.saying.thoughts)

    def pieces(self) -> Iterator[str]:
        """The text deltas; for ever if the script is endless."""
        yield from self.saying.pieces
        while self.script.endless:
            yield from self.saying.pieces or (" more",)

    def usage(self, said: int | None = None) -> Json:
        """The usage in the dialect's words; with `said`, as it stood after so many tokens."""
        if isinstance(self.script.usage, Mapping):
            return dict(self.script.usage)
        if said is None:
            return self.dialect.usage_words(self.count)
        completion = min(said, self.count.completion)
        reasoning = min(completion, self.count.reasoning)
        so_far = replace(self.count, completion=completion, reasoning=reasoning)
        return self.dialect.usage_words(so_far)

    def usage_field(self) -> Json:
        """The usage as part of an answer that is not streamed, or nothing, or null."""
        if self.script.usage_mode == "none":
            return {}
        said = None if self.script.usage_mode == "null" else self.usage()
        return {self.dialect.usage_key: said}


def _dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _words(text: str) -> tuple[str, ...]:
    """Text cut into words that join to the same text: our tokens."""
    return tuple(re.findall(r"\s*\S+|\s+", text))


def _prompt_words(value: object, *, is_text: bool = False) -> int:
    """Counts the words of every text in a request, whichever dialect it is in."""
    if isinstance(value, str):
        return len(_words(value)) if is_text else 0
    if isinstance(value, list):
        return sum(_prompt_words(one, is_text=is_text) for one in value)
    if isinstance(value, dict):
        texts = {"content", "text", "system"}
        return sum(_prompt_words(one, is_text=name in texts) for name, one in value.items())
    return 0


def _saying(script: Script, limit_tokens: int | None) -> Saying:
    if script.empty:
        return Saying()
    calls = tuple(itertools.starmap(ToolCall.of, enumerate(script.tool_calls)))
    text = script.text if script.text is not None else "" if calls else DEFAULT_TEXT
    huge = ("x" * script.huge_line_bytes,) if script.huge_line_bytes else ()
    pieces = (*huge, *(script.pieces or _words(text)))
    thoughts = _words(script.reasoning)
    finish = "tool_calls" if calls else "stop"
    boundless = limit_tokens is None or script.ignore_max_tokens or script.endless
    if not boundless and len(thoughts) + len(pieces) > (limit := limit_tokens or 0):
        thoughts, pieces = thoughts[:limit], pieces[: max(limit - len(thoughts), 0)]
        calls, finish = (), "length"
    named = None if script.no_finish else script.finish_reason or finish
    return Saying(thoughts, pieces, calls, named)


def _count(script: Script, body: Json, saying: Saying, choices: int) -> Count:
    if script.usage_mode in ("negative", "absurd"):
        sign = -1 if script.usage_mode == "negative" else 1
        size = 12 if sign < 0 else ABSURD_TOKENS
        return Count(sign * size, sign * size)
    arguments = sum(len(call.fragments(script.fragment_chars)) for call in saying.calls)
    words = len(saying.thoughts) + len(saying.pieces) + arguments
    prompt, completion = _prompt_words(body), words * choices
    if script.usage is not None and not isinstance(script.usage, Mapping):
        prompt, completion = script.usage
    reasoning = min(len(saying.thoughts) * choices, completion)
    return Count(prompt, completion, script.cached_tokens, script.cache_write_tokens, reasoning)


# The dialects.


class Dialect(ABC):
    """One vendor's words for requests, answers, events, usage and errors."""

    usage_key: ClassVar[str] = "usage"
    key_refused: ClassVar[int] = 401
    request_id_header: ClassVar[str] = "x-request-id"
    error_words: ClassVar[dict[int, str]]

    @abstractmethod
    def usage_words(self, count: Count) -> Json:
        """Tokens in this vendor's names."""

    @abstractmethod
    def answer(self, turn: Turn) -> Json:
        """The answer to a request that does not stream."""

    @abstractmethod
    def events(self, turn: Turn) -> Iterator[Event]:
        """The answer to a request that streams."""

    @abstractmethod
    def error(self, status: int, detail: Mapping[str, Any]) -> Json:
        """An error body; `detail` is laid over the vendor's own."""

    @abstractmethod
    def complaint(self, seen: Seen) -> str | None:
        """What the vendor would refuse about the request's shape, if anything."""

    @abstractmethod
    def models(self, names: Sequence[str]) -> Json:
        """The list of models."""

    def error_event(self, detail: Mapping[str, Any]) -> Event:
        """An error in the middle of a stream."""
        return Event(_dumps(_error_body(self, 500, detail)))

    def recorded(self, said: Mapping[str, Any] | str) -> Event:
        """An event that the script gives whole."""
        text = said if isinstance(said, str) else _dumps(said)
        return Event(text, kind="content")

    def is_stream(self, seen: Seen) -> bool:
        """Whether the request asks for a stream."""
        return (seen.body or {}).get("stream") is True

    def model(self, seen: Seen) -> str:
        """The model that was asked for."""
        return str((seen.body or {}).get("model", ""))

    def output_limit(self, body: Json) -> int | None:
        """The most tokens that may be said."""
        limit = body.get("max_completion_tokens", body.get("max_tokens"))
        return limit if isinstance(limit, int) else None

    def choices(self, body: Json) -> int:
        """How many answers were asked for."""
        asked = body.get("n")
        return asked if isinstance(asked, int) and asked > 0 else 1


class OpenAI(Dialect):
    """Chat completions."""

    error_words: ClassVar[dict[int, str]] = {
        400: "invalid_request_error",
        401: "invalid_request_error",
        403: "invalid_request_error",
        404: "invalid_request_error",
        408: "timeout",
        429: "rate_limit_exceeded",
    }
    error_codes: ClassVar[dict[int, str]] = {
        401: "invalid_api_key",
        404: "model_not_found",
        429: "rate_limit_exceeded",
    }

    def usage_words(self, count: Count) -> Json:
        """prompt_tokens and completion_tokens with their details."""
        prompt = {
            "cached_tokens": count.cached,
            "cache_write_tokens": count.cache_write,
            "audio_tokens": 0,
        }
        completion = {
            "reasoning_tokens": count.reasoning,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        }
        return {
            "prompt_tokens": count.prompt,
            "completion_tokens": count.completion,
            "total_tokens": count.prompt + count.completion,
            "prompt_tokens_details": prompt,
            "completion_tokens_details": completion,
        }

    def answer(self, turn: Turn) -> Json:
        """A chat.completion."""
        saying = turn.saying
        message: Json = {
            "role": "assistant",
            "content": None if saying.calls and not saying.pieces else turn.text,
            "refusal": None,
            "annotations": [],
        }
        if saying.thoughts:
            message[turn.script.reasoning_field] = turn.reasoning
        if saying.calls:
            message["tool_calls"] = [self._call(call, call.arguments) for call in saying.calls]
        choice = {
            "message": message,
            "logprobs": self._logprobs(turn, *saying.pieces),
            "finish_reason": saying.finish,
        }
        choices = [{"index": index, **choice} for index in range(turn.choices)]
        return self._frame(turn, "chat.completion", choices) | turn.usage_field()

    def events(self, turn: Turn) -> Iterator[Event]:
        """chat.completion.chunk after chunk, the usage chunk if any, and [DONE]."""
        role = {"role": "assistant", "content": "", "refusal": None}
        yield from self._chunks(turn, 0, {"delta": role})
        said = 0
        for said, choice in enumerate(self._contents(turn), start=1):
            yield from self._chunks(turn, said, choice, "content")
        if turn.saying.finish is not None:
            yield from self._chunks(turn, said, {"finish_reason": turn.saying.finish})
        if turn.script.usage_mode in ("final_chunk", "negative", "absurd") or self._owes(turn):
            frame = self._frame(turn, "chat.completion.chunk", [])
            yield Event(_dumps(frame | {"usage": turn.usage()}))
        yield Event("[DONE]", kind="done")

    def error(self, status: int, detail: Mapping[str, Any]) -> Json:
        """The error envelope that everyone copies."""
        error = {
            "message": f"Fake upstream error {status}.",
            "type": self.error_words.get(status, "server_error"),
            "param": None,
            "code": self.error_codes.get(status),
        }
        return {"error": error | dict(detail)}

    def complaint(self, seen: Seen) -> str | None:
        """`model` and a list of `messages` are required."""
        body = seen.body or {}
        if not body.get("model"):
            return "you must provide a model parameter"
        if not isinstance(body.get("messages"), list):
            return "Missing required parameter: 'messages'."
        return None

    def models(self, names: Sequence[str]) -> Json:
        """A list of model objects."""
        row = {"object": "model", "created": CREATED_AT_S, "owned_by": "fake"}
        return {"object": "list", "data": [{"id": name, **row} for name in names]}

    def _frame(self, turn: Turn, kind: str, choices: list[Json]) -> Json:
        frame: Json = {
            "id": f"chatcmpl-fake-{turn.serial}",
            "object": kind,
            "created": CREATED_AT_S,
            "model": turn.model,
            "service_tier": "default",
            "system_fingerprint": "fp_fake",
            "choices": choices,
        }
        return frame | dict(turn.script.extra)

    def _chunks(
        self, turn: Turn, said: int, choice: Json, kind: EventKind = "frame"
    ) -> Iterator[Event]:
        """The same delta for each of the choices."""
        whole: Json = {"delta": {}, "logprobs": None, "finish_reason": None} | choice
        is_finish = whole["finish_reason"] is not None
        usage = self._usage_beside(turn, said, is_finish=is_finish)
        for index in range(turn.choices):
            frame = self._frame(turn, "chat.completion.chunk", [{"index": index, **whole}])
            yield Event(_dumps(frame | usage), kind=kind)

    def _contents(self, turn: Turn) -> Iterator[Json]:
        """Deltas that say something, text with its log probabilities."""
        for thought in turn.saying.thoughts:
            yield {"delta": {turn.script.reasoning_field: thought}}
        for piece in turn.pieces():
            yield {"delta": {"content": piece}, "logprobs": self._logprobs(turn, piece)}
        for index, call in enumerate(turn.saying.calls):
            yield {"delta": {"tool_calls": [{"index": index, **self._call(call, "")}]}}
            for fragment in call.fragments(turn.script.fragment_chars):
                part = {"index": index, "function": {"arguments": fragment}}
                yield {"delta": {"tool_calls": [part]}}

    def _owes(self, turn: Turn) -> bool:
        """Whether the caller asked for usage and gets it as OpenAI gives it."""
        options = turn.body.get("stream_options") or {}
        return turn.script.usage_mode == "as_asked" and options.get("include_usage") is True

    def _usage_beside(self, turn: Turn, said: int, *, is_finish: bool) -> Json:
        mode = turn.script.usage_mode
        if mode == "every_chunk" or (mode == "on_finish_chunk" and is_finish):
            return {"usage": turn.usage(None if is_finish else said)}
        return {"usage": None} if mode == "null" or self._owes(turn) else {}

    @staticmethod
    def _call(call: ToolCall, arguments: str) -> Json:
        function = {"name": call.name, "arguments": arguments}
        return {"id": call.id, "type": "function", "function": function}

    @staticmethod
    def _logprobs(turn: Turn, *words: str) -> Json | None:
        if not turn.script.logprobs:
            return None
        rows = [
            {"token": word, "logprob": -0.5, "bytes": list(word.encode()), "top_logprobs": []}
            for word in words
        ]
        return {"content": rows, "refusal": None}


class Anthropic(Dialect):
    """Messages, as of anthropic-version 2023-06-01 and later."""

    request_id_header: ClassVar[str] = "request-id"
    error_words: ClassVar[dict[int, str]] = {
        400: "invalid_request_error",
        401: "authentication_error",
        402: "billing_error",
        403: "permission_error",
        404: "not_found_error",
        408: "timeout_error",
        413: "request_too_large",
        429: "rate_limit_error",
        503: "overloaded_error",
        504: "timeout_error",
        529: "overloaded_error",
    }
    stop_reasons: ClassVar[dict[str, str]] = {
        "stop": "end_turn",
        "length": "max_tokens",
        "tool_calls": "tool_use",
        "content_filter": "refusal",
    }

    def usage_words(self, count: Count) -> Json:
        """input_tokens without the caches, the caches beside it."""
        return {
            "input_tokens": count.prompt - count.cached - count.cache_write,
            "cache_creation_input_tokens": count.cache_write,
            "cache_read_input_tokens": count.cached,
            "cache_creation": {
                "ephemeral_5m_input_tokens": count.cache_write,
                "ephemeral_1h_input_tokens": 0,
            },
            "output_tokens": count.completion,
            "output_tokens_details": {"thinking_tokens": count.reasoning},
            "service_tier": "standard",
        }

    def answer(self, turn: Turn) -> Json:
        """A message with its blocks."""
        saying = turn.saying
        content: list[Json] = []
        if saying.thoughts:
            thinking = {"thinking": turn.reasoning, "signature": "c2lnbmF0dXJl"}
            content.append({"type": "thinking", **thinking})
        if saying.pieces:
            content.append({"type": "text", "text": turn.text})
        content += [self._tool_use(call, call.parsed()) for call in saying.calls]
        stop_reason = self._stop_reason(turn)
        return self._message(turn, content, stop_reason) | turn.usage_field()

    def events(self, turn: Turn) -> Iterator[Event]:
        """message_start, the blocks, message_delta and message_stop."""
        start = self._message(turn, [], None) | self._usage_at_start(turn)
        yield self._event("message_start", message=start)
        blocks = itertools.count()
        if turn.saying.thoughts:
            yield from self._thinking(turn, next(blocks))
        if turn.saying.pieces or turn.script.endless:
            yield from self._text(turn, next(blocks))
        for call in turn.saying.calls:
            yield from self._arguments(turn, next(blocks), call)
        if turn.saying.finish is not None:
            delta = {"stop_reason": self._stop_reason(turn), "stop_sequence": None}
            yield self._event("message_delta", delta=delta, **turn.usage_field())
        yield replace(self._event("message_stop"), kind="done")

    def error(self, status: int, detail: Mapping[str, Any]) -> Json:
        """{type: error, error: {type, message}}."""
        word = self.error_words.get(status, "api_error")
        error = {"type": word, "message": f"Fake upstream error {status}."}
        return {"type": "error", "error": error | dict(detail), "request_id": "req_fake"}

    def error_event(self, detail: Mapping[str, Any]) -> Event:
        """A named event, `error`."""
        return Event(_dumps(_error_body(self, 529, detail)), name="error")

    def recorded(self, said: Mapping[str, Any] | str) -> Event:
        """An event named after its type."""
        name = "" if isinstance(said, str) else str(said.get("type", ""))
        return replace(super().recorded(said), name=name)

    def complaint(self, seen: Seen) -> str | None:
        """The version header, `model`, `max_tokens` and messages of two roles are required."""
        body = seen.body or {}
        if "anthropic-version" not in seen.headers:
            return "anthropic-version: header is required"
        for name in ("model", "max_tokens"):
            if not body.get(name):
                return f"{name}: Field required"
        messages = body.get("messages")
        if not isinstance(messages, list) or not messages:
            return "messages: at least one message is required"
        if any(message.get("role") not in ("user", "assistant") for message in messages):
            return "messages: Unexpected role. Allowed roles are 'user' or 'assistant'"
        return None

    def models(self, names: Sequence[str]) -> Json:
        """A page of model infos."""
        row = {"type": "model", "created_at": "2025-10-09T08:53:20Z", "lifecycle": "active"}
        data = [{"id": name, "display_name": name, **row} for name in names]
        return {"data": data, "has_more": False, "first_id": None, "last_id": None}

    def _message(self, turn: Turn, content: list[Json], stop_reason: str | None) -> Json:
        message: Json = {
            "id": f"msg_fake_{turn.serial}",
            "type": "message",
            "role": "assistant",
            "model": turn.model,
            "content": content,
            "stop_reason": stop_reason,
            "stop_sequence": None,
        }
        return message | dict(turn.script.extra)

    def _usage_at_start(self, turn: Turn) -> Json:
        """The input side, and one token of output, as the vendor says it at the start."""
        if turn.script.usage_mode in ("none", "null"):
            return turn.usage_field()
        if turn.script.usage_mode in ("final_chunk", "on_finish_chunk"):
            return {}
        output = {"output_tokens": min(turn.count.completion, 1)}
        return {"usage": {**turn.usage(0), **output}}

    def _thinking(self, turn: Turn, index: int) -> Iterator[Event]:
        block = {"type": "thinking", "thinking": "", "signature": ""}
        yield self._event("content_block_start", index=index, content_block=block)
        for thought in turn.saying.thoughts:
            yield self._delta(index, {"type": "thinking_delta", "thinking": thought})
        signature = {"type": "signature_delta", "signature": "c2lnbmF0dXJl"}
        yield replace(self._delta(index, signature), kind="frame")
        yield self._event("content_block_stop", index=index)

    def _text(self, turn: Turn, index: int) -> Iterator[Event]:
        block = {"type": "text", "text": ""}
        yield self._event("content_block_start", index=index, content_block=block)
        for piece in turn.pieces():
            yield self._delta(index, {"type": "text_delta", "text": piece})
        yield self._event("content_block_stop", index=index)

    def _arguments(self, turn: Turn, index: int, call: ToolCall) -> Iterator[Event]:
        start = self._event(
            "content_block_start", index=index, content_block=self._tool_use(call, {})
        )
        yield replace(start, kind="content")
        for fragment in ("", *call.fragments(turn.script.fragment_chars)):
            yield self._delta(index, {"type": "input_json_delta", "partial_json": fragment})
        yield self._event("content_block_stop", index=index)

    def _delta(self, index: int, delta: Json) -> Event:
        return replace(self._event("content_block_delta", index=index, delta=delta), kind="content")

    def _stop_reason(self, turn: Turn) -> str | None:
        finish = turn.saying.finish
        return None if finish is None else self.stop_reasons.get(finish, finish)

    @staticmethod
    def _event(name: str, **body: object) -> Event:
        return Event(_dumps({"type": name, **body}), name=name)

    @staticmethod
    def _tool_use(call: ToolCall, arguments: Json) -> Json:
        return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}


class Gemini(Dialect):
    """generateContent and streamGenerateContent."""

    usage_key: ClassVar[str] = "usageMetadata"
    key_refused: ClassVar[int] = 400
    error_words: ClassVar[dict[int, str]] = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        408: "DEADLINE_EXCEEDED",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        504: "DEADLINE_EXCEEDED",
    }
    finish_reasons: ClassVar[dict[str, str]] = {
        "stop": "STOP",
        "length": "MAX_TOKENS",
        "tool_calls": "STOP",
        "content_filter": "SAFETY",
    }
    path: ClassVar[re.Pattern[str]] = re.compile(
        r"/models/([^/:]+):(generateContent|streamGenerateContent)$"
    )

    def usage_words(self, count: Count) -> Json:
        """Thoughts are beside the candidates, caches inside the prompt."""
        return {
            "promptTokenCount": count.prompt,
            "candidatesTokenCount": count.completion - count.reasoning,
            "thoughtsTokenCount": count.reasoning,
            "cachedContentTokenCount": count.cached,
            "totalTokenCount": count.prompt + count.completion,
        }

    def answer(self, turn: Turn) -> Json:
        """Candidates with all their parts."""
        parts = [{"text": turn.reasoning, "thought": True}] if turn.saying.thoughts else []
        parts += [{"text": turn.text}] if turn.saying.pieces else []
        parts += [self._function_call(call) for call in turn.saying.calls]
        frames = [self._candidate(turn, index, parts, final=True) for index in range(turn.choices)]
        return self._frame(turn, frames) | turn.usage_field()

    def events(self, turn: Turn) -> Iterator[Event]:
        """Chunks; the last has the finish reason, and the end is the end of the body."""
        said = 0
        for said, part in enumerate(self._parts(turn), start=1):
            for index in range(turn.choices):
                frame = self._frame(turn, [self._candidate(turn, index, [part], final=False)])
                usage = self._usage_beside(turn, said)
                yield Event(_dumps(frame | usage), kind="content")
        if turn.saying.finish is not None:
            last = [{"text": ""}]
            rows = [self._candidate(turn, index, last, final=True) for index in range(turn.choices)]
            yield Event(_dumps(self._frame(turn, rows) | turn.usage_field()))
        elif not said:
            yield Event(_dumps(self._frame(turn, []) | self._usage_beside(turn, 0)))

    def error(self, status: int, detail: Mapping[str, Any]) -> Json:
        """google.rpc.Status in JSON."""
        word = self.error_words.get(status, "UNAVAILABLE")
        error = {"code": status, "message": f"Fake upstream error {status}.", "status": word}
        return {"error": error | dict(detail)}

    def complaint(self, seen: Seen) -> str | None:
        """A list of `contents` with roles `user` and `model` is required."""
        contents = (seen.body or {}).get("contents")
        if not isinstance(contents, list) or not contents:
            return "* GenerateContentRequest.contents: contents is not specified"
        if any(content.get("role") not in ("user", "model") for content in contents):
            return "Please use a valid role: user, model."
        return None

    def models(self, names: Sequence[str]) -> Json:
        """A page of models with their limits."""
        row = {"inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536}
        return {"models": [{"name": f"models/{name}", **row} for name in names]}

    def is_stream(self, seen: Seen) -> bool:
        """The path says it."""
        return seen.path.endswith(":streamGenerateContent")

    def model(self, seen: Seen) -> str:
        """The path says it."""
        found = self.path.search(seen.path)
        return unquote(found[1]) if found else ""

    def output_limit(self, body: Json) -> int | None:
        """generationConfig.maxOutputTokens."""
        limit = (body.get("generationConfig") or {}).get("maxOutputTokens")
        return limit if isinstance(limit, int) else None

    def choices(self, body: Json) -> int:
        """generationConfig.candidateCount."""
        return int((body.get("generationConfig") or {}).get("candidateCount") or 1)

    def _frame(self, turn: Turn, candidates: list[Json]) -> Json:
        names = {"modelVersion": turn.model, "responseId": f"resp-fake-{turn.serial}"}
        return {"candidates": candidates, **names} | dict(turn.script.extra)

    def _candidate(self, turn: Turn, index: int, parts: Sequence[Json], *, final: bool) -> Json:
        candidate: Json = {"content": {"parts": list(parts), "role": "model"}, "index": index}
        finish = turn.saying.finish
        if final and finish is not None:
            candidate["finishReason"] = self.finish_reasons.get(finish, finish)
        return candidate

    def _parts(self, turn: Turn) -> Iterator[Json]:
        yield from ({"text": thought, "thought": True} for thought in turn.saying.thoughts)
        yield from ({"text": piece} for piece in turn.pieces())
        yield from (self._function_call(call) for call in turn.saying.calls)

    def _usage_beside(self, turn: Turn, said: int) -> Json:
        """Cumulative on every chunk, as the vendor does, unless told otherwise."""
        mode = turn.script.usage_mode
        if mode in ("none", "final_chunk", "on_finish_chunk"):
            return {}
        return {"usageMetadata": None if mode == "null" else turn.usage(said)}

    @staticmethod
    def _function_call(call: ToolCall) -> Json:
        return {"functionCall": {"id": call.id, "name": call.name, "args": call.parsed()}}


OPENAI, ANTHROPIC, GEMINI = OpenAI(), Anthropic(), Gemini()


def _dialect_of(seen: Seen) -> Dialect | None:
    """The dialect of a completion request, or None for any other request."""
    if seen.method != "POST":
        return None
    if seen.path.endswith("/chat/completions"):
        return OPENAI
    if seen.path.endswith("/v1/messages"):
        return ANTHROPIC
    return GEMINI if Gemini.path.search(seen.path) else None


def _dialect_beside(seen: Seen) -> Dialect:
    """Whose manners to keep on paths that are no completion: lists of models, and errors."""
    if "anthropic-version" in seen.headers:
        return ANTHROPIC
    is_gemini = "/v1beta" in seen.path and "/openai" not in seen.path
    return GEMINI if is_gemini else OPENAI


# Replies: bytes to come, and the script that says how they come.


@dataclass(frozen=True)
class Item:
    """Bytes that go out together and count as one event."""

    payload: bytes
    kind: EventKind = "content"


@dataclass(frozen=True)
class Reply:
    """One response before it is played on a socket."""

    script: Script
    status: int
    content_type: str
    items: Iterable[Item]
    is_stream: bool = False
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def is_chunked(self) -> bool:
        """Whether the body goes out in HTTP chunks."""
        if self.script.close_delimited:
            return False
        framing = self.script.framing
        return framing == "chunked" or (framing == "auto" and self.is_stream)

    def head(self) -> bytes:
        """The status line and the headers."""
        headers = {"content-type": self.content_type, "server": "fake-upstream", **self.headers}
        if self.script.retry_after is not None:
            headers["retry-after"] = str(self.script.retry_after)
        if self.script.close_delimited:
            headers["connection"] = "close"
        elif self.is_chunked:
            headers["transfer-encoding"] = "chunked"
        else:
            headers["content-length"] = str(sum(len(item.payload) for item in self.items))
        headers.update({name.lower(): value for name, value in self.script.headers.items()})
        lines = [f"HTTP/1.1 {self.status} {_reason(self.status)}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")


def _reason(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Overloaded" if status == 529 else "Unknown"


def _error_body(dialect: Dialect, status: int, detail: Mapping[str, Any]) -> Json:
    return dict(detail) if "error" in detail else dialect.error(status, detail)


def _json_reply(script: Script, status: int, body: object) -> Reply:
    payload = body if isinstance(body, bytes) else None
    text = body if isinstance(body, str) else _dumps(body) if payload is None else ""
    return Reply(script, status, "application/json", [Item(payload or text.encode())])


def _completion_reply(dialect: Dialect, script: Script, seen: Seen, serial: int) -> Reply:
    """What the script makes of a request that the vendor would accept."""
    is_stream = dialect.is_stream(seen) if script.force_stream is None else script.force_stream
    if script.garbage and not is_stream:
        return Reply(script, script.status, "text/html", [Item(GARBAGE_HTML)])
    turn = _turn(dialect, script, seen, serial)
    if not is_stream:
        return _json_reply(script, script.status, dialect.answer(turn))
    events = _faulted(turn, map(dialect.recorded, script.events) if script.events else None)
    if dialect is GEMINI and parse_qs(seen.query).get("alt") != ["sse"] and not script.endless:
        # Without alt=sse the vendor sends one JSON array, which no reader of events understands.
        array = "[" + ",\n".join(event.text for event in events) + "]"
        return _json_reply(script, script.status, array)
    items: Iterable[Item] = _items(script, events)
    if not script.endless:
        items = list(items)
    return Reply(script, script.status, "text/event-stream; charset=utf-8", items, is_stream=True)


def _turn(dialect: Dialect, script: Script, seen: Seen, serial: int) -> Turn:
    body = seen.body or {}
    choices = dialect.choices(body)
    saying = _saying(script, dialect.output_limit(body))
    return Turn(
        dialect=dialect,
        script=script,
        body=body,
        serial=serial,
        model=script.model or dialect.model(seen),
        choices=choices,
        saying=saying,
        count=_count(script, body, saying, choices),
    )


def _faulted(turn: Turn, recorded: Iterator[Event] | None) -> Iterator[Event]:
    """The events with the script's garbage, error and missing end worked in."""
    script, counted, is_garbage_due = turn.script, 0, turn.script.garbage
    for event in recorded or turn.dialect.events(turn):
        if script.error_event and (counted >= script.error_event[0] or event.kind == "done"):
            break
        if is_garbage_due and counted >= script.garbage_after:
            is_garbage_due = False
            yield Event(GARBAGE_EVENT)
        if event.kind == "done" and script.no_done:
            continue
        yield event
        counted += _counts(script, event.kind)
    if script.error_event is not None:
        yield turn.dialect.error_event(script.error_event[1])


def _items(script: Script, events: Iterable[Event]) -> Iterator[Item]:
    ping = b": ping\r\n\r\n" if script.crlf else b": ping\n\n"
    for position, event in enumerate(events):
        comment = ping if script.comments and position else b""
        yield Item(comment + event.encoded(script), event.kind)


def _counts(script: Script, kind: EventKind) -> int:
    return int(script.counting == "events" or kind == "content")


# The wire.


class ClientLeft(Exception):
    """The client closed or reset its side before the answer was complete."""


class CutHere(Exception):
    """The script says that the connection ends now."""


class Wire:
    """The sending side of one socket; notices at once when the other side leaves.

    A client that closes only its sending side counts as gone: so do real servers count it.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._poll = select.poll()
        self._left = getattr(select, "POLLRDHUP", 0)
        self._poll.register(sock, select.POLLIN | self._left)
        self._left |= select.POLLHUP | select.POLLERR | select.POLLNVAL

    def send(self, payload: bytes) -> None:
        """Sends all of it; raises ClientLeft."""
        try:
            self._sock.sendall(payload)
        except OSError as error:
            raise ClientLeft from error

    def wait(self, seconds: float) -> None:
        """Waits, watching the client; raises ClientLeft as soon as it is gone."""
        deadline = time.monotonic() + seconds
        while True:
            left_ms = math.ceil(max(deadline - time.monotonic(), 0) * 1000)
            flags = self._poll.poll(left_ms)
            if not flags:
                return
            if flags[0][1] & self._left or not self._peeked():
                raise ClientLeft
            # A pipelined request is waiting: from here on watch only for the end.
            self._poll.modify(self._sock, getattr(select, "POLLRDHUP", 0))

    def _peeked(self) -> bytes:
        try:
            return self._sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        except OSError as error:
            raise ClientLeft from error


class Player:
    """Plays one reply on a wire, with the script's pauses, cuts and framing."""

    def __init__(self, wire: Wire, reply: Reply) -> None:
        self.events_sent = 0
        self._wire = wire
        self._reply = reply
        self._script = reply.script
        self._counted = 0
        self._has_stalled = False

    def play(self) -> None:
        """Sends the reply; raises ClientLeft, or CutHere where the script says so."""
        script = self._script
        self._wire.wait(script.stall_before_s)
        if script.cut_before_status:
            raise CutHere
        self._wire.send(self._reply.head())
        self._wire.wait(script.stall_after_headers_s)
        for item in self._reply.items:
            self._stall_or_cut(item.payload)
            self._write(item.payload)
            self.events_sent += 1
            self._counted += _counts(script, item.kind)
        self._stall_or_cut(b"")
        if self._reply.is_chunked:
            self._wire.send(b"0\r\n\r\n")

    def _stall_or_cut(self, coming: bytes) -> None:
        script = self._script
        if self.events_sent and coming:
            self._wire.wait(max(script.stall_between_s, ENDLESS_PAUSE_S * script.endless))
        if script.stall_after and self._counted >= script.stall_after[0] and not self._has_stalled:
            self._has_stalled = True
            self._wire.wait(script.stall_after[1])
        cut_after = script.cut_after_events
        if cut_after is None and script.cut_mid_event:
            cut_after = 0
        if cut_after is None or self._counted < cut_after:
            return
        if script.cut_mid_event:
            self._write(coming[: len(coming) // 2])
        raise CutHere

    def _write(self, payload: bytes) -> None:
        step = self._script.split_bytes or len(payload) or 1
        for start in range(0, len(payload), step):
            piece = payload[start : start + step]
            if self._reply.is_chunked:
                piece = b"%x\r\n%b\r\n" % (len(piece), piece)
            self._wire.send(piece)
            if self._script.split_pause_s:
                self._wire.wait(self._script.split_pause_s)


class Connection:
    """One TCP connection: reads requests, plays replies, ends as the script says."""

    def __init__(
        self, sock: socket.socket, memory: "Memory", reply_to: Callable[[Seen], Reply]
    ) -> None:
        self._sock = sock
        self._memory = memory
        self._reply_to = reply_to
        self._incoming = sock.makefile("rb")

    def serve(self) -> None:
        """Answers requests until either side has had enough."""
        try:
            self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            while (seen := self._read()) is not None and self._answer(seen):
                pass
        except OSError:
            pass  # The client left between requests.
        finally:
            self._incoming.close()
            self._sock.close()
            self._memory.forget(self)

    def hang_up(self) -> None:
        """Wakes whoever reads from or writes to this connection."""
        with suppress(OSError):
            self._sock.shutdown(socket.SHUT_RDWR)

    def _read(self) -> Seen | None:
        """The next request, or None when the client is done or speaks something else."""
        line = self._incoming.readline(LINE_BYTES_MAX).decode("latin-1").split()
        if len(line) != 3:
            return None
        headers = {}
        while text := self._incoming.readline(LINE_BYTES_MAX).decode("latin-1").strip():
            name, _, value = text.partition(":")
            headers[name.lower()] = value.strip()
        if headers.get("expect", "").lower() == "100-continue":
            self._sock.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
        try:
            raw = _read_body(self._incoming, headers)
        except ValueError:
            return None
        path, _, query = line[1].partition("?")
        return Seen(line[0], path, query, headers, _object(raw), raw, time.monotonic())

    def _answer(self, seen: Seen) -> bool:
        """Answers one request; says whether the connection can take another."""
        with self._memory.busy():
            reply = self._reply_to(seen)
            player = Player(Wire(self._sock), reply)
            try:
                player.play()
            except ClientLeft:
                self._memory.note_abort(seen, player.events_sent)
                return False
            except CutHere:
                if not reply.script.cut_with_fin:
                    reset = struct.pack("ii", 1, 0)
                    self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, reset)
                return False
        wants_close = seen.headers.get("connection", "").lower() == "close"
        return not (wants_close or reply.script.close_delimited)


def _read_body(incoming: BinaryIO, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return incoming.read(int(headers.get("content-length", "0")))
    body = b""
    while size := int(incoming.readline(LINE_BYTES_MAX).split(b";")[0], 16):
        body += incoming.read(size)
        incoming.readline(LINE_BYTES_MAX)
    incoming.readline(LINE_BYTES_MAX)
    return body


def _object(raw: bytes) -> Json | None:
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return body if isinstance(body, dict) else None


# The program.


class Memory:
    """What the connections' threads share: rules, requests, aborts and one condition."""

    def __init__(self) -> None:
        self.changed = threading.Condition()
        self.rules: list[Rule] = []
        self.seen: list[Seen] = []
        self.aborted: list[Abort] = []
        self.threads: dict[Connection, threading.Thread] = {}
        self.accepted_count = 0
        self.busy_count = 0
        self.is_closed = False

    def note(self, seen: Seen, *, is_completion: bool) -> tuple[Script, int]:
        """Remembers a request; returns the script for it, and its number."""
        with self.changed:
            self.seen.append(seen)
            self.changed.notify_all()
            queued = [rule for rule in self.rules if rule.times_left is not None]
            standing = [rule for rule in reversed(self.rules) if rule.times_left is None]
            for rule in (*queued, *standing):
                if rule.fits(seen.path, is_completion=is_completion):
                    if rule.times_left is not None:
                        rule.times_left -= 1
                    return rule.script, len(self.seen)
            return Script(), len(self.seen)

    def note_abort(self, seen: Seen, events_sent: int) -> None:
        """Remembers a client that left, unless it was us who hung up."""
        with self.changed:
            if not self.is_closed:
                self.aborted.append(Abort(time.monotonic(), events_sent, seen.path))
                self.changed.notify_all()

    def welcome(self, connection: Connection) -> None:
        """Starts a connection's thread."""
        with self.changed:
            self.accepted_count += 1
            thread = threading.Thread(target=connection.serve, daemon=True)
            self.threads[connection] = thread
            self.changed.notify_all()
            # Started inside the lock, so that nobody joins a thread that has not started.
            thread.start()
            if self.is_closed:
                connection.hang_up()

    def forget(self, connection: Connection) -> None:
        """Takes a closed connection off the list."""
        with self.changed:
            self.threads.pop(connection, None)
            self.changed.notify_all()

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Counts a connection as busy while inside."""
        self._count_busy(1)
        try:
            yield
        finally:
            self._count_busy(-1)

    def _count_busy(self, change: int) -> None:
        with self.changed:
            self.busy_count += change
            self.changed.notify_all()


class FakeUpstream:
    """A provider on 127.0.0.1 that does what it is told and remembers what it saw.

    It listens from the moment it is made until `close()`. `strict` refuses requests that the
    vendor would refuse for their shape (no model, no max_tokens for Anthropic …) with a 400.
    """

    def __init__(
        self, *, port: int = 0, expected_key: str | None = None, strict: bool = True
    ) -> None:
        self.expected_key = expected_key
        self.strict = strict
        self.models: list[str] = list(DEFAULT_MODELS)
        self._memory = Memory()
        self._listener = socket.create_server(("127.0.0.1", port), backlog=BACKLOG)
        self._port: int = self._listener.getsockname()[1]
        self._accepting = threading.Thread(target=self._accept, name="fake-upstream", daemon=True)
        self._accepting.start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def origin(self) -> str:
        """Scheme, host and port: the base URL of Anthropic's and Google's kind."""
        return f"http://127.0.0.1:{self._port}"

    @property
    def url(self) -> str:
        """The base URL of OpenAI's kind, which ends in /v1."""
        return f"{self.origin}/v1"

    @property
    def seen(self) -> list[Seen]:
        """The requests so far, without those to /_control."""
        with self._memory.changed:
            return list(self._memory.seen)

    @property
    def requests(self) -> int:
        """How many requests were seen."""
        with self._memory.changed:
            return len(self._memory.seen)

    @property
    def last(self) -> Seen:
        """The newest request."""
        with self._memory.changed:
            return self._memory.seen[-1]

    @property
    def aborted(self) -> list[Abort]:
        """The clients that went away too early."""
        with self._memory.changed:
            return list(self._memory.aborted)

    @property
    def connections(self) -> Connections:
        """How many connections there were and are."""
        memory = self._memory
        with memory.changed:
            return Connections(memory.accepted_count, len(memory.threads), memory.busy_count)

    def answers(
        self, text: str | None = None, *, times: int | None = None, delay_s: float = 0.0, **say: Any
    ) -> Script:
        """Answers with this text, and any field of Script; `times=None` means for ever."""
        return self.plays(Script(text=text, **{"stall_before_s": delay_s, **say}), times=times)

    def streams(self, *pieces: str, times: int | None = None, **say: Any) -> Script:
        """Answers with these deltas, and any field of Script; joined if no stream is asked."""
        return self.plays(Script(pieces=pieces, **say), times=times)

    def plays(self, script: Script, *, times: int | None = None) -> Script:
        """Queues a script for so many requests, or makes it the standing one.

        Queued scripts are used first, in their order; then the newest standing one.
        """
        with self._memory.changed:
            self._memory.rules.append(Rule(script, times))
        return script

    def reset(self) -> None:
        """Forgets all scripts and all it has seen; connections stay."""
        with self._memory.changed:
            self._memory.rules.clear()
            self._memory.seen.clear()
            self._memory.aborted.clear()
            self._memory.changed.notify_all()

    def wait_for(self, predicate: Callable[[], Found], timeout_s: float = 5.0) -> Found:
        """Waits until the predicate is true, tried at each change; raises TimeoutError."""
        with self._memory.changed:
            found = self._memory.changed.wait_for(predicate, timeout_s)
        if not found:
            raise TimeoutError(f"the fake upstream waited {timeout_s} s in vain")
        return found

    def close(self) -> None:
        """Stops listening and drops every connection, stalled or not."""
        with self._memory.changed:
            self._memory.is_closed = True
            threads = dict(self._memory.threads)
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for connection in threads:
            connection.hang_up()
        for thread in (self._accepting, *threads.values()):
            thread.join(CLOSE_WAIT_S)

    def _accept(self) -> None:
        while not self._memory.is_closed:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                # Closed, or out of file descriptors for now.
                time.sleep(0 if self._memory.is_closed else ACCEPT_PAUSE_S)
                continue
            self._memory.welcome(Connection(sock, self._memory, self._reply_to))

    def _reply_to(self, seen: Seen) -> Reply:
        """Decides what to answer, and remembers the request."""
        if seen.path.startswith("/_control/"):
            return self._control(seen)
        dialect = _dialect_of(seen)
        manners = dialect or _dialect_beside(seen)
        script, serial = self._memory.note(seen, is_completion=dialect is not None)
        reply = self._refusal(seen, dialect) or _told(manners, script)
        if reply is None and dialect is not None:
            reply = _completion_reply(dialect, script, seen, serial)
        if reply is None and seen.method == "GET" and seen.path.endswith("/models"):
            reply = _json_reply(script, 200, manners.models(self.models))
        if reply is None:
            detail = {"message": f"No such path: {seen.method} {seen.path}"}
            reply = _json_reply(script, 404, manners.error(404, detail))
        return replace(reply, headers={manners.request_id_header: f"req_fake_{serial}"})

    def _refusal(self, seen: Seen, dialect: Dialect | None) -> Reply | None:
        """What is wrong with the request itself, whatever the script says."""
        manners = dialect or _dialect_beside(seen)
        if self.expected_key is not None and self.expected_key not in _keys(seen):
            detail: Json = {"message": "Incorrect API key provided."}
            if manners is GEMINI:
                detail = {"message": "API key not valid.", "details": [_KEY_INVALID]}
            status = manners.key_refused
            return _json_reply(Script(), status, manners.error(status, detail))
        complaint = dialect.complaint(seen) if dialect and self.strict else None
        if complaint is not None:
            return _json_reply(Script(), 400, manners.error(400, {"message": complaint}))
        return None

    def _control(self, seen: Seen) -> Reply:
        """The same controls for tests in another process."""
        match seen.method, seen.path.removeprefix("/_control/"):
            case "GET", "requests":
                return _json_reply(Script(), 200, self._memories())
            case "POST", "reset":
                self.reset()
            case "POST", "script":
                said = dict(seen.body or {})
                times = said.pop("times", None)
                try:
                    self.plays(Script.from_json(said), times=times)
                except (TypeError, ValueError) as error:
                    return _json_reply(Script(), 400, {"error": {"message": str(error)}})
            case _:
                return _json_reply(Script(), 404, {"error": {"message": "No such control."}})
        return _json_reply(Script(), 200, {"ok": True})

    def _memories(self) -> Json:
        rows = [asdict(seen) | {"raw": seen.raw.decode("utf-8", "replace")} for seen in self.seen]
        aborted = [asdict(abort) for abort in self.aborted]
        return {"requests": rows, "aborted": aborted, "connections": asdict(self.connections)}


_KEY_INVALID = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    "reason": "API_KEY_INVALID",
    "domain": "googleapis.com",
}


def _keys(seen: Seen) -> set[str]:
    """Every key that the request shows, in any vendor's way."""
    bearer = seen.headers.get("authorization", "").removeprefix("Bearer ")
    named = (seen.headers.get(name, "") for name in ("x-api-key", "x-goog-api-key"))
    return {bearer, *named, *parse_qs(seen.query).get("key", [])} - {""}


def _told(dialect: Dialect, script: Script) -> Reply | None:
    """The answer that the script gives whole: a body of its own, or an error."""
    if script.body is not None:
        return _json_reply(script, script.status, script.body)
    if script.status >= 400 or script.error_body is not None:
        body = _error_body(dialect, script.status, script.error_body or {})
        return _json_reply(script, script.status, body)
    return None


def main() -> None:
    """Serves until interrupted; prints the base URL once it listens."""
    parser = argparse.ArgumentParser(description="A fake model provider.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--key", help="the only API key to accept")
    parser.add_argument("--stall-between-s", type=float, default=0.0, help="pause between events")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with FakeUpstream(port=options.port, expected_key=options.key) as upstream:
        if options.stall_between_s:
            upstream.answers(stall_between_s=options.stall_between_s)
        sys.stdout.write(f"{upstream.url}\n")
        sys.stdout.flush()
        stop.wait()


if __name__ == "__main__":
    main()
