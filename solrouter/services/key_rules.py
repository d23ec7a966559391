"""What a key may do, for how long and from where, in its owner's words and when it is used. Pure.

| scope         | opens                                                          |
|---------------|----------------------------------------------------------------|
| `inference`   | requests to models, their estimates and receipts               |
| `read`        | receipts, without spending anything                            |
| `keys:manage` | making, changing and ending the account's other keys           |

Whoever has a key may ask what that key is and what the balance is.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

from solrouter.errors import Forbidden, Refused

# What a key is for: to be sent by programs, or to stand for a signed-in member.
API, PLAYGROUND = "api", "playground"
INFERENCE, READ, MANAGE = "inference", "read", "keys:manage"
SCOPES = (INFERENCE, READ, MANAGE)
MODELS_ALLOWED_MAX = 100
MODEL_CHARACTERS_MAX = 200
NETWORKS_ALLOWED_MAX = 50
CONCURRENCY_MAX = 100_000
REQUESTS_PER_MINUTE_MAX = 1_000_000
TOKENS_PER_MINUTE_MAX = 1_000_000_000_000
RATES_MAX = {
    "requests_per_minute": REQUESTS_PER_MINUTE_MAX,
    "tokens_per_minute": TOKENS_PER_MINUTE_MAX,
    "concurrency": CONCURRENCY_MAX,
}
# In a list of models: every offer that costs nothing.
FREE = "free"
# An id, or every model of an author.
MODEL = re.compile(r"[^\s/*,]+/(\*|[^\s*,]+)")
MAPPED_BITS = 96
# Callers come again from where they came.
ADDRESSES_REMEMBERED = 4096

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What a key may do. None is no restriction; rates of 0 allow nothing at all."""

    scopes: tuple[str, ...] = (INFERENCE,)
    models_allowed: tuple[str, ...] | None = None
    networks_allowed: tuple[str, ...] | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrency: int | None = None
    expires_at: datetime | None = None

    @property
    def may_manage(self) -> bool:
        """Whether it may make and change keys."""
        return MANAGE in self.scopes

    def checked(self) -> "Rules":
        """The same rules as they are kept. Raises Refused, naming the field."""
        for name, most in RATES_MAX.items():
            units = getattr(self, name)
            if units is not None and not 0 <= units <= most:
                raise Refused(f"Write a whole number between 0 and {most:,}.", param=name)
        return replace(
            self,
            scopes=_scopes(self.scopes),
            models_allowed=_models(self.models_allowed),
            networks_allowed=_networks(self.networks_allowed),
            # As fine as a form can show it, so that saving one unchanged changes nothing.
            expires_at=self.expires_at and self.expires_at.replace(microsecond=0),
        )


def allows_model(allowed: Iterable[str] | None, *names: str) -> bool:
    """Whether a list of models names one of these, itself or with its author's others."""
    if allowed is None:
        return True
    listed = frozenset(allowed)
    return any(name in listed or f"{name.partition('/')[0]}/*" in listed for name in names)


def allows_free(allowed: Iterable[str] | None) -> bool:
    """Whether a list of models has room for whatever costs nothing."""
    return allowed is None or FREE in allowed


def require_network(allowed: tuple[str, ...] | None, address: str) -> None:
    """Raises Forbidden unless the client's address is in one of the networks."""
    if allowed is None:
        return
    client = as_address(address)
    if client is not None and any(client in network for network in _parsed(allowed)):
        return
    raise Forbidden(
        f"This API key may not be used from {client or 'an unknown address'}.",
        code="ip_not_allowed",
        metadata={"address": None if client is None else str(client)},
    )


@lru_cache(maxsize=ADDRESSES_REMEMBERED)
def as_address(text: str) -> Address | None:
    """The address in a text of a proxy or a socket, without port and zone; None if it is none."""
    bare = text.strip()
    if bare.startswith("["):
        bare = bare[1:].partition("]")[0]
    elif bare.count(":") == 1:
        bare = bare.partition(":")[0]
    try:
        address = ip_address(bare.partition("%")[0])
    except ValueError:
        return None
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return mapped or address


def as_network(text: str) -> Network:
    """The network of a CIDR text or a single address. Raises Refused."""
    text = text.strip()
    try:
        network = ip_network(text, strict=False)
    except ValueError:
        network = None
    if network is None or "%" in text:
        raise Refused(
            f"“{text:.60}” is no address or range, such as 203.0.113.7, 10.0.0.0/8 or "
            "2001:db8::/32.",
            param="networks_allowed",
        )
    if network.network_address != ip_address(text.partition("/")[0]):
        raise Refused(
            f"“{text}” begins in the middle of a range. Write {network}, or one address alone.",
            param="networks_allowed",
        )
    return _unmapped(network)


def _unmapped(network: Network) -> Network:
    """IPv4 in IPv6's clothes as what it is: clients are compared in the same way."""
    if not isinstance(network, IPv6Network) or network.prefixlen < MAPPED_BITS:
        return network
    mapped = network.network_address.ipv4_mapped
    return network if mapped is None else IPv4Network((mapped, network.prefixlen - MAPPED_BITS))


@lru_cache(maxsize=1024)
def _parsed(allowed: tuple[str, ...]) -> tuple[Network, ...]:
    return tuple(ip_network(text) for text in allowed)


def _scopes(scopes: Iterable[str]) -> tuple[str, ...]:
    given = set(scopes)
    unknown = given - set(SCOPES)
    if unknown:
        words = ", ".join(SCOPES)
        raise Refused(f"The scopes that a key can have are: {words}.", param="scopes")
    if not given:
        raise Refused("A key needs at least one scope.", param="scopes")
    return tuple(scope for scope in SCOPES if scope in given)


def _models(models: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if models is None:
        return None
    listed = _listed(models, MODELS_ALLOWED_MAX, "models_allowed", "models")
    for model in listed:
        is_one = model == FREE or MODEL.fullmatch(model) is not None
        if not is_one or len(model) > MODEL_CHARACTERS_MAX or not model.isprintable():
            raise Refused(
                f"“{model:.60}” is no model id, such as openai/gpt-4o-mini, and neither all of an "
                "author's, such as openai/*, nor “free”.",
                param="models_allowed",
            )
    return listed


def _networks(networks: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if networks is None:
        return None
    listed = _listed(networks, NETWORKS_ALLOWED_MAX, "networks_allowed", "networks")
    return tuple(dict.fromkeys(str(as_network(text)) for text in listed))


def _listed(texts: Iterable[str], most: int, param: str, what: str) -> tuple[str, ...]:
    """Each text once. Raises Refused for none at all and for too many."""
    listed = tuple(dict.fromkeys(text.strip() for text in texts))
    if not listed:
        raise Refused(f"An empty list would allow no {what} at all. Name one.", param=param)
    if len(listed) > most:
        raise Refused(f"A key can name at most {most} {what}.", param=param)
    return listed
