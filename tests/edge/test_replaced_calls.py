"""Several choices of a provider that makes one at a time: who was replaced is on the receipt."""

import json
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select

from solrouter import database
from solrouter.models import Completion
from solrouter.services import catalogue, health
from tests.edge.test_chat import balance, chunks, newest, post
from tests.factories import MODEL, Person, make_offer
from tests.fakes.upstream import FakeUpstream
from tests.providers.raw_server import RawServer, read_request

LOST = {"prompt_tokens": 1000, "completion_tokens": 0}
GOOD = {"prompt_tokens": 100, "completion_tokens": 10}
LOST_NANOS, GOOD_NANOS = 1_000_000, 120_000
SSE = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"


def event(usage: dict[str, int] | None = None, **choice: Any) -> bytes:
    choices = [{"index": 0, "finish_reason": None, "delta": {}, **choice}] if choice else []
    body: dict[str, Any] = {"id": "c", "object": "chat.completion.chunk", "choices": choices}
    return b"data: " + json.dumps(body | ({"usage": usage} if usage else {})).encode() + b"\n\n"


def speak(sock: socket.socket, number: int, *, failing: Callable[[int], bool]) -> None:
    """Tells its usage and hangs up, or answers."""
    read_request(sock)
    if failing(number):
        sock.sendall(SSE + event(LOST))
        return
    sock.sendall(SSE + event(delta={"content": "Hi"}) + event(finish_reason="stop") + event(GOOD))
    sock.sendall(b"data: [DONE]\n\n")


def offer_one_at_a_time(app: Flask, url: str, provider: str) -> str:
    """A model of a provider that makes one choice a call."""
    with app.app_context():
        catalogue.add_provider(slug=provider, kind="openai", base_url=url, server="llama.cpp")
    return make_offer(app, url, provider=provider, model=MODEL, api_key=None)


def kept(app: Flask) -> tuple[list[dict[str, Any]], int]:
    """The only receipt's attempts as an operator has them, and what they cost in all."""
    with app.app_context(), database.read() as connection:
        row = connection.execute(select(Completion.attempts, Completion.upstream_cost_nanos)).one()
    return row.attempts, row.upstream_cost_nanos


def test_a_call_that_is_replaced_has_an_attempt_with_its_cost(
    app: Flask, client: FlaskClient, alice: Person
) -> None:
    with RawServer(partial(speak, failing=lambda number: number == 1)) as server:
        model = offer_one_at_a_time(app, server.url, "one")
        said = chunks(post(client, alice, model, stream=True, n=3))
    indexes = {choice["index"] for one in said for choice in one["choices"]}
    assert indexes == {0, 1, 2}
    attempts, cost_nanos = kept(app)
    assert [(a["provider"], a["error"]) for a in attempts] == [
        ("one", "empty_completion"),
        ("one", None),
    ]
    assert [a["upstream_cost_nanos"] for a in attempts] == [LOST_NANOS, 3 * GOOD_NANOS]
    assert all(a["ms"] >= 0 and a["why"] for a in attempts)
    assert cost_nanos == LOST_NANOS + 3 * GOOD_NANOS
    receipt = newest(app, alice)
    assert receipt.charge_nanos == 3 * GOOD_NANOS, "only what was delivered"
    assert "cost" not in str(receipt.attempts)
    assert balance(app, alice).held_nanos == 0
    with app.app_context():
        [condition] = health.conditions().values()
    assert condition.error_rate > 0, "the provider did fail once"


def test_calls_that_all_fail_cost_what_each_has_told(
    app: Flask, client: FlaskClient, alice: Person, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(100, 10))
    with RawServer(partial(speak, failing=lambda _: True)) as server:
        model = offer_one_at_a_time(app, server.url, "one")
        offer_one_at_a_time(app, upstream.url, "spare")
        order = {"order": ["one", "spare"]}
        answer = post(client, alice, model, stream=True, n=2, provider=order)
        assert len(chunks(answer)) > 2
    attempts, cost_nanos = kept(app)
    assert {(a["provider"], a["error"]) for a in attempts[:-1]} == {("one", "empty_completion")}
    assert (attempts[-1]["provider"], attempts[-1]["error"]) == ("spare", None)
    costs = [attempt["upstream_cost_nanos"] for attempt in attempts]
    assert costs[-1] == 2 * GOOD_NANOS
    # One call has failed twice, which ends it; the other one may have failed by then.
    assert sum(costs[:-1]) in (2 * LOST_NANOS, 3 * LOST_NANOS, 4 * LOST_NANOS)
    assert min(costs) > 0
    assert cost_nanos == sum(costs)
    assert newest(app, alice).charge_nanos == 2 * GOOD_NANOS
