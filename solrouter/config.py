"""Every setting: its name, default, parser and help text. Nothing else reads the environment.

The loader, `.env.example`, docs/configuration.md and the tests all read SETTINGS. Names that others
fixed (`PORT`, `DATABASE_URL`, a provider's key) stay; ours begin with `SOLROUTER_`. `load` refuses
what is unsafe, with a sentence that says what to do.
"""

import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from email.utils import parseaddr
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from dotenv import dotenv_values

from solrouter import apps, base58
from solrouter.base58 import NotBase58
from solrouter.money import AT_ONCE_NANOS_MAX, NotMoney, display_usd, parse_usd
from solrouter.rpc_endpoint import RpcEndpoint
from solrouter.smtp_address import SmtpServer
from solrouter.solana_clusters import Cluster

SECRET_KEY_BYTES_MIN = 32
TOKEN_CHARACTERS_MIN = 16
PASSWORD_CHARACTERS_MIN = 8
# Heroku's router gives up after 30 s without a byte.
HEROKU_FIRST_BYTE_S = 25.0
ENVIRONMENTS = ("production", "development", "test")
SIGNUPS = ("open", "invite", "closed")
# What the platforms themselves say of the address they serve us at, in the order we believe them.
PLATFORM_URL_VARIABLES = ("RENDER_EXTERNAL_URL",)
PLATFORM_HOST_VARIABLES = (
    "RAILWAY_PUBLIC_DOMAIN",
    "HEROKU_APP_DEFAULT_DOMAIN_NAME",
    "FLY_APP_NAME",
)
# By what each platform makes itself known to the programs that it runs.
PLATFORMS = {
    "DYNO": "Heroku",
    "RENDER": "Render",
    "RAILWAY_PROJECT_ID": "Railway",
    "FLY_APP_NAME": "Fly.io",
}


class UnsafeConfiguration(Exception):
    """The settings are unusable or unsafe; the message says which one and what to do."""


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


@dataclass(frozen=True, slots=True)
class Setting:
    """One setting. `default` is text, as the environment would give it; `group` is for the docs."""

    name: str
    default: str
    parse: Callable[[str], Any]
    help: str
    group: str
    secret: bool = False


@dataclass(frozen=True, slots=True)
class Given:
    """Where a setting has its value from, and the text of it; empty for a secret."""

    setting: Setting
    source: str
    shown: str

    @property
    def is_set(self) -> bool:
        """Whether somebody has given it a value."""
        return self.source != DEFAULT


DEFAULT, ENVIRONMENT, FILE = "default", "environment", "file"
USER_IN_URL = re.compile(r"://[^/@\s]+@")

