"""Every fault of a provider, in every dialect: always an error, never a quiet short answer."""

from dataclasses import replace
from typing import Any

import orjson
import pytest

from solrouter.clock import monotonic_s
from solrouter.providers.base import Deadlines
from solrouter.providers.errors import (
    ProviderError,
    UpstreamBroken,
    UpstreamDenied,
    UpstreamEmpty,
    UpstreamOverloaded,
    UpstreamRateLimited,
    UpstreamRefused,
    UpstreamTimedOut,
)
from solrouter.providers.failures import event_failure, status_failure
from tests.fakes.upstream import FakeUpstream
from tests.fakes.upstream.faults import faults
from tests.providers.calls import make_call, play

HASTY = Deadlines(connect_s=5, first_token_s=0.3, between_chunks_s=0.3, total_s=0.6, pings_s=0.3)
DIALECTS = ("anthropic", "google", "openai")
CASES = [
    pytest.param(kind, stream, has_content, name, id=f"{kind}-{place}-{how}-{name}")
    for kind in DIALECTS
    for stream, how in ((True, "streamed"), (False, "whole"))
    for has_content, place in ((False, "before"), (True, "after"))
    for name in faults(has_content=has_content, stream=stream)
    # Gemini has no end mark: that one cannot be there without a finish reason.
    if not (kind == "google" and name == "no_finish_but_done")
]
# Faults with a class of their own; every other one is UpstreamBroken.
KINDS: dict[str, type[ProviderError]] = {
    "unauthorized": UpstreamDenied,
    "unpaid": UpstreamDenied,
    "forbidden": UpstreamDenied,
    "unknown_model": UpstreamDenied,
    "rate_limited": UpstreamRateLimited,
    "unavailable": UpstreamOverloaded,
    "overloaded": UpstreamOverloaded,
    "silence": UpstreamTimedOut,
    "stall": UpstreamTimedOut,
    "pings_only": UpstreamTimedOut,
}


@pytest.mark.parametrize(("kind", "stream", "has_content", "name"), CASES)
def test_a_fault_is_an_error(
    upstream: FakeUpstream, kind: str, stream: bool, has_content: bool, name: str
) -> None:
    fields = faults(has_content=has_content, stream=stream)[name]
    upstream.streams("One", " two", " three", " four", **fields)
    url = upstream.url if kind == "openai" else upstream.origin
    outcome = play(kind, make_call(url, stream=stream, deadlines=HASTY))
    assert isinstance(outcome.error, KINDS.get(name, ProviderError))
    if name not in KINDS and name not in ("error_event", "error_in_success"):
        assert isinstance(outcome.error, UpstreamBroken | UpstreamEmpty)
    assert outcome.error.retryable, "another provider may do better"
    assert outcome.finish_reasons() == {}
    assert bool(outcome.content_count) is (has_content and stream)
    if outcome.content_count:
        assert "One two three four".startswith(outcome.joined())


@pytest.mark.parametrize("kind", DIALECTS)
def test_pings_and_a_slow_pace_are_no_fault(upstream: FakeUpstream, kind: str) -> None:
    upstream.streams(
        "One", " two", pings=True, comments=True, stall_between_s=0.1, ping_every_s=0.03
    )
    url = upstream.url if kind == "openai" else upstream.origin
    patient = Deadlines(connect_s=5, first_token_s=5, between_chunks_s=0.3, total_s=20)
    outcome = play(kind, make_call(url, deadlines=patient))
    assert outcome.error is None
    assert outcome.joined() == "One two"


@pytest.mark.parametrize("kind", DIALECTS)
@pytest.mark.parametrize("quiet_s", [None, 0.1], ids=["waiting", "telling"])
def test_pings_alone_keep_an_answer_alive_only_for_so_long(
    upstream: FakeUpstream, kind: str, quiet_s: float | None
) -> None:
    """A model that thinks between its words is waited for longer than one that is silent."""
    upstream.streams("One", " two", stall_after=(1, 60), ping_every_s=0.02, counting="content")
    url = upstream.url if kind == "openai" else upstream.origin
    deadlines = Deadlines(
        connect_s=5, first_token_s=5, between_chunks_s=0.2, total_s=20, pings_s=0.6
    )
    began_s = monotonic_s()
    outcome = play(kind, replace(make_call(url, deadlines=deadlines), quiet_s=quiet_s))
    assert isinstance(outcome.error, UpstreamTimedOut)
    assert outcome.error.phase == "pings"
    assert outcome.joined() == "One"
    assert 0.6 <= monotonic_s() - began_s < 3
    upstream.wait_for(lambda: upstream.aborted)


