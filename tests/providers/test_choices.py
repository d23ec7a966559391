"""Several choices from providers that make one at a time."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from solrouter.chat import SILENCE, Chunk, Usage
from solrouter.providers import ADAPTERS
from solrouter.providers.base import Upstream, UpstreamCall
from solrouter.providers.choices import CHOICES_MAX, CHUNKS_WAITING_MAX, calls_needed, open_choices
from solrouter.providers.errors import UpstreamBroken, UpstreamDenied, UpstreamRefused
from solrouter.providers.payloads import delta_chunk, finish_chunk, usage_chunk_payload
from tests.fakes.upstream import FakeUpstream
from tests.providers.calls import make_call, play

BOTH = pytest.mark.parametrize("stream", [True, False], ids=["streamed", "whole"])
ONE_AT_A_TIME = {"max_choices": 1}
# How each dialect is brought to make one choice at a time.
DIALECTS = pytest.mark.parametrize(
    ("kind", "capabilities"),
    [("anthropic", {}), ("google", ONE_AT_A_TIME), ("openai", ONE_AT_A_TIME)],
    ids=["anthropic", "google", "openai"],
)


def url_of(kind: str, upstream: FakeUpstream) -> str:
    return upstream.url if kind == "openai" else upstream.origin


def choice_threads() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name.startswith("choice-")]


def wait_until_alone(upstream: FakeUpstream) -> None:
    upstream.wait_for(lambda: upstream.connections.busy == 0)
    deadline_s = time.monotonic() + 5
    while choice_threads():
        assert time.monotonic() < deadline_s, "a call was left behind"
        choice_threads()[0].join(0.05)


@DIALECTS
@BOTH
def test_choices_are_calls_of_their_own_under_their_index(
    upstream: FakeUpstream, kind: str, capabilities: dict[str, Any], stream: bool
) -> None:
    for text in ("Eins.", "Zwei zwei.", "Drei drei drei."):
        upstream.answers(text, times=1, usage=(10, 2))
    call = make_call(url_of(kind, upstream), stream=stream, n=3, capabilities=capabilities, top_k=7)
    outcome = play(kind, call)
    assert outcome.error is None
    assert upstream.requests == 3
    assert all("n" not in (seen.body or {}) for seen in upstream.seen)
    texts = {outcome.joined(index=i) for i in range(3)}
    assert texts == {"Eins.", "Zwei zwei.", "Drei drei drei."}
    assert outcome.finish_reasons() == {0: "stop", 1: "stop", 2: "stop"}
    assert outcome.usage == Usage(input=30, output=6)
    told = {chunk.call: chunk.usage for chunk in outcome.chunks if chunk.usage}
    each = Usage(input=10, output=2)
    assert told == {0: each, 1: each, 2: each, None: outcome.usage}
    assert outcome.upstream_id
    assert len(outcome.warnings) == len(set(outcome.warnings))


@BOTH
def test_one_choice_is_one_plain_call(upstream: FakeUpstream, stream: bool) -> None:
    outcome = play("anthropic", make_call(upstream.origin, stream=stream, n=1))
    assert outcome.error is None
    assert upstream.requests == 1


@pytest.mark.parametrize(
    ("kind", "capabilities", "model", "n", "calls"),
    [
        ("anthropic", {}, "claude-sonnet-5-5", 4, 4),
        ("anthropic", {}, "claude-sonnet-5-5", 1, 1),
        ("openai", {}, "gpt-4o", 4, 1),
        ("openai", {"max_choices": 1}, "x", 4, 4),
        ("openai", {"max_choices": 4}, "x", 4, 1),
        ("openai", {"max_choices": 4}, "x", 5, 5),
        ("google", {"model_rules": [{"match": "gemini-3", "max_choices": 1}]}, "gemini-3", 2, 2),
        ("google", {"model_rules": [{"match": "gemini-3", "max_choices": 1}]}, "gemini-2.5", 2, 1),
        ("google", {"model_rules": [{"match": "gemini-3", "max_choices": 1}]}, None, 2, 2),
        ("google", {}, None, 2, 1),
        ("demo", {}, "echo", 8, 1),
    ],
)
def test_calls_needed(
    kind: str, capabilities: dict[str, Any], model: str | None, n: int, calls: int
) -> None:
    assert calls_needed(kind, capabilities, n, model) == calls


def test_more_than_the_maximum_is_refused_unsent(upstream: FakeUpstream) -> None:
    outcome = play("anthropic", make_call(upstream.origin, n=CHOICES_MAX + 1))
    assert isinstance(outcome.error, UpstreamRefused)
    assert outcome.error.param == "n"
    assert upstream.requests == 0


@DIALECTS
@BOTH
def test_a_fault_before_content_replaces_that_call_alone(
    upstream: FakeUpstream, kind: str, capabilities: dict[str, Any], stream: bool
) -> None:
    upstream.answers(status=500, times=1)
    upstream.answers("Fine.", usage=(5, 1))
    call = make_call(url_of(kind, upstream), stream=stream, n=3, capabilities=capabilities)
    outcome = play(kind, call)
    assert outcome.error is None
    assert upstream.requests == 4
    assert [outcome.joined(index=i) for i in range(3)] == ["Fine."] * 3
    assert outcome.usage == Usage(input=15, output=3)


def test_a_preamble_is_not_said_twice(upstream: FakeUpstream) -> None:
    upstream.answers(cut_after_events=1, times=1)
    outcome = play("anthropic", make_call(upstream.origin, n=2))
    assert outcome.error is None
    roles = [
        choice["index"]
        for chunk in outcome.chunks
        for choice in chunk.payload["choices"]
        if "role" in choice["delta"]
    ]
    assert sorted(roles) == [0, 1]


def test_a_second_fault_of_one_call_is_the_fault_of_all(upstream: FakeUpstream) -> None:
    upstream.answers(status=500)
    outcome = play("anthropic", make_call(upstream.origin, n=2))
    assert isinstance(outcome.error, UpstreamBroken)
    assert upstream.requests <= 4
    wait_until_alone(upstream)


@pytest.mark.parametrize(
    ("status", "error"), [(400, UpstreamRefused), (401, UpstreamDenied)], ids=str
)
def test_what_another_try_cannot_mend_is_told_at_once(
    upstream: FakeUpstream, status: int, error: type[Exception]
) -> None:
    upstream.answers(status=status)
    outcome = play("anthropic", make_call(upstream.origin, n=2))
    assert isinstance(outcome.error, error)
    assert upstream.requests <= 2


def test_a_fault_after_content_is_the_fault_of_all(upstream: FakeUpstream) -> None:
    # Slowly, so that the other call has begun, however busy the machine is.
    cut = {"cut_after_events": 3, "counting": "content", "stall_between_s": 0.5}
    upstream.streams("A", "B", "C", times=1, **cut)
    upstream.streams("x", stall_after=(1, 30.0), counting="content")
    outcome = play("anthropic", make_call(upstream.origin, n=2))
    assert isinstance(outcome.error, UpstreamBroken)
    assert outcome.usage is None
    wait_until_alone(upstream)
    assert upstream.requests == 2


@BOTH
def test_one_call_without_usage_leaves_what_the_other_tells(
    upstream: FakeUpstream, stream: bool
) -> None:
    upstream.answers("One.", usage_mode="none", times=1)
    upstream.answers("Two.", usage=(10, 2))
    call = make_call(upstream.url, stream=stream, n=2, capabilities=ONE_AT_A_TIME)
    outcome = play("openai", call)
    assert outcome.error is None
    [(teller, usage)] = [(chunk.call, chunk.usage) for chunk in outcome.chunks if chunk.usage]
    assert usage == Usage(input=10, output=2)
    assert teller is not None
    assert outcome.joined(index=teller) == "Two."


def test_an_answer_that_failed_tells_what_its_calls_have_used(upstream: FakeUpstream) -> None:
    """One call was answered and billed, for nothing: the other one has failed twice."""
    upstream.answers("One.", usage=(10, 2), times=1)
    upstream.answers(status=500, delay_s=0.2)
    running = ADAPTERS["anthropic"].open(make_call(upstream.origin, stream=False, n=2))
    with pytest.raises(UpstreamBroken):
        list(running)
    assert running.told == Usage(input=10, output=2)
    [replaced] = running.replaced
    assert replaced.usage is None
    assert isinstance(replaced.error, UpstreamBroken)
    assert replaced.ms >= 150


@BOTH
def test_silence_is_said_while_all_are_quiet(upstream: FakeUpstream, stream: bool) -> None:
    upstream.answers("Late.", stall_before_s=0.35)
    call = replace(make_call(upstream.origin, stream=stream, n=2), quiet_s=0.1)
    chunks = list(ADAPTERS["anthropic"].open(call))
    assert 2 <= sum(chunk is SILENCE for chunk in chunks[:4]) <= 3
    assert chunks[0] is SILENCE


def test_chunks_come_as_they_are_made(upstream: FakeUpstream) -> None:
    upstream.streams("slow", stall_after=(1, 1.0), counting="content", times=1)
    upstream.streams("fast")
    began_s = time.monotonic()
    for chunk in ADAPTERS["anthropic"].open(make_call(upstream.origin, n=2)):
        if chunk.finish:
            break
    assert time.monotonic() - began_s < 0.8, "the quick one finishes first"
    wait_until_alone(upstream)


class Scripted:
    """A running answer that nobody's network makes."""

    upstream_id = "scripted"
    replaced = ()
    told = None

    def __init__(self, pieces: int) -> None:
        self.made = 0
        self.is_closed = False
        self._pieces = pieces

    def __iter__(self) -> Iterator[Chunk]:
        for _ in range(self._pieces):
            self.made += 1
            yield delta_chunk({"content": "x"})
        yield finish_chunk("stop")
        yield Chunk(usage_chunk_payload(), usage=Usage(input=1, output=1))

    def close(self) -> None:
        self.is_closed = True