SETTINGS: tuple[Setting, ...] = (
    # — the server
    Setting(
        "SOLROUTER_ENV",
        "production",
        environment,
        "`production`, or `development` as `make run` and `make dev` say: a demo account, the demo "
        "provider and "
        "a made-up secret. `test` is for the test suite.",
        "Server",
    ),
    Setting("PORT", "8000", whole, "The port that the server listens on.", "Server"),
    Setting("SOLROUTER_BIND", "0.0.0.0", text, "The address that the server listens on.", "Server"),
    Setting(
        "WEB_CONCURRENCY",
        "1",
        whole,
        "Worker processes on PostgreSQL. On SQLite there is always one.",
        "Server",
    ),
    Setting(
        "SECRET_KEY",
        "",
        text,
        "The one root secret, at least 32 bytes: signs sessions, peppers API keys, encrypts "
        "provider keys. "
        'Required in production: `python3 -c "import secrets; print(secrets.token_urlsafe(48))"`.',
        "Server",
        secret=True,
    ),
    Setting(
        "SECRET_KEY_FALLBACKS",
        "",
        names,
        "Former root secrets, separated by commas, while keys and fields move to the new one.",
        "Server",
        secret=True,
    ),
    Setting(
        "SOLROUTER_BASE_URL",
        "",
        base_url,
        "The address that people reach the server at, such as `https://llm.example.com`; the "
        "only source of links in mail, OAuth and payments. Guessed from the platform's own "
        "variables when unset.",
        "Server",
    ),
    Setting(
        "SOLROUTER_API_BASE_URL",
        "",
        base_url,
        "The API's own address, if it has one, such as `https://api.example.com/v1`. "
        "Unset: the base URL and `/v1`.",
        "Server",
    ),
    Setting(
        "SOLROUTER_ALLOWED_HOSTS",
        "",
        names,
        "Hosts that are served, separated by commas; every other is refused. Unset: any host.",
        "Server",
    ),
    Setting(
        "SOLROUTER_PROXY_HOPS",
        "0",
        whole,
        "How many proxies in front of the server are ours: that many `X-Forwarded-*` entries are "
        "believed.",
        "Server",
    ),
    Setting(
        "SOLROUTER_DRAIN_S",
        "20",
        seconds,
        "How long running streams may go on after SIGTERM.",
        "Server",
    ),
    Setting(
        "SOLROUTER_KEEP_ALIVE_S",
        "10",
        seconds,
        "How long a waiting caller hears nothing before we say that the line is alive.",
        "Server",
    ),
    Setting(
        "SOLROUTER_FIRST_BYTE_S",
        "",
        seconds_or_none,
        "How long a router in front of us waits for the first byte of an answer that is not "
        "streamed; past it the status goes out and spaces keep the line open. 0: for ever. "
        "Unset: 25 on Heroku, else 0.",
        "Server",
    ),
    Setting(
        "SOLROUTER_LEASE_S",
        "30",
        whole,
        "The requests of a server process that has been silent for so long are ended, uncharged, "
        "and what they held is released. Each process reports three times as often.",
        "Server",
    ),
    Setting(
        "SOLROUTER_METRICS_TOKEN",
        "",
        token,
        "The bearer token with which a monitor reads `/metrics`, at least 16 characters. "
        "Unset: `/metrics` answers 404.",
        "Server",
        secret=True,
    ),
    # — what operators see
    Setting(
        "SOLROUTER_LOG_FORMAT",
        "text",
        log_format,
        "`text`: a line for people. `json`: one JSON object a line, for programs that gather logs.",
        "Observing",
    ),
    Setting(
        "SOLROUTER_ALERT_ERROR_PERCENT",
        "5",
        percent,
        "Operators are alerted when so many of a hundred API requests of the last ten minutes "
        "failed through no fault of their caller.",
        "Observing",
    ),
    Setting(
        "SENTRY_DSN",
        "",
        text,
        "Where Sentry takes error reports: what failed where in the code, without messages, "
        "bodies, headers and values. Needs `requirements-observe.txt`. Unset: no reports.",
        "Observing",
        secret=True,
    ),
    Setting(
        "SENTRY_ENVIRONMENT",
        "",
        text,
        "What Sentry calls this server, such as `staging`. Unset: the value of `SOLROUTER_ENV`.",
        "Observing",
    ),
    Setting(
        "OTEL_EXPORTER_OTLP_ENDPOINT",
        "",
        base_url,
        "Where an OpenTelemetry collector takes traces by OTLP over HTTP, such as "
        "`http://localhost:4318`. Needs `requirements-observe.txt`. Unset: no traces.",
        "Observing",
    ),
    Setting(
        "OTEL_EXPORTER_OTLP_HEADERS",
        "",
        text,
        "Headers for the collector, such as `api-key=…`, separated by commas.",
        "Observing",
        secret=True,
    ),
    Setting("OTEL_SERVICE_NAME", "solrouter", text, "What traces call this server.", "Observing"),
    Setting(
        "OTEL_TRACES_SAMPLER_ARG",
        "1",
        share,
        "The share of requests that are traced, from 0 to 1. A caller's own `traceparent` decides "
        "for its requests.",
        "Observing",
    ),
    Setting(
        "SOLROUTER_WEBHOOK_NETWORKS",
        "",
        networks,
        "Networks, such as `10.0.0.0/8`, that the operators' own alert webhooks may lead into; "
        "then on any port. Customers' webhooks go to public addresses alone.",
        "Observing",
    ),
    Setting(
        "SOLROUTER_WEBHOOK_FAILING_DAYS",
        "5",
        positive,
        "A webhook that has failed for so many days is turned off, and its people are told.",
        "Observing",
    ),
    Setting(
        "SOLROUTER_CATALOGUE_URL",
        "",
        text,
        "A catalogue, as a URL or a file, that the server brings its own to once a day. A change "
        "that is hard to believe waits for an operator. Unset: the packaged one, at each upgrade.",
        "Observing",
    ),
    # — the database
    Setting(
        "DATABASE_URL",
        "",
        text,
        "`postgresql://…` (also spelled `postgres://`) or `sqlite:///path`. "
        "Unset: an SQLite file in `instance/`.",
        "Database",
        secret=True,
    ),
    Setting(
        "SOLROUTER_INSTANCE_PATH",
        "",
        text,
        "The folder for the SQLite file and the development secret. Unset: `instance/`.",
        "Database",
    ),
    Setting(
        "SOLROUTER_DB_POOL_SIZE",
        "10",
        whole,
        "Connections to PostgreSQL for each worker.",
        "Database",
    ),
    Setting(
        "SOLROUTER_DB_TIMEOUT_S",
        "2",
        seconds,
        "How long to wait for a connection or a statement of the request path.",
        "Database",
    ),
    # — limits on what callers send
    Setting(
        "SOLROUTER_BODY_BYTES_MAX",
        "33554432",
        whole,
        "The largest request body, in bytes.",
        "Limits",
    ),
    Setting(
        "SOLROUTER_FORM_BYTES_MAX",
        "1048576",
        whole,
        "The largest form that a page takes, in bytes. No page takes files.",
        "Limits",
    ),
    Setting(
        "SOLROUTER_MESSAGES_MAX", "4096", whole, "The most messages in one chat request.", "Limits"
    ),
    Setting(
        "SOLROUTER_BODY_DEADLINE_S",
        "30",
        seconds,
        "How long a client may take to send its body; a form has 10 s at most.",
        "Limits",
    ),
    # — upstreams
    Setting(
        "SOLROUTER_CONNECT_S", "5", seconds, "Deadline for connecting to an upstream.", "Upstreams"
    ),
    Setting(
        "SOLROUTER_FIRST_TOKEN_S",
        "120",
        seconds,
        "Deadline for an upstream's first content; for an answer in one piece, as long as another "
        "offer could be asked instead, that is all of it.",
        "Upstreams",
    ),
    Setting(
        "SOLROUTER_BETWEEN_CHUNKS_S",
        "120",
        seconds,
        "Deadline for silence in the middle of an answer.",
        "Upstreams",
    ),
    Setting(
        "SOLROUTER_PINGS_S",
        "750",
        seconds,
        "Deadline for an upstream that sends pings, comments or empty chunks and no content in the "
        "middle of an answer. Models have thought for twelve minutes so; before the first content "
        "pings do not count at all.",
        "Upstreams",
    ),
    Setting("SOLROUTER_TOTAL_S", "900", seconds, "Deadline for a whole answer.", "Upstreams"),
    Setting(
        "SOLROUTER_ATTEMPTS_MAX", "4", whole, "The most offers tried for one request.", "Upstreams"
    ),
    Setting(
        "SOLROUTER_FAILOVER_S",
        "180",
        seconds,
        "How long after its start a request may still turn to another offer.",
        "Upstreams",
    ),
    Setting(
        "SOLROUTER_DEMO",
        "",
        flag,
        "Offers the built-in `demo` provider in production too. Always on in development.",
        "Upstreams",
    ),
    Setting(
        "OPENAI_API_KEY",
        "",
        text,
        "Brings the OpenAI models to life.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "ANTHROPIC_API_KEY",
        "",
        text,
        "Brings the Claude models to life.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "GEMINI_API_KEY",
        "",
        text,
        "Brings the Gemini models to life.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "GOOGLE_API_KEY",
        "",
        text,
        "Another name for `GEMINI_API_KEY`.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "DEEPSEEK_API_KEY",
        "",
        text,
        "Brings the DeepSeek models to life.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "MISTRAL_API_KEY",
        "",
        text,
        "Brings the Mistral models to life.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "XAI_API_KEY", "", text, "Brings the Grok models to life.", "Provider keys", secret=True
    ),
    Setting(
        "GROQ_API_KEY", "", text, "Offers open models through Groq.", "Provider keys", secret=True
    ),
    Setting(
        "TOGETHER_API_KEY",
        "",
        text,
        "Offers open models through Together AI.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "FIREWORKS_API_KEY",
        "",
        text,
        "Offers open models through Fireworks AI.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "CEREBRAS_API_KEY",
        "",
        text,
        "Offers open models through Cerebras.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "DEEPINFRA_API_KEY",
        "",
        text,
        "Offers open models through DeepInfra.",
        "Provider keys",
        secret=True,
    ),
    Setting(
        "OPENROUTER_API_KEY",
        "",
        text,
        "Offers further models through OpenRouter.",
        "Provider keys",
        secret=True,
    ),
    Setting("META_API_KEY", "", text, "Offers Meta's own API.", "Provider keys", secret=True),
    Setting(
        "MOONSHOT_API_KEY",
        "",
        text,
        "Brings the Kimi models to life.",
        "Provider keys",
        secret=True,
    ),
    # — money
    Setting(
        "SOLROUTER_MARGIN_PERCENT",
        "0",
        text,
        "What is added to a provider's price when the packaged catalogue sets ours, in percent.",
        "Money",
    ),
    Setting(
        "SOLROUTER_UNRECOVERED_PER_DAY",
        "1",
        dollars,
        "What one account's failed answers may cost the operator in a UTC day, in USD. Past it, a "
        "failure in the middle of an answer costs what was delivered.",
        "Money",
    ),
    Setting(
        "SOLROUTER_UNRECOVERED_PERCENT",
        "2",
        whole,
        "The same, in addition, in percent of what the account was charged in the last 30 days.",
        "Money",
    ),
    Setting("SOLROUTER_DEFAULT_PLAN", "pay-as-you-go", text, "The plan of a new account.", "Money"),
    Setting(
        "SOLROUTER_DEMO_CREDIT_USD",
        "5",
        dollars,
        "Credit of the demo account that development makes.",
        "Money",
    ),
    # — payments
    Setting(
        "SOLROUTER_TOP_UP_PRESETS",
        "10,25,50,100",
        amounts,
        "The amounts that the balance page offers, in USD, separated by commas.",
        "Payments",
    ),
    Setting("SOLROUTER_TOP_UP_MIN", "5", dollars, "The least of one top-up, in USD.", "Payments"),
    Setting("SOLROUTER_TOP_UP_MAX", "1000", dollars, "The most of one top-up, in USD.", "Payments"),
    Setting(
        "SOLROUTER_TOP_UP_ACCOUNT_DAY_MAX",
        "2000",
        dollars,
        "The most that one account may top up in 24 hours, in USD. 0: no limit.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_TOP_UP_SERVER_DAY_MAX",
        "0",
        dollars,
        "The most that all accounts together may top up in 24 hours, in USD. 0: no limit.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_TOP_UPS_PER_HOUR",
        "10",
        positive,
        "How many payments one account may begin in an hour; most thieves try many cards.",
        "Payments",
    ),
    Setting(
        "STRIPE_SECRET_KEY",
        "",
        text,
        "Stripe's secret key (`sk_…`) or a restricted one (`rk_…`): takes cards through Stripe "
        "Checkout. Needs `SOLROUTER_BASE_URL`, to which people come back.",
        "Payments",
        secret=True,
    ),
    Setting(
        "STRIPE_WEBHOOK_SECRET",
        "",
        webhook_secrets,
        "The signing secret (`whsec_…`) of the webhook that Stripe sends to `/webhooks/stripe`; "
        "two, separated by a comma, while you rotate it. Required in production with the key. "
        "Unset: the address answers 404.",
        "Payments",
        secret=True,
    ),
    Setting(
        "SOLROUTER_STRIPE_TEST_MODE",
        "",
        flag,
        "Takes Stripe's test keys in production mode, for a rehearsal: whoever knows Stripe's test "
        "cards gets credit for nothing.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_STRIPE_CRYPTO",
        "",
        flag,
        "Also offers Stripe's own stablecoin payments, for Stripe accounts that have them.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_STRIPE_TAX",
        "",
        flag,
        "Lets Stripe Tax add the tax of the payer's place, on top.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_STRIPE_INVOICES",
        "",
        flag,
        "Lets Stripe make an invoice for each top-up, which Stripe charges for.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_CARD_FEE_PERCENT",
        "0",
        percent,
        "What a card payment costs on top of the credit, in percent. Shown before paying.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_CARD_FEE_MIN",
        "0",
        dollars,
        "The least fee of a card payment, in USD.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_STRIPE_API_URL",
        "https://api.stripe.com",
        base_url,
        "Stripe's API.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_STRIPE_PAGES",
        "https://checkout.stripe.com,https://billing.stripe.com",
        names,
        "Where Stripe's own pages are, which our forms may lead to.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_SELLER",
        "",
        text,
        "Who sells, as receipts and statements say it: name and address, lines separated by `|`.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_SELLER_TAX_ID",
        "",
        text,
        "The seller's tax number, as receipts and statements say it.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_TAX_NOTE",
        "",
        text,
        "A sentence about tax at the foot of receipts and statements, such as the rate that the "
        "price includes.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_FIRST_DAY_HOLD_ABOVE",
        "",
        dollars_or_none,
        "A larger top-up in an account's first 24 hours is credited when they are over, in USD. "
        "Unset: every top-up is credited at once.",
        "Payments",
    ),
    Setting(
        "SOLROUTER_REFUND_DAYS",
        "14",
        whole,
        "For so long after a payment people can take back what they have not used of it, "
        "themselves. 0: only an operator refunds.",
        "Payments",
    ),
    # — accounts
    Setting(
        "SOLROUTER_OPERATOR_EMAIL",
        "",
        email_address,
        "Who becomes the operator at the first start, while there is none. Without a password for "
        "them the log has a link, good for one use and a day, to set it.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_OPERATOR_PASSWORD",
        "",
        first_password,
        "The first operator's password, at least 8 characters. It is used once: take it out again "
        "after the first start.",
        "Accounts",
        secret=True,
    ),
    Setting(
        "SOLROUTER_SIGNUP",
        "open",
        signup,
        "`open`; `invite`: only with an invitation by an operator; or `closed`: only an operator "
        "makes accounts.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_WELCOME_CREDIT",
        "0",
        dollars,
        "What a new account is given once its e-mail address is verified, in USD: once for each "
        "address (case, dots at Gmail and what follows a plus do not count) and once for each "
        "GitHub or Google account.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_ARGON2_MEMORY_KIB",
        "19456",
        argon2_memory,
        "Memory for one password hash. A higher price holds for each password from its next "
        "sign-in on.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_ARGON2_PASSES",
        "2",
        positive,
        "How often a password hash goes over its memory.",
        "Accounts",
    ),
    Setting("SOLROUTER_ARGON2_LANES", "1", positive, "Lanes of a password hash.", "Accounts"),
    Setting(
        "SOLROUTER_SESSION_IDLE_S",
        "1209600",
        seconds,
        "A session ends after so much silence.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_SESSION_TOTAL_S", "7776000", seconds, "A session ends at this age.", "Accounts"
    ),
    Setting(
        "SOLROUTER_PROOF_S",
        "600",
        seconds,
        "For so long after a sign-in or a confirmation, what touches money, keys or access does "
        "not ask for the password again.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_OPERATOR_2FA",
        "optional",
        optional_or_required,
        "`required`: operators enter the admin only with a second factor. `optional`: they are "
        "asked once, and reminded.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_CONTENT_DAYS_MAX",
        "30",
        whole,
        "How many days an account that asks for it may have its prompts and answers kept, at most. "
        "0: nobody's are kept, and what was is deleted.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_RECEIPTS_MONTHS",
        "0",
        months_kept,
        "For how many whole months before the current one the receipts of requests are kept, 3 or "
        "more. Charges stay in the ledger and in the sums by day. 0: receipts are kept for ever.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_KEYS_PER_ACCOUNT_MAX",
        "200",
        whole,
        "The most API keys of one account.",
        "Accounts",
    ),
    Setting(
        "GITHUB_CLIENT_ID", "", text, "GitHub OAuth app: shows “Continue with GitHub”.", "Accounts"
    ),
    Setting("GITHUB_CLIENT_SECRET", "", text, "The OAuth app's secret.", "Accounts", secret=True),
    Setting(
        "SOLROUTER_GITHUB_URL",
        "https://github.com",
        base_url,
        "Where people sign in at GitHub (an Enterprise server has its own).",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_GITHUB_API_URL",
        "https://api.github.com",
        base_url,
        "GitHub's API (Enterprise: `https://HOST/api/v3`).",
        "Accounts",
    ),
    Setting(
        "GOOGLE_CLIENT_ID",
        "",
        text,
        "Google OAuth client: shows “Continue with Google”.",
        "Accounts",
    ),
    Setting(
        "GOOGLE_CLIENT_SECRET", "", text, "The OAuth client's secret.", "Accounts", secret=True
    ),
    Setting(
        "SOLROUTER_GOOGLE_URL",
        "https://accounts.google.com",
        base_url,
        "Google's OpenID Connect issuer.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_CONTACT_EMAIL",
        "",
        text,
        "Shown where people need to reach the operator.",
        "Accounts",
    ),
    Setting(
        "SOLROUTER_POLICIES_PATH",
        "",
        text,
        "The folder with your own `terms.md`, `privacy.md`, `refunds.md` and `contact.md`. Unset: "
        "`policies` in the instance folder.",
        "Accounts",
    ),
    # — payments in USDC on Solana
    Setting(
        "SOLROUTER_SOLANA_WALLET",
        "",
        solana_address,
        "The wallet that people pay USDC to: its address and nothing else, since the server needs "
        "no private key. It must have received USDC once. Unset: no payments on Solana.",
        "USDC on Solana",
    ),
    Setting(
        "SOLROUTER_SOLANA_RPC_URLS",
        "",
        rpc_endpoints,
        "The nodes that are asked about payments, separated by commas: your own or a provider's. "
        "Two of different owners are better than one. Unset: the network's public node, which "
        "limits how often it may be asked.",
        "USDC on Solana",
        secret=True,
    ),
    Setting(
        "SOLROUTER_SOLANA_CLUSTER",
        "mainnet",
        Cluster.parse,
        "`mainnet`; or, outside production, `devnet` or the genesis hash of a network of your own. "
        "A node of another network is not believed.",
        "USDC on Solana",
    ),
    Setting(
        "SOLROUTER_SOLANA_MINT",
        "",
        solana_address,
        "The token that is taken, by its mint. It must be worth a dollar, have six decimals and "
        "belong to the classic token program. Unset: Circle's USDC.",
        "USDC on Solana",
    ),
    Setting(
        "SOLROUTER_SOLANA_LIFETIME_S",
        "3600",
        seconds,
        "How long a payment's page asks for the money. What comes later is credited all the same.",
        "USDC on Solana",
    ),
    Setting(
        "SOLROUTER_SOLANA_LEAST",
        "0.01",
        dollars,
        "A transaction that brings less is not credited, in USD.",
        "USDC on Solana",
    ),
    Setting(
        "SOLROUTER_SOLANA_AGREE_FROM",
        "",
        dollars_or_none,
        "A transaction that brings so much or more, in USD, is credited only when two nodes tell "
        "the same of it. Unset: 100 where there are two nodes; with one node it is believed.",
        "USDC on Solana",
    ),
    # — mail
    Setting(
        "SMTP_URL",
        "",
        smtp_server,
        "The mail server: `smtp://USER:PASSWORD@HOST:587` (with STARTTLS, which a server on "
        "another machine must offer) or `smtps://USER:PASSWORD@HOST:465`. Unset: no mail is sent, "
        "and the operator confirms accounts; development shows mails on `/dev/mails`.",
        "Mail",
        secret=True,
    ),
    Setting(
        "SOLROUTER_MAIL_FROM",
        "",
        sender,
        "The sender of mails, such as `SolRouter <hello@example.com>`. Unset: `no-reply` at the "
        "server's own host name.",
        "Mail",
    ),
    # — platform
    Setting(
        "DYNO",
        "",
        text,
        "Set by Heroku, whose disk forgets (then `DATABASE_URL` is required) and whose router "
        "waits 30 s for a first byte.",
        "Platform",
    ),
)


