"""What comes back from Anthropic, as OpenAI's objects.

Blocks become deltas; a tool's place among the tools becomes its index. Thinking goes out as
`reasoning_content`, and once more, complete and signed, in `reasoning_details`: that is what must
come back on the next turn.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import orjson

from solrouter.chat import Chunk
from solrouter.providers.anthropic.messages import REASONING_FORMAT
from solrouter.providers.anthropic.usage import usage_from_anthropic
from solrouter.providers.errors import UpstreamBroken, UpstreamEmpty
from solrouter.providers.keepsakes import Keep, keep_nothing
from solrouter.providers.payloads import (
    completion_payload,
    delta_chunk,
    finish_chunk,
    generated_bytes,
    has_content,
    whole_choice,
)

_FINISH_REASON_OF = {
    "end_turn": "stop",
    "stop_sequence": "stop",
    "max_tokens": "length",
    "model_context_window_exceeded": "length",
    "pause_turn": "length",
    "tool_use": "tool_calls",
    "refusal": "content_filter",
}


# What the client will send back: the places of thinking are counted among these.
ANSWER_BLOCKS = frozenset({"text", "tool_use", "thinking", "redacted_thinking"})


@dataclass(slots=True)
class _Block:
    """A block that is still coming; `place` is a tool's among the tools, else among all blocks."""

    kind: str
    place: int
    text: str = ""
    signature: str = ""
    input: Any = None
    has_arguments: bool = False


class AnthropicReader:
    """One running answer: see `exchange.Reader`."""

    def __init__(self, warnings: tuple[str, ...] = (), keep: Keep = keep_nothing) -> None:
        self.upstream_id: str | None = None
        self._warnings = warnings
        self._keep = keep
        self._details: list[dict[str, Any]] = []
        self._first_call: tuple[str, str] | None = None
        self._usage: dict[str, Any] = {}
        self._blocks: dict[Any, _Block] = {}
        self._tool_count = 0
        self._block_count = 0
        self._has_content = False
        self._is_finished = False
        self._is_over = False

    @property
    def is_finished(self) -> bool:
        """Whether the stop reason has come."""
        return self._is_finished

    @property
    def is_over(self) -> bool:
        """Whether `message_stop` has come."""
        return self._is_over

    def event(self, name: str, value: dict[str, Any]) -> Iterator[Chunk]:
        """The chunks of one event; pings and what we do not know say nothing."""
        kind = value.get("type", name)
        if kind == "message_start":
            yield self._start(_mapping(value.get("message")))
        elif kind == "content_block_start":
            yield from self._block_start(value)
        elif kind == "content_block_delta":
            yield from self._block_delta(value)
        elif kind == "content_block_stop":
            yield from self._block_stop(value)
        elif kind == "message_delta":
            yield from self._message_delta(value)
        elif kind == "message_stop":
            self._is_over = True

    def end(self) -> Iterator[Chunk]:
        """Nothing more to say; raises if the stream was cut."""
        if self._is_finished:
            return iter(())
        if not self._has_content:
            raise UpstreamEmpty("The provider's stream ended without an answer.")
        raise UpstreamBroken("The provider's stream ended without a finish reason.")

    def whole(self, value: dict[str, Any]) -> Chunk:
        """The one chunk of an answer that is not streamed."""
        self._take_id(value)
        reason = _finish_reason(value)
        if reason is None:
            raise UpstreamBroken("The provider's answer has no finish reason.")
        message = _whole_message(value)
        if (calls := message.get("tool_calls")) and (details := message.get("reasoning_details")):
            self._keep(str(calls[0]["id"]), str(calls[0]["function"]["name"]), details)
        return Chunk(
            completion_payload([whole_choice(message, reason)]),
            has_content=has_content(message),
            finish=True,
            usage=usage_from_anthropic(_mapping(value.get("usage"))),
            output_bytes=generated_bytes(message),
            warnings=self._warnings,
        )

    def _start(self, message: Mapping[str, Any]) -> Chunk:
        self._take_id(message)
        self._take_usage(message.get("usage"))
        return delta_chunk({"role": "assistant", "content": ""})

    def _take_id(self, message: Mapping[str, Any]) -> None:
        if isinstance(identifier := message.get("id"), str):
            self.upstream_id = identifier

    def _take_usage(self, told: Any) -> None:
        """The newest word on each count: they are running totals, and some come only once."""
        self._usage.update({k: v for k, v in _mapping(told).items() if v is not None})

    def _delta(self, **delta: Any) -> Chunk:
        chunk = delta_chunk(delta)
        self._has_content = self._has_content or chunk.has_content
        return chunk

    def _block_start(self, value: Mapping[str, Any]) -> Iterator[Chunk]:
        told = _mapping(value.get("content_block"))
        place = self._block_count
        block = self._blocks[value.get("index")] = _Block(str(told.get("type")), place=place)
        if block.kind in ANSWER_BLOCKS:
            self._block_count += 1
        if block.kind == "tool_use":
            block.place, self._tool_count = self._tool_count, self._tool_count + 1
            block.input = told.get("input")
            self._first_call = self._first_call or (str(told.get("id")), str(told.get("name")))
            function = {"name": told.get("name"), "arguments": ""}
            call = {"index": block.place, "id": told.get("id"), "type": "function"}
            yield self._delta(tool_calls=[{**call, "function": function}])
        elif block.kind == "text" and told.get("text"):
            yield self._delta(content=_text(told["text"]))
        elif block.kind in ("thinking", "redacted_thinking"):
            if block.kind == "redacted_thinking":
                yield self._detail(_encrypted(told.get("data"), block.place))
            elif told.get("thinking"):
                block.text = _text(told["thinking"])
                yield self._delta(reasoning_content=block.text)

    def _block_delta(self, value: Mapping[str, Any]) -> Iterator[Chunk]:
        block = self._blocks.get(value.get("index"))
        delta = _mapping(value.get("delta"))
        kind = delta.get("type")
        if block is None:
            raise UpstreamBroken("The provider's stream continues a block that never began.")
        if kind == "text_delta" and delta.get("text"):
            yield self._delta(content=_text(delta["text"]))
        elif kind == "thinking_delta" and delta.get("thinking"):
            block.text += _text(delta["thinking"])
            yield self._delta(reasoning_content=delta["thinking"])
        elif kind == "signature_delta":
            block.signature += str(delta.get("signature") or "")
        elif kind == "input_json_delta" and delta.get("partial_json") and block.kind == "tool_use":
            block.has_arguments = True
            yield self._arguments(block, _text(delta["partial_json"]))

    def _block_stop(self, value: Mapping[str, Any]) -> Iterator[Chunk]:
        block = self._blocks.pop(value.get("index"), None)
        if block is None:
            return
        if block.kind == "tool_use" and not block.has_arguments:
            yield self._arguments(block, orjson.dumps(block.input or {}).decode())
        elif block.kind == "thinking" and block.signature:
            yield self._detail(_signed(block.text, block.signature, block.place))

    def _detail(self, detail: dict[str, Any]) -> Chunk:
        self._details.append(detail)
        return self._delta(reasoning_details=[detail])

    def _arguments(self, block: _Block, text: str) -> Chunk:
        return self._delta(tool_calls=[{"index": block.place, "function": {"arguments": text}}])

    def _message_delta(self, value: Mapping[str, Any]) -> Iterator[Chunk]:
        self._take_usage(value.get("usage"))
        told = _mapping(value.get("delta"))
        reason = _finish_reason(told)
        if reason is None:
            return
        self._is_finished = True
        if self._first_call is not None and self._details:
            self._keep(*self._first_call, self._details)
        refusal = _refusal(told)
        chunk = finish_chunk(
            reason, delta={"refusal": refusal} if refusal else None, warnings=self._warnings
        )
        chunk.usage = usage_from_anthropic(self._usage)
        yield chunk


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise UpstreamBroken("The provider's answer has a text that is no text.")
    return value


