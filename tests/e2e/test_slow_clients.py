"""Clients that send slowly, or nothing, or too much: others are served meanwhile, and they are not
waited for.
"""

import errno
import selectors
import shutil
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest
import requests

from tests import served as serving
from tests.conftest import settings
from tests.e2e.place import DEMO_MODEL, make_customer
from tests.served import Served

IDLE = 500
SLOW = 100
# Those who get their answer at once cost more than their places.
ANSWERED = 20
# So many are left when all but those in the middle of a body have been sent away.
HOLDING = 2 * SLOW
# gunicorn's keepalive bounds the head, the settings below the body.
HEAD_S = 5.0
BODY_S = 9.0
# The machine that runs the tests is busy.
SLACK_S = 10.0
HEAD_BYTES = 8190


@pytest.fixture
def served(serve: Callable[..., Served]) -> Served:
    return serve(SOLROUTER_BODY_DEADLINE_S=str(BODY_S), SOLROUTER_ALLOWED_HOSTS="127.0.0.1,x")


@pytest.fixture
def key(served: Served) -> str:
    return make_customer(served, "ann@example.com", "--credit", "1", "--plan", "unlimited")


def head(path: str, *lines: str, method: str = "POST") -> bytes:
    """The beginning of a request that promises a body."""
    every = (f"{method} {path} HTTP/1.1", "Host: x", *lines)
    return ("\r\n".join(every) + "\r\n\r\n").encode()


def slow_kinds(key: str) -> dict[str, bytes]:
    """What slow clients send at once; then they send one byte at a time."""
    form = "Content-Type: application/x-www-form-urlencoded"
    json = "Content-Type: application/json"
    return {
        "head": b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ",
        "form": head("/login", form, "Content-Length: 9000"),
        "chunks": head("/login", form, "Transfer-Encoding: chunked") + b"1\r\na\r\n",
        "known key": head(
            "/v1/chat/completions", json, f"Authorization: Bearer {key}", "Content-Length: 9000"
        ),
        "wrong key": head(
            "/v1/chat/completions", json, "Authorization: Bearer sr_no", "Content-Length: 9000"
        ),
        "nowhere": head("/nowhere", form, "Content-Length: 9000"),
    }


class Crowd:
    """Many sockets, and which of them the server has closed."""

    def __init__(self, stack: ExitStack, port: int) -> None:
        self._stack = stack
        self._address = ("127.0.0.1", port)
        self._selector = stack.enter_context(selectors.DefaultSelector())
        self.alive: dict[socket.socket, str] = {}

    def add(self, name: str, data: bytes, count: int) -> None:
        for _ in range(count):
            sock = self._stack.enter_context(socket.create_connection(self._address, timeout=10))
            sock.sendall(data)
            sock.setblocking(False)
            self._selector.register(sock, selectors.EVENT_READ)
            self.alive[sock] = name

    def drip(self) -> None:
        """One byte from each that speaks, and a look at who was sent away."""
        for sock, name in list(self.alive.items()):
            if name == "idle":
                continue
            with suppress(OSError):
                sock.send(b"1\r\na\r\n" if name == "chunks" else b"a")
        for selected, _ in self._selector.select(timeout=0.05):
            sock = selected.fileobj
            assert isinstance(sock, socket.socket)
            if _is_closed(sock):
                self._selector.unregister(sock)
                del self.alive[sock]


def _is_closed(sock: socket.socket) -> bool:
    try:
        return sock.recv(65_536) == b""
    except BlockingIOError:
        return False
    except OSError as error:
        assert error.errno in (errno.ECONNRESET, errno.EPIPE)
        return True


def test_others_are_served_while_hundreds_of_clients_are_slow(served: Served, key: str) -> None:
    body = {"model": DEMO_MODEL, "messages": [{"role": "user", "content": "Hi"}], "max_tokens": 5}
    bearer = {"Authorization": f"Bearer {key}"}
    with ExitStack() as stack:
        crowd = Crowd(stack, served.port)
        crowd.add("idle", b"", IDLE)
        for name, data in slow_kinds(key).items():
            crowd.add(name, data, ANSWERED if name in ("wrong key", "nowhere") else SLOW)
        # Told by who is still there and not by the clock: the machine of the tests is busy.
        answered = 0
        for method, path, more in (
            ("GET", "/healthz", {}),
            ("GET", "/login", {}),
            ("POST", "/v1/chat/completions", {"json": body, "headers": bearer}),
        ):
            url = f"{served.url}{path}"
            answer = requests.request(method, url, timeout=SLACK_S, **more)
            assert answer.status_code == 200, answer.text
            crowd.drip()
            answered += len(crowd.alive) > HOLDING
        assert answered == 3, "nobody else was served while the slow ones held their places"

        deadline = time.monotonic() + HEAD_S + BODY_S + SLACK_S
        while crowd.alive and time.monotonic() < deadline:
            crowd.drip()
        left = sorted(set(crowd.alive.values()))
        assert not left, f"{len(crowd.alive)} slow clients still hold a place: {left}"
    assert "Traceback" not in served.log


# The head.