def read_environment(root: Path) -> dict[str, str]:
    """The process environment over the `.env` file of `root`, as text."""
    values = {k: v for k, v in dotenv_values(root / ".env").items() if v is not None}
    values.update(os.environ)
    return values


def load(environ: Mapping[str, str], *, instance_path: Path) -> dict[str, Any]:
    """Flask's configuration from the environment. Raises UnsafeConfiguration."""
    config: dict[str, Any] = {s.name: _parsed(s, environ) for s in SETTINGS}
    config["PLATFORM"] = next((PLATFORMS[name] for name in PLATFORMS if environ.get(name)), "")
    _refuse_forgetful_disk(config)
    config["DATABASE_URL"] = database_url(config["DATABASE_URL"], instance_path=instance_path)
    config["IS_SQLITE"] = config["DATABASE_URL"].startswith("sqlite:")
    config["SECRET_KEY"] = _secret_key(config, instance_path=instance_path)
    config["SOLROUTER_BASE_URL"] = config["SOLROUTER_BASE_URL"] or _guessed_base_url(environ)
    config["PUBLIC_URL"] = _public_url(config)
    _refuse_mail_without_links(config)
    _complete_solana(config)
    _refuse_half_a_stripe(config)
    _refuse_impossible_top_ups(config)
    config["SOLROUTER_MAIL_FROM"] = config["SOLROUTER_MAIL_FROM"] or _own_sender(config)
    config["SOLROUTER_DEMO"] = config["SOLROUTER_DEMO"] or config["SOLROUTER_ENV"] != "production"
    if config["SOLROUTER_FIRST_BYTE_S"] is None:
        config["SOLROUTER_FIRST_BYTE_S"] = HEROKU_FIRST_BYTE_S if config["DYNO"] else 0.0
    config["SQLALCHEMY_DATABASE_URI"] = config["DATABASE_URL"]
    config["MAX_CONTENT_LENGTH"] = config["SOLROUTER_BODY_BYTES_MAX"]
    config["SETTINGS_GIVEN"] = given(environ)
    return config


