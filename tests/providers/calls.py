"""Calls as the conductor makes them, and what comes of one: plain functions for adapter tests."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from solrouter.chat import SILENCE, ChatRequest, Chunk, Usage
from solrouter.providers import ADAPTERS
from solrouter.providers.base import Deadlines, UpstreamCall
from solrouter.providers.errors import ProviderError

QUESTION = [{"role": "user", "content": "Hello, who are you?"}]
KEY = "canary-4f1d2b6a90c3"
PATIENT = Deadlines(connect_s=5, first_token_s=5, between_chunks_s=5, total_s=20)


def make_call(
    base_url: str = "http://127.0.0.1:9",
    *,
    stream: bool = True,
    provider: str = "acme",
    model: str = "some-model",
    output_limit: int = 500,
    deadlines: Deadlines = PATIENT,
    capabilities: Mapping[str, Any] | None = None,
    facts: Mapping[str, Any] | None = None,
    is_strict: bool = False,
    **body: Any,
) -> UpstreamCall:
    """A call with a harmless default for everything; `body` is OpenAI's request."""
    body = {"model": "acme/caller-name", "messages": QUESTION, **body}
    request = ChatRequest(
        model=body["model"],
        body=body,
        stream=stream,
        include_usage=False,
        output_limit=None,
        choices=body.get("n", 1),
        prompt_bound=100,
        is_strict=is_strict,
    )
    return UpstreamCall(
        request=request,
        provider=provider,
        upstream_model=model,
        base_url=base_url,
        api_key=KEY,
        output_limit=output_limit,
        deadlines=deadlines,
        capabilities=capabilities or {},
        model_facts=facts or {},
    )


@dataclass
class Outcome:
    """Everything that one call brought, put together as a client would."""

    chunks: list[Chunk] = field(default_factory=list)
    error: ProviderError | None = None
    upstream_id: str | None = None

    @property
    def usage(self) -> Usage | None:
        """The newest usage."""
        told = [chunk.usage for chunk in self.chunks if chunk.usage is not None]
        return told[-1] if told else None

    @property
    def warnings(self) -> list[str]:
        """All warnings."""
        return [warning for chunk in self.chunks for warning in chunk.warnings]

    @property
    def content_count(self) -> int:
        """How many chunks hold content."""
        return sum(chunk.has_content for chunk in self.chunks)

    def joined(self, name: str = "content", index: int = 0) -> str:
        """A text field of one choice, its pieces joined."""
        return "".join(piece.get(name) or "" for piece in self._pieces(index))

    def finish_reasons(self) -> dict[int, str]:
        """The finish reason of each choice; fails on a second one."""
        found: dict[int, str] = {}
        for chunk in self.chunks:
            for choice in chunk.payload["choices"]:
                if choice["finish_reason"] is not None:
                    assert choice["index"] not in found, "a choice finished twice"
                    found[choice["index"]] = choice["finish_reason"]
        return found

    def tool_calls(self, index: int = 0) -> list[tuple[str, str, str]]:
        """Id, name and arguments of each tool call, assembled by index alone."""
        calls: dict[int, list[str]] = {}
        for piece in self._pieces(index):
            for position, call in enumerate(piece.get("tool_calls", ())):
                place = call.get("index", position)
                if "id" in call:
                    assert place not in calls, "id and name come once"
                    calls[place] = [call["id"], call["function"]["name"], ""]
                calls[place][2] += call["function"]["arguments"]
        return [tuple(calls[place]) for place in sorted(calls)]  # type: ignore[misc]

    def _pieces(self, index: int) -> list[dict[str, Any]]:
        return [
            choice.get("delta") or choice.get("message") or {}
            for chunk in self.chunks
            for choice in chunk.payload["choices"]
            if choice["index"] == index
        ]


def play(kind: str, call: UpstreamCall) -> Outcome:
    """Runs a call to its end, good or bad."""
    outcome = Outcome()
    try:
        running = ADAPTERS[kind].open(call)
        for chunk in running:
            if chunk is not SILENCE:
                outcome.chunks.append(chunk)
            outcome.upstream_id = running.upstream_id
    except ProviderError as error:
        outcome.error = error
    return outcome
