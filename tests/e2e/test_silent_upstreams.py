"""A model that is silent for long completes behind a proxy that hangs up on the silent.

The proxy waits 3 s, as a platform's router waits 30 s or 55 s, and the keep-alive is set to 1 s in
proportion. Without it the same calls are cut, which shows that the proxy does what it says.
"""

import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openai import APIConnectionError, APIError, OpenAI

from solrouter import create_app
from tests import served as serving
from tests.conftest import close, settings
from tests.e2e.fault_matrix import Said, ask, offer
from tests.factories import make_person
from tests.fakes.idle_proxy import IdleProxy
from tests.fakes.upstream import FakeUpstream, Script
from tests.served import Served

PATIENCE_S = 3.0
SHORT_S, LONG_S = 5.0, 30.0
PIECES = ("One", " two", " three", " four")
FIRST_BYTE_S = 2
AWAKE = {"SOLROUTER_KEEP_ALIVE_S": "1", "SOLROUTER_FIRST_BYTE_S": str(FIRST_BYTE_S)}
ASLEEP = {"SOLROUTER_KEEP_ALIVE_S": "0", "SOLROUTER_FIRST_BYTE_S": "0"}
# Where the silence is; an answer in one piece has none in the middle.
STREAMED: Mapping[str, Callable[[float], Mapping[str, Any]]] = {
    "before-the-status": lambda seconds: {"stall_before_s": seconds},
    "before-the-first-event": lambda seconds: {"stall_after_headers_s": seconds},
    "in-the-middle": lambda seconds: {"stall_after": (2, seconds), "counting": "content"},
}
WHOLE = {name: STREAMED[name] for name in ("before-the-status", "before-the-first-event")}
LATE = ("late-alone", "late-once", "late-stream")
TOO_LATE: Mapping[str, Any] = {"status": 500, "stall_before_s": FIRST_BYTE_S + 1}
Call = tuple[str, str, bool, float]
COUNTED_WITHIN_S = 2.0


def calls(*lengths_s: float) -> list[Call]:
    """Every place of the silence, streamed and not, by its model's id."""
    return [
        (f"silent/{way}-{place}-{seconds:.0f}", place, way == "streamed", seconds)
        for way, places in (("streamed", STREAMED), ("whole", WHOLE))
        for place in places
        for seconds in lengths_s
    ]


@dataclass(frozen=True)
class Scene:
    """A server, the silent provider behind it, and a customer's key."""

    served: Served
    upstream: FakeUpstream
    key: str


@pytest.fixture(scope="module")
def upstream() -> Iterator[FakeUpstream]:
    """The silent provider."""
    with FakeUpstream() as fake:
        for model, place, _, seconds in calls(SHORT_S, LONG_S):
            name = model.partition("/")[2]
            silence = STREAMED[place](seconds)
            fake.plays(Script(path_part=f"/{name}/", pieces=PIECES, **silence))
        yield fake


@pytest.fixture(scope="module")
def start(
    tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path, upstream: FakeUpstream
) -> Iterator[Callable[..., Scene]]:
    """Starts a server with these settings, that offers the silent models."""
    running: list[Served] = []

    def start_one(more: Mapping[str, str]) -> Scene:
        folder = tmp_path_factory.mktemp("silent")
        database = folder / "silent.sqlite3"
        shutil.copy(sqlite_template, database)
        environ = settings(f"sqlite:///{database}", folder, **more)
        app = create_app(environ)
        for name in (*(call[0].partition("/")[2] for call in calls(SHORT_S, LONG_S)), *LATE):
            offer(app, upstream.origin, f"silent/{name}", provider=name)
        alice = make_person(app, "alice@example.com", credit="5", plan="unlimited")
        close(app)
        running.append(serving.start(environ))
        return Scene(running[-1], upstream, alice.key_text)

    yield start_one
    for served in running:
        served.stop()


@pytest.fixture(scope="module")
def awake(start: Callable[..., Scene]) -> Scene:
    """A server that keeps its callers' lines alive."""
    return start(AWAKE)


def ask_all(proxy: IdleProxy, key: str, wanted: list[Call]) -> dict[str, tuple[Said, float]]:
    """All at once, each through a connection of its own: what was said, and after how long."""

    def one(call: Call) -> tuple[Said, float]:
        model, _, stream, _ = call
        began_s = time.monotonic()
        with OpenAI(base_url=f"{proxy.url}/v1", api_key=key, max_retries=0) as client:
            return ask(client, model, stream=stream), time.monotonic() - began_s

    with ThreadPoolExecutor(len(wanted)) as pool:
        return dict(zip([call[0] for call in wanted], pool.map(one, wanted), strict=True))


def test_silence_of_5_s_and_of_30_s_is_outlived(awake: Scene) -> None:
    wanted = calls(SHORT_S, LONG_S)
    with IdleProxy(awake.served.port, idle_s=PATIENCE_S) as proxy:
        found = ask_all(proxy, awake.key, wanted)
        for model, _, _, seconds in wanted:
            said, took_s = found[model]
            assert said.error is None, model
            assert (said.text, said.finish_reason) == ("".join(PIECES), "stop"), model
            assert took_s >= seconds, model
        assert proxy.cuts == 0


def test_without_keep_alives_the_same_calls_are_cut(start: Callable[..., Scene]) -> None:
    asleep, wanted = start(ASLEEP), calls(SHORT_S)
    with IdleProxy(asleep.served.port, idle_s=PATIENCE_S) as proxy:
        for model, (said, took_s) in ask_all(proxy, asleep.key, wanted).items():
            assert said.error is not None, model
            assert said.finish_reason is None, model
            assert took_s < SHORT_S, model
        # The proxy counts once it has hung up.
        until_s = time.monotonic() + COUNTED_WITHIN_S
        while proxy.cuts < len(wanted) and time.monotonic() < until_s:
            time.sleep(0.05)
        assert proxy.cuts == len(wanted)


def test_the_first_byte_comes_in_time_for_a_router_that_is_patient_later(awake: Scene) -> None:
    wanted = calls(SHORT_S)
    with IdleProxy(awake.served.port, idle_s=60, first_byte_s=FIRST_BYTE_S + 1) as proxy:
        found = ask_all(proxy, awake.key, wanted)
        assert [said.error for said, _ in found.values()] == [None] * len(wanted)
        assert proxy.cuts == 0


def test_a_failure_after_the_status_breaks_the_line_and_the_client_raises(awake: Scene) -> None:
    awake.upstream.plays(Script(path_part="/late-alone/", **TOO_LATE))
    with OpenAI(base_url=awake.served.api, api_key=awake.key, max_retries=0) as client:
        said = ask(client, "silent/late-alone", stream=False)
    assert isinstance(said.error, APIConnectionError)


def test_a_client_that_tries_again_has_its_answer(awake: Scene) -> None:
    awake.upstream.plays(Script(path_part="/late-once/", pieces=PIECES))
    awake.upstream.plays(Script(path_part="/late-once/", **TOO_LATE), times=1)
    with OpenAI(base_url=awake.served.api, api_key=awake.key, max_retries=1) as client:
        said = ask(client, "silent/late-once", stream=False)
    assert said.error is None
    assert said.text == "".join(PIECES)


def test_a_failure_after_a_streams_first_silence_is_raised(awake: Scene) -> None:
    awake.upstream.plays(Script(path_part="/late-stream/", **TOO_LATE))
    with OpenAI(base_url=awake.served.api, api_key=awake.key, max_retries=0) as client:
        said = ask(client, "silent/late-stream", stream=True)
    assert isinstance(said.error, APIError)
    assert said.text == ""