def given(environ: Mapping[str, str]) -> dict[str, Given]:
    """Where each setting has its value from, and what it is; of a secret never the value."""
    found = {}
    for setting in SETTINGS:
        text_given = environ.get(setting.name, "")
        source = DEFAULT
        if text_given:
            # The environment goes before the file, with the same text or another.
            source = ENVIRONMENT if os.environ.get(setting.name) == text_given else FILE
        shown = "" if setting.secret else USER_IN_URL.sub("://…@", text_given or setting.default)
        found[setting.name] = Given(setting, source, shown)
    return found


def current() -> Mapping[str, Any]:
    """The current app's settings, parsed."""
    return apps.current().config


def database_url(value: str, *, instance_path: Path) -> str:
    """The URL in SQLAlchemy's spelling; an SQLite file in `instance_path` when none is given."""
    if not value:
        return f"sqlite:///{instance_path / 'solrouter.sqlite3'}"
    if value.startswith("sqlite:"):
        return value
    scheme, separator, rest = value.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise UnsafeConfiguration(
            "DATABASE_URL must begin with postgresql://, postgres:// or sqlite:///"
        )
    return f"postgresql+psycopg://{rest}"


def _parsed(setting: Setting, environ: Mapping[str, str]) -> Any:
    raw = environ.get(setting.name, "") or setting.default
    try:
        return setting.parse(raw)
    except ValueError as error:
        shown = "" if setting.secret else f" (it is {raw!r})"
        raise UnsafeConfiguration(f"{setting.name}: {error}{shown}") from None


