"""What a caller's socket sees of the served app: at once, unchanged, and noticed when it goes."""

import http.client
import json
import time
from typing import Any

import pytest

from tests.e2e.place import TINY_MODEL, Place
from tests.fakes.upstream import FakeUpstream

# Noticed means: the upstream's line is closed.
NOTICED_WITHIN_S = 2.0
GREEDY = {"Accept-Encoding": "gzip, deflate, br, zstd"}


def ask(place: Place, **body: Any) -> http.client.HTTPConnection:
    """A connection on which a completion is asked for and nothing is read yet."""
    line = http.client.HTTPConnection("127.0.0.1", place.served.port, timeout=10)
    asked = {"model": TINY_MODEL, "messages": [{"role": "user", "content": "Hi"}], **body}
    headers = {"Authorization": f"Bearer {place.key}", "Content-Type": "application/json"}
    path = "/v1/chat/completions"
    line.request("POST", path, body=json.dumps(asked), headers={**headers, **GREEDY})
    return line


def test_the_first_byte_comes_while_the_upstream_still_speaks(
    place: Place, upstream: FakeUpstream
) -> None:
    upstream.streams("One", " two", counting="content", stall_after=(1, 60))
    line = ask(place, stream=True)
    answer = line.getresponse()
    said = b""
    while b"One" not in said:
        said += answer.read1()
    assert b"[DONE]" not in said
    assert b"two" not in said
    assert answer.headers.get("Content-Encoding") is None, "compressing would hold events back"
    assert answer.headers["Cache-Control"] == "no-cache, no-transform"
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert answer.headers["Transfer-Encoding"] == "chunked"
    assert answer.headers.get("Content-Length") is None
    assert answer.headers["Content-Type"].startswith("text/event-stream")
    line.close()


@pytest.mark.parametrize(
    ("stream", "script"),
    [
        (True, {"stall_before_s": 60}),
        (True, {"stall_after_headers_s": 60}),
        (True, {"stall_after": (1, 60), "counting": "content"}),
        (False, {"stall_before_s": 60}),
        (False, {"split_bytes": 40, "split_pause_s": 60}),
    ],
    ids=["before the status", "before an event", "in the middle", "whole", "half of a whole"],
)
def test_a_client_that_left_is_noticed_within_two_seconds(
    place: Place, upstream: FakeUpstream, stream: bool, script: dict[str, Any]
) -> None:
    upstream.streams("One", " two", **script)
    line = ask(place, stream=stream)
    upstream.wait_for(lambda: upstream.requests == 1)
    if stream and "stall_after" in script:
        line.getresponse().read1()
    left_s = time.monotonic()
    line.close()
    upstream.wait_for(lambda: upstream.aborted, NOTICED_WITHIN_S)
    assert time.monotonic() - left_s < NOTICED_WITHIN_S
