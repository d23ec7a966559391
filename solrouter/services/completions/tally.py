"""What has been seen of an answer so far, and what it used when nobody says so."""

from dataclasses import dataclass, field
from itertools import chain
from typing import Any, NamedTuple

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


@dataclass(slots=True)
class Tally:
    """Counts of one answer. Times are of the monotonic clock.

    `silent_s` is how long the upstream has been waited for since it last said something.
    """

    started_s: float
    silent_s: float = 0.0
    usage: Usage | None = None
    output_bytes: int = 0
    texts: list[str] = field(default_factory=list)
    literals: list[bytes] = field(default_factory=list)
    # Of an answer that several calls bring: what each has told, and what each has said.
    told: dict[int, Usage] = field(default_factory=dict)
    said: dict[int, list[str]] = field(default_factory=dict)
    finish_reason: str | None = None
    first_content_ms: int | None = None
    warnings: list[str] = field(default_factory=list)

    @classmethod
    def begin(cls) -> "Tally":
        """A tally that starts now."""
        return cls(started_s=monotonic_s())

    def note(self, chunk: Chunk) -> None:
        """Counts one chunk. Usage is the latest told, of the whole answer or of one call."""
        self.silent_s = 0.0
        if chunk.literals is not None:
            self.output_bytes += chunk.output_bytes
            self.literals += chunk.literals
            return
        if chunk.call is not None:
            self._note_call(chunk.call, chunk)
        else:
            if chunk.usage is not None:
                self.usage = chunk.usage
            if self.usage is None:
                self.texts.extend(tokens.generated_texts(self._untold(chunk.payload)))
        self.output_bytes += chunk.output_bytes
        self.warnings.extend(chunk.warnings)
        if chunk.has_content and self.first_content_ms is None:
            self.first_content_ms = self.elapsed_ms()
        if chunk.finish:
            choices = chunk.payload["choices"]
            reasons = (choice.get("finish_reason") for choice in choices)
            self.finish_reason = next((r for r in reasons if r), self.finish_reason)

    def _note_call(self, call: int, chunk: Chunk) -> None:
        if chunk.usage is not None:
            self.told[call] = chunk.usage
        self.said.setdefault(call, []).extend(tokens.generated_texts(chunk.payload))

    def _untold(self, payload: dict[str, Any]) -> dict[str, Any]:
        """A whole answer less the choices whose calls have told their usage."""
        if not self.told:
            return payload
        choices = payload.get("choices") or ()
        return {**payload, "choices": [c for c in choices if c.get("index") not in self.told]}

    def used(
        self, request: ChatRequest, limits: Limits, *, is_cut: bool, tokens_per_s: float | None
    ) -> tuple[Usage, str]:
        """What the answer used: as the upstream says, else by our own count.

        Of several calls each that has told counts as it says; only the others are estimated. For
        one that was cut, what the upstream has made in silence since counts too, at the pace
        that is known of it, as far as the hold paid for it.
        """
        if self.usage is not None:
            return self.usage, UPSTREAM
        told = Usage.total(self.told.values())
        if len(self.told) == limits.calls:
            return told, UPSTREAM
        output = tokens.count("".join(self._untold_texts()) + self._text_of_runs())
        left = max(limits.output - told.completion_tokens, 0)
        if is_cut:
            covered = limits.covered - told.completion_tokens
            output += max(min(self._silent_tokens(tokens_per_s), covered - output), 0)
        calls = limits.calls - len(self.told)
        prompt = min(tokens.count_prompt(request.body), request.prompt_bound) * calls
        rest = Usage(input=prompt, output=min(output, left))
        return (Usage.total((told, rest)) if self.told else rest), ESTIMATED

    def _untold_texts(self) -> list[str]:
        said = (texts for call, texts in self.said.items() if call not in self.told)
        return [*self.texts, *chain.from_iterable(said)]

    def _text_of_runs(self) -> str:
        return "".join(orjson.loads(b"[" + b",".join(self.literals) + b"]"))

    def elapsed_ms(self) -> int:
        """Milliseconds since the request came."""
        return int((monotonic_s() - self.started_s) * 1000)

    def _silent_tokens(self, tokens_per_s: float | None) -> int:
        pace = tokens_per_s or SILENT_TOKENS_PER_S
        return int(self.silent_s * pace) if self.silent_s >= SILENCE_S_MIN else 0
