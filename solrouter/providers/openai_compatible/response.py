"""What comes back from an OpenAI-compatible upstream, made to keep OpenAI's own promises.

Events are edited in place and only where the contract asks, so that fields that we do not know
survive. An unknown finish reason is mapped, a missing one never invented.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from solrouter.chat import CHAT_COMPLETION, CHAT_COMPLETION_CHUNK, Chunk, Usage
from solrouter.providers.errors import UpstreamBroken, UpstreamEmpty
from solrouter.providers.openai_compatible.tool_calls import ToolCalls, argument_text
from solrouter.providers.openai_compatible.usage import usage_from_openai
from solrouter.providers.payloads import FINISH_REASONS, generated_bytes, has_content, new_call_id

_FINISH_REASON_OF = {
    "model_length": "length",
    "max_tokens": "length",
    "max_length": "length",
    "MAX_TOKENS": "length",
    "tool_use": "tool_calls",
    "tool_call": "tool_calls",
    "refusal": "content_filter",
    "safety": "content_filter",
    "SAFETY": "content_filter",
}
# The upstream gave up: no answer of ours may end so.
_FAULTY_FINISHES = frozenset(
    {"error", "abort", "aborted", "cancelled", "insufficient_system_resource"}
)
# Theirs, not ours: the conductor writes id and model, and usage travels apart.
_FOREIGN_FIELDS = frozenset({"id", "model", "created", "usage", "x_groq", "error"})
# Where these are null, clients expect absence.
_NEVER_NULL = frozenset({"reasoning_content", "function_call", "audio", "reasoning_details"})


class OpenAIReader:
    """One running answer: see `exchange.Reader`."""

    def __init__(self, capabilities: Mapping[str, Any], warnings: tuple[str, ...] = ()) -> None:
        self.upstream_id: str | None = None
        self._capabilities = capabilities
        self._warnings = warnings
        self._has_content = False
        self._is_finished: dict[int, bool] = {}
        self._tool_calls: dict[int, ToolCalls] = {}

    @property
    def is_finished(self) -> bool:
        """Whether every choice seen has its finish reason."""
        return bool(self._is_finished) and all(self._is_finished.values())

    @property
    def is_over(self) -> bool:
        """Never before `[DONE]`, since the usage follows the finish."""
        return False

    def event(self, name: str, value: dict[str, Any]) -> Iterator[Chunk]:
        """The chunk of one event, if it says anything."""
        usage = self._take_foreign_fields(value)
        value["object"] = CHAT_COMPLETION_CHUNK
        choices = value.get("choices")
        value["choices"] = [c for c in choices or () if isinstance(c, dict)]
        if not value["choices"]:
            # Azure begins with an empty chunk about its filters: nothing for the caller.
            if usage is not None:
                yield Chunk(value, usage=usage)
            return
        chunk = Chunk(value, usage=usage)
        for position, choice in enumerate(value["choices"]):
            self._take_choice(chunk, choice, position)
        if chunk.finish:
            chunk.warnings, self._warnings = self._warnings, ()
        self._has_content = self._has_content or chunk.has_content
        yield chunk

    def end(self) -> Iterator[Chunk]:
        """Nothing more to say; raises if the stream was cut."""
        if self.is_finished:
            return iter(())
        if not self._has_content:
            raise UpstreamEmpty("The provider's stream ended without an answer.")
        raise UpstreamBroken("The provider's stream ended without a finish reason.")

    def whole(self, value: dict[str, Any]) -> Chunk:
        """The one chunk of an answer that is not streamed."""
        usage = self._take_foreign_fields(value)
        value["object"] = CHAT_COMPLETION
        choices = value.get("choices")
        value["choices"] = [c for c in choices or () if isinstance(c, dict)]
        if not value["choices"]:
            raise UpstreamEmpty("The provider's answer has no choices.")
        chunk = Chunk(value, finish=True, usage=usage, warnings=self._warnings)
        for position, choice in enumerate(value["choices"]):
            message = _repair_whole_choice(choice, position)
            chunk.has_content = chunk.has_content or has_content(message)
            chunk.output_bytes += generated_bytes(message)
        return chunk

    def _take_foreign_fields(self, value: dict[str, Any]) -> Usage | None:
        if isinstance(identifier := value.get("id"), str) and identifier:
            self.upstream_id = identifier
        groq = value.get("x_groq")
        told = value.get("usage") or (groq.get("usage") if isinstance(groq, dict) else None)
        for field in _FOREIGN_FIELDS.intersection(value):
            del value[field]
        if value.get("system_fingerprint", "") is None:
            del value["system_fingerprint"]
        return usage_from_openai(told, self._capabilities) if told else None

    def _take_choice(self, chunk: Chunk, choice: dict[str, Any], position: int) -> None:
        index = choice["index"] = _index(choice, position)
        delta = choice.get("delta")
        delta = choice["delta"] = delta if isinstance(delta, dict) else {}
        _repair_text(delta)
        self._repair_tool_calls(delta, index)
        reason = choice["finish_reason"] = finish_reason(choice.get("finish_reason"))
        self._is_finished[index] = self._is_finished.get(index, False) or reason is not None
        chunk.finish = chunk.finish or reason is not None
        chunk.has_content = chunk.has_content or has_content(delta)
        chunk.output_bytes += generated_bytes(delta)

    def _repair_tool_calls(self, delta: dict[str, Any], index: int) -> None:
        pieces = delta.pop("tool_calls", None)
        if pieces:
            calls = self._tool_calls.setdefault(index, ToolCalls())
            delta["tool_calls"] = calls.repaired(pieces)


def _index(choice: dict[str, Any], position: int) -> int:
    index = choice.get("index")
    return index if isinstance(index, int) and not isinstance(index, bool) else position


def finish_reason(told: Any) -> str | None:
    """OpenAI's word for a finish reason; None while there is none. Raises UpstreamBroken."""
    if not told:
        return None
    if told in _FAULTY_FINISHES:
        raise UpstreamBroken(f"The provider gave up on the answer ({told}).")
    if told in FINISH_REASONS:
        return str(told)
    return _FINISH_REASON_OF.get(str(told), "stop")


