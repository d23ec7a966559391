"""What an upstream wants back on the next turn and most clients throw away, kept by tool call.

Thought signatures travel in fields that plain OpenAI clients do not echo; all that they send back
is the id of the call. So what was signed is kept for an hour: in this process, and on the caller's
shelf, where a turn that reaches another process finds it. Without it each dialect does as well as
it can. Nothing here is ever shown, and nobody finds what was kept for another account.
"""

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from math import inf
from typing import Any

import orjson

from solrouter.clock import monotonic_s
from solrouter.providers.base import UpstreamCall
from solrouter.providers.messages import tool_name

KEPT_S_MAX = 3600.0
BYTES_MAX = 32 * 1024 * 1024
# Nothing larger is kept: it would push out hundreds of others.
KEEPSAKE_BYTES_MAX = 256 * 1024
# How many of a conversation's calls are looked for on the shelf, the last ones.
LOOKED_FOR_MAX = 200

# Whose it is, and a digest of what it came with.
_Key = tuple[str, bytes]
# Keeps what came with one call: its id, its tool, the thing. Bound to one answer.
Keep = Callable[[str, str, Any], None]
# Finds it again by the same two words; None when it is gone.
Recall = Callable[[str, str], Any]


class Keepsakes:
    """Bounded in bytes and in age; the oldest go first."""

    def __init__(self, *, bytes_max: int = BYTES_MAX, kept_s: float = KEPT_S_MAX) -> None:
        self._bytes_max = bytes_max
        self._kept_s = kept_s
        self._kept: OrderedDict[_Key, tuple[float, bytes]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def keep(self, call: UpstreamCall, call_id: str, tool: str, value: Any) -> None:
        """Keeps what came with a tool call of this answer: plain data, in place of an older one."""
        digest, text = _digest(call, call_id, tool), orjson.dumps(value)
        if len(text) > KEEPSAKE_BYTES_MAX:
            return
        self._remember((_owner(call), digest), text)
        if call.shelf is not None:
            call.shelf.put(digest, text)

    def recaller(self, call: UpstreamCall, *, bytes_max: float = inf) -> Recall:
        """Finds what the same model at the same provider gave the same account within the hour.

        The shelf is asked once, for all the calls of the conversation, and only if one is missing.
        Nothing is found that would make more than `bytes_max` of all that is.
        """
        found: dict[bytes, bytes] | None = None
        left = bytes_max

        def recall(call_id: str, tool: str) -> Any:
            nonlocal found, left
            if not left:
                return None
            digest = _digest(call, call_id, tool)
            text = self._remembered((_owner(call), digest))
            if text is None and call.shelf is not None:
                if found is None:
                    found = dict(call.shelf.find(list(_digests(call))[-LOOKED_FOR_MAX:]))
                text = found.get(digest)
            if text is None or len(text) > left:
                return None
            left -= len(text)
            return orjson.loads(text)

        return recall

    def _remember(self, key: _Key, text: bytes) -> None:
        now_s = monotonic_s()
        with self._lock:
            self._drop(key)
            self._kept[key] = (now_s, text)
            self._bytes += len(text)
            while self._kept and (self._bytes > self._bytes_max or self._is_old(now_s)):
                self._drop(next(iter(self._kept)))

    def _remembered(self, key: _Key) -> bytes | None:
        kept_at_s, text = self._kept.get(key, (0.0, None))
        return text if monotonic_s() - kept_at_s <= self._kept_s else None

    def _is_old(self, now_s: float) -> bool:
        kept_at_s, _ = next(iter(self._kept.values()))
        return now_s - kept_at_s > self._kept_s

    def _drop(self, key: _Key) -> None:
        _, text = self._kept.pop(key, (0.0, b""))
        self._bytes -= len(text)


def keep_nothing(call_id: str, tool: str, value: Any) -> None:
    """Stands where nobody asks again."""


def _owner(call: UpstreamCall) -> str:
    return "" if call.shelf is None else call.shelf.owner


def _digest(call: UpstreamCall, call_id: str, tool: str) -> bytes:
    """Names one call of one model at one provider."""
    words = [call.provider, call.upstream_model, call_id, tool]
    return hashlib.sha256(orjson.dumps(words)).digest()


def _digests(call: UpstreamCall) -> Iterator[bytes]:
    """Of all the calls that the conversation holds."""
    for message in call.request.body["messages"]:
        for told in message.get("tool_calls") or ():
            if isinstance(told, Mapping):
                yield _digest(call, str(told.get("id")), tool_name(told))


keepsakes = Keepsakes()
