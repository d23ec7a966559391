"""The fake upstream, spoken to with plain sockets: is each fault really on the wire?"""

import json
import select
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from http.client import HTTPConnection, IncompleteRead
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.fakes.upstream import ABSURD_TOKENS, DEFAULT_TEXT, FakeUpstream, Script

ROOT = Path(__file__).parents[2]
PROMPT_MESSAGES = [{"role": "user", "content": "Say hello to me."}]
CALLS = [
    {"id": "call_a", "name": "weather", "arguments": {"city": "Zürich", "unit": "celsius"}},
    {"id": "call_b", "function": {"name": "time", "arguments": '{"zone":"UTC"}'}},
]
KEYS = {"Authorization": "Bearer right"}

# One request of each dialect: its path, its headers, its body, and its path when streaming.
PATHS = {
    "openai": "/v1/chat/completions",
    "anthropic": "/v1/messages",
    "gemini": "/v1beta/models/gemini-2.5-flash:generateContent",
}
STREAM_PATHS = PATHS | {
    "gemini": "/v1beta/models/gemini-2.5-flash:streamGenerateContent?alt=sse",
}
HEADERS = {"openai": {}, "anthropic": {"anthropic-version": "2023-06-01"}, "gemini": {}}
BODIES: dict[str, dict[str, Any]] = {
    "openai": {"model": "gpt-4o-mini", "messages": PROMPT_MESSAGES},
    "anthropic": {
        "model": "claude-haiku-4-5",
        "max_tokens": 100,
        "messages": PROMPT_MESSAGES,
    },
    "gemini": {"contents": [{"role": "user", "parts": [{"text": "Say hello to me."}]}]},
}
each_dialect = pytest.mark.parametrize("dialect", list(PATHS))


@pytest.fixture
def upstream() -> Iterator[FakeUpstream]:
    with FakeUpstream() as program:
        yield program


class Client:
    """One raw connection that sends a request of a dialect and reads bytes."""

    def __init__(
        self, upstream: FakeUpstream, dialect: str, *, stream: bool = True, **say: Any
    ) -> None:
        place = urlsplit(upstream.origin)
        self.sock = socket.create_connection((place.hostname, place.port or 0), timeout=5)
        self.ask(dialect, stream=stream, **say)

    def ask(self, dialect: str, *, stream: bool, **say: Any) -> None:
        body = BODIES[dialect] | say | ({"stream": True} if stream else {})
        payload = json.dumps(body).encode()
        headers = HEADERS[dialect] | {"Host": "fake", "Content-Length": str(len(payload))}
        path = (STREAM_PATHS if stream else PATHS)[dialect]
        lines = [f"POST {path} HTTP/1.1"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        self.sock.sendall("\r\n".join(lines).encode() + b"\r\n\r\n" + payload)

    def read_until(self, mark: bytes) -> bytes:
        read = b""
        while mark not in read:
            more = self.sock.recv(65_536)
            assert more, f"ended before {mark!r}: {read!r}"
            read += more
        return read

    def read_all(self) -> tuple[bytes, bool]:
        """Everything until the end, and whether the end was a reset."""
        read = b""
        try:
            while more := self.sock.recv(65_536):
                read += more
        except ConnectionResetError:
            return read, True
        return read, False

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()


def asked(
    upstream: FakeUpstream, dialect: str, *, stream: bool = False, **say: Any
) -> tuple[int, dict[str, str], bytes]:
    """One whole exchange through http.client."""
    connection = HTTPConnection(urlsplit(upstream.origin).netloc, timeout=5)
    path = (STREAM_PATHS if stream else PATHS)[dialect]
    body = BODIES[dialect] | say | ({"stream": True} if stream else {})
    headers = HEADERS[dialect] | KEYS
    try:
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()
    finally:
        connection.close()


def answer(upstream: FakeUpstream, dialect: str, **say: Any) -> dict[str, Any]:
    status, _, body = asked(upstream, dialect, **say)
    assert status == 200
    parsed: dict[str, Any] = json.loads(body)
    return parsed


def events(upstream: FakeUpstream, dialect: str, **say: Any) -> list[str]:
    """The data of each event of a stream."""
    status, headers, body = asked(upstream, dialect, stream=True, **say)
    assert status == 200
    assert headers["content-type"].startswith("text/event-stream")
    blocks = body.decode().removesuffix("\n\n").split("\n\n")
    return [block.split("data: ")[1] for block in blocks]


def chunks(upstream: FakeUpstream, dialect: str, **say: Any) -> list[dict[str, Any]]:
    return [json.loads(one) for one in events(upstream, dialect, **say) if one != "[DONE]"]


def dechunked(raw: bytes) -> list[bytes]:
    """The HTTP chunks of a response, complete or not."""
    body, found = raw.split(b"\r\n\r\n", 1)[1], []
    while body:
        size, _, rest = body.partition(b"\r\n")
        found.append(rest[: int(size, 16)])
        body = rest[int(size, 16) + 2 :]
    return found


def request(
    upstream: FakeUpstream, method: str, path: str, body: object = None, **headers: str
) -> tuple[int, Any]:
    connection = HTTPConnection(urlsplit(upstream.origin).netloc, timeout=5)
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, json.dumps(body) if body is not None else None, sent)
    response = connection.getresponse()
    parsed = json.loads(response.read())
    connection.close()
    return response.status, parsed


