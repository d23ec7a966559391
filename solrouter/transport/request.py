"""One HTTP request as bytes, refused when it could not be written safely. Knows no sockets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from urllib.parse import urlsplit

from solrouter.transport.errors import Unsendable
from solrouter.transport.pool import Origin

USER_AGENT = "SolRouter/1.0"
# How many heads are remembered: a few for each provider.
HEADS_MAX = 512

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_HOST = re.compile(r"[0-9a-z.:_\-]+")
_TARGET = re.compile(r"[\x21-\x7e]+")
_PORTS = {"http": 80, "https": 443}


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """What to send, and how long to wait for each part of the answer, in seconds."""

    method: str
    url: str
    headers: Mapping[str, str]
    body: bytes
    connect_s: float
    first_byte_s: float
    between_s: float
    total_s: float


def written(request: HttpRequest) -> tuple[Origin, bytes]:
    """Returns whom to connect to and the head to send. Raises Unsendable."""
    origin, head = _head(request.method, request.url, tuple(request.headers.items()))
    return origin, b"%b%d\r\n\r\n" % (head, len(request.body))


def _parsed_url(url: str) -> tuple[Origin, str]:
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise Unsendable("the address cannot be read") from exc
    host = parts.hostname or ""
    if parts.scheme not in _PORTS or not _HOST.fullmatch(host) or "@" in parts.netloc:
        raise Unsendable("the address must begin with http:// or https:// and an ASCII host name")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    if not _TARGET.fullmatch(target):
        raise Unsendable("the address holds a space, a control character or a foreign letter")
    return Origin(parts.scheme, host, port or _PORTS[parts.scheme]), target


@lru_cache(maxsize=HEADS_MAX)
def _head(method: str, url: str, headers: tuple[tuple[str, str], ...]) -> tuple[Origin, bytes]:
    """All of the head but the body's length: the same for each request to one place."""
    origin, target = _parsed_url(url)
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.port != _PORTS[origin.scheme]:
        host += f":{origin.port}"
    fields = {
        "Host": host,
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        **dict(headers),
    }
    if not _TOKEN.fullmatch(method):
        raise Unsendable("the method is not a word")
    lines = [f"{method} {target} HTTP/1.1"]
    for name, value in fields.items():
        # A line break would let a value add headers, or a whole second request.
        if not _TOKEN.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
            raise Unsendable(f"the header {name!r:.60} holds a character that HTTP forbids")
        lines.append(f"{name}: {value}")
    return origin, "\r\n".join([*lines, "Content-Length: "]).encode("latin-1")
