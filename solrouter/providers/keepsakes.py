"""What an upstream wants back on the next turn and most clients throw away, kept by tool call.

Thought signatures travel in fields that plain OpenAI clients do not echo; all that they send back
is the id of the call. So what was signed is kept here for an hour, in this process only: a turn
that reaches another process does without, as each dialect says. Nothing here is ever shown.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import orjson

from solrouter.clock import monotonic_s
from solrouter.providers.base import UpstreamCall

KEPT_S_MAX = 3600.0
BYTES_MAX = 32 * 1024 * 1024
# Nothing larger is kept: it would push out hundreds of others.
KEEPSAKE_BYTES_MAX = 256 * 1024

# The provider, its name of the model, the tool call's id and the tool's name.
_Key = tuple[str, str, str, str]
# Keeps what came with one call: its id, its tool, the thing. Bound to one answer.
Keep = Callable[[str, str, Any], None]
# Finds it again by the same two words; None when it is gone.
Recall = Callable[[str, str], Any]


class Keepsakes:
    """Bounded in bytes and in age; the oldest go first."""

    def __init__(self, *, bytes_max: int = BYTES_MAX, kept_s: float = KEPT_S_MAX) -> None:
        self._bytes_max = bytes_max
        self._kept_s = kept_s
        self._kept: OrderedDict[_Key, tuple[float, int, Any]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def keep(self, call: UpstreamCall, call_id: str, tool: str, value: Any) -> None:
        """Keeps what came with a tool call of this answer: plain data, in place of an older one."""
        key, size_bytes = _key(call, call_id, tool), len(orjson.dumps(value))
        if size_bytes > KEEPSAKE_BYTES_MAX:
            return
        now_s = monotonic_s()
        with self._lock:
            self._drop(key)
            self._kept[key] = (now_s, size_bytes, value)
            self._bytes += size_bytes
            while self._kept and (self._bytes > self._bytes_max or self._is_old(now_s)):
                self._drop(next(iter(self._kept)))

    def recall(self, call: UpstreamCall, call_id: str, tool: str) -> Any:
        """What the same model at the same provider gave within the last hour, or None."""
        key = _key(call, call_id, tool)
        kept_at_s, _, value = self._kept.get(key, (0.0, 0, None))
        return value if monotonic_s() - kept_at_s <= self._kept_s else None

    def _is_old(self, now_s: float) -> bool:
        kept_at_s, _, _ = next(iter(self._kept.values()))
        return now_s - kept_at_s > self._kept_s

    def _drop(self, key: _Key) -> None:
        _, size_bytes, _ = self._kept.pop(key, (0.0, 0, None))
        self._bytes -= size_bytes


def keep_nothing(call_id: str, tool: str, value: Any) -> None:
    """Stands where nobody asks again."""


def _key(call: UpstreamCall, call_id: str, tool: str) -> _Key:
    return call.provider, call.upstream_model, call_id, tool


keepsakes = Keepsakes()
