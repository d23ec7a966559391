"""Chat completions as OpenAI speaks them (openai-python 3.54)."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from tests.fakes.upstream.dialect import CREATED_AT_S, Dialect
from tests.fakes.upstream.script import EventKind, Json, Script
from tests.fakes.upstream.seen import Seen
from tests.fakes.upstream.words import Count, Event, ToolCall, Turn, dumps


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
            yield Event(dumps(frame | {"usage": turn.usage()}))
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

    def ping(self, script: Script) -> bytes:
        """As OpenRouter writes it."""
        return b": OPENROUTER PROCESSING\n\n"

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
            yield Event(dumps(frame | usage), kind=kind)

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