def test_a_slow_reader_slows_the_calls_down() -> None:
    made: list[Scripted] = []

    def open_one(call: UpstreamCall) -> Upstream:
        made.append(Scripted(10_000))
        return made[-1]

    running = open_choices(open_one, make_call(n=2), 2)
    chunks = iter(running)
    next(chunks)
    time.sleep(0.1)
    assert sum(one.made for one in made) <= CHUNKS_WAITING_MAX + 4
    running.close()
    deadline_s = time.monotonic() + 5
    while not all(one.is_closed for one in made) or choice_threads():
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    with pytest.raises(UpstreamBroken):
        list(chunks)


def test_closed_before_it_began_it_opens_nothing() -> None:
    opened: list[UpstreamCall] = []

    def open_one(call: UpstreamCall) -> Upstream:
        opened.append(call)
        return Scripted(1)

    running = open_choices(open_one, make_call(n=2), 2)
    running.close()
    with pytest.raises(UpstreamBroken):
        list(running)
    assert opened == []
    assert running.upstream_id is None


def test_two_hundred_aborts_leave_no_thread_and_no_socket(upstream: FakeUpstream) -> None:
    """Each leaves at another place: before, in the middle of, and after the first content."""
    upstream.streams("a", "b", "c", stall_after=(2, 30.0), counting="content")
    call = make_call(upstream.origin, n=4)
    descriptors = count_descriptors()
    for position in range(200):
        running = ADAPTERS["anthropic"].open(call)
        chunks = iter(running)
        for _ in range(position % 4):
            next(chunks)
        running.close()
        del chunks
    wait_until_alone(upstream)
    upstream.wait_for(lambda: upstream.connections.open == 0)
    assert count_descriptors() <= descriptors + 8


