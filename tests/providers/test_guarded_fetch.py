"""The SSRF guard against real sockets and a resolver that lies.

No test may call the internet, so one address of the loopback network, 127.0.0.2, plays a public
one: the rules of these tests allow it and nothing else of it. 127.0.0.1 stays what it is, our own
machine, where a server counts who reaches it.
"""

import os
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from solrouter.clock import monotonic_s
from solrouter.transport import guarded
from solrouter.transport.errors import (
    AddressRefused,
    BrokenStream,
    ConnectFailed,
    ReadTimedOut,
    TooLarge,
    TransportError,
)
from solrouter.transport.public_addresses import Rules, is_public, target_of
from tests.providers.raw_server import RawServer, answering, read_request

PUBLIC = "127.0.0.2"
INSIDE = "127.0.0.1"
NAME = "files.example.com"
OK = b"HTTP/1.1 200 OK\r\nContent-Type: image/png; q=1\r\nContent-Length: 2\r\n\r\nhi"


class Resolver:
    """Answers each question with the next of these; the last one for ever. Remembers them."""

    def __init__(self, *answers: Sequence[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


def rules_for(*servers: RawServer) -> Rules:
    """The usual rules, but for the public server's address and these servers' ports."""
    ports = tuple(server.port for server in servers)
    return Rules.allowing(f"{PUBLIC}/32", ports=ports)


@pytest.fixture
def inside() -> Iterator[RawServer]:
    """A server of our own network, which nobody may reach."""
    with RawServer(answering(OK)) as server:
        yield server
        assert server.accepted == 0, "a stranger has reached our own network"


def public(*answers: bytes) -> RawServer:
    return RawServer(answering(*answers), address=PUBLIC)


def moved(location: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n".encode()


# What is found.


def test_a_public_document_comes_with_its_type() -> None:
    with public(OK) as server:
        url = f"http://{NAME}:{server.port}/a.png?b=1"
        found = guarded.fetch(
            url, bytes_max=10, resolve=Resolver([PUBLIC]), rules=rules_for(server)
        )
    assert (found.body, found.media_type, found.url) == (b"hi", "image/png", url)


def test_the_request_names_the_host_and_carries_nothing_of_ours() -> None:
    seen: list[bytes] = []

    def keep(sock: socket.socket, _: int) -> None:
        seen.append(read_request(sock))
        sock.sendall(OK)

    with RawServer(keep, address=PUBLIC) as server:
        url = f"http://{NAME}:{server.port}/a"
        guarded.fetch(url, bytes_max=10, resolve=Resolver([PUBLIC]), rules=rules_for(server))
        head = seen[0].decode().lower()
        assert f"\r\nhost: {NAME}:{server.port}\r\n" in head
    names = {line.partition(":")[0] for line in head.split("\r\n")[1:] if line}
    assert names == {
        "host", "user-agent", "accept-encoding", "accept", "connection", "content-length"
    }  # fmt: skip


def test_another_address_is_tried_when_the_first_takes_no_connection() -> None:
    with public(OK) as server:
        rules = Rules.allowing("127.0.0.2/31", ports=(server.port,))
        found = guarded.fetch(
            f"http://{NAME}:{server.port}/",
            bytes_max=10,
            resolve=Resolver(["127.0.0.3", PUBLIC]),
            rules=rules,
        )
    assert found.body == b"hi"


# Names that lie.


def test_a_name_that_changes_its_mind_is_asked_once(inside: RawServer) -> None:
    """DNS rebinding: public when it is checked, our own machine when it is called."""
    resolver = Resolver([PUBLIC], [INSIDE])
    with RawServer(answering(OK), address=PUBLIC) as server:
        rules = rules_for(server, inside)
        url = f"http://{NAME}:{server.port}/"
        assert guarded.fetch(url, bytes_max=10, resolve=resolver, rules=rules).body == b"hi"
        assert resolver.asked == [NAME]
        with pytest.raises(AddressRefused):
            guarded.fetch(url, bytes_max=10, resolve=resolver, rules=rules)


@pytest.mark.parametrize("answer", [[INSIDE], [PUBLIC, INSIDE], [INSIDE, PUBLIC], ["::1"], []])
def test_a_name_with_one_address_inside_is_refused(inside: RawServer, answer: list[str]) -> None:
    with pytest.raises(AddressRefused) as caught:
        guarded.fetch(
            f"http://{NAME}:{inside.port}/",
            bytes_max=10,
            resolve=Resolver(answer),
            rules=rules_for(inside),
        )
    assert str(caught.value) == guarded.NOT_PUBLIC


def test_a_name_without_an_address_says_so() -> None:
    def nobody(host: str, port: int) -> Sequence[str]:
        raise socket.gaierror("no such name")

    with pytest.raises(ConnectFailed) as caught:
        guarded.fetch(f"http://{NAME}/", bytes_max=10, resolve=nobody)
    assert caught.value.reason == "dns"


def test_the_real_resolver_finds_our_own_machine_and_the_guard_refuses_it() -> None:
    assert INSIDE in guarded.resolved("localhost", 80) or "::1" in guarded.resolved("localhost", 80)
    with pytest.raises(AddressRefused):
        guarded.fetch(f"http://{socket.gethostname()}.localdomain/", bytes_max=10,
                      resolve=lambda host, port: guarded.resolved("localhost", port))  # fmt: skip


# Redirects.


def test_a_redirect_to_another_public_page_is_followed() -> None:
    with public(OK) as second, public(moved(f"http://other.example:{second.port}/x")) as first:
        resolver = Resolver([PUBLIC])
        found = guarded.fetch(
            f"http://{NAME}:{first.port}/",
            bytes_max=10,
            resolve=resolver,
            rules=rules_for(first, second),
        )
    assert found.body == b"hi"
    assert resolver.asked == [NAME, "other.example"]


@pytest.mark.parametrize(
    "location",
    [
        "http://127.0.0.1:{port}/",
        "http://[::ffff:127.0.0.1]:{port}/",
        "http://2130706433:{port}/",
        "http://localhost:{port}/",
        "http://inside.example:{port}/",
        "//127.0.0.1:{port}/",
        "http://169.254.169.254/latest/meta-data/",
        "file:///etc/passwd",
        "gopher://127.0.0.1:{port}/_x",
        "http://a@127.0.0.1:{port}/",
        "http://127.0.0.1:{port}/\u00e9",
    ],
)
@pytest.mark.parametrize("status", [301, 307])
def test_a_redirect_inside_is_refused(inside: RawServer, location: str, status: int) -> None:
    with public(moved(location.format(port=inside.port), status)) as server:

        def resolve(host: str, port: int) -> Sequence[str]:
            return [PUBLIC] if host == NAME else [INSIDE]

        with pytest.raises(AddressRefused):
            guarded.fetch(
                f"http://{NAME}:{server.port}/",
                bytes_max=10,
                resolve=resolve,
                rules=rules_for(server, inside),
            )


def test_redirects_end() -> None:
    with public(moved("/again")) as server:
        with pytest.raises(TransportError, match="more than 3 redirects"):
            guarded.fetch(
                f"http://{NAME}:{server.port}/",
                bytes_max=10,
                resolve=Resolver([PUBLIC]),
                rules=rules_for(server),
            )
        assert server.accepted == 4


# Sizes and times.


def fails(handler: Callable[[socket.socket, int], None], **change: float) -> TransportError:
    """What goes wrong with a public server that does this."""
    with RawServer(handler, address=PUBLIC) as server, pytest.raises(TransportError) as caught:
        guarded.fetch(
            f"http://{NAME}:{server.port}/",
            bytes_max=1000,
            resolve=Resolver([PUBLIC]),
            rules=rules_for(server),
            **change,
        )
    return caught.value


def test_a_large_document_is_left_off() -> None:
    def pour(sock: socket.socket, _: int) -> None:
        read_request(sock)
        sock.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            sock.sendall(b"x" * 500)

    assert isinstance(fails(pour), TooLarge)


@pytest.mark.parametrize("head", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n"])
def test_bytes_that_drip_end_at_the_deadline(head: bytes) -> None:
    def drip(sock: socket.socket, _: int) -> None:
        read_request(sock)
        sock.sendall(head)
        sock.settimeout(0.02)
        while True:
            sock.sendall(b"x")
            try:
                sock.recv(1)
                return
            except TimeoutError:
                continue

    began_s = monotonic_s()
    assert isinstance(fails(drip, total_s=0.3), ReadTimedOut)
    assert monotonic_s() - began_s < 3


def test_a_compressed_answer_is_not_unpacked() -> None:
    packed = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n\x1f\x8b"
    assert isinstance(fails(answering(packed)), BrokenStream)


def test_a_failure_is_no_document() -> None:
    assert "404" in str(fails(answering(b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n")))


# Addresses and their spellings.


@pytest.mark.parametrize(
    "url",
    [
        "",
        "files.example.com/a",
        "ftp://files.example.com/",
        "file:///etc/passwd",
        "gopher://files.example.com/",
        "http:///nowhere",
        "http://files.example.com:22/",
        "http://files.example.com:6379/",
        "http://files.example.com:0/",
        "http://files.example.com:99999/",
        "http://user@files.example.com/",
        "http://files.example.com:80@127.0.0.1/",
        "http://localhost/",
        "http://LOCALHOST/",
        "http://sub.localhost/",
        "http://metadata/",
        "http://files.example.com./",
        "http://127.0.0.1./",
        "http://.example.com/",
        "http://a..b/",
        "http://-a.example/",
        "http://2130706433/",
        "http://017700000001/",
        "http://0x7f000001/",
        "http://0x7f.1/",
        "http://127.1/",
        "http://0177.0.0.1/",
        "http://127.0.0.0x1/",
        "http://files.0x7f/",
        "http://1.2.3.4.5/",
        "http://256.1.1.1/",
        "http://[fe80::1%25eth0]/",
        "http://[::1/",
        "http://[v1.x]/",
        "http://[127.0.0.1]/",
        "http://ⓛocalhost.example/",
        "http://bücher.example/",
        "http://127。0。0。1/",
        "http://files.example.com\\@127.0.0.1/",
        "http://files.example.com/a b",
        "http://files.example.com/\r\nHost: evil",
        "http://files.example.com/\u00e9",
        " http://files.example.com/",
        "http://files%2eexample.com/",
        "http://files.example.com/" + "a" * 5000,
        "http://" + "a" * 64 + ".example/",
        "http://" + "a." * 130 + "example/",
    ],
)
def test_an_odd_address_is_refused_before_any_name_is_asked(url: str) -> None:
    resolver = Resolver([PUBLIC])
    with pytest.raises(AddressRefused):
        guarded.fetch(url, bytes_max=10, resolve=resolver)
    assert resolver.asked == []


@pytest.mark.parametrize(
    ("url", "host", "port"),
    [
        ("http://Files.Example.com/a#b", "files.example.com", 80),
        ("https://files.example.com:443/", "files.example.com", 443),
        ("https://xn--bcher-kva.example/ü".replace("ü", "%C3%BC"), "xn--bcher-kva.example", 443),
        ("http://93.184.216.34/", "93.184.216.34", 80),
        ("http://[2606:2800:220:1::1]:80/", "2606:2800:220:1::1", 80),
    ],
)
def test_a_plain_address_is_read(url: str, host: str, port: int) -> None:
    target = target_of(url)
    assert (target.host, target.port) == (host, port)


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.0.0.1", "100.64.0.1", "100.100.100.200", "127.0.0.1",
        "127.255.255.254", "168.63.129.16", "169.254.169.254", "169.254.170.2", "172.16.0.1",
        "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1", "198.18.0.1",
        "198.51.100.1", "203.0.113.1", "224.0.0.1", "239.255.255.250", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::127.0.0.1", "::ffff:127.0.0.1", "::ffff:93.184.216.34",
        "::ffff:0:127.0.0.1", "64:ff9b::7f00:1", "64:ff9b:1::1", "100::1", "2001::1",
        "2001:0:53aa:64c:0:0:80ff:fffe", "2001:20::1", "2001:db8::1", "2002:7f00:1::",
        "2002:a9fe:a9fe::1", "3fff::1", "5f00::1", "fc00::1", "fd00:ec2::254", "fe80::1",
        "fe80::1%eth0", "fec0::1", "ff02::1", "4000::1", "127.1", "nonsense", "",
    ],
)  # fmt: skip
def test_an_address_that_is_not_public_is_known(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "93.184.216.34", "172.32.0.1", "2606:4700::1111", "2a00:1450:4001::1"]
)
def test_a_public_address_is_known(address: str) -> None:
    assert is_public(address)


def test_the_table_refuses_all_that_python_calls_not_global() -> None:
    """A check of the table against another's, at the edges of each of its ranges."""
    from solrouter.transport import public_addresses

    for network in (*public_addresses._CLOSED_4, *public_addresses._CLOSED_6):
        for address in (network[0], network[-1]):
            assert not is_public(str(address)), address
    for text in ("10.0.0.0/8", "192.168.0.0/16", "fc00::/7", "fe80::/10", "::ffff:0:0/96"):
        network = ip_network(text)
        assert not is_public(str(network[0])) and not is_public(str(network[-1]))


# TLS: the certificate is that of the name, though the call goes to the number.

CALLING = """
import sys
if sys.argv[1] == "patched":
    from gevent import monkey
    monkey.patch_all()
from solrouter.transport import guarded
from solrouter.transport.errors import ConnectFailed
from solrouter.transport.public_addresses import Rules
port = int(sys.argv[2])
rules = Rules.allowing("127.0.0.2/32", ports=(port,))
def fetch(host):
    url = f"https://{host}:{port}/"
    return guarded.fetch(url, bytes_max=9, resolve=lambda host, port: ["127.0.0.2"], rules=rules)
assert fetch("files.example.com").body == b"hi"
for host in ("other.example.com", "127.0.0.2"):
    try:
        fetch(host)
    except ConnectFailed as error:
        assert error.reason == "tls", error
    else:
        raise AssertionError(host)
"""


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for NAME alone, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject, now = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "fake")]), datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "fake.pem"
    plain = serialization.NoEncryption()
    path.write_bytes(
        signed.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, plain)
    )
    return path


@pytest.mark.parametrize("mode", ["patched", "unpatched"])
def test_the_certificate_must_be_that_of_the_name(certificate: Path, mode: str) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    names: list[str | None] = []
    context.sni_callback = lambda sock, name, _: names.append(name)
    with RawServer(answering(OK), tls=context, address=PUBLIC) as server:
        done = subprocess.run(
            [sys.executable, "-W", "error", "-c", CALLING, mode, str(server.port)],
            env={**os.environ, "SSL_CERT_FILE": str(certificate)},
            capture_output=True,
            timeout=60,
            check=False,
        )
    assert done.returncode == 0, done.stderr.decode()
    assert names[0] == NAME