# What is said.


def test_by_default_it_answers_and_counts_words(upstream: FakeUpstream) -> None:
    said = answer(upstream, "openai")
    assert said["choices"][0]["message"]["content"] == DEFAULT_TEXT
    assert said["choices"][0]["finish_reason"] == "stop"
    assert said["model"] == "gpt-4o-mini"
    assert said["usage"]["prompt_tokens"] == 4
    assert said["usage"]["completion_tokens"] == 5
    assert said["usage"]["total_tokens"] == 9


def test_an_openai_stream_ends_with_usage_and_done(upstream: FakeUpstream) -> None:
    upstream.streams("Hel", "lo", usage=(12, 2), model="gpt-4o-mini-2024-07-18")
    *said, done = events(upstream, "openai", stream_options={"include_usage": True})
    parsed = [json.loads(one) for one in said]
    assert done == "[DONE]"
    assert [c["choices"][0]["delta"].get("content") for c in parsed[:3]] == ["", "Hel", "lo"]
    assert parsed[3]["choices"][0]["finish_reason"] == "stop"
    assert parsed[4]["choices"] == []
    assert parsed[4]["usage"]["total_tokens"] == 14
    assert [c["usage"] for c in parsed[:4]] == [None] * 4
    assert {c["model"] for c in parsed} == {"gpt-4o-mini-2024-07-18"}


def test_an_openai_stream_has_no_usage_unless_asked(upstream: FakeUpstream) -> None:
    assert all("usage" not in chunk for chunk in chunks(upstream, "openai"))


def test_an_anthropic_stream_has_named_events_in_order(upstream: FakeUpstream) -> None:
    upstream.streams("Hel", "lo", usage=(12, 2), cached_tokens=5)
    said = chunks(upstream, "anthropic")
    assert [one["type"] for one in said] == [
        "message_start",
        "content_block_start",
        "content_block_delta",
        "content_block_delta",
        "content_block_stop",
        "message_delta",
        "message_stop",
    ]
    assert said[0]["message"]["usage"]["input_tokens"] == 7
    assert said[0]["message"]["usage"]["cache_read_input_tokens"] == 5
    assert said[5]["usage"]["output_tokens"] == 2
    assert said[5]["delta"]["stop_reason"] == "end_turn"
    _, _, body = asked(upstream, "anthropic", stream=True)
    assert body.startswith(b"event: message_start\ndata: {")


def test_a_gemini_stream_counts_up_and_just_ends(upstream: FakeUpstream) -> None:
    upstream.streams("Hel", "lo", reasoning="Hm", usage=(12, 3), cached_tokens=4)
    said = chunks(upstream, "gemini")
    parts = [one["candidates"][0]["content"]["parts"][0] for one in said]
    assert [part["text"] for part in parts] == ["Hm", "Hel", "lo", ""]
    assert parts[0]["thought"] is True
    assert said[-1]["candidates"][0]["finishReason"] == "STOP"
    assert [one["usageMetadata"]["totalTokenCount"] for one in said] == [13, 14, 15, 15]
    assert said[-1]["usageMetadata"] == {
        "promptTokenCount": 12,
        "candidatesTokenCount": 2,
        "thoughtsTokenCount": 1,
        "cachedContentTokenCount": 4,
        "totalTokenCount": 15,
    }


