"""One HTTP request as bytes, refused when it could not be written safely. Knows no sockets."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from solrouter.transport.errors import Unsendable
from solrouter.transport.pool import Origin

USER_AGENT = "SolRouter/1.0"

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
    origin, target = _parsed_url(request.url)
    return origin, _head(request, origin, target)


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


def _head(request: HttpRequest, origin: Origin, target: str) -> bytes:
    host = f"[{origin.host}]" if ":" in origin.host else origin.host
    if origin.port != _PORTS[origin.scheme]:
        host += f":{origin.port}"
    fields = {
        "Host": host,
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        **request.headers,
        "Content-Length": str(len(request.body)),
    }
    if not _TOKEN.fullmatch(request.method):
        raise Unsendable("the method is not a word")
    lines = [f"{request.method} {target} HTTP/1.1"]
    for name, value in fields.items():
        # A line break would let a value add headers, or a whole second request.
        if not _TOKEN.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
            raise Unsendable(f"the header {name!r:.60} holds a character that HTTP forbids")
        lines.append(f"{name}: {value}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1")
