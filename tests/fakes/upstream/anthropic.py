"""Messages as Anthropic speaks them (anthropic 2.12, versions 2023-06-01 and later)."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar

from tests.fakes.upstream.dialect import Dialect, error_body
from tests.fakes.upstream.script import Json, Script
from tests.fakes.upstream.seen import Seen
from tests.fakes.upstream.words import Count, Event, ToolCall, Turn, dumps


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
            thinking = {"thinking": turn.reasoning, "signature": turn.script.signature}
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
        return Event(dumps(error_body(self, 529, detail)), name="error")

    def ping(self, script: Script) -> bytes:
        """An event of its own."""
        return self._event("ping").encoded(script)

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
        signature = {"type": "signature_delta", "signature": turn.script.signature}
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
        return Event(dumps({"type": name, **body}), name=name)

    @staticmethod
    def _tool_use(call: ToolCall, arguments: Json) -> Json:
        return {"type": "tool_use", "id": call.id, "name": call.name, "input": arguments}