def test_gemini_without_sse_is_an_array(upstream: FakeUpstream) -> None:
    path = PATHS["gemini"].replace("generate", "streamGenerate")
    status, said = request(upstream, "POST", path, BODIES["gemini"])
    assert status == 200
    assert isinstance(said, list)


def test_openai_tool_calls_come_in_fragments(upstream: FakeUpstream) -> None:
    upstream.answers(tool_calls=CALLS)
    rebuilt: dict[int, str] = {}
    names: dict[int, str] = {}
    said = chunks(upstream, "openai")
    for delta in (one["choices"][0]["delta"] for one in said):
        for call in delta.get("tool_calls", []):
            names.setdefault(call["index"], call["function"].get("name"))
            index, part = call["index"], call["function"]["arguments"]
            rebuilt[index] = rebuilt.get(index, "") + part
    assert names == {0: "weather", 1: "time"}
    assert json.loads(rebuilt[0]) == {"city": "Zürich", "unit": "celsius"}
    assert said[-1]["choices"][0]["finish_reason"] == "tool_calls"
    message = answer(upstream, "openai")["choices"][0]["message"]
    assert message["content"] is None
    assert message["tool_calls"][1]["function"] == {"name": "time", "arguments": '{"zone":"UTC"}'}


def test_anthropic_tool_calls_are_blocks(upstream: FakeUpstream) -> None:
    upstream.answers("Let me see.", tool_calls=CALLS, reasoning="Think first.")
    said = chunks(upstream, "anthropic")
    starts = [one["content_block"] for one in said if one["type"] == "content_block_start"]
    assert [block["type"] for block in starts] == ["thinking", "text", "tool_use", "tool_use"]
    fragments = [
        one["delta"]["partial_json"]
        for one in said
        if one["type"] == "content_block_delta" and one["index"] == 2
    ]
    assert fragments[0] == ""
    assert json.loads("".join(fragments))["city"] == "Zürich"
    whole = answer(upstream, "anthropic")
    assert whole["stop_reason"] == "tool_use"
    assert whole["content"][3]["input"] == {"zone": "UTC"}


def test_gemini_tool_calls_come_whole(upstream: FakeUpstream) -> None:
    upstream.answers(tool_calls=CALLS)
    said = chunks(upstream, "gemini")
    call = said[0]["candidates"][0]["content"]["parts"][0]["functionCall"]
    assert (call["name"], call["args"]["city"]) == ("weather", "Zürich")
    assert answer(upstream, "gemini")["candidates"][0]["finishReason"] == "STOP"


def test_logprobs_and_choices_are_given_when_told_or_asked(upstream: FakeUpstream) -> None:
    upstream.streams("Hel", "lo", logprobs=True)
    said = answer(upstream, "openai", n=2)
    assert [choice["index"] for choice in said["choices"]] == [0, 1]
    assert [row["token"] for row in said["choices"][1]["logprobs"]["content"]] == ["Hel", "lo"]
    assert said["usage"]["completion_tokens"] == 4
    streamed = chunks(upstream, "openai", n=2)
    assert [one["choices"][0]["index"] for one in streamed] == [0, 1] * 4


@each_dialect
def test_the_output_limit_is_kept_unless_ignored(upstream: FakeUpstream, dialect: str) -> None:
    limit = {"generationConfig": {"maxOutputTokens": 2}} if dialect == "gemini" else {}
    say: dict[str, Any] = limit or {"max_tokens": 2}
    text = json.dumps(answer(upstream, dialect, **say))
    assert "Hello from" in text
    assert DEFAULT_TEXT not in text
    assert any(word in text for word in ('"length"', '"max_tokens"', '"MAX_TOKENS"'))
    upstream.answers(ignore_max_tokens=True)
    assert DEFAULT_TEXT in json.dumps(answer(upstream, dialect, **say))


