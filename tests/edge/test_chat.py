"""POST /v1/chat/completions at the edge: the contract of answers, streams, errors and money."""

import gc
from typing import Any

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.test import TestResponse

from solrouter.chat import Chunk
from solrouter.services import activity, billing
from tests.factories import Person, fund
from tests.fakes.upstream import FakeUpstream

HELLO = [{"role": "user", "content": "Hello"}]
FULL: dict[str, Any] = {"model": "acme/tiny", "messages": HELLO}


def post(client: FlaskClient, person: Person, model: str, **body: Any) -> TestResponse:
    body = {"model": model, "messages": HELLO, **body}
    return client.post("/v1/chat/completions", json=body, headers=person.bearer)


def chunks(answer: TestResponse) -> list[dict[str, Any]]:
    """The events of a stream, which must end with [DONE]."""
    assert answer.mimetype == "text/event-stream"
    lines = [line[6:] for line in answer.data.split(b"\n") if line.startswith(b"data: ")]
    assert lines.pop() == b"[DONE]"
    return [orjson.loads(line) for line in lines]


def text_of(events: list[dict[str, Any]]) -> str:
    return "".join(e["choices"][0]["delta"].get("content") or "" for e in events if e["choices"])


def balance(app: Flask, person: Person) -> billing.Balance:
    with app.app_context():
        assert list(billing.audit()) == []
        return billing.balance(person.account_id)


def newest(app: Flask, person: Person) -> activity.Receipt:
    with app.app_context():
        return activity.recent(person.account_id, limit=1)[0]


