"""Every way in which a provider can fail, by name: fields of a Script.

BEFORE says nothing of the answer first; AFTER_STREAMED fails in a stream that has begun to speak,
AFTER_WHOLE in the middle of a body. Faults of the line before a request (DNS, TLS, a refused
connection) are not a provider's to play.
"""

from collections.abc import Mapping
from typing import Any

Fields = Mapping[str, Any]

ERROR = {"message": "Something broke."}
# Longer than any test waits: the reader's deadline decides.
STALL_S = 60.0

_CONTENT: Fields = {"counting": "content"}

# Statuses that are the provider's own fault, or its own trouble with us.
STATUSES: Mapping[str, Fields] = {
    "unauthorized": {"status": 401},
    "unpaid": {"status": 402},
    "forbidden": {"status": 403},
    "unknown_model": {"status": 404},
    "request_timeout": {"status": 408},
    "conflict": {"status": 409},
    "rate_limited": {"status": 429, "retry_after": 1},
    "internal_error": {"status": 500},
    "bad_gateway": {"status": 502, "body": "<html><body>Bad gateway</body></html>"},
    "unavailable": {"status": 503},
    "gateway_timeout": {"status": 504},
    "overloaded": {"status": 529},
}

BEFORE: Mapping[str, Fields] = {
    **STATUSES,
    "error_in_success": {"error_body": ERROR},
    "empty_body": {"body": ""},
    "no_answer": {"empty": True, "no_finish": True, "no_done": True},
    "garbage": {"garbage": True},
    "hang_up": {"cut_before_status": True},
    "quiet_hang_up": {"cut_before_status": True, "cut_with_fin": True},
    "cut": {"cut_after_events": 0, **_CONTENT},
    "quiet_cut": {"cut_after_events": 0, "cut_with_fin": True, **_CONTENT},
    "silence": {"stall_before_s": STALL_S},
    "stall": {"stall_after": (0, STALL_S), **_CONTENT},
}
# A stream can also say that it failed, and be kept alive without a word.
BEFORE_STREAMED: Mapping[str, Fields] = {
    **BEFORE,
    "error_event": {"error_event": (0, ERROR), **_CONTENT},
    "pings_only": {"stall_after": (0, STALL_S), "ping_every_s": 0.02, **_CONTENT},
}
AFTER_STREAMED: Mapping[str, Fields] = {
    "cut": {"cut_after_events": 2, **_CONTENT},
    "quiet_cut": {"cut_after_events": 2, "cut_with_fin": True, **_CONTENT},
    "cut_in_an_event": {"cut_after_events": 2, "cut_mid_event": True, **_CONTENT},
    "unframed_cut": {
        "cut_after_events": 2,
        "cut_with_fin": True,
        "close_delimited": True,
        **_CONTENT,
    },
    "stall": {"stall_after": (2, STALL_S), **_CONTENT},
    "pings_only": {"stall_after": (2, STALL_S), "ping_every_s": 0.02, **_CONTENT},
    "error_event": {"error_event": (2, ERROR), **_CONTENT},
    "garbage": {"garbage": True, "garbage_after": 2, **_CONTENT},
    "no_finish": {"no_finish": True, "no_done": True},
    "no_finish_but_done": {"no_finish": True},
}
AFTER_WHOLE: Mapping[str, Fields] = {
    "cut": {"cut_mid_event": True},
    "quiet_cut": {"cut_mid_event": True, "cut_with_fin": True},
    "unframed_cut": {"cut_mid_event": True, "cut_with_fin": True, "close_delimited": True},
    "stall": {"split_bytes": 40, "split_pause_s": STALL_S},
    "no_finish": {"no_finish": True},
}


def faults(*, has_content: bool, stream: bool) -> Mapping[str, Fields]:
    """All faults by name, before or after the first content, of a streamed answer or a whole."""
    if has_content:
        return AFTER_STREAMED if stream else AFTER_WHOLE
    return BEFORE_STREAMED if stream else BEFORE
