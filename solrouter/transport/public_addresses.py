"""Which addresses a stranger may make us call: public hosts by their plain names. Pure.

| refused                          | such as                                                      |
|----------------------------------|--------------------------------------------------------------|
| other schemes, other ports       | `file:`, `gopher:`, `http://host:6379/`                      |
| credentials in the address       | `http://public.example@127.0.0.1/`                           |
| numbers in an odd spelling       | `http://2130706433/`, `http://0177.0.0.1/`, `http://127.1/`  |
| names that are not plain         | `localhost`, `host.`, letters beyond ASCII (write `xn--…`)   |
| addresses that are not public    | private, loopback, link-local, metadata, multicast, reserved |
| addresses that stand for another | `::ffff:127.0.0.1`, NAT64, 6to4, Teredo                      |

The ranges stand here and are not Python's `is_global`, which changed with its patch releases and
calls some of them public (site-local, a cloud's own service address).
"""

import re
from collections.abc import Container
from dataclasses import dataclass
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from urllib.parse import urlsplit

from solrouter.transport.errors import AddressRefused

PORTS = {"http": 80, "https": 443}
URL_CHARACTERS_MAX = 4096
NAME_CHARACTERS_MAX = 253

_PRINTABLE = re.compile(r"[\x21-\x7e]+")
_LABEL = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
# What a resolver takes for a number: its `inet_aton` reads decimal, octal and hex.
_NUMBER = re.compile(r"\d+|0x[0-9a-f]*")

# IANA's registry of special IPv4 addresses, and what else is not for strangers.
_CLOSED_4 = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",  # this network
        "10.0.0.0/8",  # private
        "100.64.0.0/10",  # carriers' NAT; Alibaba's metadata
        "127.0.0.0/8",  # loopback
        "168.63.129.16/32",  # Azure's own service, at a public address
        "169.254.0.0/16",  # link-local; the metadata of most clouds
        "172.16.0.0/12",  # private
        "192.0.0.0/24",  # protocol assignments; Oracle's metadata
        "192.0.2.0/24",  # documentation
        "192.31.196.0/24",  # AS112
        "192.52.193.0/24",  # AMT
        "192.88.99.0/24",  # 6to4 relays
        "192.168.0.0/16",  # private
        "192.175.48.0/24",  # AS112
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",  # documentation
        "203.0.113.0/24",  # documentation
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
    )
)
# Only global unicast is open. Mapped, compatible, NAT64, local and multicast lie outside of it.
_OPEN_6 = IPv6Network("2000::/3")
_CLOSED_6 = tuple(
    IPv6Network(text)
    for text in (
        "2001::/23",  # protocol assignments; Teredo
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "2620:4f:8000::/48",  # AS112
        "3fff::/20",  # documentation
    )
)

Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True)
class Rules:
    """What may be called beyond the usual: `ports` other than 80 and 443, `networks` of our own."""

    ports: Container[int] = frozenset(PORTS.values())
    networks: tuple[Network, ...] = ()

    @classmethod
    def allowing(cls, *networks: str, ports: tuple[int, ...] = ()) -> "Rules":
        """The usual rules, with these networks and ports in addition."""
        more = tuple(ip_network(text) for text in networks)
        return cls(frozenset((*PORTS.values(), *ports)), more)

    @classmethod
    def on_any_port(cls, *networks: Network) -> "Rules":
        """The usual rules, with these networks in addition and every port."""
        return cls(range(1, 65_536), networks)


USUAL = Rules()


@dataclass(frozen=True, slots=True)
class Target:
    """An address as it was checked: whom to ask for and where. `number` if the host is one."""

    scheme: str
    host: str
    port: int
    number: str | None


def target_of(url: str, rules: Rules = USUAL) -> Target:
    """Whom this address names. Raises AddressRefused."""
    if len(url) > URL_CHARACTERS_MAX or not _PRINTABLE.fullmatch(url) or "\\" in url:
        raise AddressRefused("the address holds a character that it must not, or is too long")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        raise AddressRefused("the address cannot be read") from None
    if parts.scheme not in PORTS:
        raise AddressRefused("the address must begin with https:// or http://")
    if "@" in parts.netloc:
        raise AddressRefused("the address must not hold a name or a password")
    port = PORTS[parts.scheme] if port is None else port
    if port not in rules.ports:
        raise AddressRefused("the address must use the usual port")
    host = (parts.hostname or "").lower()
    if ("[" in parts.netloc) != (":" in host):
        raise AddressRefused("the address cannot be read")
    return Target(parts.scheme, host, port, _number(host))


def is_public(address: str, rules: Rules = USUAL) -> bool:
    """Whether an IP address may be called. What cannot be read may not."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return False
    if any(parsed.version == network.version and parsed in network for network in rules.networks):
        return True
    if isinstance(parsed, IPv4Address):
        return not any(parsed in network for network in _CLOSED_4)
    return parsed in _OPEN_6 and not any(parsed in network for network in _CLOSED_6)


def _number(host: str) -> str | None:
    """The IP address that the host is, in its plain spelling; None for a name."""
    if ":" in host:
        try:
            return str(IPv6Address(host))
        except AddressValueError:
            raise AddressRefused("the address cannot be read") from None
    labels = host.split(".")
    if not _NUMBER.fullmatch(labels[-1]):
        _refuse_odd_name(host, labels)
        return None
    try:
        return str(IPv4Address(host))
    except AddressValueError:
        raise AddressRefused("a number as host is written as four decimal numbers") from None


def _refuse_odd_name(host: str, labels: list[str]) -> None:
    is_plain = len(labels) > 1 and all(_LABEL.fullmatch(label) for label in labels)
    if not is_plain or len(host) > NAME_CHARACTERS_MAX or labels[-1] == "localhost":
        raise AddressRefused("the host must be a full name of letters, digits and dashes")