def test_recorded_events_are_replayed(upstream: FakeUpstream) -> None:
    upstream.plays(Script(events=[{"type": "message_start", "message": {}}, "free text"]))
    _, _, body = asked(upstream, "anthropic", stream=True)
    assert body == (
        b'event: message_start\ndata: {"type":"message_start","message":{}}\n\ndata: free text\n\n'
    )


# Scripts.


def test_queued_scripts_come_before_the_standing_one(upstream: FakeUpstream) -> None:
    upstream.answers("standing")
    upstream.answers("first", times=1)
    upstream.answers("second", times=2)
    said = [
        answer(upstream, "openai")["choices"][0]["message"]["content"].split()[0] for _ in range(5)
    ]
    assert said == ["first", "second", "second", "standing", "standing"]
    upstream.reset()
    assert upstream.requests == 0
    assert answer(upstream, "openai")["choices"][0]["message"]["content"] == DEFAULT_TEXT


def test_a_script_can_be_for_another_path(upstream: FakeUpstream) -> None:
    upstream.answers(status=503, path_part="/models")
    assert request(upstream, "GET", "/v1/models")[0] == 503
    assert asked(upstream, "openai")[0] == 200


def test_a_script_refuses_slips() -> None:
    with pytest.raises(ValueError, match="sometimes"):
        Script(usage_mode="sometimes")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="endless"):
        Script(endless=True, framing="content_length")


def test_it_is_controlled_by_http_too(upstream: FakeUpstream) -> None:
    script = {"pieces": ["A", "B"], "usage": [1, 2], "stall_after": [1, 0.01], "times": 1}
    assert request(upstream, "POST", "/_control/script", script)[0] == 200
    assert answer(upstream, "openai")["choices"][0]["message"]["content"] == "AB"
    assert answer(upstream, "openai")["choices"][0]["message"]["content"] == DEFAULT_TEXT
    # A reply is read by its client a moment before its thread is done with it.
    upstream.wait_for(lambda: upstream.connections.busy == 0)
    _, memory = request(upstream, "GET", "/_control/requests")
    assert [seen["path"] for seen in memory["requests"]] == ["/v1/chat/completions"] * 2
    assert memory["requests"][0]["body"]["model"] == "gpt-4o-mini"
    assert memory["connections"]["busy"] == 1
    assert request(upstream, "POST", "/_control/reset")[0] == 200
    assert upstream.requests == 0
    status, refusal = request(upstream, "POST", "/_control/script", {"tekst": "A"})
    assert (status, refusal["error"]["message"]) == (400, "unknown script fields: ['tekst']")


# What it remembers.


def test_it_remembers_requests(upstream: FakeUpstream) -> None:
    asked(upstream, "gemini", stream=True)
    assert upstream.requests == 1
    assert upstream.last.method == "POST"
    assert upstream.last.path.endswith(":streamGenerateContent")
    assert upstream.last.query == "alt=sse"
    assert upstream.last.headers["authorization"] == "Bearer right"
    assert upstream.last.body is not None
    assert json.loads(upstream.last.raw) == upstream.last.body
    assert upstream.last.at_monotonic <= time.monotonic()


def test_it_counts_connections_and_keeps_them_alive(upstream: FakeUpstream) -> None:
    with Client(upstream, "openai", stream=False) as client:
        client.read_until(b"}}")
        client.ask("openai", stream=True)
        client.read_until(b"[DONE]\n\n\r\n0\r\n\r\n")
        assert (upstream.connections.accepted, upstream.connections.open) == (1, 1)
        assert upstream.requests == 2
    upstream.wait_for(lambda: upstream.connections.open == 0)
    assert upstream.aborted == []


def test_it_takes_chunked_requests_and_expectations(upstream: FakeUpstream) -> None:
    connection = HTTPConnection(urlsplit(upstream.origin).netloc, timeout=5)
    parts = iter([b'{"model":"m",', b'"messages":[]}'])
    headers = {"Expect": "100-continue"}
    connection.request("POST", PATHS["openai"], parts, headers, encode_chunked=True)
    assert connection.getresponse().read()
    connection.close()
    assert upstream.last.body == {"model": "m", "messages": []}


