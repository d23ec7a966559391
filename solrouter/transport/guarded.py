"""Fetches or posts to what a user's address leads to, if it is public: the SSRF guard.

Every address that a user gives us goes through here; `fetch.fetch` is for the operator's. The name
is looked up once, each of its addresses must be public, and the connection goes to the one that was
checked: a name that answers otherwise the second time is never asked a second time. Over TLS the
certificate is that of the name. Each redirect is checked anew, and all of them share one deadline.
No cookie, no credential and no header of ours but the agent's name goes out; no proxy is used.
A post follows no redirect, and of its answer only the status is told.
"""

import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from urllib.parse import urljoin

import gevent
from gevent import socket as gevent_socket

from solrouter.clock import monotonic_s
from solrouter.transport.errors import (
    AddressRefused,
    BrokenStream,
    ConnectFailed,
    ReadTimedOut,
    TransportError,
)
from solrouter.transport.http import HttpStream
from solrouter.transport.pool import pinned_pool
from solrouter.transport.public_addresses import USUAL, Rules, Target, is_public, target_of
from solrouter.transport.request import HttpRequest, written

Resolve = Callable[[str, int], Sequence[str]]

CONNECT_S = 5.0
FIRST_BYTE_S = 10.0
BETWEEN_S = 10.0
TOTAL_S = 30.0
REDIRECTS_MAX = 3
# Of a host with many, only the first ones are tried.
ADDRESSES_MAX = 3
POST_TOTAL_S = 15.0
# Of the answer to a post so much is read, so that its server can end it in peace.
ANSWER_BYTES_MAX = 16 * 1024
MOVED = (301, 302, 303, 307, 308)
# One sentence for all of them: which of our neighbours exist is nobody's to find out.
NOT_PUBLIC = "the address does not lead to a public server"


@dataclass(frozen=True, slots=True)
class Fetched:
    """A document, the type that its server gave it, and where it was found in the end."""

    body: bytes
    media_type: str
    url: str


def resolved(host: str, port: int) -> Sequence[str]:
    """The addresses of a name, best first. Raises OSError."""
    found = gevent_socket.getaddrinfo(host, port, 0, socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


def fetch(
    url: str,
    *,
    bytes_max: int,
    accept: str = "*/*",
    total_s: float = TOTAL_S,
    resolve: Resolve = resolved,
    rules: Rules = USUAL,
) -> Fetched:
    """The document at a user's address.

    Raises TransportError: AddressRefused for what is not public, and TooLarge, ReadTimedOut and the
    like for what cannot be had.
    """
    until_s = monotonic_s() + total_s
    for _ in range(REDIRECTS_MAX + 1):
        target = target_of(url, rules)
        address_list = _addresses(target, resolve, rules, until_s)
        asked = _Asked("GET", url, {"Accept": accept})
        with _opened(asked, target, address_list, until_s) as stream:
            location = stream.headers.get("location")
            if stream.status not in MOVED or not location:
                return Fetched(_body(stream, bytes_max), _media_type(stream), url)
        url = _followed(url, target, location)
    raise TransportError(f"there are more than {REDIRECTS_MAX} redirects")


def post(
    url: str,
    body: bytes,
    *,
    headers: Mapping[str, str],
    total_s: float = POST_TOTAL_S,
    resolve: Resolve = resolved,
    rules: Rules = USUAL,
) -> int:
    """Posts to a user's address, once and without following a redirect; returns the status.

    Raises TransportError as `fetch` does.
    """
    until_s = monotonic_s() + total_s
    target = target_of(url, rules)
    address_list = _addresses(target, resolve, rules, until_s)
    asked = _Asked("POST", url, headers, body)
    with _opened(asked, target, address_list, until_s) as stream:
        with suppress(TransportError):
            stream.read_all(ANSWER_BYTES_MAX)
        return stream.status


@dataclass(frozen=True, slots=True)
class _Asked:
    """What is sent."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes = b""


def _addresses(target: Target, resolve: Resolve, rules: Rules, until_s: float) -> Sequence[str]:
    """Where the host is, each address proven public. Raises AddressRefused and ConnectFailed."""
    if target.number is not None:
        found: Sequence[str] = (target.number,)
    else:
        late = ReadTimedOut("the name was not found in time", phase="connect")
        try:
            with gevent.Timeout(min(CONNECT_S, max(until_s - monotonic_s(), 0.0)), late):
                found = resolve(target.host, target.port)
        except (OSError, UnicodeError):
            raise ConnectFailed("the host name has no address", reason="dns") from None
    # One that is not public among them is a trap: no host of good faith has both.
    if not found or not all(is_public(address, rules) for address in found):
        raise AddressRefused(NOT_PUBLIC)
    return found[:ADDRESSES_MAX]


def _opened(asked: _Asked, target: Target, addresses: Sequence[str], until_s: float) -> HttpStream:
    """The answer once its head is there, from the first address that takes the connection."""
    refusal: TransportError = ConnectFailed("no connection could be made", reason="unreachable")
    for address in addresses:
        stream = _stream(asked, target, address, until_s)
        try:
            stream.send()
        except (ConnectFailed, ReadTimedOut) as error:
            refusal = error
            continue
        stream.wait_for_head()
        return stream
    raise refusal


def _stream(asked: _Asked, target: Target, address: str, until_s: float) -> HttpStream:
    request = HttpRequest(
        method=asked.method,
        url=asked.url,
        headers={**asked.headers, "Connection": "close"},
        body=asked.body,
        connect_s=CONNECT_S,
        first_byte_s=FIRST_BYTE_S,
        between_s=BETWEEN_S,
        total_s=until_s - monotonic_s(),
    )
    origin, head = written(request)
    # The two readings of one address must agree: what was checked is what is asked.
    if (origin.scheme, origin.host, origin.port) != (target.scheme, target.host, target.port):
        raise AddressRefused("the address cannot be read")
    return HttpStream(pinned_pool(origin, address), head, request, started_s=monotonic_s())


def _body(stream: HttpStream, bytes_max: int) -> bytes:
    if stream.status != 200:
        raise TransportError(f"the server answered with status {stream.status}")
    # Asked for as it is; a small compressed answer must not become a large one here.
    if stream.headers.get("content-encoding", "identity").lower() != "identity":
        raise BrokenStream("the answer is compressed, which was not asked for")
    return stream.read_all(bytes_max)


def _media_type(stream: HttpStream) -> str:
    return stream.headers.get("content-type", "").partition(";")[0].strip().lower()


def _followed(url: str, target: Target, location: str) -> str:
    # Read here as strictly as a first address, before anything makes sense of it.
    following = urljoin(url, location) if location.isascii() else location
    if target.scheme == "https" and not following.lower().startswith("https://"):
        raise AddressRefused("a redirect would leave https")
    return following
