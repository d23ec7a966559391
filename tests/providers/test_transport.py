"""The wire against real sockets: what comes is handed on at once, what breaks has one name."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gevent
import pytest

from solrouter.transport import http
from solrouter.transport.errors import (
    BrokenStream,
    ConnectFailed,
    ReadTimedOut,
    TooLarge,
    TransportError,
    Unsendable,
)
from solrouter.transport.http import HttpRequest, HttpStream, close_all, open_stream
from solrouter.transport.pool import IDLE_S_MAX, Origin, Pool, _is_fit, close_old, pool_for
from tests.fakes.certificate import self_signed, tls_context
from tests.fakes.upstream import FakeUpstream
from tests.providers.raw_server import RawServer, answering, read_request
from tests.served import free_port

BODY = b'{"model":"m","messages":[],"stream":true}'
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(autouse=True)
def _closed_pools() -> Iterator[None]:
    yield
    close_all()


def asked(url: str, **change: Any) -> HttpRequest:
    values: dict[str, Any] = {
        "method": "POST",
        "url": url,
        "headers": {"Content-Type": "application/json"},
        "body": BODY,
        "connect_s": 5.0,
        "first_byte_s": 5.0,
        "between_s": 5.0,
        "total_s": 20.0,
    }
    return HttpRequest(**(values | change))


def chat(upstream: FakeUpstream, **change: Any) -> HttpRequest:
    return asked(f"{upstream.url}/chat/completions", **change)


def opened(request: HttpRequest) -> HttpStream:
    """The answer once its head is there."""
    stream = open_stream(request)
    assert stream.wait_for_head()
    return stream


def fails(request: HttpRequest) -> TransportError:
    with pytest.raises(TransportError) as caught, opened(request) as stream:
        stream.read_all(1_000_000)
    return caught.value


# What is sent.


def test_the_request_arrives_as_written(upstream: FakeUpstream) -> None:
    opened(chat(upstream, headers={"X-Key": "é"})).close()
    seen = upstream.last
    assert (seen.method, seen.path, seen.raw) == ("POST", "/v1/chat/completions", BODY)
    assert seen.headers["host"] == upstream.origin.removeprefix("http://")
    assert seen.headers["accept-encoding"] == "identity"
    assert seen.headers["x-key"] == "é"


def test_a_large_body_arrives_whole(upstream: FakeUpstream) -> None:
    body = b'{"model":"m","messages":[],"pad":"' + b"x" * 5_000_000 + b'"}'
    with opened(chat(upstream, body=body)) as stream:
        assert stream.status == 200
    assert upstream.last.raw == body


@pytest.mark.parametrize(
    "change",
    [
        {"headers": {"X-Key": "secret\r\nEvil: 1"}},
        {"headers": {"X-Key": "secret\n"}},
        {"headers": {"X-Key": "secret\x00"}},
        {"headers": {"X-Key": "secret“"}},
        {"headers": {"Bad Name": "secret"}},
        {"method": "GET /secret"},
        {"url": "http://127.0.0.1/a b"},
        {"url": "http://127.0.0.1/a\r\nEvil: 1"},
        {"url": "ftp://127.0.0.1/"},
        {"url": "http:///nowhere"},
        {"url": "http://secret@127.0.0.1/"},
        {"url": "http://127.0.0.1:999999/"},
        {"url": "http://[::1/"},
        {"url": "http://bücher.example/"},
        {"url": "http://" + "a" * 64 + ".example/"},
    ],
    ids=str,
)
def test_what_cannot_be_written_safely_is_not_sent(change: dict[str, Any]) -> None:
    error = fails(asked(**({"url": "http://127.0.0.1:9/"} | change)))
    assert isinstance(error, Unsendable)
    assert "secret" not in str(error)


# What comes back.


def test_each_piece_is_handed_on_at_once(upstream: FakeUpstream) -> None:
    upstream.streams("one", "two", stall_after=(2, 60.0))
    with opened(chat(upstream)) as stream:
        received = b""
        while b"one" not in received:
            received += stream.read_some() or b""
        assert b"two" not in received


@pytest.mark.parametrize("split_bytes", [0, 1, 7])
@pytest.mark.parametrize("framing", ["chunked", "content_length", "close"])
def test_every_framing_brings_the_same_bytes(
    upstream: FakeUpstream, framing: str, split_bytes: int
) -> None:
    shape: dict[str, Any] = (
        {"close_delimited": True} if framing == "close" else {"framing": framing}
    )
    upstream.streams("héllo ", "wörld", split_bytes=split_bytes, **shape)
    with opened(chat(upstream)) as stream:
        text = b"".join(stream).decode()
        assert stream.read_some() == b""
    assert "héllo " in text
    assert text.endswith("data: [DONE]\n\n")


def test_interim_answers_are_skipped() -> None:
    answer = b"HTTP/1.1 100 Continue\r\n\r\n" + OK
    with RawServer(answering(answer)) as server, opened(asked(server.url)) as stream:
        assert (stream.status, stream.read_all(10)) == (200, b"hi")


def test_headers_are_lower_case_and_repeated_ones_join() -> None:
    head = b"HTTP/1.1 429 No\r\nX-A: 1\r\nx-a: 2\r\nRetry-After: 3\r\nContent-Length: 0\r\n\r\n"
    with RawServer(answering(head)) as server, opened(asked(server.url)) as stream:
        assert stream.status == 429
        assert stream.headers["x-a"] == "1, 2"
        assert stream.headers["retry-after"] == "3"


def test_a_redirect_is_an_answer_like_any_other() -> None:
    answer = b"HTTP/1.1 302 Found\r\nLocation: http://evil/\r\nContent-Length: 0\r\n\r\n"
    with RawServer(answering(answer)) as server, opened(asked(server.url)) as stream:
        assert (stream.status, stream.read_all(10)) == (302, b"")
    assert server.accepted == 1


def test_too_large_an_answer_is_refused(upstream: FakeUpstream) -> None:
    upstream.answers(body="x" * 100_001)
    with opened(chat(upstream)) as stream, pytest.raises(TooLarge) as caught:
        stream.read_all(100_000)
    assert caught.value.limit_bytes == 100_000


def test_endless_headers_are_refused() -> None:
    def flood(sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n")
        for i in range(100_000):
            sock.sendall(b"X-%d: " % i + b"y" * 1000 + b"\r\n")

    with RawServer(flood) as server:
        assert isinstance(fails(asked(server.url)), TooLarge)


# What breaks.


def test_a_refused_connection_has_a_name() -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    error = fails(asked(f"http://127.0.0.1:{port}/"))
    assert isinstance(error, ConnectFailed)
    assert error.reason == "refused"


def test_an_unknown_host_has_a_name() -> None:
    error = fails(asked("http://nowhere.invalid/"))
    assert isinstance(error, ConnectFailed)
    assert error.reason == "dns"


class Counting:
    """This thread's name server: another's answers, counted, after a while."""

    def __init__(self) -> None:
        self.hub = gevent.get_hub()
        self.usual = self.hub.resolver
        self.asked: list[str] = []

    def getaddrinfo(self, host: str, *arguments: Any) -> Any:
        self.asked.append(host)
        gevent.sleep(0.05)
        return self.usual.getaddrinfo(host, *arguments)


@pytest.fixture
def name_server() -> Iterator[Counting]:
    counting = Counting()
    counting.hub.resolver = counting
    yield counting
    counting.hub.resolver = counting.usual


def test_those_who_connect_at_once_look_the_name_up_once(
    upstream: FakeUpstream, name_server: Counting
) -> None:
    named = upstream.url.replace("127.0.0.1", "localhost")
    asking = [gevent.spawn(opened, asked(f"{named}/chat/completions")) for _ in range(8)]
    for each in asking:
        each.get(timeout=5).close()
    assert name_server.asked == ["localhost"]


def test_a_name_that_is_not_found_is_not_looked_up_by_each_in_turn(name_server: Counting) -> None:
    asking = [gevent.spawn(fails, asked("http://nowhere.invalid/v1")) for _ in range(8)]
    reasons = {getattr(each.get(timeout=5), "reason", None) for each in asking}
    assert (reasons, name_server.asked) == ({"dns"}, ["nowhere.invalid"])
    assert fails(asked("http://nowhere.invalid/v1")) and len(name_server.asked) == 2


def test_a_host_that_has_moved_is_looked_up_again(
    upstream: FakeUpstream, name_server: Counting
) -> None:
    named = upstream.url.replace("127.0.0.1", "localhost")
    opened(asked(f"{named}/chat/completions")).close()
    origin = Origin("http", "localhost", int(named.split(":")[2].split("/")[0]))
    pool = pool_for(origin)
    pool._looked_up = pool._looked_up._replace(
        addresses=[(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", free_port()))]
    )
    assert isinstance(fails(asked(f"{named}/chat/completions")), ConnectFailed)
    opened(asked(f"{named}/chat/completions")).close()
    assert len(name_server.asked) == 2


def test_connecting_has_a_deadline() -> None:
    # A full backlog: the kernel neither accepts nor refuses.
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        waiting = [socket.socket() for _ in range(4)]
        for sock in waiting:
            sock.setblocking(False)
            sock.connect_ex(address)
        error = fails(asked(f"http://127.0.0.1:{address[1]}/", connect_s=0.2))
        for sock in waiting:
            sock.close()
    assert isinstance(error, ReadTimedOut)
    assert error.phase == "connect"


@pytest.mark.parametrize(
    ("script", "change", "phase"),
    [
        ({"stall_before_s": 60}, {"first_byte_s": 0.2}, "first_byte"),
        ({"stall_before_s": 60}, {"total_s": 0.2}, "total"),
        ({"stall_after": (2, 60)}, {"between_s": 0.2}, "between"),
        ({"stall_after": (2, 60)}, {"total_s": 0.3}, "total"),
        ({"endless": True}, {"total_s": 0.3}, "total"),
        ({"stall_after_headers_s": 60}, {"between_s": 0.2}, "between"),
    ],
    ids=str,
)
def test_each_wait_has_its_own_deadline(
    upstream: FakeUpstream, script: dict[str, Any], change: dict[str, Any], phase: str
) -> None:
    upstream.answers(**script)
    error = fails(chat(upstream, **change))
    assert isinstance(error, ReadTimedOut)
    assert error.phase == phase
    upstream.wait_for(lambda: upstream.aborted)


def test_the_wait_between_pieces_can_be_changed(upstream: FakeUpstream) -> None:
    upstream.answers(stall_after=(2, 60))
    with opened(chat(upstream)) as stream, pytest.raises(ReadTimedOut):
        stream.set_between_s(0.1)
        while stream.read_some():
            pass


@pytest.mark.parametrize(
    ("script", "is_clean"),
    [
        ({"cut_before_status": True}, False),
        ({"cut_before_status": True, "cut_with_fin": True}, True),
        ({"cut_after_events": 2}, False),
        ({"cut_after_events": 2, "cut_with_fin": True}, True),
        ({"cut_after_events": 2, "cut_with_fin": True, "framing": "content_length"}, True),
    ],
    ids=str,
)
def test_a_cut_is_told_and_says_how(
    upstream: FakeUpstream, script: dict[str, Any], is_clean: bool
) -> None:
    upstream.answers(**script)
    error = fails(chat(upstream))
    assert isinstance(error, BrokenStream)
    assert error.clean_end is is_clean


@pytest.mark.parametrize(
    "answer",
    [b"SSH-2.0-OpenSSH_9.2\r\n", CHUNKED + b"zz\r\n", b"HTTP/2 200\r\n\r\n", b"\x00" * 100],
    ids=["other protocol", "bad chunk", "bad version", "zeros"],
)
def test_what_is_no_http_is_broken(answer: bytes) -> None:
    with RawServer(answering(answer)) as server:
        assert isinstance(fails(asked(server.url)), BrokenStream)


def test_an_early_refusal_of_a_large_body_is_still_read() -> None:
    refusal = b"HTTP/1.1 413 No\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig"

    def refuse(sock: socket.socket, number: int) -> None:
        sock.recv(1000)
        sock.sendall(refusal)
        # Closed without reading the rest, which resets the sender.

    with RawServer(refuse) as server:
        request = asked(server.url, body=b"x" * 20_000_000)
        try:
            with opened(request) as stream:
                assert stream.status == 413
        except BrokenStream:
            pass  # The reset overtook the answer: a race that no client can win.


# Closing.


def closer_thread(stream: HttpStream) -> None:
    threading.Timer(0.1, stream.close).start()


def closer_greenlet(stream: HttpStream) -> None:
    gevent.spawn_later(0.1, stream.close)


@pytest.mark.parametrize("close_later", [closer_thread, closer_greenlet])
def test_closing_wakes_a_waiting_reader(upstream: FakeUpstream, close_later: Any) -> None:
    upstream.streams("one", stall_after=(2, 60.0))
    stream = opened(chat(upstream))
    close_later(stream)
    with pytest.raises(BrokenStream, match="our side"):
        for _ in stream:
            pass
    upstream.wait_for(lambda: upstream.aborted)
    stream.close()


def test_a_closed_stream_reads_no_more(upstream: FakeUpstream) -> None:
    stream = opened(chat(upstream))
    stream.close()
    with pytest.raises(BrokenStream):
        stream.read_some()


def test_a_killed_greenlet_leaves_no_connection(upstream: FakeUpstream) -> None:
    upstream.answers(stall_before_s=60)
    opening = gevent.spawn(opened, chat(upstream))
    while not upstream.requests:
        gevent.sleep(0.005)
    opening.kill()
    upstream.wait_for(lambda: upstream.aborted)


def test_a_forgotten_stream_frees_its_place(upstream: FakeUpstream) -> None:
    upstream.streams("one", stall_after=(1, 60.0))
    opened(chat(upstream))
    upstream.wait_for(lambda: upstream.aborted)


def test_many_aborts_leave_no_socket(upstream: FakeUpstream) -> None:
    upstream.streams("one", stall_after=(1, 60.0))
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(50):
        opened(chat(upstream)).close()
    upstream.wait_for(lambda: upstream.connections.open == 0)
    assert len(os.listdir("/proc/self/fd")) <= before + 2


# Reuse.


def test_a_read_answer_gives_its_connection_back(upstream: FakeUpstream) -> None:
    for _ in range(5):
        with opened(chat(upstream)) as stream:
            stream.read_all(100_000)
    assert upstream.connections.accepted == 1


def test_an_unread_answer_does_not(upstream: FakeUpstream) -> None:
    upstream.streams("one", stall_after=(1, 60.0))
    for _ in range(3):
        opened(chat(upstream)).close()
    assert upstream.connections.accepted == 3


def test_a_moment_of_patience_saves_the_connection() -> None:
    last_bytes = threading.Event()

    def slow_end(sock: socket.socket, number: int) -> None:
        while read_request(sock):
            sock.sendall(CHUNKED + b"2\r\nhi\r\n")
            last_bytes.wait(5)
            sock.sendall(b"0\r\n\r\n")

    with RawServer(slow_end) as server:
        for _ in range(2):
            stream = opened(asked(server.url))
            assert stream.read_some() == b"hi"
            last_bytes.set()
            stream.finish(linger_s=2)
    assert server.accepted == 1


def test_patience_reads_away_what_is_left() -> None:
    rest = b"3e8\r\n" + b"x" * 1000 + b"\r\n0\r\n\r\n"
    with RawServer(answering(CHUNKED + b"2\r\nhi\r\n" + rest, OK)) as server:
        opened(asked(server.url)).finish(linger_s=2)
        with opened(asked(server.url)) as stream:
            assert stream.read_all(10) == b"hi"
    assert server.accepted == 1


def test_a_request_that_is_not_taken_has_a_deadline() -> None:
    done = threading.Event()

    def never_read(sock: socket.socket, number: int) -> None:
        done.wait(10)

    with RawServer(never_read) as server:
        error = fails(asked(server.url, body=b"x" * 50_000_000, first_byte_s=0.3))
        done.set()
    assert isinstance(error, ReadTimedOut)
    assert error.phase == "first_byte"


def test_patience_with_a_silent_end_is_short() -> None:
    def no_end(sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(CHUNKED + b"2\r\nhi\r\n")
        read_request(sock)

    with RawServer(no_end) as server:
        stream = opened(asked(server.url))
        stream.read_some()
        started = time.monotonic()
        stream.finish(linger_s=0.05)
        assert time.monotonic() - started < 1


@pytest.mark.parametrize(
    "answer",
    [OK + b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", OK + b"garbage"],
    ids=["a second answer", "garbage"],
)
def test_bytes_after_an_answer_spoil_the_connection(answer: bytes) -> None:
    with RawServer(answering(answer, OK)) as server:
        for _ in range(2):
            with opened(asked(server.url)) as stream:
                assert stream.read_all(100) == b"hi"
    assert server.accepted == 2


def test_a_connection_that_died_while_idle_is_not_taken() -> None:
    with RawServer(answering(OK)) as server:
        for number in (1, 2, 3):
            with opened(asked(server.url)) as stream:
                assert stream.read_all(100) == b"hi"
            assert server.accepted == number
            wait_for_close(server)


def wait_for_close(server: RawServer) -> None:
    """Until the close of the idle connection has arrived at our side."""
    pool = pool_for(Origin("http", "127.0.0.1", server.port))
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not any(_is_fit(*idle) for idle in pool._idle):
            return
        gevent.sleep(0.005)
    raise AssertionError("the server did not close")


def test_a_connection_that_dies_as_it_is_taken_is_replaced_once() -> None:
    def one_then_none(sock: socket.socket, number: int) -> None:
        read_request(sock)
        sock.sendall(OK)
        if number == 1:
            # Takes the second request and hangs up without a byte.
            read_request(sock)
            return
        while read_request(sock):
            sock.sendall(OK)

    with RawServer(one_then_none) as server:
        for _ in range(3):
            with opened(asked(server.url)) as stream:
                assert stream.read_all(100) == b"hi"
    assert server.accepted == 2


def test_a_fresh_connection_that_dies_is_not_tried_again() -> None:
    def hang_up(sock: socket.socket, number: int) -> None:
        read_request(sock)

    with RawServer(hang_up) as server:
        assert isinstance(fails(asked(server.url)), BrokenStream)
    assert server.accepted == 1


def test_a_used_connection_that_dies_after_a_byte_is_not_tried_again() -> None:
    with RawServer(answering(OK, b"HTTP/1.1 2")) as server:
        with opened(asked(server.url)) as stream:
            stream.read_all(100)
        assert isinstance(fails(asked(server.url)), BrokenStream)
    assert server.accepted == 1


def test_an_old_idle_connection_is_not_taken(upstream: FakeUpstream) -> None:
    with opened(chat(upstream)) as stream:
        stream.read_all(100_000)
    pool = pool_for(Origin("http", "127.0.0.1", int(upstream.origin.rsplit(":", 1)[1])))
    age(pool)
    with opened(chat(upstream)) as stream:
        stream.read_all(100_000)
    assert upstream.connections.accepted == 2


def age(pool: Pool) -> None:
    """Lets what lies idle have lain there too long."""
    aged = [(sock, returned_s - IDLE_S_MAX) for sock, returned_s in pool._idle]
    pool._idle.clear()
    pool._idle.extend(aged)


def test_what_a_burst_has_left_is_closed_once_it_is_old(upstream: FakeUpstream) -> None:
    streams = [opened(chat(upstream)) for _ in range(20)]
    for stream in streams[:19]:
        stream.read_all(100_000)
    pool = pool_for(Origin("http", "127.0.0.1", int(upstream.origin.rsplit(":", 1)[1])))
    age(pool)
    streams[19].read_all(100_000)
    close_old()
    upstream.wait_for(lambda: upstream.connections.open == 1)
    with opened(chat(upstream)) as stream:
        stream.read_all(100_000)
    assert upstream.connections.accepted == 20


def test_descriptors_above_1024_are_reused_too(upstream: FakeUpstream) -> None:
    held = [os.dup(0) for _ in range(1_100)]
    try:
        for _ in range(2):
            with opened(chat(upstream)) as stream:
                stream.read_all(100_000)
    finally:
        for descriptor in held:
            os.close(descriptor)
    assert upstream.connections.accepted == 1


def test_threads_have_pools_of_their_own(upstream: FakeUpstream) -> None:
    statuses = []

    def run() -> None:
        with opened(chat(upstream)) as stream:
            stream.read_all(100_000)
            statuses.append(stream.status)

    threads = [threading.Thread(target=run) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert statuses == [200] * 4


def test_a_stream_may_be_closed_by_another_thread_while_nobody_reads(
    upstream: FakeUpstream,
) -> None:
    upstream.streams("one", stall_after=(1, 60.0))
    stream = opened(chat(upstream))
    thread = threading.Thread(target=stream.close)
    thread.start()
    thread.join(5)
    upstream.wait_for(lambda: upstream.aborted)


def test_many_streams_run_beside_each_other_in_one_thread(upstream: FakeUpstream) -> None:
    upstream.streams("one", "two", stall_between_s=0.05)
    jobs = [gevent.spawn(lambda: opened(chat(upstream)).read_all(9999)) for _ in range(100)]
    started = time.monotonic()
    gevent.joinall(jobs, timeout=10, raise_error=True)
    assert all(b"[DONE]" in job.value for job in jobs)
    # One after the other they would take twenty seconds.
    assert time.monotonic() - started < 10


# TLS.


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 that nobody has signed, with its key, in one file."""
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def tls_server(certificate: Path) -> Iterator[RawServer]:
    context = tls_context(certificate)

    def serve(sock: socket.socket, number: int) -> None:
        while read_request(sock):
            sock.sendall(CHUNKED + b"2\r\nhi\r\n0\r\n\r\n")

    with RawServer(serve, tls=context) as server:
        yield server