@pytest.mark.parametrize(
    ("field", "mark", "events_sent"),
    [
        ("stall_before_s", b"", 0),
        ("stall_after_headers_s", b"\r\n\r\n", 0),
        ("stall_between_s", b"assistant", 1),
    ],
)
def test_a_client_that_leaves_a_stall_is_noticed_at_once(
    upstream: FakeUpstream, field: str, mark: bytes, events_sent: int
) -> None:
    upstream.plays(Script(**{field: 60.0}))  # type: ignore[arg-type]
    with Client(upstream, "openai") as client:
        upstream.wait_for(lambda: upstream.connections.busy)
        if mark:
            client.read_until(mark)
        left_at = time.monotonic()
    abort = upstream.wait_for(lambda: upstream.aborted, timeout_s=1)[0]
    assert abort.at_monotonic - left_at < 0.2
    assert (abort.events_sent, abort.path) == (events_sent, PATHS["openai"])


def test_a_pipelined_request_is_no_abort(upstream: FakeUpstream) -> None:
    upstream.answers(delay_s=0.1, times=1)
    with Client(upstream, "openai", stream=False) as client:
        upstream.wait_for(lambda: upstream.connections.busy)
        client.ask("openai", stream=True)
        assert client.read_until(b"[DONE]").count(b"HTTP/1.1 200 OK") == 2
    assert upstream.aborted == []


def test_a_client_that_leaves_after_pipelining_is_noticed(upstream: FakeUpstream) -> None:
    upstream.answers(delay_s=60)
    with Client(upstream, "openai", stream=False) as client:
        upstream.wait_for(lambda: upstream.connections.busy)
        client.ask("openai", stream=True)
    assert upstream.wait_for(lambda: upstream.aborted, timeout_s=1)


def test_an_endless_stream_goes_on_until_the_client_leaves(upstream: FakeUpstream) -> None:
    upstream.streams("more ", endless=True)
    with Client(upstream, "openai", max_tokens=1) as client:
        read = b""
        while read.count(b"more ") < 20:
            read += client.sock.recv(65_536)
    abort = upstream.wait_for(lambda: upstream.aborted, timeout_s=1)[0]
    assert abort.events_sent >= 20


def test_closing_is_quick_while_streams_stall() -> None:
    with FakeUpstream() as upstream:
        upstream.answers(stall_after_headers_s=60)
        clients = [Client(upstream, "openai") for _ in range(3)]
        upstream.wait_for(lambda: upstream.connections.busy == 3)
        started_at = time.monotonic()
    assert time.monotonic() - started_at < 0.5
    assert upstream.connections.open == 0
    assert upstream.aborted == []
    for client in clients:
        client.read_all()
        client.sock.close()


def test_waiting_in_vain_says_so(upstream: FakeUpstream) -> None:
    with pytest.raises(TimeoutError, match="in vain"):
        upstream.wait_for(lambda: upstream.aborted, timeout_s=0.01)


def test_it_serves_many_at_once(upstream: FakeUpstream) -> None:
    upstream.answers(delay_s=0.1)
    threads = [threading.Thread(target=answer, args=(upstream, "openai")) for _ in range(50)]
    started_at = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert upstream.requests == 50
    assert time.monotonic() - started_at < 2


# Keys, lists, errors.


@pytest.mark.parametrize(
    ("dialect", "status", "word"),
    [
        ("openai", 401, "invalid_api_key"),
        ("anthropic", 401, "authentication_error"),
        ("gemini", 400, "API_KEY_INVALID"),
    ],
)
def test_a_wrong_key_is_refused(
    upstream: FakeUpstream, dialect: str, status: int, word: str
) -> None:
    upstream.expected_key = "other"
    refused, _, body = asked(upstream, dialect)
    assert refused == status
    assert word in body.decode()
    upstream.expected_key = "right"
    assert asked(upstream, dialect)[0] == 200


@pytest.mark.parametrize("header", ["x_api_key", "x_goog_api_key"])
def test_a_key_may_come_in_a_vendors_own_header(upstream: FakeUpstream, header: str) -> None:
    upstream.expected_key = "right"
    assert request(upstream, "GET", "/v1/models", **{header: "right"})[0] == 200
    assert request(upstream, "GET", "/v1/models", **{header: "wrong"})[0] == 401