def _refuse_forgetful_disk(config: Mapping[str, Any]) -> None:
    if config["DATABASE_URL"] or not config["PLATFORM"]:
        return
    if config["DYNO"]:
        raise UnsafeConfiguration(
            "DATABASE_URL is not set, and a Heroku dyno's disk forgets everything at each restart, "
            "the ledger too. Add a PostgreSQL database: heroku addons:create heroku-postgresql"
        )
    if not config["SOLROUTER_INSTANCE_PATH"]:
        raise UnsafeConfiguration(
            f"DATABASE_URL is not set, and {config['PLATFORM']} forgets files with each deploy, "
            "the ledger too. Add a PostgreSQL database and set DATABASE_URL to it; or mount a "
            "volume and set SOLROUTER_INSTANCE_PATH to where it is."
        )


def _public_url(config: Mapping[str, Any]) -> str:
    """What links in mails begin with: never a header of a request, which anyone can write."""
    if config["SOLROUTER_BASE_URL"]:
        return str(config["SOLROUTER_BASE_URL"])
    if config["SOLROUTER_ENV"] != "production":
        return f"http://localhost:{config['PORT']}"
    allowed = config["SOLROUTER_ALLOWED_HOSTS"]
    return f"https://{allowed[0]}" if allowed else ""


def _refuse_mail_without_links(config: Mapping[str, Any]) -> None:
    if config["SMTP_URL"] and not config["PUBLIC_URL"]:
        raise UnsafeConfiguration(
            "SMTP_URL is set and SOLROUTER_BASE_URL is not, so the links in mails would have no "
            "address. Set SOLROUTER_BASE_URL to the address that people reach the server at."
        )


