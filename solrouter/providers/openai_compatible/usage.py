"""Usage as OpenAI and its imitators count it, into classes that do not overlap. Pure.

Theirs is inclusive: cached, cache-writing, audio and image tokens are inside the prompt, thinking
is inside the completion. What cannot be true is not believed, and a whole that cannot is None.
"""

from collections.abc import Mapping
from typing import Any

from solrouter.chat import Usage
from solrouter.providers.counts import count_in, token_count

# Where OpenAI has details, DeepSeek and Moonshot have fields of their own.
_CACHED_WORDS = ("prompt_cache_hit_tokens", "cached_tokens")


def usage_from_openai(usage: Any, capabilities: Mapping[str, Any]) -> Usage | None:
    """Usage in our classes, or None when nothing believable was told."""
    totals = _totals(usage)
    if totals is None:
        return None
    prompt, completion = totals
    output_details = usage.get("completion_tokens_details")
    reasoning = count_in(output_details, "reasoning_tokens") or count_in(usage, "reasoning_tokens")
    is_outside = capabilities.get("reasoning_tokens_outside", False)
    # Some have moved thinking into the completion since: then the total already adds up.
    if is_outside and token_count(usage.get("total_tokens")) != prompt + completion:
        completion += reasoning
    parts = _prompt_parts(usage, prompt)
    output_audio = min(count_in(output_details, "audio_tokens"), completion)
    output_image = min(count_in(output_details, "image_tokens"), completion - output_audio)
    return Usage(
        input=prompt - sum(parts.values()),
        **parts,
        output=completion - output_audio - output_image,
        output_audio=output_audio,
        output_image=output_image,
        reasoning=min(reasoning, completion),
    )


def _totals(usage: Any) -> tuple[int, int] | None:
    """Prompt and completion; one that is missing follows from the total."""
    if not isinstance(usage, dict):
        return None
    prompt = token_count(usage.get("prompt_tokens"))
    completion = token_count(usage.get("completion_tokens"))
    total = token_count(usage.get("total_tokens"))
    if prompt is None and completion is not None and total is not None:
        prompt = total - completion
    if completion is None and prompt is not None and total is not None:
        completion = total - prompt
    if prompt is None or completion is None or prompt < 0 or completion < 0:
        return None
    # Every prompt has a token: two zeros mean that nobody counted.
    return (prompt, completion) if prompt + completion else None


def _prompt_parts(usage: Mapping[str, Any], prompt: int) -> dict[str, int]:
    """The classes inside the prompt, never more than it in all; the cheapest is believed last."""
    details = usage.get("prompt_tokens_details")
    cached = count_in(details, "cached_tokens") or count_in(usage, *_CACHED_WORDS)
    if not details:
        return {"cache_read": min(cached, prompt)} if cached else {}
    told = {
        "cache_write_5m": count_in(details, "cache_write_tokens", "cache_creation_tokens"),
        "input_audio": count_in(details, "audio_tokens"),
        "input_image": count_in(details, "image_tokens"),
        "cache_read": cached,
    }
    left, parts = prompt, {}
    for name, count in told.items():
        parts[name] = min(count, left)
        left -= parts[name]
    return parts