def test_it_lists_models_in_each_dialect(upstream: FakeUpstream) -> None:
    upstream.models = ["one"]
    assert request(upstream, "GET", "/v1/models")[1]["data"][0]["object"] == "model"
    _, said = request(upstream, "GET", "/v1/models", anthropic_version="2023-06-01")
    assert said["data"][0]["type"] == "model"
    _, said = request(upstream, "GET", "/v1beta/models")
    assert said["models"][0]["name"] == "models/one"
    assert request(upstream, "GET", "/v1beta/openai/models")[1]["data"][0]["id"] == "one"


def test_other_paths_are_not_found(upstream: FakeUpstream) -> None:
    assert request(upstream, "POST", "/v1/responses", {})[0] == 404


@pytest.mark.parametrize("status", [400, 401, 403, 404, 408, 429, 500, 502, 503, 529])
@each_dialect
def test_an_error_has_its_dialects_body(upstream: FakeUpstream, dialect: str, status: int) -> None:
    upstream.answers(status=status, retry_after=7, error_body={"message": "No."})
    answered, headers, body = asked(upstream, dialect, stream=True)
    assert answered == status
    assert headers["retry-after"] == "7"
    error = json.loads(body)["error"]
    assert error["message"] == "No."
    assert (
        set(error)
        == {
            "openai": {"message", "type", "param", "code"},
            "anthropic": {"type", "message"},
            "gemini": {"code", "message", "status"},
        }[dialect]
    )


def test_an_overloaded_anthropic_says_529(upstream: FakeUpstream) -> None:
    upstream.answers(status=529)
    with Client(upstream, "anthropic") as client:
        said = client.read_until(b'req_fake"}').decode()
    assert said.startswith("HTTP/1.1 529 Overloaded\r\n")
    assert '"overloaded_error"' in said


def test_an_error_can_come_with_200(upstream: FakeUpstream) -> None:
    upstream.answers(error_body={"code": 429, "message": "Later."})
    said = answer(upstream, "openai")
    assert (said["error"]["code"], "choices" in said) == (429, False)


@each_dialect
def test_a_malformed_request_is_refused(upstream: FakeUpstream, dialect: str) -> None:
    status, _ = request(upstream, "POST", PATHS[dialect], {"messages": 7, "contents": 7})
    assert status == 400
    upstream.strict = False
    assert request(upstream, "POST", PATHS[dialect], {})[0] == 200


def test_a_body_is_taken_verbatim(upstream: FakeUpstream) -> None:
    upstream.answers(body="<b>hi</b>", status=502, headers={"Content-Type": "text/html"})
    status, headers, body = asked(upstream, "openai")
    assert (status, headers["content-type"], body) == (502, "text/html", b"<b>hi</b>")


# Usage.


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("final_chunk", [..., ..., ..., ..., 2]),
        ("on_finish_chunk", [..., ..., ..., 2]),
        ("every_chunk", [0, 1, 2, 2]),
        ("none", [..., ..., ..., ...]),
        ("null", [None, None, None, None]),
        ("negative", [..., ..., ..., ..., -12]),
        ("absurd", [..., ..., ..., ..., ABSURD_TOKENS]),
    ],
)
def test_usage_comes_where_the_script_says(
    upstream: FakeUpstream, mode: str, expected: list[Any]
) -> None:
    upstream.streams("Hel", "lo", usage=(12, 2), usage_mode=mode)
    said = [one.get("usage", ...) for one in chunks(upstream, "openai")]
    assert [u["completion_tokens"] if isinstance(u, dict) else u for u in said] == expected
    whole = answer(upstream, "openai").get("usage", ...)
    if mode in ("none", "null"):
        assert whole is (... if mode == "none" else None)


@each_dialect
def test_usage_can_be_given_verbatim(upstream: FakeUpstream, dialect: str) -> None:
    upstream.answers(usage={"input_tokens": 3, "anything": [1]})
    said = answer(upstream, dialect)
    name = "usageMetadata" if dialect == "gemini" else "usage"
    assert said[name] == {"input_tokens": 3, "anything": [1]}
    assert any('"anything":[1]' in one for one in events(upstream, dialect)) or dialect == "openai"


