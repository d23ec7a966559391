"""OpenAI's answer objects: the shapes that every adapter hands on. Pure; knows no upstream.

`id`, `model` and `created` are not here: the conductor writes them.
"""

import secrets
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from solrouter.chat import CHAT_COMPLETION, CHAT_COMPLETION_CHUNK, Chunk

FINISH_REASONS = frozenset({"stop", "length", "tool_calls", "content_filter", "function_call"})

_TEXT_FIELDS = frozenset({"content", "reasoning_content", "refusal"})
# What else a piece may hold of generated text.
_CALL_FIELDS = frozenset({"tool_calls", "function_call", "audio"})


def delta_chunk(delta: dict[str, Any], *, index: int = 0, logprobs: Any = None) -> Chunk:
    """A chunk with one choice's next piece."""
    generated = generated_bytes(delta)
    choice = {"index": index, "delta": delta, "logprobs": logprobs, "finish_reason": None}
    payload = {"object": CHAT_COMPLETION_CHUNK, "choices": [choice]}
    return Chunk(payload, has_content=has_content(delta), output_bytes=generated)


def finish_chunk(
    reason: str,
    *,
    index: int = 0,
    delta: dict[str, Any] | None = None,
    warnings: Sequence[str] = (),
) -> Chunk:
    """The chunk that ends one choice."""
    delta = delta or {}
    choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": reason}
    return Chunk(
        {"object": CHAT_COMPLETION_CHUNK, "choices": [choice]},
        has_content=has_content(delta),
        finish=True,
        output_bytes=generated_bytes(delta),
        warnings=tuple(warnings),
    )


def usage_chunk_payload() -> dict[str, Any]:
    """The payload of the chunk that only tells the usage."""
    return {"object": CHAT_COMPLETION_CHUNK, "choices": []}


def completion_payload(choices: list[dict[str, Any]]) -> dict[str, Any]:
    """A whole answer."""
    return {"object": CHAT_COMPLETION, "choices": choices}


def whole_choice(
    message: dict[str, Any], reason: str, *, index: int = 0, logprobs: Any = None
) -> dict[str, Any]:
    """One choice of a whole answer, with the fields that OpenAI's schema requires."""
    message = {"role": "assistant", "content": None, "refusal": None, **message}
    return {"index": index, "message": message, "logprobs": logprobs, "finish_reason": reason}


def has_content(piece: Mapping[str, Any]) -> bool:
    """Whether a delta or a message holds something for the caller."""
    return bool(
        piece.get("content")
        or piece.get("reasoning_content")
        or piece.get("tool_calls")
        or piece.get("refusal")
        or piece.get("function_call")
        or piece.get("audio")
        or piece.get("images")
    )


def generated_bytes(piece: Mapping[str, Any]) -> int:
    """UTF-8 bytes of the text that a delta or a message holds, for estimates of its tokens."""
    size = 0
    for field in _TEXT_FIELDS.intersection(piece):
        size += utf8_bytes(piece[field])
    if _CALL_FIELDS.isdisjoint(piece):
        return size
    for function in _functions(piece):
        size += utf8_bytes(function.get("name")) + utf8_bytes(function.get("arguments"))
    audio = piece.get("audio")
    if isinstance(audio, dict):
        size += utf8_bytes(audio.get("transcript"))
    return size


def _functions(piece: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for call in piece.get("tool_calls") or ():
        function = call.get("function") or call.get("custom")
        if isinstance(function, dict):
            yield function
    if isinstance(piece.get("function_call"), dict):
        yield piece["function_call"]


def utf8_bytes(text: Any) -> int:
    """How many bytes a text takes; 0 for what is no text."""
    if not isinstance(text, str):
        return 0
    # A lone surrogate cannot be encoded, and must not break the count.
    return len(text) if text.isascii() else len(text.encode(errors="surrogatepass"))


def new_call_id() -> str:
    """An id for a tool call whose upstream gave none."""
    return f"call_{secrets.token_hex(12)}"
