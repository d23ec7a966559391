"""Where a blockchain's node is asked, as the operator writes it: `https://HOST/…`.

Such addresses often carry a secret, in the path, the query or before the host; so what is shown and
logged of one is its host and nothing else.
"""

import base64
import ipaddress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit


@dataclass(frozen=True, slots=True)
class RpcEndpoint:
    """One node. `str` of it is its host and port."""

    url: str = field(repr=False)
    authorization: str = field(repr=False)
    name: str

    @classmethod
    def parse(cls, value: str) -> Self:
        """Raises ValueError for what is no address of a node; the message quotes none of it."""
        try:
            parts = urlsplit(value.strip())
            port = parts.port
        except ValueError:
            raise ValueError("one of the addresses cannot be read") from None
        host = parts.hostname or ""
        if parts.scheme not in ("http", "https") or not host:
            raise ValueError("each address must look like https://HOST/")
        name = host if port is None else f"{host}:{port}"
        netloc = parts.netloc.rpartition("@")[2]
        url = urlunsplit((parts.scheme, netloc, parts.path or "/", parts.query, ""))
        return cls(url, _authorization(parts.username, parts.password), name)

    @property
    def is_safe(self) -> bool:
        """Whether nobody on the way can change what is said: by TLS, or on a network of ours."""
        parts = urlsplit(self.url)
        host = parts.hostname or ""
        if parts.scheme == "https" or host == "localhost":
            return True
        try:
            return ipaddress.ip_address(host).is_private
        except ValueError:
            # A name without a dot is one of this network's: a container's, say.
            return "." not in host

    @property
    def secrets(self) -> tuple[str, ...]:
        """What of the address must not be told."""
        parts = urlsplit(self.url)
        steps = [step for step in parts.path.split("/") if step]
        values = [value for _, value in parse_qsl(parts.query)]
        return (self.url, self.authorization, parts.path.strip("/"), parts.query, *steps, *values)

    def __str__(self) -> str:
        return self.name


def _authorization(username: str | None, password: str | None) -> str:
    if username is None:
        return ""
    login = f"{unquote(username)}:{unquote(password or '')}"
    return f"Basic {base64.b64encode(login.encode()).decode()}"
