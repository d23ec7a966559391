"""Bodies made to hurt: refused at once, before anything is built of them."""

import socket
import time

import pytest
from flask.testing import FlaskClient

from solrouter.clock import monotonic_s
from tests.factories import Person

SECONDS_MAX = 5.0


@pytest.mark.parametrize(
    "data",
    [b"[" + b"[]," * 8_000_000 + b"[]]", b"[" + b"0," * 12_000_000 + b"0]", b"{" * 20_000_000],
    ids=["empty lists", "numbers", "braces"],
)
def test_a_body_of_nothing_but_parts_is_refused_before_it_is_parsed(
    client: FlaskClient, alice: Person, data: bytes
) -> None:
    headers = {**alice.bearer, "Content-Type": "application/json"}
    began_s = monotonic_s()
    answer = client.post("/v1/chat/completions", data=data, headers=headers)
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "invalid_json")
    assert monotonic_s() - began_s < SECONDS_MAX


@pytest.mark.parametrize("path", ["/login", "/v1/chat/completions"])
def test_a_body_that_does_not_come_is_not_waited_for_long(serve: object, path: str) -> None:
    served = serve(SOLROUTER_BODY_DEADLINE_S="0.5")  # type: ignore[operator]
    key = ""
    if path.startswith("/v1"):
        served.flask("users", "create", "ann@example.com", "--password", "a good long password")
        text = served.flask("keys", "create", "ann@example.com", "--name", "x").stdout.strip()
        key = f"Authorization: Bearer {text}\r\n"
    with socket.create_connection(("127.0.0.1", served.port)) as client:
        head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{key}Content-Type: application/json\r\n"
        client.sendall(f"{head}Content-Length: 1000\r\n\r\n{{".encode())
        client.settimeout(SECONDS_MAX)
        began_s = time.monotonic()
        assert b" 400 " in client.recv(4096)
        assert time.monotonic() - began_s < SECONDS_MAX
