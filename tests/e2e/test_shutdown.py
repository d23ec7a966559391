"""SIGTERM, whatever the callers do meanwhile: they are told, nobody pays, and it ends in time."""

import signal
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.e2e.lines import ask, read_until
from tests.e2e.scene import Scene, open_scene

DRAIN_S = 1.0
# gunicorn kills after 25 s; what breaks the connection or holds the worker costs much longer.
EXIT_WITHIN_S = 15.0
# An idle connection is kept for 5 s.
CLOSED_WITHIN_S = 3.5


@pytest.fixture
def scene(kind: str, tmp_path: Path) -> Iterator[Scene]:
    """A server for each test, since each ends it."""
    with open_scene(kind, tmp_path, SOLROUTER_DRAIN_S=str(DRAIN_S)) as found:
        yield found


def test_a_connection_is_not_kept_once_its_stream_was_ended(scene: Scene) -> None:
    """Its answer began when connections were still kept, and says so."""
    customer = scene.customer()
    model = scene.offer(pieces=["word "], endless=True, stall_between_s=0.05)
    with closing(ask(customer, model)) as line:
        read_until(line, b"word")
        scene.served.process.send_signal(signal.SIGTERM)
        told = read_until(line, b"[DONE]")
        began_s = time.monotonic()
        while line.recv(65_536):
            pass
        assert time.monotonic() - began_s < CLOSED_WITHIN_S
    assert b"shutting_down" in told
    assert scene.served.stop() == 0
    [row] = customer.receipts()
    assert (row.outcome, row.reason, row.charge_nanos) == ("failed", "shutting_down", 0)


def test_a_client_that_takes_nothing_does_not_hold_the_server(scene: Scene) -> None:
    """What is being sent to it is no wait for an upstream, and no interruption ends it."""
    customer = scene.customer()
    # More than all buffers on the way hold, long before the drain is over.
    model = scene.offer(pieces=["word " * 20_000], endless=True, ignore_max_tokens=True)
    with closing(ask(customer, model, receive_bytes=4_096)) as line:
        read_until(line, b"word")
        began_s = time.monotonic()
        assert scene.served.stop() == 0
        assert time.monotonic() - began_s < EXIT_WITHIN_S
    [row] = customer.receipts()
    assert (row.outcome, row.reason, row.charge_nanos) == ("failed", "shutting_down", 0)