def _complete_solana(config: dict[str, Any]) -> None:
    """The network's own node and token where none are named. Raises UnsafeConfiguration."""
    cluster: Cluster = config["SOLROUTER_SOLANA_CLUSTER"]
    if not config["SOLROUTER_SOLANA_RPC_URLS"] and cluster.rpc_url:
        config["SOLROUTER_SOLANA_RPC_URLS"] = (RpcEndpoint.parse(cluster.rpc_url),)
    config["SOLROUTER_SOLANA_MINT"] = config["SOLROUTER_SOLANA_MINT"] or cluster.mint
    if config["SOLROUTER_SOLANA_WALLET"]:
        _refuse_worthless_tokens(config, cluster)
        _refuse_too_few_nodes(config, cluster)


def _refuse_worthless_tokens(config: Mapping[str, Any], cluster: Cluster) -> None:
    if config["SOLROUTER_ENV"] == "production" and not cluster.is_main:
        raise UnsafeConfiguration(
            "SOLROUTER_SOLANA_CLUSTER is not mainnet. Tokens of other networks cost nothing, and "
            "in production they would buy credits. Set it to mainnet, or unset "
            "SOLROUTER_SOLANA_WALLET."
        )
    if not config["SOLROUTER_SOLANA_MINT"]:
        raise UnsafeConfiguration(
            "SOLROUTER_SOLANA_MINT is not set, and a network of your own has no token that we know."
        )
    if config["SOLROUTER_SOLANA_MINT"] == config["SOLROUTER_SOLANA_WALLET"]:
        raise UnsafeConfiguration("SOLROUTER_SOLANA_WALLET is the token's mint, not a wallet.")


