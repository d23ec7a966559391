"""A key changed on one worker is changed on all: rotated, frozen and revoked while requests run."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import requests
from flask import Flask

from solrouter.services import key_switches, keys, rotations
from tests import served as serving
from tests.conftest import settings
from tests.factories import make_person
from tests.served import Served

THREADS = 4
REQUESTS = 40
READY_S = 120


class Load:
    """Threads that ask with whatever secret `text` is, until they are stopped."""

    def __init__(self, url: str, text: str) -> None:
        self.text = text
        self.seen: Counter[int] = Counter()
        self._url = url
        self._ends = threading.Event()
        self._threads = [threading.Thread(target=self._ask) for _ in range(THREADS)]
        for thread in self._threads:
            thread.start()

    def wait_for(self, more: int) -> None:
        """Waits until so many more have been answered."""
        wanted, until = self.seen.total() + more, time.monotonic() + 60
        while self.seen.total() < wanted:
            assert time.monotonic() < until, self.seen
            threading.Event().wait(0.01)

    def stop(self) -> Counter[int]:
        self._ends.set()
        for thread in self._threads:
            thread.join()
        return self.seen

    def _ask(self) -> None:
        session = requests.Session()
        while not self._ends.is_set():
            self.seen[chat(self._url, self.text, session)] += 1


def chat(url: str, text: str, session: requests.Session | None = None) -> int:
    answer = (session or requests).post(
        f"{url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {text}"},
        json={"model": "demo/echo", "messages": [{"role": "user", "content": "Hi"}]},
        timeout=30,
    )
    return answer.status_code


@pytest.fixture
def served(
    make_app: Callable[..., Flask], database_url: str, tmp_path: Path
) -> Iterator[tuple[Flask, Served]]:
    """The server with two workers where the database allows it, and an app beside it."""
    workers = "1" if database_url.startswith("sqlite") else "2"
    environ = settings(database_url, tmp_path, WEB_CONCURRENCY=workers)
    # Two workers begin at once, and share the machine with whatever else runs.
    running = serving.start(environ, ready_s=READY_S)
    yield make_app(database_url), running
    running.stop()


def test_a_rotation_with_an_overlap_refuses_nobody(served: tuple[Flask, Served]) -> None:
    app, server = served
    person = make_person(app, "dora@example.com", credit="5", plan="unlimited")
    with app.app_context():
        [key] = keys.list_of(person.account_id)
    load = Load(server.url, person.key_text)
    load.wait_for(REQUESTS)
    with app.app_context():
        new = rotations.rotate(person.account_id, key.public_id, actor="test")
    load.wait_for(REQUESTS)
    load.text = new.text
    load.wait_for(REQUESTS)
    assert set(load.stop()) == {200}
    with app.app_context():
        rotations.end_formers(person.account_id, key.public_id, actor="test")
        assert keys.list_of(person.account_id)[0].hint == new.key.hint
    for _ in range(2 * THREADS):
        assert chat(server.url, person.key_text) == 401
        assert chat(server.url, new.text) == 200


def test_what_stops_a_key_stops_it_from_the_next_request_on(served: tuple[Flask, Served]) -> None:
    app, server = served
    person = make_person(app, "dora@example.com", credit="5", plan="unlimited")
    account_id = person.account_id
    with app.app_context():
        public_id = keys.list_of(account_id)[0].public_id
    acts: list[tuple[Callable[[], object], int]] = [
        (lambda: key_switches.freeze(account_id, actor="test"), 401),
        (lambda: key_switches.unfreeze(account_id, actor="test"), 200),
        (lambda: key_switches.set_disabled(account_id, public_id, True, actor="test"), 401),
        (lambda: key_switches.set_disabled(account_id, public_id, False, actor="test"), 200),
        (lambda: keys.revoke(account_id, public_id), 401),
    ]
    for act, status in acts:
        with app.app_context():
            act()
        assert {chat(server.url, person.key_text) for _ in range(2 * THREADS)} == {status}
