"""SIGHUP: new code on one machine. The port stays open, streams go on, nobody is refused."""

import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest
import requests

from tests.e2e.lines import ask, read_until
from tests.e2e.place import until
from tests.e2e.scene import Scene, open_scene

DRAIN_S = 4.0
PIECES = 20
BETWEEN_S = 0.1
RELOADED_S = 60.0


@pytest.fixture
def scene(kind: str, tmp_path: Path) -> Iterator[Scene]:
    """A server for each test, since each changes its workers."""
    with open_scene(kind, tmp_path, SOLROUTER_DRAIN_S=str(DRAIN_S)) as found:
        yield found


def workers_of(scene: Scene) -> set[int]:
    """The process ids of its workers."""
    pid = scene.served.process.pid
    return {int(one) for one in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


def test_a_reload_refuses_nobody_and_ends_no_stream(scene: Scene) -> None:
    customer = scene.customer()
    model = scene.offer(pieces=["word "] * PIECES, stall_between_s=BETWEEN_S, usage=[5, PIECES])
    before, most, is_over = workers_of(scene), [0], threading.Event()

    def come_and_go() -> list[int]:
        statuses = []
        while not is_over.is_set():
            most[0] = max(most[0], len(workers_of(scene)))
            answer = requests.get(f"{scene.served.url}/healthz", timeout=RELOADED_S)
            statuses.append(answer.status_code)
        return statuses

    with ThreadPoolExecutor(1) as pool, closing(ask(customer, model)) as line:
        read_until(line, b"word")
        visitor = pool.submit(come_and_go)
        scene.served.process.send_signal(signal.SIGHUP)
        told = read_until(line, b"[DONE]")
        until(lambda: workers_of(scene) and not workers_of(scene) & before, within_s=RELOADED_S)
        until(lambda: requests.get(f"{scene.served.url}/readyz", timeout=RELOADED_S).ok)
        is_over.set()
        statuses = visitor.result()
    assert b"shutting_down" not in told
    assert set(statuses) == {200}
    if scene.served.environ["DATABASE_URL"].startswith("sqlite"):
        assert most[0] == 1, "two workers had the file open"
    [row] = customer.receipts()
    assert (row.outcome, row.completion_tokens) == ("finished", PIECES)
