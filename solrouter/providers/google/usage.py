"""Usage as Gemini counts it, into classes that do not overlap. Pure.

Cached content is inside the prompt; thoughts are beside the candidates, and both are output. Every
chunk repeats the running totals.
"""

from collections.abc import Mapping
from typing import Any

from solrouter.chat import Usage
from solrouter.providers.counts import count_in, token_count


def usage_from_google(usage: Any) -> Usage | None:
    """Usage in our classes, or None when nothing believable was told."""
    if not isinstance(usage, Mapping):
        return None
    prompt = token_count(usage.get("promptTokenCount"))
    candidates = token_count(usage.get("candidatesTokenCount", 0))
    if prompt is None or candidates is None:
        return None
    prompt += count_in(usage, "toolUsePromptTokenCount")
    thoughts = count_in(usage, "thoughtsTokenCount")
    if prompt + candidates + thoughts == 0:
        return None
    cached = min(count_in(usage, "cachedContentTokenCount"), prompt)
    cached_audio = _modality(usage, "cacheTokensDetails", "AUDIO")
    heard = max(_modality(usage, "promptTokensDetails", "AUDIO") - cached_audio, 0)
    input_audio = min(heard, prompt - cached)
    spoken = min(_modality(usage, "candidatesTokensDetails", "AUDIO"), candidates)
    drawn = min(_modality(usage, "candidatesTokensDetails", "IMAGE"), candidates - spoken)
    return Usage(
        input=prompt - cached - input_audio,
        cache_read=cached,
        input_audio=input_audio,
        output=candidates - spoken - drawn + thoughts,
        output_audio=spoken,
        output_image=drawn,
        reasoning=thoughts,
    )


def _modality(usage: Mapping[str, Any], field: str, modality: str) -> int:
    details = usage.get(field)
    if not isinstance(details, list):
        return 0
    return sum(
        count_in(detail, "tokenCount")
        for detail in details
        if isinstance(detail, Mapping) and detail.get("modality") == modality
    )