@pytest.mark.parametrize("kind", DIALECTS)
def test_a_thinking_pause_with_pings_is_no_fault(upstream: FakeUpstream, kind: str) -> None:
    upstream.streams("One", " two", stall_after=(1, 0.6), ping_every_s=0.02, counting="content")
    url = upstream.url if kind == "openai" else upstream.origin
    deadlines = Deadlines(
        connect_s=5, first_token_s=0.5, between_chunks_s=0.2, total_s=20, pings_s=5
    )
    outcome = play(kind, make_call(url, deadlines=deadlines))
    assert outcome.error is None
    assert outcome.joined() == "One two"


@pytest.mark.parametrize("kind", DIALECTS)
def test_pings_do_not_move_the_first_token(upstream: FakeUpstream, kind: str) -> None:
    upstream.streams("One", stall_after=(0, 60), ping_every_s=0.02, counting="content")
    url = upstream.url if kind == "openai" else upstream.origin
    deadlines = Deadlines(
        connect_s=5, first_token_s=0.3, between_chunks_s=5, total_s=20, pings_s=20
    )
    error = play(kind, make_call(url, deadlines=deadlines)).error
    assert isinstance(error, UpstreamTimedOut)
    assert error.phase == "first_token"


def error(**said: Any) -> bytes:
    return orjson.dumps({"error": said})


@pytest.mark.parametrize(
    ("status", "said", "kind", "code"),
    [
        (
            413,
            {"message": "Too big.", "type": "server_error"},
            UpstreamRefused,
            "request_too_large",
        ),
        (422, {"message": "No.", "type": "server_error"}, UpstreamRefused, "invalid_request"),
        (
            400,
            {"message": "No.", "type": "invalid_request_error"},
            UpstreamRefused,
            "invalid_request",
        ),
        (400, {"message": "No.", "status": "INVALID_ARGUMENT"}, UpstreamRefused, "invalid_request"),
        (
            400,
            {"message": "No.", "code": "unsupported_value"},
            UpstreamRefused,
            "unsupported_value",
        ),
        (400, {"message": "No.", "code": "content_filter"}, UpstreamRefused, "content_filter"),
        (
            413,
            {"message": "This model's maximum context length is 8 tokens."},
            UpstreamRefused,
            "context_length_exceeded",
        ),
        (400, {"message": "The model `x` does not exist."}, UpstreamDenied, None),
        (400, {"message": "Model Not Exist"}, UpstreamDenied, None),
        (400, {"message": "x/y is not a valid model ID", "code": 400}, UpstreamDenied, None),
        (400, {"message": "Invalid model: x", "type": "invalid_model"}, UpstreamDenied, None),
        (
            400,
            {"message": "This model does not support images."},
            UpstreamRefused,
            "invalid_request",
        ),
        (408, {"message": "Slow."}, UpstreamBroken, None),
        (409, {"message": "Again."}, UpstreamBroken, None),
        (402, {"message": "Pay."}, UpstreamDenied, None),
        (529, {"message": "Busy."}, UpstreamOverloaded, None),
    ],
    ids=str,
)
def test_refusals_have_a_code_that_says_what_is_wrong(
    status: int, said: dict[str, Any], kind: type[ProviderError], code: str | None
) -> None:
    failure = status_failure(status, {}, error(**said), api_key=None)
    assert type(failure) is kind
    assert getattr(failure, "upstream_code", None) == code


def test_an_error_event_may_be_a_refusal_too() -> None:
    failure = event_failure({"type": "request_too_large", "message": "Too big."}, api_key=None)
    assert isinstance(failure, UpstreamRefused)
    assert failure.upstream_code == "request_too_large"
