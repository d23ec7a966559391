"""What of a request the demo honours; the rest is said aloud, as with any provider."""

from collections.abc import Mapping
from typing import Any

from solrouter.providers.base import UpstreamCall
from solrouter.providers.parameters import Asked

# It always answers the same, which is all that a seed asks for; labels change no answer anywhere.
HONOURED = (
    "metadata",
    "n",
    "parallel_tool_calls",
    "prompt_cache_key",
    "reasoning_effort",
    "response_format",
    "safety_identifier",
    "seed",
    "stop",
    "tool_choice",
    "tools",
    "user",
)


def written_request(call: UpstreamCall) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """The fields that it reads, and a warning for each that it does not.

    Raises UpstreamRefused for one that cannot be ignored.
    """
    asked = Asked(call)
    taken = {name: asked.take(name) for name in HONOURED}
    return {name: value for name, value in taken.items() if value is not None}, asked.rest()
