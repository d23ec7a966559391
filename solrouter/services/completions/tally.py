"""What has been seen of an answer so far, and what it used when nobody says so."""

from dataclasses import dataclass, field

import orjson

from solrouter import tokens
from solrouter.chat import ChatRequest, Chunk, Usage
from solrouter.clock import monotonic_s

UPSTREAM, ESTIMATED, NONE = "upstream", "estimated", "none"
# What an upstream whose pace nobody has measured is taken to generate while it works and shows
# nothing: hidden reasoning, or an answer that is not streamed.
SILENT_TOKENS_PER_S = 50
SILENCE_S_MIN = 1.0


@dataclass(slots=True)
class Tally:
    """Counts of one answer. Times are of the monotonic clock."""

    started_s: float
    heard_s: float
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
        now_s = monotonic_s()
        return cls(started_s=now_s, heard_s=now_s)

    @property
    def output_tokens(self) -> int:
        """About how many tokens have been shown; cheap, for every chunk asks."""
        return tokens.estimate(self.output_bytes)

    def note(self, chunk: Chunk) -> None:
        """Counts one chunk. Usage is the latest told, never a sum."""
        self.heard_s = monotonic_s()
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
        self,
        request: ChatRequest,
        *,
        output_max: int,
        is_cut: bool,
        tokens_per_s: float | None = None,
    ) -> tuple[Usage, str]:
        """What the answer used: as the upstream says, else by our own count.

        For one that was cut, what the upstream has made in silence since counts too, at the pace
        that is known of it.
        """
        if self.usage is not None:
            return self.usage, UPSTREAM
        # Before the count, whose first use may take a second: that is no silence of the upstream.
        silent = self._silent_tokens(tokens_per_s) if is_cut else 0
        output = tokens.count("".join(self.texts) + self._text_of_runs()) + silent
        prompt = min(tokens.count_prompt(request.body), request.prompt_bound)
        return Usage(input=prompt, output=min(output, output_max)), ESTIMATED

    def _text_of_runs(self) -> str:
        return "".join(orjson.loads(b"[" + b",".join(self.literals) + b"]"))

    def elapsed_ms(self) -> int:
        """Milliseconds since the request came."""
        return int((monotonic_s() - self.started_s) * 1000)

    def _silent_tokens(self, tokens_per_s: float | None) -> int:
        silent_s = monotonic_s() - self.heard_s
        pace = tokens_per_s or SILENT_TOKENS_PER_S
        return int(silent_s * pace) if silent_s >= SILENCE_S_MIN else 0
