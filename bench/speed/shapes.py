"""What an upstream answers, named by the model that is asked for: `plan-EVENTS-FIRST_MS-EVERY_MS`.

The model's name is the one thing of a request that every router passes on, so it carries the
script; upstream and caller both read it here, and so agree on what a right answer is.
"""

import json
import re
from dataclasses import dataclass
from functools import cached_property

# Stands in every event of content once, and nowhere else.
MARK = b" tok"
PROMPT_TOKENS = 42
PLAN = re.compile(rb'"(plan-\d+-\d+-\d+)"')
# Lengths and letters differ from event to event, as they do in life.
ENDINGS = ("a", "in", "the", "ation", "\n", " – ", "?", '"', "ing", "42", "s", "é")


@dataclass(frozen=True)
class Shape:
    """How many events an answer has, how long the first one takes, and how far apart they are."""

    events: int
    first_ms: int = 0
    every_ms: int = 0

    @classmethod
    def named(cls, name: str) -> "Shape":
        """The shape behind a model's name."""
        return cls(*(int(part) for part in name.split("-")[1:]))

    @property
    def model(self) -> str:
        """What to ask for."""
        return f"plan-{self.events}-{self.first_ms}-{self.every_ms}"

    @property
    def least_s(self) -> float:
        """How long a stream takes at the upstream."""
        return (self.first_ms + self.every_ms * max(self.events - 1, 0)) / 1000

    @cached_property
    def words(self) -> tuple[str, ...]:
        """The content, event by event."""
        return tuple(f" tok{i}{ENDINGS[i % len(ENDINGS)]}" for i in range(self.events))

    @property
    def text(self) -> str:
        """The whole content."""
        return "".join(self.words)

    @property
    def usage(self) -> dict[str, int]:
        """What the upstream says that it took."""
        total = PROMPT_TOKENS + self.events
        return {
            "prompt_tokens": PROMPT_TOKENS,
            "completion_tokens": self.events,
            "total_tokens": total,
        }

    def whole(self) -> bytes:
        """The answer that is not streamed: head and body."""
        message = {"role": "assistant", "content": self.text, "refusal": None}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        facts = {**self._facts("chat.completion"), "choices": [choice], "usage": self.usage}
        body = json.dumps(facts).encode()
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\nx-request-id: req_bench\r\n\r\n"
        )
        return head.encode() + body

    def pieces(self) -> tuple[bytes, list[bytes], bytes]:
        """The answer that is streamed: its head, its events of content, and its end."""
        head = (
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
            "Transfer-Encoding: chunked\r\nx-request-id: req_bench\r\n\r\n"
        )
        opening = self._event({"role": "assistant", "content": ""})
        contents = [self._event({"content": word}) for word in self.words]
        closing = self._event({}, finish="stop") + self._event(None) + _chunk(b"data: [DONE]\n\n")
        return head.encode() + opening, contents, closing + b"0\r\n\r\n"

    def _event(self, delta: dict[str, str] | None, finish: str | None = None) -> bytes:
        """One event in a chunk of its own. Without a delta it is the one that tells the usage."""
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        facts = {
            **self._facts("chat.completion.chunk"),
            "choices": [] if delta is None else [choice],
            "usage": self.usage if delta is None else None,
        }
        data = json.dumps(facts, separators=(",", ":"), ensure_ascii=False)
        return _chunk(f"data: {data}\n\n".encode())

    def _facts(self, kind: str) -> dict[str, object]:
        return {
            "id": "chatcmpl-BenchBenchBenchBenchBench1",
            "object": kind,
            "created": 1_790_000_000,
            "model": self.model,
            "service_tier": "default",
            "system_fingerprint": "fp_bench",
        }


def _chunk(data: bytes) -> bytes:
    return f"{len(data):x}\r\n".encode() + data + b"\r\n"