def count_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


CALLED_AWAY = """
from gevent import monkey; monkey.patch_all()
import time, threading
from solrouter.interruptions import ClientLeft, Wait
from solrouter.providers import ADAPTERS
from tests.fakes.upstream import FakeUpstream
from tests.providers.calls import make_call

with FakeUpstream() as upstream:
    upstream.streams("a", stall_after=(1, 30.0), counting="content")
    for position in range(20):
        wait = Wait()
        running = ADAPTERS["anthropic"].open(make_call(upstream.origin, n=3))
        threading.Timer(0.002 * position, wait.interrupt_soon, [ClientLeft()]).start()
        began_s = time.monotonic()
        try:
            chunks = iter(running)
            while True:
                with wait:
                    next(chunks)
        except ClientLeft:
            running.close()
        assert time.monotonic() - began_s < 2
    upstream.wait_for(lambda: upstream.connections.open == 0)
    left = [t.name for t in threading.enumerate() if t.name.startswith("choice-")]
    assert left == [], left
print("all called away")
"""


def test_a_reader_called_away_leaves_nothing() -> None:
    """Under gevent's patch, as the server runs: an exception is thrown into the wait."""
    done = subprocess.run(
        [sys.executable, "-c", CALLED_AWAY], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.strip() == "all called away", done.stderr
