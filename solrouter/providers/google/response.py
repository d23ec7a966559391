"""What comes back from Gemini, as OpenAI's objects.

A stream and a whole answer have the same shape there, so both are read by the same code. A stream
has no end mark: a candidate without a finish reason was cut.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson

from solrouter.chat import Chunk
from solrouter.providers.errors import UpstreamBroken, UpstreamEmpty
from solrouter.providers.google.messages import REASONING_FORMAT
from solrouter.providers.google.usage import usage_from_google
from solrouter.providers.keepsakes import Keep, keep_nothing
from solrouter.providers.payloads import (
    completion_payload,
    delta_chunk,
    finish_chunk,
    generated_bytes,
    has_content,
    new_call_id,
    usage_chunk_payload,
    whole_choice,
)

_LENGTH = frozenset({"MAX_TOKENS", "CONTINUATION"})
# The model stumbled over its own words: with nothing said yet, another provider may do better.
_FAULTY = frozenset(
    {
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "UNEXPECTED_TOOL_CALL",
        "TOO_MANY_TOOL_CALLS",
        "MISSING_THOUGHT_SIGNATURE",
    }
)
_PLAIN_STOPS = frozenset({"STOP", "FINISH_REASON_UNSPECIFIED"})


class _Candidate:
    """One choice so far."""

    def __init__(self) -> None:
        self.call_count = 0
        self.has_content = False
        self.is_finished = False


class GoogleReader:
    """One running answer: see `exchange.Reader`."""

    def __init__(self, warnings: tuple[str, ...] = (), keep: Keep = keep_nothing) -> None:
        self.upstream_id: str | None = None
        self._warnings = warnings
        self._keep = keep
        self._candidates: dict[int, _Candidate] = {}

    @property
    def is_finished(self) -> bool:
        """Whether every candidate seen has its finish reason."""
        seen = self._candidates.values()
        return bool(seen) and all(candidate.is_finished for candidate in seen)

    @property
    def is_over(self) -> bool:
        """Never before the end of the stream, since later chunks complete the usage."""
        return False

    def event(self, name: str, value: dict[str, Any]) -> Iterator[Chunk]:
        """The chunks of one event."""
        self._take_id(value)
        usage = usage_from_google(value.get("usageMetadata"))
        chunks = [chunk for told in _candidates(value) for chunk in self._candidate(told)]
        if not chunks and usage is not None:
            chunks = [Chunk(usage_chunk_payload())]
        if chunks:
            chunks[-1].usage = usage
        yield from chunks

    def end(self) -> Iterator[Chunk]:
        """Nothing more to say; raises if the stream was cut."""
        if self.is_finished:
            return iter(())
        if not any(candidate.has_content for candidate in self._candidates.values()):
            raise UpstreamEmpty("The provider's stream ended without an answer.")
        raise UpstreamBroken("The provider's stream ended without a finish reason.")

    def whole(self, value: dict[str, Any]) -> Chunk:
        """The one chunk of an answer that is not streamed."""
        self._take_id(value)
        told = _candidates(value)
        if not told:
            raise UpstreamEmpty("The provider's answer has no candidates.")
        choices = [_whole_choice(candidate) for candidate in told]
        messages = [choice["message"] for choice in choices]
        for message in messages:
            self._keep_signature(message)
        return Chunk(
            completion_payload(choices),
            has_content=any(has_content(message) for message in messages),
            finish=True,
            usage=usage_from_google(value.get("usageMetadata")),
            output_bytes=sum(generated_bytes(message) for message in messages),
            warnings=self._warnings,
        )

    def _keep_signature(self, piece: Mapping[str, Any]) -> None:
        """Keeps the signatures of calls for clients that will not bring them back."""
        for call in piece.get("tool_calls", ()):
            signature = call.get("extra_content", {}).get("google", {}).get("thought_signature")
            if signature:
                self._keep(call["id"], str(call["function"]["name"]), signature)

    def _take_id(self, value: Mapping[str, Any]) -> None:
        if isinstance(identifier := value.get("responseId"), str):
            self.upstream_id = identifier

    def _candidate(self, told: Mapping[str, Any]) -> Iterator[Chunk]:
        index = _index(told)
        if index not in self._candidates:
            self._candidates[index] = _Candidate()
            yield delta_chunk({"role": "assistant", "content": ""}, index=index)
        state = self._candidates[index]
        logprobs = _logprobs(told)
        for part in _parts(told):
            for delta in _deltas(part, state.call_count):
                state.call_count += len(delta.get("tool_calls", ()))
                self._keep_signature(delta)
                chunk = delta_chunk(delta, index=index, logprobs=logprobs)
                # Once for all the parts of an event: they are not told apart by part.
                logprobs = None
                state.has_content = state.has_content or chunk.has_content
                yield chunk
        if told.get("finishReason") and not state.is_finished:
            has_said = state.has_content
            reason = finish_reason(told, has_calls=state.call_count > 0, has_content=has_said)
            state.is_finished = True
            warnings, self._warnings = self._warnings, ()
            yield finish_chunk(reason, index=index, warnings=warnings)


def _candidates(value: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    told = value.get("candidates")
    found = [c for c in told if isinstance(c, Mapping)] if isinstance(told, list) else []
    feedback = value.get("promptFeedback")
    if not found and isinstance(feedback, Mapping) and feedback.get("blockReason"):
        # The prompt was refused: an answer without words, as OpenAI's filter gives it.
        return [{"finishReason": "SAFETY"}]
    return found


def _index(told: Mapping[str, Any]) -> int:
    index = told.get("index", 0)
    return index if isinstance(index, int) else 0


def _parts(told: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    content = told.get("content")
    parts = content.get("parts") if isinstance(content, Mapping) else None
    return [part for part in parts if isinstance(part, Mapping)] if isinstance(parts, list) else []


def _deltas(part: Mapping[str, Any], call_count: int) -> Iterator[dict[str, Any]]:
    """What one part says; a part that we do not know says nothing."""
    signature = part.get("thoughtSignature")
    if isinstance(call := part.get("functionCall"), Mapping):
        tool_call = {"index": call_count, **_tool_call(call, signature)}
        delta: dict[str, Any] = {"tool_calls": [tool_call]}
        if signature:
            delta["reasoning_details"] = [_signed(signature, tool_call["id"])]
        yield delta
    elif isinstance(part.get("text"), str):
        delta = {}
        if part["text"]:
            delta["reasoning_content" if part.get("thought") else "content"] = part["text"]
        if signature:
            # Often beside empty text, in the last chunk.
            delta["reasoning_details"] = [_signed(signature, None)]
        if delta:
            yield delta
    elif isinstance(image := part.get("inlineData"), Mapping):
        address = f"data:{image.get('mimeType')};base64,{image.get('data')}"
        yield {"images": [{"type": "image_url", "image_url": {"url": address}}]}


def _tool_call(call: Mapping[str, Any], signature: Any) -> dict[str, Any]:
    arguments = orjson.dumps(call.get("args") or {}).decode()
    written: dict[str, Any] = {
        "id": call.get("id") or new_call_id(),
        "type": "function",
        "function": {"name": call.get("name"), "arguments": arguments},
    }
    if signature:
        # As Google's own compatible endpoint carries it: it must come back with the call.
        written["extra_content"] = {"google": {"thought_signature": signature}}
    return written


def _signed(signature: Any, identifier: str | None) -> dict[str, Any]:
    detail = {"type": "reasoning.encrypted", "data": signature, "format": REASONING_FORMAT}
    return detail if identifier is None else {**detail, "id": identifier}


def finish_reason(told: Mapping[str, Any], *, has_calls: bool, has_content: bool) -> str:
    """OpenAI's word for a finish reason. Raises UpstreamBroken for a stumble without a word."""
    reason = told.get("finishReason")
    if reason in _FAULTY and not has_content:
        detail = told.get("finishMessage")
        detail = f": {detail:.200}" if isinstance(detail, str) else ""
        raise UpstreamBroken(f"The provider's model stumbled ({reason}){detail}.")
    if reason in _LENGTH:
        return "length"
    if reason in _PLAIN_STOPS or reason in _FAULTY:
        return "tool_calls" if has_calls else "stop"
    return "content_filter"


