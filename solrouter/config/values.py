"""Texts of the environment read as values: each parser raises ValueError with what it wants."""

from decimal import Decimal, InvalidOperation
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from urllib.parse import SplitResult, urlsplit

from solrouter import base58
from solrouter.base58 import NotBase58
from solrouter.money import NotMoney, parse_usd
from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.smtp_address import SmtpServer

TOKEN_CHARACTERS_MIN = 16
PASSWORD_CHARACTERS_MIN = 8
ENVIRONMENTS = ("production", "development", "test")
SIGNUPS = ("open", "invite", "closed")
PORT_MAX = 65_535
# A process reports three times in a lease, by whole seconds.
LEASE_S_MIN = 3
# Argon2's own least, for each lane.
LANE_KIB_MIN = 8
MARGIN_PERCENT_MAX = 1_000


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
    try:
        number = int(value.strip())
    except ValueError:
        raise ValueError("must be a whole number") from None
    if number < 0:
        raise ValueError("must not be negative")
    return number


def seconds(value: str) -> float:
    wanted = "must be a number of seconds, without a unit"
    number = _number(value, wanted)
    if not 0 <= number < 10**7:
        raise ValueError(wanted)
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
    wanted = "must be a number between 0 and 1"
    number = _number(value, wanted)
    if not 0 <= number <= 1:
        raise ValueError(wanted)
    return number


def _number(value: str, wanted: str) -> float:
    try:
        return float(value.strip())
    except ValueError:
        raise ValueError(wanted) from None


def margin_percent(value: str) -> str:
    """The text itself, which is read exactly where prices are made of it."""
    trimmed = value.strip()
    try:
        number = Decimal(trimmed)
    except InvalidOperation:
        raise ValueError("must be a number, such as 5.5") from None
    if not number.is_finite() or not -100 < number <= MARGIN_PERCENT_MAX:
        raise ValueError(f"must be more than -100, and {MARGIN_PERCENT_MAX} at most")
    return trimmed


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
    return tuple(_network(name) for name in names(value))


def _network(name: str) -> IPv4Network | IPv6Network:
    try:
        return ip_network(name)
    except ValueError:
        raise ValueError(f"{name} {_what_is_wrong_with(name)}") from None


def _what_is_wrong_with(name: str) -> str:
    try:
        network = ip_network(name, strict=False)
    except ValueError:
        return "is no network, such as 10.0.0.0/8"
    return f"is an address within a network; the network is {network}"


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
    return at_least(value, 64)


def lease(value: str) -> int:
    return at_least(value, LEASE_S_MIN)


def port(value: str) -> int:
    number = whole(value)
    if number > PORT_MAX:
        raise ValueError(f"must be {PORT_MAX} at most")
    return number


def hosts(value: str) -> tuple[str, ...]:
    found = names(value)
    if any("/" in host or "*" in host or " " in host for host in found):
        raise ValueError("write a host name without https://, such as llm.example.com")
    return found


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
    if not trimmed:
        return ""
    parts = _web_address(trimmed, "must begin with http:// or https:// and a host")
    if parts.query or parts.fragment:
        raise ValueError("must end before ? and #")
    return trimmed


def sentry_dsn(value: str) -> str:
    trimmed = value.strip()
    if not trimmed:
        return ""
    wanted = "must look like https://KEY@HOST/NUMBER, as Sentry shows it"
    parts = _web_address(trimmed, wanted)
    if not parts.username or not parts.path.rpartition("/")[2].isdecimal():
        raise ValueError(wanted)
    return trimmed


def _web_address(value: str, wanted: str) -> SplitResult:
    try:
        parts = urlsplit(value)
        is_one = bool(parts.scheme in ("http", "https") and parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one:
        raise ValueError(wanted)
    return parts
