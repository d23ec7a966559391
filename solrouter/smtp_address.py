"""A mail server's address, read from a URL. Pure: opens no connection."""

import ipaddress
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import unquote, urlsplit

PORTS = {"smtp": 587, "smtps": 465}


@dataclass(frozen=True, slots=True)
class SmtpServer:
    """Where mail is handed over, and as whom."""

    host: str
    port: int
    # From the first byte on; without it the connection is encrypted by STARTTLS.
    is_tls: bool
    username: str = ""
    password: str = field(default="", repr=False)

    @classmethod
    def parse(cls, url: str) -> Self:
        """The server of `smtp://user:password@host:port` or `smtps://…`. Raises ValueError."""
        try:
            parts = urlsplit(url)
            host, port = parts.hostname or "", parts.port
        except ValueError:
            raise ValueError("is no URL") from None
        if parts.scheme not in PORTS or not host:
            raise ValueError("must look like smtp://user:password@host:587 or smtps://…")
        return cls(
            host=host,
            port=port or PORTS[parts.scheme],
            is_tls=parts.scheme == "smtps",
            username=unquote(parts.username or ""),
            password=unquote(parts.password or ""),
        )

    @property
    def is_near(self) -> bool:
        """Whether it is on this machine, where nobody can listen in."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False
