"""While an upstream is silent the caller's line stays alive, and what follows is still honest."""

import json
import socket
import time
from collections.abc import Callable
from typing import Any

import pytest
from flask import Flask

from tests.edge.test_chat import balance, newest, post
from tests.factories import Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream
from tests.providers.raw_server import RawServer, read_request

FIVE = 5_000_000_000
KEEP_ALIVE = b": keep-alive\n"
QUIET = {"SOLROUTER_KEEP_ALIVE_S": "0.1"}


@pytest.fixture
def quiet_app(make_app: Callable[..., Flask]) -> Flask:
    return make_app(**QUIET, SOLROUTER_FIRST_BYTE_S="0.3")


@pytest.fixture
def offered(quiet_app: Flask, upstream: FakeUpstream) -> str:
    return make_offer(quiet_app, upstream.url)


@pytest.fixture
def alice(quiet_app: Flask) -> Person:
    return make_person(quiet_app, "alice@example.com", credit="5.00")


@pytest.mark.parametrize(
    "silence",
    [{"stall_before_s": 0.55}, {"stall_after_headers_s": 0.55}, {"stall_after": (2, 0.55)}],
    ids=["before the status", "before the first event", "in the middle"],
)
def test_a_silent_stream_is_kept_alive_and_complete(
    quiet_app: Flask,
    alice: Person,
    offered: str,
    upstream: FakeUpstream,
    silence: dict[str, object],
) -> None:
    upstream.streams("one ", "two ", "three", usage=(10, 3), **silence)
    body = post(quiet_app.test_client(), alice, offered, stream=True).get_data()
    assert 3 <= body.count(KEEP_ALIVE) <= 6
    events = [line[6:] for line in body.split(b"\n") if line.startswith(b"data: ")]
    assert events[-1] == b"[DONE]"
    texts = [json.loads(event)["choices"][0]["delta"].get("content", "") for event in events[:-1]]
    assert "".join(texts) == "one two three"


def test_pings_of_the_upstream_do_not_count_as_speech(quiet_app: Flask, alice: Person) -> None:
    def pings_for_long(sock: socket.socket, _number: int) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n")
        for _ in range(14):
            time.sleep(0.04)
            sock.sendall(b": ping\n\n")
        choice = {"index": 0, "delta": {"content": "Hi"}, "finish_reason": "stop"}
        sock.sendall(b"data: " + json.dumps({"choices": [choice]}).encode() + b"\n\n")

    with RawServer(pings_for_long) as server:
        offered = make_offer(quiet_app, server.url)
        body = post(quiet_app.test_client(), alice, offered, stream=True).get_data()
    assert b"ping" not in body
    assert 3 <= body.count(KEEP_ALIVE) <= 6
    assert b'"content":"Hi"' in body


def test_a_fault_after_the_first_silence_is_the_last_chunk(
    quiet_app: Flask, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(status=500, delay_s=0.3)
    answer = post(quiet_app.test_client(), alice, offered, stream=True)
    assert answer.status_code == 200
    body = answer.get_data()
    assert body.startswith(KEEP_ALIVE)
    last = json.loads(body.split(b"data: ")[1])
    assert last["choices"][0]["finish_reason"] == "error"
    assert last["error"]["type"] == "upstream_error"
    assert body.endswith(b"data: [DONE]\n\n")
    assert newest(quiet_app, alice).outcome == "failed"
    assert balance(quiet_app, alice).available_nanos == FIVE


def test_a_client_that_leaves_while_nobody_has_answered_lets_the_upstream_go(
    quiet_app: Flask, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams("never", stall_before_s=60)
    answer = post(quiet_app.test_client(), alice, offered, stream=True)
    assert next(iter(answer.response)) == KEEP_ALIVE
    answer.close()
    upstream.wait_for(lambda: upstream.aborted, 2)
    assert newest(quiet_app, alice).outcome == "cancelled"
    assert balance(quiet_app, alice).held_nanos == 0


def test_an_answer_in_one_piece_sends_its_status_in_time_and_then_spaces(
    quiet_app: Flask, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(10, 1), delay_s=0.7)
    answer = post(quiet_app.test_client(), alice, offered)
    body = answer.get_data()
    assert body.startswith(b"  ")
    assert json.loads(body)["choices"][0]["message"]["content"] == "Hi"
    assert "Content-Length" not in answer.headers
    assert newest(quiet_app, alice).outcome == "finished"


def test_an_answer_in_one_piece_that_comes_in_time_is_whole(
    quiet_app: Flask, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(10, 1))
    answer = post(quiet_app.test_client(), alice, offered)
    assert answer.get_data().startswith(b"{")
    assert "Content-Length" in answer.headers


def test_an_answer_that_fails_after_its_status_breaks_the_line(
    quiet_app: Flask, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(status=500, delay_s=0.7)
    answer = post(quiet_app.test_client(), alice, offered)
    assert answer.status_code == 200
    with pytest.raises(ConnectionResetError, match="not finished"):
        answer.get_data()
    assert newest(quiet_app, alice).charge_nanos == 0


def test_the_demo_is_silent_as_others_are(quiet_app: Flask, alice: Person) -> None:
    question = [{"role": "user", "content": "[[slow:0.55]] Hello"}]
    body = post(
        quiet_app.test_client(), alice, "demo/echo", stream=True, messages=question, temperature=0.5
    ).get_data()
    assert 3 <= body.count(KEEP_ALIVE) <= 6
    assert b"temperature: demo has nothing like it" in body


@pytest.mark.parametrize(
    ("given", "first_byte_s"),
    [
        ({}, 0.0),
        ({"DYNO": "web.1"}, 25.0),
        ({"DYNO": "web.1", "SOLROUTER_FIRST_BYTE_S": "0"}, 0.0),
        ({"SOLROUTER_FIRST_BYTE_S": "7"}, 7.0),
    ],
    ids=["nowhere", "a dyno", "a dyno that streams", "named"],
)
def test_behind_herokus_router_a_first_byte_is_due(
    make_app: Callable[..., Flask], given: dict[str, Any], first_byte_s: float
) -> None:
    assert make_app(**given).config["SOLROUTER_FIRST_BYTE_S"] == first_byte_s