@pytest.mark.parametrize("mode", ["none", "null"])
@pytest.mark.parametrize("dialect", ["anthropic", "gemini"])
def test_other_dialects_can_be_without_usage(
    upstream: FakeUpstream, dialect: str, mode: str
) -> None:
    upstream.answers(usage_mode=mode)
    said = "".join(events(upstream, dialect))
    assert "okens" not in said
    assert "TokenCount" not in said
    assert ('"usage":null' in said or '"usageMetadata":null' in said) == (mode == "null")


# Faults on the wire.


def test_it_stalls_where_it_is_told(upstream: FakeUpstream) -> None:
    upstream.streams("A", "B", stall_after=(1, 0.15), counting="content")
    with Client(upstream, "openai") as client:
        client.read_until(b'"A"')
        assert select.select([client.sock], [], [], 0.05)[0] == []
        client.read_until(b"[DONE]")


@each_dialect
def test_a_cut_is_a_reset_after_so_many_events(upstream: FakeUpstream, dialect: str) -> None:
    upstream.streams("A", "B", "C", cut_after_events=2, counting="content")
    with Client(upstream, dialect) as client:
        read, is_reset = client.read_all()
    assert is_reset
    assert b'"A"' in read
    assert b'"B"' in read
    assert b'"C"' not in read
    assert upstream.aborted == []


def test_a_cut_can_come_before_any_event_or_any_byte(upstream: FakeUpstream) -> None:
    upstream.answers(cut_before_status=True, times=1)
    upstream.answers(cut_after_events=0, times=1)
    with Client(upstream, "openai") as client:
        assert client.read_all() == (b"", True)
    with Client(upstream, "openai") as client:
        read, is_reset = client.read_all()
    assert is_reset
    assert read.endswith(b"\r\n\r\n")


def test_a_cut_can_come_in_the_middle_of_an_event(upstream: FakeUpstream) -> None:
    upstream.streams("A", "B", cut_after_events=1, cut_mid_event=True)
    with Client(upstream, "openai") as client:
        read, is_reset = client.read_all()
    assert is_reset
    whole, half = dechunked(read)
    assert whole.endswith(b"\n\n")
    assert half.startswith(b'data: {"id"')
    assert b"\n" not in half


def test_a_json_answer_can_be_cut_in_the_middle(upstream: FakeUpstream) -> None:
    upstream.answers(cut_mid_event=True, cut_with_fin=True)
    with pytest.raises(IncompleteRead):
        asked(upstream, "openai")


def test_split_bytes_arrive_one_by_one(upstream: FakeUpstream) -> None:
    upstream.streams("Zürich", split_bytes=20, split_pause_s=0.001, close_delimited=True)
    with Client(upstream, "openai") as client:
        reads = [client.read_until(b"\r\n\r\n")]
        while more := client.sock.recv(65_536):
            reads.append(more)
    assert "Zürich".encode() in b"".join(reads)
    assert len(reads) > 10


def test_split_bytes_split_events_and_characters(upstream: FakeUpstream) -> None:
    upstream.streams("Zürich 🦉", split_bytes=3)
    with Client(upstream, "openai") as client:
        pieces = dechunked(client.read_until(b"\r\n0\r\n\r\n"))
    assert max(len(piece) for piece in pieces) == 3
    assert "Zürich 🦉".encode() in b"".join(pieces)


def test_line_ends_comments_and_blank_lines(upstream: FakeUpstream) -> None:
    upstream.streams("A", crlf=True, comments=True, times=1)
    _, _, body = asked(upstream, "openai", stream=True)
    assert body.count(b"\n") == body.count(b"\r\n")
    assert body.count(b": ping\r\n\r\ndata: ") == 3
    upstream.streams("A", blank_lines=False, data_space=False, times=1)
    _, _, body = asked(upstream, "openai", stream=True)
    assert b"\n\n" not in body
    assert body.count(b"data:{") == 3
    assert body.endswith(b"\ndata:[DONE]\n")


