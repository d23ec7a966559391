"""What all dialects share: tool calls, counts, events, and a script applied to a request."""

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Self

from tests.fakes.upstream.script import DEFAULT_TEXT, EventKind, Json, Script

if TYPE_CHECKING:
    from tests.fakes.upstream.dialect import Dialect

ABSURD_TOKENS = 10**15


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
        text = arguments if isinstance(arguments, str) else dumps(arguments)
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


def dumps(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def words_of(text: str) -> tuple[str, ...]:
    """Text cut into words that join to the same text: our tokens."""
    return tuple(re.findall(r"\s*\S+|\s+", text))


def prompt_words(value: object, *, is_text: bool = False) -> int:
    """Counts the words of every text in a request, whichever dialect it is in."""
    if isinstance(value, str):
        return len(words_of(value)) if is_text else 0
    if isinstance(value, list):
        return sum(prompt_words(one, is_text=is_text) for one in value)
    if isinstance(value, dict):
        texts = {"content", "text", "system"}
        return sum(prompt_words(one, is_text=name in texts) for name, one in value.items())
    return 0


def saying_of(script: Script, limit_tokens: int | None) -> Saying:
    if script.empty:
        return Saying()
    calls = tuple(itertools.starmap(ToolCall.of, enumerate(script.tool_calls)))
    text = script.text if script.text is not None else "" if calls else DEFAULT_TEXT
    huge = ("x" * script.huge_line_bytes,) if script.huge_line_bytes else ()
    pieces = (*huge, *(script.pieces or words_of(text)))
    thoughts = words_of(script.reasoning)
    finish = "tool_calls" if calls else "stop"
    boundless = limit_tokens is None or script.ignore_max_tokens or script.endless
    if not boundless and len(thoughts) + len(pieces) > (limit := limit_tokens or 0):
        thoughts, pieces = thoughts[:limit], pieces[: max(limit - len(thoughts), 0)]
        calls, finish = (), "length"
    named = None if script.no_finish else script.finish_reason or finish
    return Saying(thoughts, pieces, calls, named)


def count_of(script: Script, body: Json, saying: Saying, choices: int) -> Count:
    if script.usage_mode in ("negative", "absurd"):
        sign = -1 if script.usage_mode == "negative" else 1
        size = 12 if sign < 0 else ABSURD_TOKENS
        return Count(sign * size, sign * size)
    arguments = sum(len(call.fragments(script.fragment_chars)) for call in saying.calls)
    words = len(saying.thoughts) + len(saying.pieces) + arguments
    prompt, completion = prompt_words(body), words * choices
    if script.usage is not None and not isinstance(script.usage, Mapping):
        prompt, completion = script.usage
    reasoning = min(len(saying.thoughts) * choices, completion)
    return Count(prompt, completion, script.cached_tokens, script.cache_write_tokens, reasoning)
