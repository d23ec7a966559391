"""Settings of the server itself, its database, and what callers may send."""

from solrouter.config.setting import Setting
from solrouter.config.values import (
    base_url,
    environment,
    hosts,
    lease,
    names,
    port,
    positive,
    seconds,
    seconds_or_none,
    text,
    token,
    whole,
)

SERVER: tuple[Setting, ...] = (
    Setting(
        "SOLROUTER_ENV",
        "production",
        environment,
        "`production`, or `development` as `make run` and `make dev` say: a demo account, the demo "
        "provider and "
        "a made-up secret. `test` is for the test suite.",
        "Server",
    ),
    Setting("PORT", "8000", port, "The port that the server listens on.", "Server"),
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
        hosts,
        "Hosts that are served, separated by commas; every other is refused. Unset: any host. "
        "Without `SOLROUTER_BASE_URL` links lead to the first one that is not this machine's own "
        "name.",
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
        lease,
        "The requests of a server process that has been silent for so long are ended, uncharged, "
        "and what they held is released. Each process reports three times as often. 3 or more.",
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
)

DATABASE: tuple[Setting, ...] = (
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
        positive,
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
)

LIMITS: tuple[Setting, ...] = (
    Setting(
        "SOLROUTER_BODY_BYTES_MAX",
        "33554432",
        positive,
        "The largest request body, in bytes.",
        "Limits",
    ),
    Setting(
        "SOLROUTER_FORM_BYTES_MAX",
        "1048576",
        positive,
        "The largest form that a page takes, in bytes. No page takes files.",
        "Limits",
    ),
    Setting(
        "SOLROUTER_MESSAGES_MAX",
        "4096",
        positive,
        "The most messages in one chat request.",
        "Limits",
    ),
    Setting(
        "SOLROUTER_BODY_DEADLINE_S",
        "30",
        seconds,
        "How long a client may take to send its body; a form has 10 s at most.",
        "Limits",
    ),
)

PLATFORM: tuple[Setting, ...] = (
    Setting(
        "DYNO",
        "",
        text,
        "Set by Heroku, whose disk forgets (then `DATABASE_URL` is required) and whose router "
        "waits 30 s for a first byte.",
        "Platform",
    ),
)