@pytest.mark.parametrize(
    ("script", "header"),
    [
        (Script(), "transfer-encoding: chunked"),
        (Script(framing="content_length"), "content-length: "),
        (Script(close_delimited=True), "connection: close"),
    ],
    ids=["chunked", "length", "close"],
)
def test_a_stream_is_framed_as_told(upstream: FakeUpstream, script: Script, header: str) -> None:
    upstream.plays(script)
    with Client(upstream, "openai") as client:
        head = client.read_until(b"\r\n\r\n").split(b"\r\n\r\n")[0].decode()
    framings = ("transfer-encoding", "content-length", "connection")
    assert header in head
    assert sum(f"\r\n{name}: " in head for name in framings) == 1
    assert events(upstream, "openai")[-1] == "[DONE]"


def test_a_json_answer_can_be_chunked_or_close_delimited(upstream: FakeUpstream) -> None:
    upstream.answers(framing="chunked", times=1)
    upstream.answers(close_delimited=True, times=1)
    for name in ("transfer-encoding", "connection"):
        status, headers, body = asked(upstream, "openai")
        assert (status, name in headers, "content-length" in headers) == (200, True, False)
        assert json.loads(body)["object"] == "chat.completion"


def test_a_stream_can_lack_its_end(upstream: FakeUpstream) -> None:
    upstream.streams("A", no_done=True, times=1)
    upstream.streams("A", no_finish=True, times=1)
    without_done = events(upstream, "openai")
    assert json.loads(without_done[-1])["choices"][0]["finish_reason"] == "stop"
    without_finish = events(upstream, "openai")
    assert without_finish[-1] == "[DONE]"
    assert '"finish_reason":"' not in "".join(without_finish)


@each_dialect
def test_an_empty_answer_has_no_content_and_no_end(upstream: FakeUpstream, dialect: str) -> None:
    upstream.answers(empty=True)
    for said in ("".join(events(upstream, dialect)), json.dumps(answer(upstream, dialect))):
        assert "Hello" not in said
        for word in ('"stop"', "end_turn", "STOP"):
            assert word not in said


@each_dialect
def test_an_error_can_come_in_the_middle(upstream: FakeUpstream, dialect: str) -> None:
    upstream.streams("A", "B", error_event=(1, {"message": "Broken."}), counting="content")
    said = events(upstream, dialect)
    assert json.loads(said[-1])["error"]["message"] == "Broken."
    assert '"A"' in "".join(said)
    assert '"B"' not in "".join(said)


def test_an_error_event_can_be_verbatim(upstream: FakeUpstream) -> None:
    last = {"error": {"code": 502}, "choices": [{"index": 0, "finish_reason": "error"}]}
    upstream.streams("A", error_event=(99, last))
    assert json.loads(events(upstream, "openai")[-1]) == last


def test_garbage_is_garbage(upstream: FakeUpstream) -> None:
    upstream.streams("A", "B", garbage=True, garbage_after=2)
    said = events(upstream, "openai")
    assert said[2] == "{not json"
    assert said[-1] == "[DONE]"
    status, headers, body = asked(upstream, "openai")
    assert (status, headers["content-type"]) == (200, "text/html")
    assert body.startswith(b"<html>")


def test_a_stream_can_be_refused_or_forced(upstream: FakeUpstream) -> None:
    upstream.answers(force_stream=False, times=1)
    upstream.answers(force_stream=True, times=1)
    assert asked(upstream, "openai", stream=True)[1]["content-type"] == "application/json"
    assert asked(upstream, "openai")[1]["content-type"].startswith("text/event-stream")


def test_one_line_can_be_huge(upstream: FakeUpstream) -> None:
    upstream.streams("A", huge_line_bytes=10_000_000)
    assert max(len(one) for one in events(upstream, "openai")) > 10_000_000


def test_it_runs_as_a_program() -> None:
    command = [sys.executable, "-m", "tests.fakes.upstream", "--port", "0", "--key", "right"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as program:
        assert program.stdout is not None
        place = urlsplit(program.stdout.readline().strip())
        assert place.path == "/v1"
        connection = HTTPConnection(place.netloc, timeout=5)
        connection.request("GET", "/v1/models")
        assert connection.getresponse().status == 401
        connection.close()
        program.terminate()
    assert program.returncode == 0
