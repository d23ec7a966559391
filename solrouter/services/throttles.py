"""How often something may be tried: one row a subject, exact on any number of workers.

A refused attempt takes nothing. Knows nothing of passwords or HTTP.
"""

import ipaddress
import math
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from solrouter import database
from solrouter.errors import RateLimited
from solrouter.services import gcra

US_PER_S = 1_000_000
IPV6_BITS_OF_ONE_NETWORK = 64
# From one network; then one a minute.
SIGN_UPS_AT_ONCE_MAX = 30


@dataclass(frozen=True, slots=True)
class Allowance:
    """`burst` attempts at once, and `per_s` more each second (0.1: one in ten seconds)."""

    subject: str
    kind: str
    per_s: float
    burst: int

    @property
    def interval_us(self) -> int:
        return round(US_PER_S / self.per_s)


def take(subject: str, kind: str, *, per_s: float, burst: int) -> None:
    """Counts one attempt. Raises RateLimited (`too_many_attempts`) when there were too many."""
    take_all((Allowance(subject, kind, per_s, burst),))


def take_all(allowances: Sequence[Allowance]) -> None:
    """Counts one attempt against each, or against none. Raises RateLimited."""

    def count(connection: Connection) -> None:
        for allowance in allowances:
            _take(connection, allowance)

    database.transact(count, durable=False)


def give_back(allowances: Sequence[Allowance]) -> None:
    """Uncounts one attempt of each: what succeeded was no attack."""

    def uncount(connection: Connection) -> None:
        for allowance in allowances:
            names = {"subject": allowance.subject, "kind": allowance.kind}
            gcra.shift(connection, **names, by_us=-allowance.interval_us)

    database.transact(uncount, durable=False)


def sign_ups_from(network: str) -> Allowance:
    """What a sign-up from this network is counted against, whichever way it comes."""
    subject = f"network:{block_of(network)}"
    return Allowance(subject, "sign_up", per_s=1 / 60, burst=SIGN_UPS_AT_ONCE_MAX)


def block_of(address: str) -> str:
    """What one party commands: the address itself, or for IPv6 its /64."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if parsed.version == 4:
        return str(parsed)
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.ip_network((parsed, IPV6_BITS_OF_ONE_NETWORK), strict=False))


def _take(connection: Connection, allowance: Allowance) -> None:
    interval_us = allowance.interval_us
    window_us = interval_us * allowance.burst
    names = {"subject": allowance.subject, "kind": allowance.kind}
    if gcra.take(connection, **names, step_us=interval_us, window_us=window_us) is None:
        raise _too_many(gcra.ahead_us(connection, **names) + interval_us - window_us)


def _too_many(wait_us: int) -> RateLimited:
    wait_s = max(1, math.ceil(wait_us / US_PER_S))
    return RateLimited(
        f"Too many attempts. Please wait {_duration(wait_s)} and try again.",
        retry_after_s=wait_s,
        code="too_many_attempts",
    )


def _duration(wait_s: int) -> str:
    if wait_s < 120:
        return "a second" if wait_s == 1 else f"{wait_s} seconds"
    return f"{math.ceil(wait_s / 60)} minutes"