def _repair_text(piece: dict[str, Any]) -> None:
    """One word for thinking, text as text, and no null where clients expect absence."""
    content = piece.get("content")
    if isinstance(content, list):
        _flatten(piece, content)
    elif content is not None and not isinstance(content, str):
        del piece["content"]
    reasoning = piece.pop("reasoning", None)
    if isinstance(reasoning, str) and not piece.get("reasoning_content"):
        piece["reasoning_content"] = reasoning
    for field in _NEVER_NULL.intersection(piece):
        if piece[field] is None:
            del piece[field]


def _flatten(piece: dict[str, Any], parts: list[Any]) -> None:
    """Mistral's content is a list of text and thinking once a model thinks."""
    text, thinking = [], []
    for part in parts:
        if not isinstance(part, dict):
            continue
        if part.get("type") == "thinking":
            inner = part.get("thinking")
            inner = inner if isinstance(inner, list) else [{"text": inner}]
            thinking += [p.get("text") for p in inner if isinstance(p, dict)]
        else:
            text.append(part.get("text"))
    piece["content"] = "".join(t for t in text if isinstance(t, str))
    if joined := "".join(t for t in thinking if isinstance(t, str)):
        piece["reasoning_content"] = joined


def _repair_whole_choice(choice: dict[str, Any], position: int) -> dict[str, Any]:
    choice["index"] = _index(choice, position)
    reason = finish_reason(choice.get("finish_reason"))
    if reason is None:
        raise UpstreamBroken("The provider's answer has no finish reason.")
    choice["finish_reason"] = reason
    choice.setdefault("logprobs", None)
    message = choice.get("message")
    if not isinstance(message, dict):
        raise UpstreamBroken("The provider's answer has no message.")
    if not isinstance(message.get("content"), str | list | None):
        raise UpstreamBroken("The provider's answer has a content that is no text.")
    _repair_text(message)
    message["role"] = "assistant"
    message.setdefault("content", None)
    message.setdefault("refusal", None)
    calls = _whole_tool_calls(message.pop("tool_calls", None))
    if calls:
        message["tool_calls"] = calls
        # Calls stand in place of an empty content.
        message["content"] = message["content"] or None
    return message


def _whole_tool_calls(calls: Any) -> list[dict[str, Any]]:
    repaired = []
    for call in calls if isinstance(calls, list) else ():
        if not isinstance(call, dict):
            continue
        if not isinstance(call.get("function") or call.get("custom"), dict):
            raise UpstreamBroken("The provider's answer calls a tool without naming it.")
        call.pop("index", None)
        call["id"] = call.get("id") or new_call_id()
        function = call.get("function")
        if isinstance(function, dict):
            call["type"] = "function"
            # A call without arguments is an empty object, which every client can parse.
            function["arguments"] = argument_text(function.get("arguments")) or "{}"
        repaired.append(call)
    return repaired