def _whole_choice(told: Mapping[str, Any]) -> dict[str, Any]:
    message: dict[str, Any] = {"content": None}
    calls: list[dict[str, Any]] = []
    for part in _parts(told):
        for delta in _deltas(part, len(calls)):
            for field, value in delta.items():
                if field == "tool_calls":
                    calls += [{k: v for k, v in call.items() if k != "index"} for call in value]
                else:
                    # Texts join, lists grow.
                    message[field] = value if not message.get(field) else message[field] + value
    if calls:
        message["tool_calls"] = calls
    elif message["content"] is None:
        message["content"] = ""
    if not told.get("finishReason"):
        raise UpstreamBroken("The provider's answer has no finish reason.")
    reason = finish_reason(told, has_calls=bool(calls), has_content=has_content(message))
    return whole_choice(message, reason, index=_index(told), logprobs=_logprobs(told))


def _logprobs(told: Mapping[str, Any]) -> dict[str, Any] | None:
    result = told.get("logprobsResult")
    chosen = result.get("chosenCandidates") if isinstance(result, Mapping) else None
    if not isinstance(result, Mapping) or not isinstance(chosen, list):
        return None
    tops = result.get("topCandidates") or []
    content = []
    for position, entry in enumerate(chosen):
        top = tops[position].get("candidates") or [] if position < len(tops) else []
        content.append({**_logprob(entry), "top_logprobs": [_logprob(one) for one in top]})
    return {"content": content, "refusal": None}


def _logprob(entry: Mapping[str, Any]) -> dict[str, Any]:
    token = str(entry.get("token", ""))
    return {
        "token": token,
        "logprob": entry.get("logProbability", 0.0),
        "bytes": list(token.encode(errors="replace")),
    }