def test_an_unknown_certificate_is_refused(tls_server: RawServer) -> None:
    error = fails(asked(tls_server.url))
    assert isinstance(error, ConnectFailed)
    assert error.reason == "tls"


def test_plain_http_on_a_tls_port_is_no_connection(upstream: FakeUpstream) -> None:
    error = fails(asked(upstream.origin.replace("http:", "https:"), connect_s=2))
    assert isinstance(error, ConnectFailed | ReadTimedOut)


TRUSTING = """
import sys
if sys.argv[2] == "patched":
    from gevent import monkey
    monkey.patch_all()
from solrouter.transport.http import HttpRequest, open_stream
for _ in range(2):
    request = HttpRequest("POST", sys.argv[1], {}, b"{}", 5, 5, 5, 20)
    with open_stream(request) as stream:
        assert stream.wait_for_head() and stream.read_all(100) == b"hi"
"""


@pytest.mark.parametrize("mode", ["patched", "unpatched"])
def test_a_trusted_certificate_is_accepted_and_its_connection_reused(
    tls_server: RawServer, certificate: Path, mode: str
) -> None:
    environment = {**os.environ, "SSL_CERT_FILE": str(certificate)}
    command = [sys.executable, "-W", "error", "-c", TRUSTING, tls_server.url, mode]
    done = subprocess.run(command, env=environment, capture_output=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr.decode()
    assert tls_server.accepted == 1


def test_a_deadline_already_past_opens_nothing(upstream: FakeUpstream) -> None:
    error = fails(chat(upstream, total_s=0.0))
    assert isinstance(error, ReadTimedOut)
    assert upstream.requests == 0
    assert http.RECEIVE_BYTES >= 64 * 1024


def test_a_quiet_answer_can_be_waited_for_in_turns(upstream: FakeUpstream) -> None:
    upstream.answers(stall_before_s=0.4)
    with open_stream(chat(upstream)) as stream:
        turns = 0
        while not stream.wait_for_head(0.1):
            turns += 1
        assert stream.status == 200
    assert 2 <= turns <= 5


def test_waiting_in_turns_does_not_move_the_deadline(upstream: FakeUpstream) -> None:
    upstream.answers(stall_after=(2, 60))
    turns = 0
    with opened(chat(upstream, between_s=0.5)) as stream, pytest.raises(ReadTimedOut) as caught:
        while (piece := stream.read_some(0.1)) != b"":
            turns += piece is None
    assert caught.value.phase == "between"
    assert 3 <= turns <= 5


def test_what_was_sent_is_let_go_once_the_answer_has_begun() -> None:
    with RawServer(answering(CHUNKED + b"2\r\nhi\r\n0\r\n\r\n")) as server:
        body = bytes([*BODY, *b" " * 100])
        stream = open_stream(asked(server.url, body=body))
        sent = sys.getrefcount(body)
        stream.wait_for_head()
        assert sys.getrefcount(body) == sent - 1
        assert stream.read_all(10) == b"hi"
