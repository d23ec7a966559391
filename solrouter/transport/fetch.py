"""Fetches a small document from an address that the operator gave: bounded in bytes, time and
redirects.

Not for addresses that users give: nothing here keeps them out of private networks. Those go through
`guarded.fetch`.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urljoin, urlsplit

import requests

from solrouter.clock import monotonic_s
from solrouter.transport.errors import (
    BrokenStream,
    ConnectFailed,
    ReadTimedOut,
    TooLarge,
    TransportError,
    Unsendable,
)

CONNECT_S = 10.0
READ_S = 20.0
TOTAL_S = 60.0
REDIRECTS_MAX = 3
PIECE_BYTES = 65_536
MOVED = (301, 302, 303, 307, 308)


def fetch(url: str, *, bytes_max: int) -> bytes:
    """The body at an address. Raises TransportError for anything but a success of bounded size."""
    until_s = monotonic_s() + TOTAL_S
    with requests.Session() as session:
        for _ in range(REDIRECTS_MAX + 1):
            found = _fetch_once(session, url, bytes_max, until_s)
            if isinstance(found, bytes):
                return found
            url = _followed(url, found)
    raise TransportError(f"more than {REDIRECTS_MAX} redirects")


def status_of(url: str, headers: Mapping[str, str]) -> int:
    """The status of an answer whose body nobody reads. Raises TransportError.

    No redirect is followed: what the headers hold is for this address alone.
    """
    with _translated(), requests.Session() as session:
        deadlines = (CONNECT_S, READ_S)
        with session.get(
            url, timeout=deadlines, allow_redirects=False, stream=True, headers=dict(headers)
        ) as answer:
            return int(answer.status_code)


def _fetch_once(session: requests.Session, url: str, bytes_max: int, until_s: float) -> bytes | str:
    """The body, or where it has moved to."""
    if urlsplit(url).scheme not in ("http", "https"):
        raise Unsendable("the address must begin with http:// or https://")
    with (
        _translated(),
        session.get(
            url,
            timeout=(CONNECT_S, READ_S),
            allow_redirects=False,
            stream=True,
            headers={"Accept": "application/json"},
        ) as answer,
    ):
        if answer.status_code in MOVED and answer.headers.get("Location"):
            return str(answer.headers["Location"])
        if answer.status_code != 200:
            raise TransportError(f"the server answered with status {answer.status_code}")
        return _body(answer, bytes_max, until_s)


@contextmanager
def _translated() -> Iterator[None]:
    """The library's errors as ours."""
    try:
        yield
    except requests.Timeout as error:
        raise ReadTimedOut("the server was silent for too long", phase="between") from error
    except requests.exceptions.SSLError as error:
        raise ConnectFailed("its certificate cannot be trusted", reason="tls") from error
    except requests.ConnectionError as error:
        raise ConnectFailed("no connection could be made", reason="unreachable") from error
    except (requests.RequestException, ValueError) as error:
        raise BrokenStream(f"the answer cannot be read ({type(error).__name__})") from error


def _body(answer: requests.Response, bytes_max: int, until_s: float) -> bytes:
    """Counts what comes after decompression, so that a small answer cannot become a large one."""
    body = bytearray()
    for piece in answer.iter_content(PIECE_BYTES):
        body += piece
        if len(body) > bytes_max:
            raise TooLarge(f"it has more than {bytes_max:,} bytes", limit_bytes=bytes_max)
        if monotonic_s() > until_s:
            raise ReadTimedOut(f"it took more than {TOTAL_S:.0f} s", phase="total")
    return bytes(body)


def _followed(url: str, location: str) -> str:
    target = urljoin(url, location)
    if urlsplit(url).scheme == "https" and urlsplit(target).scheme != "https":
        raise Unsendable("a redirect would leave https")
    return target
