"""A served app shares its news of the providers' health by itself."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import requests

from tests.e2e.place import TINY_MODEL, WAIT_S, add_tiny_model, make_customer, until
from tests.fakes.upstream import FakeUpstream
from tests.served import Served

SOON_S = 4.0


def test_a_failing_provider_is_told_to_all(
    serve: Callable[..., Served], upstream: FakeUpstream, sqlite_url: str
) -> None:
    path = Path(sqlite_url.removeprefix("sqlite:///"))
    served = serve()
    add_tiny_model(served, upstream.url)
    key = make_customer(served, "dora@example.com", "--credit", "1")
    upstream.answers(status=500)
    for _ in range(5):
        answer = requests.post(
            f"{served.api}/chat/completions",
            headers={"Authorization": f"Bearer {key}"},
            json={"model": TINY_MODEL, "messages": [{"role": "user", "content": "Hi"}]},
            timeout=WAIT_S,
        )
        assert answer.status_code == 502, answer.text

    def cool_down_s() -> int | None:
        with closing(sqlite3.connect(path)) as connection:
            row = connection.execute("SELECT cool_down_s FROM offer_health").fetchone()
            return row[0] if row else None

    assert until(cool_down_s, within_s=SOON_S) >= 5