def _finish_reason(told: Mapping[str, Any]) -> str | None:
    reason = told.get("stop_reason")
    return _FINISH_REASON_OF.get(str(reason), "stop") if reason else None


def _refusal(told: Mapping[str, Any]) -> str | None:
    if told.get("stop_reason") != "refusal":
        return None
    explanation = _mapping(told.get("stop_details")).get("explanation")
    return explanation if isinstance(explanation, str) and explanation else None


def _signed(text: str, signature: str, place: int) -> dict[str, Any]:
    return {
        "type": "reasoning.text",
        "text": text,
        "signature": signature,
        "format": REASONING_FORMAT,
        "index": place,
    }


def _encrypted(data: Any, place: int) -> dict[str, Any]:
    return {"type": "reasoning.encrypted", "data": data, "format": REASONING_FORMAT, "index": place}


def _whole_message(value: Mapping[str, Any]) -> dict[str, Any]:
    blocks = [b for b in value.get("content") or () if isinstance(b, Mapping)]
    texts = [str(b.get("text") or "") for b in blocks if b.get("type") == "text"]
    thoughts = [str(b.get("thinking") or "") for b in blocks if b.get("type") == "thinking"]
    calls = [_whole_call(b) for b in blocks if b.get("type") == "tool_use"]
    message: dict[str, Any] = {"content": "".join(texts) or (None if calls else "")}
    if any(thoughts):
        message["reasoning_content"] = "\n\n".join(thoughts)
    if details := _whole_details(blocks):
        message["reasoning_details"] = details
    if calls:
        message["tool_calls"] = calls
    if refusal := _refusal(value):
        message["refusal"] = refusal
    return message


def _whole_call(block: Mapping[str, Any]) -> dict[str, Any]:
    arguments = orjson.dumps(block.get("input") or {}).decode()
    function = {"name": block.get("name"), "arguments": arguments}
    return {"id": block.get("id"), "type": "function", "function": function}


def _whole_details(blocks: list[Mapping[str, Any]]) -> list[dict[str, Any]]:
    details: list[dict[str, Any]] = []
    answer = [block for block in blocks if block.get("type") in ANSWER_BLOCKS]
    for place, block in enumerate(answer):
        if block["type"] == "thinking" and block.get("signature"):
            text = str(block.get("thinking") or "")
            details.append(_signed(text, str(block["signature"]), place))
        elif block["type"] == "redacted_thinking":
            details.append(_encrypted(block.get("data"), place))
    return details
