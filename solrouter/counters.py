"""What this process has counted since its start. Memory alone: a dict of numbers, added to.

The request path pays an addition for each. A greenlet does not give way amidst one, so nothing is
lost where gevent serves; `process_counts` tells them to the database, and `/metrics` sums up what
all processes have told. A name is a metric's and its labels' values, joined by `|`.
"""

from bisect import bisect_left
from collections import defaultdict

# Upper bounds, in seconds. The last bucket has none.
WAITS_S = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
QUICK_S = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
BUCKETS = {
    "http_seconds": QUICK_S,
    "first_content_seconds": WAITS_S,
    "completion_seconds": WAITS_S,
}

counts: defaultdict[str, float] = defaultdict(float)


def note_request(endpoint: str, status: int, seconds: float) -> None:
    """One request has its answer's head: by endpoint and status; how long it took, by room."""
    counts[f"http_requests|{endpoint}|{status}"] += 1
    room = endpoint.partition(".")[0]
    counts[f"http_seconds|{room}|{bisect_left(QUICK_S, seconds)}"] += 1
    counts[f"http_seconds|{room}|sum"] += seconds


def note_attempt(provider: str, outcome: str) -> None:
    """One attempt at a provider has ended."""
    counts[f"attempts|{provider}|{outcome}"] += 1


def note_completion(
    provider: str,
    outcome: str,
    *,
    prompt_tokens: int,
    completion_tokens: int,
    duration_ms: int,
    first_content_ms: int | None,
    charged_nanos: int,
    upstream_cost_nanos: int,
    written_off_nanos: int,
) -> None:
    """One request has ended, however; what it was, brought and cost."""
    counts[f"completions|{provider}|{outcome}"] += 1
    counts[f"tokens|{provider}|prompt"] += prompt_tokens
    counts[f"tokens|{provider}|completion"] += completion_tokens
    seconds = duration_ms / 1000
    counts[f"completion_seconds|{provider}|{bisect_left(WAITS_S, seconds)}"] += 1
    counts[f"completion_seconds|{provider}|sum"] += seconds
    if first_content_ms is not None:
        seconds = first_content_ms / 1000
        counts[f"first_content_seconds|{provider}|{bisect_left(WAITS_S, seconds)}"] += 1
        counts[f"first_content_seconds|{provider}|sum"] += seconds
    counts[f"nanos|{provider}|charged"] += charged_nanos
    counts[f"nanos|{provider}|upstream_cost"] += upstream_cost_nanos
    if written_off_nanos:
        counts[f"nanos|{provider}|written_off"] += written_off_nanos
