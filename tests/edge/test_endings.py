"""How a request can end: what the served app (tests/e2e/test_served_endings.py) does not show."""

import json
import socket
from collections.abc import Callable

from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from solrouter import database
from solrouter.models import Completion, Offer
from solrouter.services import accounts, keys
from tests.edge.test_chat import balance, chunks, newest, post, text_of
from tests.factories import Person, fund, make_offer, make_person
from tests.fakes.upstream import FakeUpstream
from tests.providers.raw_server import RawServer, read_request

FIVE = 5_000_000_000


def test_a_large_customer_has_a_larger_allowance(
    make_app: Callable[..., Flask], upstream: FakeUpstream
) -> None:
    app = make_app(SOLROUTER_UNRECOVERED_PER_DAY="0", SOLROUTER_UNRECOVERED_PERCENT="50")
    offered, client = make_offer(app, upstream.url), app.test_client()
    alice = make_person(app, "alice@example.com", credit="5.00")
    upstream.answers(text="Hi", usage=(100_000, 10), times=1)
    post(client, alice, offered)
    upstream.streams(*["word "] * 40, usage=(12, 40), cut_after_events=30)
    chunks(post(client, alice, offered, stream=True))
    assert newest(app, alice).charge_nanos == 0


def test_a_cancelled_call_is_read_on_where_cancelling_does_not_help(
    make_app: Callable[..., Flask], upstream: FakeUpstream
) -> None:
    app = make_app(SOLROUTER_UNRECOVERED_PER_DAY="0", SOLROUTER_UNRECOVERED_PERCENT="0")
    offered, client = make_offer(app, upstream.url), app.test_client()
    alice = make_person(app, "alice@example.com", credit="5.00")
    with app.app_context():
        mark = update(Offer).values(bills_after_cancel=True)
        database.transact(lambda connection: connection.execute(mark))
    upstream.streams(*["word "] * 20, usage=(12, 20))
    answer = post(client, alice, offered, stream=True)
    next(iter(answer.response))
    answer.close()
    receipt = newest(app, alice)
    assert (receipt.outcome, receipt.usage_source) == ("cancelled", "upstream")
    assert receipt.charge_nanos == 12_000 + 40_000
    assert upstream.aborted == []


def test_a_whole_answer_is_put_together_from_a_stream_byte_for_byte(
    app: Flask, client: FlaskClient, bob: Person, upstream: FakeUpstream
) -> None:
    offered = make_offer(app, upstream.url, max_output=100_000, context=200_000)
    with app.app_context():
        fund(bob.account_id, "0.05")
    upstream.streams("Grüße, ", "世界 ", "🌍\u2028", "!", usage=(12, 4), split_bytes=1)
    answer = post(client, bob, offered).json
    assert upstream.last.body["stream"] is True
    assert answer["object"] == "chat.completion"
    assert answer["choices"][0]["message"]["content"] == "Grüße, 世界 🌍\u2028!"
    assert answer["choices"][0]["finish_reason"] == "stop"
    assert answer["usage"]["completion_tokens"] == 4


def test_an_unknown_plan_and_a_revoked_key_change_no_money(app: Flask, alice: Person) -> None:
    with app.app_context():
        accounts.set_plan(alice.account_id, "free")
        keys.revoke(alice.account_id, keys.list_of(alice.account_id)[0].public_id)
    assert balance(app, alice).posted_nanos == FIVE


def test_each_attempt_keeps_what_it_cost_us_and_only_operators_see_it(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    told = {"choices": [], "usage": {"prompt_tokens": 1000, "completion_tokens": 0}}

    def tells_its_usage_and_hangs_up(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        sock.sendall(b"data: " + json.dumps(told).encode() + b"\n\n")

    upstream.answers(text="Hi", usage=(100, 10))
    with RawServer(tells_its_usage_and_hangs_up) as server:
        make_offer(app, server.url, provider="broken")
        order = {"order": ["broken", "acme"]}
        said = chunks(post(client, alice, offered, stream=True, provider=order))
    assert text_of(said) == "Hi"
    with app.app_context(), database.read() as connection:
        row = connection.execute(select(Completion.attempts, Completion.upstream_cost_nanos)).one()
    assert [attempt["upstream_cost_nanos"] for attempt in row.attempts] == [1_000_000, 120_000]
    assert row.upstream_cost_nanos == 1_120_000
    receipt = newest(app, alice)
    assert receipt.charge_nanos == 120_000
    assert "cost" not in str(receipt.attempts)


def test_a_whole_answer_that_stalls_is_asked_of_the_next_one(
    make_app: Callable[..., Flask], upstream: FakeUpstream
) -> None:
    app = make_app(SOLROUTER_FIRST_TOKEN_S="0.3", SOLROUTER_TOTAL_S="20")
    offered = make_offer(app, upstream.url)
    alice = make_person(app, "alice@example.com", credit="5.00")
    with FakeUpstream() as silent:
        silent.answers(stall_before_s=60)
        # Longer than the first content may take, which does not bind the last one who is left.
        upstream.answers(text="Hi", usage=(100, 10), delay_s=0.6)
        make_offer(app, silent.url, provider="silent")
        order = {"order": ["silent", "acme"]}
        answer = post(app.test_client(), alice, offered, provider=order)
    assert answer.json["choices"][0]["message"]["content"] == "Hi"
    errors = [attempt["error"] for attempt in newest(app, alice).attempts]
    assert errors == ["upstream_timeout", None]
