"""Texts of the environment read as values: each parser raises ValueError with what it wants."""

from decimal import Decimal, InvalidOperation
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import urlsplit

from solrouter import base58
from solrouter.base58 import NotBase58
from solrouter.money import NotMoney, parse_usd
from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.smtp_address import SmtpServer

TOKEN_CHARACTERS_MIN = 16
PASSWORD_CHARACTERS_MIN = 8
ENVIRONMENTS = ("production", "development", "test")
SIGNUPS = ("open", "invite", "closed")


def text(value: str) -> str:
    return value.strip()


def flag(value: str) -> bool:
    lowered = value.strip().lower()
    if lowered in ("1", "true", "yes", "on"):
        return True
    if lowered in ("", "0", "false", "no", "off"):
        return False
    raise ValueError("use 1 or 0")


def whole(value: str) -> int:
    number = int(value.strip())
    if number < 0:
        raise ValueError("must not be negative")
    return number


def seconds(value: str) -> float:
    number = float(value.strip())
    if not 0 <= number < 10**7:
        raise ValueError("must be a number of seconds")
    return number


def seconds_or_none(value: str) -> float | None:
    return seconds(value) if value.strip() else None


def dollars(value: str) -> int:
    try:
        return int(parse_usd(value))
    except NotMoney as error:
        raise ValueError(str(error)) from None


def dollars_or_none(value: str) -> int | None:
    return dollars(value) if value.strip() else None


def amounts(value: str) -> tuple[int, ...]:
    return tuple(dollars(part) for part in names(value))


def percent(value: str) -> Decimal:
    try:
        number = Decimal(value.strip())
    except InvalidOperation:
        raise ValueError("must be a number, such as 5.5") from None
    if not number.is_finite() or not 0 <= number <= 100:
        raise ValueError("must be between 0 and 100")
    return number


def share(value: str) -> float:
    number = float(value.strip())
    if not 0 <= number <= 1:
        raise ValueError("must be between 0 and 1")
    return number


def webhook_secrets(value: str) -> tuple[str, ...]:
    found = names(value)
    if not all(secret.startswith("whsec_") for secret in found):
        raise ValueError("must begin with whsec_")
    return found


def names(value: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in value.split(",") if part.strip())


def token(value: str) -> str:
    trimmed = value.strip()
    if trimmed and len(trimmed) < TOKEN_CHARACTERS_MIN:
        raise ValueError(f"use at least {TOKEN_CHARACTERS_MIN} characters that nobody can guess")
    return trimmed


def environment(value: str) -> str:
    lowered = value.strip().lower()
    if lowered not in ENVIRONMENTS:
        raise ValueError(f"use one of {', '.join(ENVIRONMENTS)}")
    return lowered


def optional_or_required(value: str) -> str:
    lowered = value.strip().lower()
    if lowered not in ("optional", "required"):
        raise ValueError("use optional or required")
    return lowered


def log_format(value: str) -> str:
    lowered = value.strip().lower()
    if lowered not in ("text", "json"):
        raise ValueError("use text or json")
    return lowered


def networks(value: str) -> tuple[IPv4Network | IPv6Network, ...]:
    return tuple(ip_network(name) for name in names(value))


def signup(value: str) -> str:
    lowered = value.strip().lower()
    if lowered not in SIGNUPS:
        raise ValueError(f"use one of {', '.join(SIGNUPS)}")
    return lowered


def smtp_server(value: str) -> SmtpServer | None:
    return SmtpServer.parse(value.strip()) if value.strip() else None


def sender(value: str) -> str:
    trimmed = value.strip()
    address = parseaddr(trimmed)[1]
    if trimmed and (address.count("@") != 1 or not trimmed.isprintable()):
        raise ValueError("must look like SolRouter <hello@example.com>")
    return trimmed


def email_address(value: str) -> str:
    trimmed = value.strip().lower()
    if trimmed and (trimmed.count("@") != 1 or parseaddr(trimmed)[1] != trimmed):
        raise ValueError("must look like you@example.com")
    return trimmed


def first_password(value: str) -> str:
    if value and len(value) < PASSWORD_CHARACTERS_MIN:
        raise ValueError(f"use at least {PASSWORD_CHARACTERS_MIN} characters")
    return value


def solana_address(value: str) -> str:
    trimmed = value.strip()
    try:
        if trimmed:
            base58.decode(trimmed, length_bytes=32)
    except NotBase58:
        raise ValueError("is no address on Solana") from None
    return trimmed


def rpc_endpoints(value: str) -> tuple[RpcEndpoint, ...]:
    found = tuple(RpcEndpoint.parse(part) for part in names(value))
    if len({endpoint.name for endpoint in found}) < len(found):
        raise ValueError("the same node stands there twice")
    return found


def argon2_memory(value: str) -> int:
    # Eight KiB for each lane is argon2's own least.
    return at_least(value, 64)


def positive(value: str) -> int:
    return at_least(value, 1)


def at_least(value: str, least: int) -> int:
    number = whole(value)
    if number < least:
        raise ValueError(f"must be {least} or more")
    return number


def months_kept(value: str) -> int:
    # An account's failures are judged by its last thirty days, a budget by its current month.
    return at_least(value, 3) if whole(value) else 0


def base_url(value: str) -> str:
    trimmed = value.strip().rstrip("/")
    if trimmed and urlsplit(trimmed).scheme not in ("http", "https"):
        raise ValueError("must begin with http:// or https://")
    return trimmed