def test_an_answer_has_the_documents_shape(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Forty-two.", usage=(15, 83))
    answer = post(client, alice, offered)
    body = answer.json
    assert answer.status_code == 200
    assert body["id"].startswith("chatcmpl-")
    assert body["id"] == answer.headers["X-Generation-Id"]
    assert body["object"] == "chat.completion"
    assert body["model"] == offered
    [choice] = body["choices"]
    assert (choice["index"], choice["finish_reason"], choice["logprobs"]) == (0, "stop", None)
    assert (choice["message"]["role"], choice["message"]["content"]) == ("assistant", "Forty-two.")
    assert choice["message"]["refusal"] is None
    assert "tool_calls" not in choice["message"]
    usage = body["usage"]
    assert (usage["prompt_tokens"], usage["completion_tokens"], usage["total_tokens"]) == (
        15,
        83,
        98,
    )
    assert usage["cost"] == 0.000181
    assert usage["cost_details"]["charge"] == "0.000181"
    assert balance(app, alice).posted_nanos == 5_000_000_000 - 181_000


def test_what_goes_upstream_is_written_anew(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi")
    post(client, alice, offered, temperature=0.5, stop=["\n"], max_tokens=50)
    seen = upstream.last
    assert seen.path == "/v1/chat/completions"
    assert seen.headers["authorization"] == "Bearer upstream-key"
    assert seen.body["model"] == "tiny-1"
    assert seen.body["max_tokens"] == 50
    assert (seen.body["temperature"], seen.body["stop"]) == (0.5, ["\n"])
    assert alice.key_text not in str(seen)


def test_a_stream_ends_with_the_finish_its_usage_and_done(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams("Hel", "lo", usage=(12, 2))
    answer = post(client, alice, offered, stream=True)
    events = chunks(answer)
    assert text_of(events) == "Hello"
    assert {event["object"] for event in events} == {"chat.completion.chunk"}
    assert {event["id"] for event in events} == {answer.headers["X-Generation-Id"]}
    assert {event["model"] for event in events} == {offered}
    assert all(event["choices"] for event in events), "unasked, no chunk has empty choices"
    assert events[-1]["choices"][0]["finish_reason"] == "stop"
    assert events[-1]["usage"]["cost"] == 0.000016
    assert answer.headers["X-Accel-Buffering"] == "no"
    assert balance(app, alice).posted_nanos == 5_000_000_000 - 16_000


def test_an_asked_for_usage_is_one_chunk_after_the_finish(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams("Hi", usage=(12, 2))
    events = chunks(
        post(client, alice, offered, stream=True, stream_options={"include_usage": True})
    )
    assert events[-1]["choices"] == []
    assert events[-1]["usage"]["total_tokens"] == 14
    assert events[-2]["choices"][0]["finish_reason"] == "stop"
    assert all(event["usage"] is None for event in events[:-1])


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("status", "code"),
    [
        (500, "upstream_error"),
        (503, "upstream_overloaded"),
        (529, "upstream_overloaded"),
        (429, "upstream_rate_limited"),
        (401, "upstream_auth"),
    ],
)
def test_a_failing_upstream_is_a_502_that_costs_nothing(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream,
    status: int, code: str, stream: bool,
) -> None:  # fmt: skip
    upstream.answers(status=status)
    answer = post(client, alice, offered, stream=stream)
    error = answer.json["error"]
    assert (answer.status_code, error["type"], error["code"]) == (502, "upstream_error", code)
    assert error["metadata"]["provider"] == "acme"
    assert "x-should-retry" not in answer.headers
    assert balance(app, alice).available_nanos == 5_000_000_000
    receipt = newest(app, alice)
    assert (receipt.outcome, receipt.charge_nanos) == ("failed", 0)


def test_a_dead_upstream_is_a_502(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.close()
    answer = post(client, alice, offered)
    assert answer.status_code == 502
    assert balance(app, alice).available_nanos == 5_000_000_000


def test_a_stream_cut_after_content_ends_with_an_error_and_costs_nothing(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams("Hel", "lo", usage=(12, 2), cut_after_events=2)
    events = chunks(post(client, alice, offered, stream=True))
    assert text_of(events).startswith("Hel")
    assert events[-1]["choices"][0]["finish_reason"] == "error"
    assert events[-1]["error"]["type"] == "upstream_error"
    assert balance(app, alice).available_nanos == 5_000_000_000
    assert newest(app, alice).outcome == "failed"


def test_the_users_own_mistake_comes_back_as_a_400(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(status=400)
    answer = post(client, alice, offered)
    assert (answer.status_code, answer.json["error"]["type"]) == (400, "invalid_request_error")
    assert balance(app, alice).available_nanos == 5_000_000_000


def test_missing_usage_is_estimated_and_says_so(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams("word " * 400, usage_mode="none", ignore_max_tokens=True)
    events = chunks(post(client, alice, offered, stream=True))
    assert 400 <= events[-1]["usage"]["completion_tokens"] <= 402
    assert newest(app, alice).usage_source == "estimated"
    assert balance(app, alice).held_nanos == 0


def test_a_client_that_leaves_pays_for_what_was_made(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams(*["word "] * 50, usage=(12, 50), stall_between_s=0.01)
    answer = post(client, alice, offered, stream=True)
    reader = iter(answer.response)
    for _ in range(5):
        next(reader)
    answer.close()
    receipt = newest(app, alice)
    assert (receipt.outcome, receipt.reason) == ("cancelled", "client_left")
    assert receipt.usage_source == "estimated"
    assert 0 < receipt.charge_nanos < 112_000
    assert upstream.wait_for(lambda: upstream.aborted)
    assert balance(app, alice).held_nanos == 0


def test_nothing_of_an_answer_stays_once_it_is_sent(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    """A thousand streams at once would each keep the chunks that they began with."""
    upstream.streams(*["word "] * 20, usage=(12, 20), stall_between_s=0.01)
    before = whole_chunks()
    answer = post(client, alice, offered, stream=True)
    reader = iter(answer.response)
    for _ in range(10):
        next(reader)
    assert all(any(chunk is old for old in before) for chunk in whole_chunks())
    answer.close()


def whole_chunks() -> list[Chunk]:
    """The chunks of this process that hold an event."""
    gc.collect()
    return [one for one in gc.get_objects() if isinstance(one, Chunk) and one.payload]


def test_without_credit_a_request_is_a_402_and_reaches_nobody(
    client: FlaskClient, bob: Person, offered: str, upstream: FakeUpstream
) -> None:
    answer = post(client, bob, offered)
    error = answer.json["error"]
    assert (answer.status_code, error["type"]) == (402, "insufficient_credits")
    assert error["code"] == "insufficient_balance"
    assert set(error["metadata"]) >= {"required", "available", "held", "affordable_tokens"}
    assert answer.headers["x-should-retry"] == "false"
    assert answer.headers["x-ratelimit-remaining-requests"] == "600"
    assert upstream.requests == 0


def test_too_many_requests_are_a_429_that_says_when(
    app: Flask, client: FlaskClient, offered: str, make_free_person: Person, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(1, 1))
    answers = [post(client, make_free_person, offered, max_tokens=10) for _ in range(21)]
    assert [answer.status_code for answer in answers] == [200] * 20 + [429]
    error = answers[-1].json["error"]
    assert (error["type"], error["code"]) == ("rate_limit_error", "requests_per_minute")
    assert 1 <= int(answers[-1].headers["Retry-After"]) <= 60
    assert answers[-1].headers["x-ratelimit-limit-requests"] == "20"
    assert answers[-1].headers["x-ratelimit-remaining-requests"] == "0"
    assert answers[0].headers["x-ratelimit-limit-requests"] == "20"
    assert answers[0].headers["x-ratelimit-remaining-requests"] == "19"


@pytest.fixture
def make_free_person(app: Flask, alice: Person) -> Person:
    from solrouter.services import accounts

    with app.app_context():
        accounts.set_plan(alice.account_id, "free")
    return alice


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "Bearer",
        "Bearer ",
        "Bearer sr_short",
        "Basic abc",
        "Bearer ' OR '1'='1",
        "Bearer sr_" + "a" * 44,
        "Bearer " + "x" * 70_000,
        "Bearer sr_é" + "a" * 43,
    ],
)
def test_a_wrong_key_gets_the_documents_answer_to_the_letter(
    client: FlaskClient, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header.encode("utf-8").decode("latin-1")}
    answer = client.post("/v1/chat/completions", data=b"not json", headers=headers)
    error = answer.json["error"]
    assert answer.status_code == 401
    assert error["message"] == "Invalid API key provided."
    assert (error["type"], error["code"]) == ("authentication_error", "invalid_api_key")
    assert answer.headers["WWW-Authenticate"].startswith("Bearer")


def test_a_cookie_opens_nothing_here(client: FlaskClient, alice: Person) -> None:
    alice.sign_in(client)
    assert client.post("/v1/chat/completions", json={}).status_code == 401


def test_a_revoked_key_is_dead_at_once(
    app: Flask, client: FlaskClient, alice: Person, offered: str
) -> None:
    from solrouter.services import keys

    with app.app_context():
        keys.revoke(alice.account_id, keys.list_of(alice.account_id)[0].public_id)
    answer = post(client, alice, offered)
    assert (answer.status_code, answer.json["error"]["code"]) == (401, "revoked_api_key")


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({}, "model"),
        ({"model": 5}, "model"),
        ({"model": "acme/none", "messages": HELLO}, "model"),
        ({"model": "acme/tiny"}, "messages"),
        ({"model": "acme/tiny", "messages": "hi"}, "messages"),
        ({"model": "acme/tiny", "messages": []}, "messages"),
        ({"model": "acme/tiny", "messages": ["hi"]}, "messages[0]"),
        ({"model": "acme/tiny", "messages": [{"content": "x"}]}, "messages[0].role"),
        ({"model": "acme/tiny", "messages": [{"role": "boss", "content": ""}]}, "messages[0].role"),
        ({"model": "acme/tiny", "messages": [{"role": "user"}]}, "messages[0].content"),
        (
            {"model": "acme/tiny", "messages": [{"role": "user", "content": [{"type": "poem"}]}]},
            "messages[0].content[0].type",
        ),
        (
            {"model": "acme/tiny", "messages": [{"role": "tool", "content": "x"}]},
            "messages[0].tool_call_id",
        ),
        ({**FULL, "temperature": "hot"}, "temperature"),
        ({**FULL, "temperature": 3}, "temperature"),
        ({**FULL, "max_tokens": 0}, "max_tokens"),
        ({**FULL, "max_tokens": True}, "max_tokens"),
        ({**FULL, "n": 9}, "n"),
        ({**FULL, "stream": "yes"}, "stream"),
        ({**FULL, "stop": [1]}, "stop"),
        ({**FULL, "service_tier": "priority"}, "service_tier"),
        ({**FULL, "web_search_options": {}}, "web_search_options"),
        ({**FULL, "provider": {"only": ["x"]}}, "provider"),
        ({**FULL, "provider": {"sort": "x"}}, "provider.sort"),
        ({**FULL, "tools": [{"type": "web_search"}]}, "tools[0].type"),
        ({**FULL, "response_format": {"type": "xml"}}, "response_format.type"),
        ({**FULL, "stream_options": {"include_usage": True}}, "stream_options"),
    ],
)
def test_a_mistake_is_named_by_its_parameter(
    client: FlaskClient, alice: Person, offered: str, body: dict[str, Any], param: str
) -> None:
    answer = client.post("/v1/chat/completions", json=body, headers=alice.bearer)
    error = answer.json["error"]
    assert (answer.status_code, error["type"]) == (400, "invalid_request_error")
    assert error["param"] == param
    assert param.partition("[")[0].partition(".")[0] in error["message"] or "model" in param
    assert answer.headers["x-should-retry"] == "false"


@pytest.mark.parametrize(
    ("data", "status", "code"),
    [
        (b"", 400, "invalid_json"),
        (b"{", 400, "invalid_json"),
        (b"[]", 400, "invalid_json"),
        (b'"x"', 400, "invalid_json"),
        (b"\xff\xfe", 400, "invalid_json"),
        (b"[" * 100_000, 400, "invalid_json"),
        (b'{"a":' * 200 + b"1" + b"}" * 200, 400, "invalid_json"),
    ],
)
def test_garbage_is_refused_politely(
    client: FlaskClient, alice: Person, data: bytes, status: int, code: str
) -> None:
    headers = {**alice.bearer, "Content-Type": "application/json"}
    answer = client.post("/v1/chat/completions", data=data, headers=headers)
    assert (answer.status_code, answer.json["error"]["code"]) == (status, code)


def test_a_form_is_not_json(client: FlaskClient, alice: Person) -> None:
    answer = client.post("/v1/chat/completions", data={"a": "b"}, headers=alice.bearer)
    assert (answer.status_code, answer.json["error"]["code"]) == (415, "unsupported_media_type")


def test_a_body_that_is_too_large_is_a_413(make_app: Any, alice: Person) -> None:
    client = make_app(SOLROUTER_BODY_BYTES_MAX="1000").test_client()
    answer = post(client, alice, "demo/echo", user="x" * 2000)
    assert (answer.status_code, answer.json["error"]["code"]) == (413, "body_too_large")


@pytest.mark.parametrize("mount", ["/v1", "/ai", "/api/v1"])
@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/nothing", 404, "not_found"),
        ("POST", "/completions", 404, "not_found"),
        ("POST", "/embeddings", 404, "not_found"),
        ("GET", "/chat/completions", 405, "method_not_allowed"),
        ("DELETE", "/models", 405, "method_not_allowed"),
        ("GET", "/models/acme/none", 404, "model_not_found"),
        ("GET", "", 404, "not_found"),
    ],
)
def test_every_path_under_a_mount_answers_in_the_one_shape(
    client: FlaskClient, mount: str, method: str, path: str, status: int, code: str
) -> None:
    answer = client.open(mount + path, method=method)
    assert answer.status_code == status
    error = answer.json["error"]
    assert (error["type"], error["code"]) == ("invalid_request_error", code)
    assert answer.headers["X-Request-Id"].startswith("req_")


@pytest.mark.parametrize("mount", ["/v1", "/ai", "/api/v1"])
def test_the_same_api_stands_under_every_mount(
    client: FlaskClient, alice: Person, mount: str
) -> None:
    body = {"model": "demo/echo", "messages": HELLO}
    answer = client.post(f"{mount}/chat/completions", json=body, headers=alice.bearer)
    assert answer.status_code == 200


def test_fields_that_we_do_not_know_are_passed_or_named(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi")
    assert "warnings" not in post(client, alice, offered, mirostat=2).json
    assert upstream.last.body["mirostat"] == 2
    told = post(client, alice, "demo/echo", mirostat=2).json["warnings"]
    assert told == ["mirostat: not known here, and not passed on"]


def test_a_named_limit_reaches_the_upstream_and_a_small_balance_lowers_it(
    app: Flask, client: FlaskClient, bob: Person, offered: str, upstream: FakeUpstream
) -> None:
    with app.app_context():
        fund(bob.account_id, "0.002")
    upstream.answers(text="Hi", usage=(10, 1))
    answer = post(client, bob, offered, max_tokens=5_000)
    sent = upstream.last.body["max_tokens"]
    assert answer.status_code == 200
    assert int(answer.headers["X-SolRouter-Max-Tokens"]) == sent < 5_000


def test_n_choices_are_held_and_billed(
    client: FlaskClient, alice: Person, upstream: FakeUpstream
) -> None:
    answer = post(client, alice, "demo/echo", n=3)
    body = answer.json
    assert [choice["index"] for choice in body["choices"]] == [0, 1, 2]
    one = post(client, alice, "demo/echo").json
    assert body["usage"]["completion_tokens"] >= 3 * one["usage"]["completion_tokens"]
    assert body["usage"]["cost"] > 2 * one["usage"]["cost"]


def test_a_receipt_recomputes_to_its_charge(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage={"prompt_tokens": 100, "completion_tokens": 7, "total_tokens":
    107, "prompt_tokens_details": {"cached_tokens": 60}})  # fmt: skip
    identifier = post(client, alice, offered).json["id"]
    receipt = client.get(f"/v1/generation?id={identifier}", headers=alice.bearer).json["data"]
    assert receipt["usage_classes"] == {"input": 40, "cache_read": 60, "output": 7}
    assert receipt["charge"] == "0.000114"
    assert receipt["price"]["rates"] == {"input": 1_000_000_000, "output": 2_000_000_000}
    assert receipt["attempts"][0]["provider"] == "acme"


def test_charlie_sees_no_receipt_of_alices(
    client: FlaskClient, alice: Person, charlie: Person
) -> None:
    identifier = post(client, alice, "demo/echo").json["id"]
    answer = client.get(f"/v1/generation?id={identifier}", headers=charlie.bearer)
    assert answer.status_code == 404
    for nonsense in ("x", "chatcmpl-", "chatcmpl-zz", "' OR 1=1"):
        answer = client.get("/v1/generation", query_string={"id": nonsense}, headers=charlie.bearer)
        assert answer.status_code in (400, 404)


def test_the_key_and_the_balance_tell_of_themselves(client: FlaskClient, alice: Person) -> None:
    key = client.get("/v1/key", headers=alice.bearer).json["data"]
    assert key["label"].startswith("sr_")
    assert alice.key_text not in str(key)
    credits = client.get("/v1/credits", headers=alice.bearer).json["data"]
    assert (credits["balance"], credits["held"]) == ("5", "0")
