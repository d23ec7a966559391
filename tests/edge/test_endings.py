"""How a request can end, and what it costs: each row of the table, streamed and not."""

import json
import socket
from collections.abc import Callable

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from solrouter import database
from solrouter.blueprints.api.schemas import parse_chat
from solrouter.interruptions import ClientLeft, Wait
from solrouter.models import Completion, Offer
from solrouter.services import accounts, admission, catalogue, completions, keys
from solrouter.services.admission import OUTPUT_TOKENS_ASSUMED
from tests.edge.test_chat import HELLO, balance, chunks, newest, post, text_of
from tests.factories import Person, fund, make_offer, make_person
from tests.fakes.upstream import FakeUpstream
from tests.providers.raw_server import RawServer, read_request

FIVE = 5_000_000_000
FAULTS = {
    "cut": {"cut_after_events": 3},
    "cut mid event": {"cut_after_events": 3, "cut_mid_event": True},
    "error event": {"error_event": (3, {"error": {"message": "boom", "code": 500}})},
    "garbage": {"garbage": True, "garbage_after": 3},
    "no finish": {"no_finish": True},
}


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("finish", ["stop", "length", "content_filter", "tool_calls"])
def test_finished_with_usage_costs_that_usage(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream,
    finish: str, stream: bool,
) -> None:  # fmt: skip
    upstream.answers(text="Hi", usage=(100, 10), finish_reason=finish)
    post(client, alice, offered, stream=stream).get_data()
    assert balance(app, alice).posted_nanos == FIVE - 120_000
    receipt = newest(app, alice)
    assert (receipt.outcome, receipt.reason, receipt.usage_source) == (
        "finished",
        finish,
        "upstream",
    )


@pytest.mark.parametrize("stream", [False, True])
def test_finished_without_usage_costs_our_count(
    app: Flask,
    client: FlaskClient,
    alice: Person,
    offered: str,
    upstream: FakeUpstream,
    stream: bool,
) -> None:
    upstream.answers(text="word " * 40, usage_mode="none")
    post(client, alice, offered, stream=stream).get_data()
    receipt = newest(app, alice)
    assert (receipt.outcome, receipt.usage_source) == ("finished", "estimated")
    assert 40 <= receipt.completion_tokens <= 60
    assert balance(app, alice).posted_nanos == FIVE - receipt.charge_nanos


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("mode", ["negative", "absurd", "null"])
def test_a_usage_that_cannot_be_is_not_believed(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream,
    mode: str, stream: bool,
) -> None:  # fmt: skip
    upstream.answers(text="Hi", usage_mode=mode)
    post(client, alice, offered, stream=stream).get_data()
    after = balance(app, alice)
    assert FIVE - 1_000_000 < after.posted_nanos <= FIVE
    assert newest(app, alice).usage_source == "estimated"


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS.keys())
def test_a_fault_after_content_costs_nothing_within_the_allowance(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream,
    fault: dict[str, object],
) -> None:  # fmt: skip
    upstream.streams(*["word "] * 9, usage=(12, 9), **fault)
    events = chunks(post(client, alice, offered, stream=True))
    assert events[-1]["choices"][0]["finish_reason"] == "error"
    receipt = newest(app, alice)
    assert (receipt.outcome, receipt.charge_nanos) == ("failed", 0)
    assert receipt.completion_tokens > 0
    assert balance(app, alice).available_nanos == FIVE


def test_beyond_the_allowance_a_fault_costs_what_was_delivered(
    make_app: Callable[..., Flask], upstream: FakeUpstream
) -> None:
    app = make_app(SOLROUTER_UNRECOVERED_PER_DAY="0.0001", SOLROUTER_UNRECOVERED_PERCENT="0")
    offered, client = make_offer(app, upstream.url), app.test_client()
    alice = make_person(app, "alice@example.com", credit="5.00")
    upstream.streams(*["word "] * 40, usage=(12, 40), cut_after_events=30)
    charges = []
    for _ in range(4):
        chunks(post(client, alice, offered, stream=True))
        charges.append(newest(app, alice).charge_nanos)
    assert charges[0] == 0
    assert charges[-1] > 0
    assert newest(app, alice).reason == "beyond_allowance"
    assert balance(app, alice).posted_nanos == FIVE - sum(charges)


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


