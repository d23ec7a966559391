"""Usage as Anthropic counts it, into classes that do not overlap. Pure.

Theirs is exclusive: `input_tokens` holds neither cache reads nor cache writes.
"""

from collections.abc import Mapping
from typing import Any

from solrouter.chat import Usage
from solrouter.providers.counts import count_in, token_count


def usage_from_anthropic(usage: Mapping[str, Any]) -> Usage | None:
    """Usage in our classes, or None when nothing believable was told."""
    text, output = token_count(usage.get("input_tokens")), token_count(usage.get("output_tokens"))
    if text is None or output is None:
        return None
    written = count_in(usage, "cache_creation_input_tokens")
    lifetimes = usage.get("cache_creation")
    hour = count_in(lifetimes, "ephemeral_1h_input_tokens")
    five_minutes = count_in(lifetimes, "ephemeral_5m_input_tokens") or max(written - hour, 0)
    read = count_in(usage, "cache_read_input_tokens")
    if text + read + five_minutes + hour + output == 0:
        return None
    thinking = count_in(usage.get("output_tokens_details"), "thinking_tokens")
    return Usage(
        input=text,
        cache_read=read,
        cache_write_5m=five_minutes,
        cache_write_1h=hour,
        output=output,
        reasoning=min(thinking, output),
    )
