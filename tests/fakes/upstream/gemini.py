"""generateContent as Gemini speaks it (google-genai 3.4)."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar
from urllib.parse import unquote

from tests.fakes.upstream.dialect import Dialect
from tests.fakes.upstream.script import Json, Script
from tests.fakes.upstream.seen import Seen
from tests.fakes.upstream.words import Count, Event, Turn, dumps


class Gemini(Dialect):
    """generateContent and streamGenerateContent."""

    usage_key: ClassVar[str] = "usageMetadata"
    key_refused: ClassVar[int] = 400
    error_words: ClassVar[dict[int, str]] = {
        400: "INVALID_ARGUMENT",
        401: "UNAUTHENTICATED",
        403: "PERMISSION_DENIED",
        404: "NOT_FOUND",
        408: "DEADLINE_EXCEEDED",
        429: "RESOURCE_EXHAUSTED",
        500: "INTERNAL",
        504: "DEADLINE_EXCEEDED",
    }
    finish_reasons: ClassVar[dict[str, str]] = {
        "stop": "STOP",
        "length": "MAX_TOKENS",
        "tool_calls": "STOP",
        "content_filter": "SAFETY",
    }
    path: ClassVar[re.Pattern[str]] = re.compile(
        r"/models/([^/:]+):(generateContent|streamGenerateContent)$"
    )

    def usage_words(self, count: Count) -> Json:
        """Thoughts are beside the candidates, caches inside the prompt."""
        return {
            "promptTokenCount": count.prompt,
            "candidatesTokenCount": count.completion - count.reasoning,
            "thoughtsTokenCount": count.reasoning,
            "cachedContentTokenCount": count.cached,
            "totalTokenCount": count.prompt + count.completion,
        }

    def answer(self, turn: Turn) -> Json:
        """Candidates with all their parts."""
        parts = [{"text": turn.reasoning, "thought": True}] if turn.saying.thoughts else []
        parts += [{"text": turn.text}] if turn.saying.pieces else []
        parts += self._function_calls(turn)
        frames = [self._candidate(turn, index, parts, final=True) for index in range(turn.choices)]
        return self._frame(turn, frames) | turn.usage_field()

    def events(self, turn: Turn) -> Iterator[Event]:
        """Chunks; the last has the finish reason, and the end is the end of the body."""
        said = 0
        for said, part in enumerate(self._parts(turn), start=1):
            for index in range(turn.choices):
                frame = self._frame(turn, [self._candidate(turn, index, [part], final=False)])
                usage = self._usage_beside(turn, said)
                yield Event(dumps(frame | usage), kind="content")
        if turn.saying.finish is not None:
            last = [{"text": ""}]
            rows = [self._candidate(turn, index, last, final=True) for index in range(turn.choices)]
            yield Event(dumps(self._frame(turn, rows) | turn.usage_field()))
        elif not said:
            yield Event(dumps(self._frame(turn, []) | self._usage_beside(turn, 0)))

    def error(self, status: int, detail: Mapping[str, Any]) -> Json:
        """google.rpc.Status in JSON."""
        word = self.error_words.get(status, "UNAVAILABLE")
        error = {"code": status, "message": f"Fake upstream error {status}.", "status": word}
        return {"error": error | dict(detail)}

    def ping(self, script: Script) -> bytes:
        """There is none."""
        return b""

    def complaint(self, seen: Seen) -> str | None:
        """A list of `contents` with roles `user` and `model` is required."""
        contents = (seen.body or {}).get("contents")
        if not isinstance(contents, list) or not contents:
            return "* GenerateContentRequest.contents: contents is not specified"
        if any(content.get("role") not in ("user", "model") for content in contents):
            return "Please use a valid role: user, model."
        return None

    def models(self, names: Sequence[str]) -> Json:
        """A page of models with their limits."""
        row = {"inputTokenLimit": 1_048_576, "outputTokenLimit": 65_536}
        return {"models": [{"name": f"models/{name}", **row} for name in names]}

    def is_stream(self, seen: Seen) -> bool:
        """The path says it."""
        return seen.path.endswith(":streamGenerateContent")

    def model(self, seen: Seen) -> str:
        """The path says it."""
        found = self.path.search(seen.path)
        return unquote(found[1]) if found else ""

    def output_limit(self, body: Json) -> int | None:
        """generationConfig.maxOutputTokens."""
        limit = (body.get("generationConfig") or {}).get("maxOutputTokens")
        return limit if isinstance(limit, int) else None

    def choices(self, body: Json) -> int:
        """generationConfig.candidateCount."""
        return int((body.get("generationConfig") or {}).get("candidateCount") or 1)

    def _frame(self, turn: Turn, candidates: list[Json]) -> Json:
        names = {"modelVersion": turn.model, "responseId": f"resp-fake-{turn.serial}"}
        return {"candidates": candidates, **names} | dict(turn.script.extra)

    def _candidate(self, turn: Turn, index: int, parts: Sequence[Json], *, final: bool) -> Json:
        candidate: Json = {"content": {"parts": list(parts), "role": "model"}, "index": index}
        finish = turn.saying.finish
        if final and finish is not None:
            candidate["finishReason"] = self.finish_reasons.get(finish, finish)
        return candidate

    def _parts(self, turn: Turn) -> Iterator[Json]:
        yield from ({"text": thought, "thought": True} for thought in turn.saying.thoughts)
        yield from ({"text": piece} for piece in turn.pieces())
        yield from self._function_calls(turn)

    def _usage_beside(self, turn: Turn, said: int) -> Json:
        """Cumulative on every chunk, as the vendor does, unless told otherwise."""
        mode = turn.script.usage_mode
        if mode in ("none", "final_chunk", "on_finish_chunk"):
            return {}
        return {"usageMetadata": None if mode == "null" else turn.usage(said)}

    @staticmethod
    def _function_calls(turn: Turn) -> list[Json]:
        """The calls. If the model thought, the first of them is signed."""
        parts: list[Json] = [
            {"functionCall": {"id": call.id, "name": call.name, "args": call.parsed()}}
            for call in turn.saying.calls
        ]
        if parts and turn.saying.thoughts:
            parts[0]["thoughtSignature"] = turn.script.signature
        return parts
