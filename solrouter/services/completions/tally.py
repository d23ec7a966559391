"""What has been seen of an answer so far, and what it used when nobody says so."""

from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from solrouter import tokens
from solrouter.chat import ChatRequest, Chunk, Usage
from solrouter.clock import monotonic_s

UPSTREAM, ESTIMATED, NONE = "upstream", "estimated", "none"
# What an upstream whose pace nobody has measured is taken to generate while it works and shows
# nothing: hidden reasoning, or an answer that is not streamed.
SILENT_TOKENS_PER_S = 50
SILENCE_S_MIN = 1.0


class Limits(NamedTuple):
    """What an estimate stays within, in output tokens of all choices, and its upstream calls."""

    output: int
    covered: int
    calls: int


class _Waiting:
    """A time that a tally counts as silence. Every chunk is waited for, so it is kept small."""

    __slots__ = ("_since_s", "_tally")

    def __init__(self, tally: "Tally") -> None:
        self._tally = tally

    def __enter__(self) -> None:
        self._since_s = monotonic_s()

    def __exit__(self, *_: object) -> None:
        self._tally.silent_s += monotonic_s() - self._since_s


@dataclass(slots=True)
class Tally:
    """Counts of one answer. Times are of the monotonic clock."""

    started_s: float
    silent_s: float = 0.0
    usage: Usage | None = None
    output_bytes: int = 0
    texts: list[str] = field(default_factory=list)
    literals: list[bytes] = field(default_factory=list)
    finish_reason: str | None = None
    first_content_ms: int | None = None
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls) -> "Tally":
        """A tally that starts now."""
        return cls(started_s=monotonic_s())

    def waiting(self) -> "_Waiting":
        """Counts the time within as silence of the upstream, until it says something."""
        return _Waiting(self)

    def note(self, chunk: Chunk) -> None:
        """Counts one chunk. Usage is the latest told, never a sum."""
        self.silent_s = 0.0
        if chunk.literals is not None:
            self.output_bytes += chunk.output_bytes
            self.literals += chunk.literals
            return
        if chunk.usage is not None:
            self.usage = chunk.usage
        self.output_bytes += chunk.output_bytes
        self.texts.extend(tokens.generated_texts(chunk.payload))
        self.warnings.extend(chunk.warnings)
        if chunk.has_content and self.first_content_ms is None:
            self.first_content_ms = self.elapsed_ms()
        if chunk.finish:
            choices = chunk.payload["choices"]
            reasons = (choice.get("finish_reason") for choice in choices)
            self.finish_reason = next((r for r in reasons if r), self.finish_reason)

    def used(
        self, request: ChatRequest, limits: Limits, *, is_cut: bool, tokens_per_s: float | None
    ) -> tuple[Usage, str]:
        """What the answer used: as the upstream says, else by our own count.

        For one that was cut, what the upstream has made in silence since counts too, at the pace
        that is known of it, as far as the hold paid for it.
        """
        if self.usage is not None:
            return self.usage, UPSTREAM
        output = tokens.count("".join(self.texts) + self._text_of_runs())
        if is_cut:
            output += max(min(self._silent_tokens(tokens_per_s), limits.covered - output), 0)
        prompt = min(tokens.count_prompt(request.body), request.prompt_bound) * limits.calls
        return Usage(input=prompt, output=min(output, limits.output)), ESTIMATED

    def _text_of_runs(self) -> str:
        return "".join(orjson.loads(b"[" + b",".join(self.literals) + b"]"))

    def elapsed_ms(self) -> int:
        """Milliseconds since the request came."""
        return int((monotonic_s() - self.started_s) * 1000)

    def _silent_tokens(self, tokens_per_s: float | None) -> int:
        pace = tokens_per_s or SILENT_TOKENS_PER_S
        return int(self.silent_s * pace) if self.silent_s >= SILENCE_S_MIN else 0