def sent(served: Served, data: bytes) -> bytes:
    """What comes back at once, before any body is sent."""
    with socket.create_connection(("127.0.0.1", served.port), timeout=SLACK_S) as sock:
        sock.sendall(data)
        received = b""
        with suppress(ConnectionResetError):
            while b"\r\n\r\n" not in received and (piece := sock.recv(65_536)):
                received += piece
        return received


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    """One server for the tests that do not change it."""
    folder = tmp_path_factory.mktemp("plain")
    shutil.copy(sqlite_template, folder / "plain.sqlite3")
    url = f"sqlite:///{folder / 'plain.sqlite3'}"
    running = serving.start(
        settings(url, folder, SOLROUTER_ALLOWED_HOSTS="127.0.0.1,llm.example.com")
    )
    yield running
    running.stop()
    assert "Traceback" not in running.log


@pytest.mark.parametrize(
    ("data", "statuses"),
    [
        (b"GET /" + b"a" * HEAD_BYTES + b" HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n", (400, 414)),
        (head("/healthz", "X-Long: " + "a" * HEAD_BYTES, method="GET"), (400, 431)),
        (head("/healthz", *[f"X-{i}: a" for i in range(101)], method="GET"), (400, 431)),
        (head("/healthz", "X-Folded: a", " b", method="GET"), (400,)),
        (head("/healthz", "Bad Name: a", method="GET"), (400,)),
        (head("/healthz", "Content-Length: 1", "Content-Length: 2", method="GET"), (400,)),
        (head("/login", "Content-Length: 1", "Transfer-Encoding: chunked"), (400,)),
        (head("/login", "Transfer-Encoding: chunked, identity"), (400, 501)),
        (head("/login", "Content-Length: -1"), (400,)),
        (b"GET /healthz HTTP/9.9\r\nHost: 127.0.0.1\r\n\r\n", (400, 505)),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\x00" * 300 + b"\r\n\r\n", (400, 0)),
    ],
    ids=[
        "long line", "long field", "many fields", "folded", "bad name", "two lengths",
        "length and chunks", "odd encoding", "negative", "version", "TLS",
    ],
)  # fmt: skip
def test_a_head_that_is_too_large_or_ambiguous_is_refused(
    plain: Served, data: bytes, statuses: tuple[int, ...]
) -> None:
    answer = sent(plain, data)
    status = int(answer.split(b" ", 2)[1]) if answer else 0
    assert status in statuses, answer
    assert b"Traceback" not in answer
    assert requests.get(f"{plain.url}/healthz", timeout=SLACK_S).status_code == 200


@pytest.mark.parametrize(
    "chunk", [b"canary of a chunk\r\n", b"-1\r\na\r\n", b"1\r\nab\r\n0\r\n\r\n"]
)
def test_chunks_that_are_none_are_the_clients_fault(plain: Served, chunk: bytes) -> None:
    form = b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert sent(plain, form + chunk).startswith(b"HTTP/1.1 400 ")
    assert "canary" not in plain.log


def test_a_wrong_key_is_told_before_a_body_is_sent(plain: Served) -> None:
    began_s = time.monotonic()
    answer = sent(
        plain,
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 1000000\r\n"
        b"Authorization: Bearer sr_wrong\r\nContent-Type: application/json\r\n\r\n",
    )
    assert answer.startswith(b"HTTP/1.1 401 ")
    assert time.monotonic() - began_s < HEAD_S


# The host.


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET http://llm.example.com/healthz HTTP/1.1\r\nHost: llm.example.com\r\n\r\n", 200),
        (b"GET http://evil.example/healthz HTTP/1.1\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: llm.example.com\r\nHost: evil.example\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\nHost: llm.example.com\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: llm.example.com, evil.example\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: evil.example/llm.example.com\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: llm.example.com@evil.example\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost: llm.example.com.\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\n\r\n", 400),
        (
            (
                b"GET /healthz HTTP/1.1\r\nHost: evil.example\r\n"
                b"X-Forwarded-Host: llm.example.com\r\n\r\n"
            ),
            400,
        ),
    ],
)
def test_a_host_that_is_not_ours_is_refused_however_it_is_said(
    plain: Served, data: bytes, status: int
) -> None:
    answer = sent(plain, data)
    assert answer.startswith(f"HTTP/1.1 {status} ".encode()), answer
    assert b"evil" not in answer


def test_an_absolute_address_leads_nowhere_else(plain: Served) -> None:
    """The host that counts is the one of the Host line, which was checked."""
    answer = sent(
        plain, b"GET http://evil.example/account HTTP/1.1\r\nHost: llm.example.com\r\n\r\n"
    )
    assert b"evil" not in answer
    assert answer.startswith((b"HTTP/1.1 303 ", b"HTTP/1.1 400 "))


def test_no_neighbour_is_believed_about_scheme_path_or_prefix(plain: Served) -> None:
    """gunicorn's own trust in 127.0.0.1 is off: SOLROUTER_PROXY_HOPS alone decides."""
    answer = requests.get(
        f"{plain.url}/login",
        headers={
            "X-Forwarded-Proto": "https",
            "X-Forwarded-Ssl": "on",
            "X-Forwarded-Protocol": "ssl",
            "SCRIPT_NAME": "/evil",
            "PATH_INFO": "/healthz",
            "X-Forwarded-Prefix": "/evil",
        },
        timeout=SLACK_S,
    )
    assert answer.status_code == 200
    assert "Strict-Transport-Security" not in answer.headers
    assert "/evil" not in answer.text
    assert "<form" in answer.text