def _refuse_too_few_nodes(config: Mapping[str, Any], cluster: Cluster) -> None:
    nodes: tuple[RpcEndpoint, ...] = config["SOLROUTER_SOLANA_RPC_URLS"]
    if not nodes:
        raise UnsafeConfiguration("SOLROUTER_SOLANA_RPC_URLS is not set.")
    if config["SOLROUTER_SOLANA_AGREE_FROM"] is not None and len(nodes) < 2:
        raise UnsafeConfiguration(
            "SOLROUTER_SOLANA_AGREE_FROM asks two nodes, and SOLROUTER_SOLANA_RPC_URLS has one. "
            "Add another one."
        )
    if config["SOLROUTER_ENV"] == "production":
        for node in nodes:
            if not node.is_safe:
                raise UnsafeConfiguration(
                    f"SOLROUTER_SOLANA_RPC_URLS: {node} is asked over plain http, so whoever sits "
                    "in between could make up payments. Use https."
                )


def _refuse_half_a_stripe(config: Mapping[str, Any]) -> None:
    key, secrets_ = config["STRIPE_SECRET_KEY"], config["STRIPE_WEBHOOK_SECRET"]
    if secrets_ and not key:
        raise UnsafeConfiguration(
            "STRIPE_WEBHOOK_SECRET is set and STRIPE_SECRET_KEY is not, so nobody could ask Stripe "
            "whether its news are true. Set both, or neither."
        )
    if not key:
        return
    if not key.startswith(("sk_", "rk_")):
        raise UnsafeConfiguration(
            "STRIPE_SECRET_KEY must be a secret key (sk_…) or a restricted one (rk_…)."
        )
    if config["SOLROUTER_ENV"] != "production":
        return
    if not secrets_:
        raise UnsafeConfiguration(
            "STRIPE_SECRET_KEY is set and STRIPE_WEBHOOK_SECRET is not, so Stripe could not tell "
            "us of payments. Add a webhook for /webhooks/stripe at Stripe and set its secret."
        )
    if not config["PUBLIC_URL"]:
        raise UnsafeConfiguration(
            "STRIPE_SECRET_KEY is set and SOLROUTER_BASE_URL is not, so people who have paid could "
            "not come back. Set SOLROUTER_BASE_URL to the address that they reach the server at."
        )
    if "_live_" not in key and not config["SOLROUTER_STRIPE_TEST_MODE"]:
        raise UnsafeConfiguration(
            "STRIPE_SECRET_KEY is a test key, and with test cards anyone would get credit for "
            "nothing. Use the live key; for a rehearsal set SOLROUTER_STRIPE_TEST_MODE=1."
        )