def test_it_is_read_on_too_when_the_server_notices_the_departure(
    make_app: Callable[..., Flask], upstream: FakeUpstream
) -> None:
    app = make_app(SOLROUTER_UNRECOVERED_PER_DAY="0", SOLROUTER_UNRECOVERED_PERCENT="0")
    offered = make_offer(app, upstream.url)
    alice = make_person(app, "alice@example.com", credit="5.00")
    upstream.streams(*["word "] * 20, usage=(12, 20))
    with app.app_context():
        mark = update(Offer).values(bills_after_cancel=True)
        database.transact(lambda connection: connection.execute(mark))
        catalogue.reload()
        wait = Wait()
        request = parse_chat({"model": offered, "messages": HELLO, "stream": True}, messages_max=10)
        principal = keys.authenticate(alice.key_text)
        completion = completions.start(principal, request, wait)
        said = completion.chunks()
        next(said)
        wait.interrupt(ClientLeft())
        assert list(said) == []
    receipt = newest(app, alice)
    assert (receipt.outcome, receipt.usage_source) == ("cancelled", "upstream")
    assert upstream.aborted == []


def test_an_upstream_that_ignores_its_limit_costs_the_hold_and_what_is_free(
    app: Flask, client: FlaskClient, bob: Person, offered: str, upstream: FakeUpstream
) -> None:
    with app.app_context():
        fund(bob.account_id, "0.001")
    upstream.answers(text="Hi", usage=(100, 5_000))
    answer = post(client, bob, offered, max_tokens=10)
    assert answer.json["usage"]["cost"] == 0.001
    after = balance(app, bob)
    assert (after.posted_nanos, after.held_nanos) == (0, 0)
    assert newest(app, bob).write_off_nanos == 100_000 + 10_000_000 - 1_000_000


@pytest.mark.parametrize("stream", [False, True])
def test_an_unnamed_limit_grows_its_hold_and_ends_with_the_balance(
    app: Flask, client: FlaskClient, bob: Person, upstream: FakeUpstream, stream: bool
) -> None:
    offered = make_offer(app, upstream.url, max_output=100_000, context=200_000)
    with app.app_context():
        fund(bob.account_id, "0.05")
    # Another request of the account's holds a part of what this one would need.
    with app.app_context():
        hold_beside(bob, offered)
    upstream.streams(*["word " * 100] * 400, usage_mode="none", ignore_max_tokens=True)
    answer = post(client, bob, offered, stream=stream)
    if stream:
        events = chunks(answer)
        assert events[-1]["choices"][0]["finish_reason"] == "length"
        assert len(text_of(events)) > OUTPUT_TOKENS_ASSUMED
    else:
        assert answer.json["choices"][0]["finish_reason"] == "length"
        assert len(answer.json["choices"][0]["message"]["content"]) > OUTPUT_TOKENS_ASSUMED
    receipt = newest(app, bob)
    assert (receipt.outcome, receipt.reason) == ("stopped", "balance")
    assert receipt.charge_nanos > 0
    assert balance(app, bob).posted_nanos == 50_000_000 - receipt.charge_nanos


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


def test_our_total_deadline_ends_an_answer_that_is_charged_as_served(
    make_app: Callable[..., Flask], upstream: FakeUpstream
) -> None:
    app = make_app(SOLROUTER_TOTAL_S="1")
    offered, client = make_offer(app, upstream.url), app.test_client()
    alice = make_person(app, "alice@example.com", credit="5.00")
    upstream.streams("word ", endless=True, stall_between_s=0.05)
    events = chunks(post(client, alice, offered, stream=True))
    assert events[-1]["choices"][0]["finish_reason"] == "length"
    receipt = newest(app, alice)
    assert (receipt.outcome, receipt.reason) == ("stopped", "total_deadline")
    assert receipt.charge_nanos > 0


def hold_beside(person: Person, model: str) -> None:
    """Admits another request of the person's, which stays."""
    from tests.services.test_admission import ask

    offer = ask(person).offer
    assert offer.model_id == model
    admission.admit(ask(person, output_limit=9_000, prompt_bound=1_000))


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
