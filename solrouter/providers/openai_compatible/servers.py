"""Flags of servers that operators run themselves, by the program's name. Data only.

A server that is not in here gets `ANY`: whoever runs it knows what it takes, so fields that we do
not know are passed on.
"""

from collections.abc import Mapping
from typing import Any

ANY: Mapping[str, Any] = {"passes_unknown_fields": True}

SERVERS: Mapping[str, Mapping[str, Any]] = {
    # One choice per request, no logit_bias, and it fetches no addresses.
    "ollama": {**ANY, "max_choices": 1, "drop_params": ["logit_bias"], "image_urls": False},
    # It reads neither and says so nowhere.
    "vllm": {**ANY, "drop_params": ["parallel_tool_calls", "user"]},
    # Older builds refuse several choices; the prompt is cached between them.
    "llama.cpp": {**ANY, "max_choices": 1},
}