def _refuse_impossible_top_ups(config: Mapping[str, Any]) -> None:
    if config["SOLROUTER_TOP_UP_MIN"] > config["SOLROUTER_TOP_UP_MAX"]:
        raise UnsafeConfiguration(
            "SOLROUTER_TOP_UP_MIN is more than SOLROUTER_TOP_UP_MAX, so nobody could pay."
        )
    if config["SOLROUTER_TOP_UP_MAX"] > AT_ONCE_NANOS_MAX:
        raise UnsafeConfiguration(
            f"SOLROUTER_TOP_UP_MAX is more than {display_usd(AT_ONCE_NANOS_MAX)}, the most that "
            "comes in at once."
        )


def _own_sender(config: Mapping[str, Any]) -> str:
    host = urlsplit(config["PUBLIC_URL"]).hostname or "localhost"
    return f"SolRouter <no-reply@{host}>"


def _secret_key(config: Mapping[str, Any], *, instance_path: Path) -> str:
    secret: str = config["SECRET_KEY"]
    if secret:
        if len(secret.encode()) < SECRET_KEY_BYTES_MIN:
            raise UnsafeConfiguration(
                f"SECRET_KEY is shorter than {SECRET_KEY_BYTES_MIN} bytes. Make one with: "
                'python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
            )
        return secret
    if config["SOLROUTER_ENV"] == "production":
        raise UnsafeConfiguration(
            "SECRET_KEY is not set. In production it signs sessions and guards every API key. "
            'Make one with: python3 -c "import secrets; print(secrets.token_urlsafe(48))"'
        )
    return _development_secret(instance_path)


def _development_secret(instance_path: Path) -> str:
    """A secret made once for each checkout, so that keys survive a restart of `make run`."""
    path = instance_path / "development-secret"
    instance_path.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return path.read_text().strip()
    secret = secrets.token_urlsafe(48)
    with os.fdopen(descriptor, "w") as file:
        file.write(secret)
    return secret


def _guessed_base_url(environ: Mapping[str, str]) -> str:
    for name in PLATFORM_URL_VARIABLES:
        if environ.get(name):
            return base_url(environ[name])
    for name in PLATFORM_HOST_VARIABLES:
        host = environ.get(name, "")
        if host:
            return f"https://{host if '.' in host else host + '.fly.dev'}"
    return ""
