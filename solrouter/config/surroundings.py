"""What is made of where the server runs: its database, its secret, its address."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from solrouter.config.setting import UnsafeConfiguration
from solrouter.config.values import base_url

SECRET_KEY_BYTES_MIN = 32
SQLITE_START = "sqlite:///"
UNREADABLE = (
    "DATABASE_URL cannot be read: it is postgresql://USER:PASSWORD@HOST:PORT/NAME. Percent-encode "
    "/ @ : # ? in the password: %2F %40 %3A %23 %3F"
)
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


def database_url(value: str, *, instance_path: Path) -> str:
    """The URL in SQLAlchemy's spelling; an SQLite file in `instance_path` when none is given.

    Raises UnsafeConfiguration, which says nothing of the value: there is a password in it.
    """
    if not value:
        return f"{SQLITE_START}{instance_path / 'solrouter.sqlite3'}"
    if value.startswith("sqlite:"):
        return _file_url(value)
    scheme, separator, rest = value.partition("://")
    if not separator or scheme not in ("postgres", "postgresql", "postgresql+psycopg"):
        raise UnsafeConfiguration(
            "DATABASE_URL must begin with postgresql://, postgres:// or sqlite:///"
        )
    return _server_url(f"postgresql+psycopg://{rest}")


def _file_url(value: str) -> str:
    path = value.removeprefix(SQLITE_START)
    if path in ("", value) or "?" in path:
        raise UnsafeConfiguration(
            "DATABASE_URL cannot be read: of SQLite it is sqlite:/// and the path of a file, so "
            "sqlite:////srv/solrouter.sqlite3 from the root; it takes no options."
        )
    if path == ":memory:":
        raise UnsafeConfiguration(
            "DATABASE_URL is a database in memory, which is forgotten with each process. Give a "
            f"file: {SQLITE_START}path"
        )
    return value


def _server_url(value: str) -> str:
    try:
        url = make_url(value)
        _, arguments = url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError):
        raise UnsafeConfiguration(UNREADABLE) from None
    # What follows the first would be taken for a host's name, and told when it is not found.
    if value.count("@") > 1:
        raise UnsafeConfiguration(UNREADABLE)
    try:
        make_conninfo(**arguments)
    except psycopg.Error as error:
        raise UnsafeConfiguration(f"DATABASE_URL cannot be used: {error}") from None
    # With all of the password percent-encoded, so that whoever looks for it finds it.
    return url.render_as_string(hide_password=False)


def secret_key(config: Mapping[str, Any], *, instance_path: Path) -> str:
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


def guessed_base_url(environ: Mapping[str, str]) -> str:
    for name in PLATFORM_URL_VARIABLES:
        if environ.get(name):
            return base_url(environ[name])
    for name in PLATFORM_HOST_VARIABLES:
        host = environ.get(name, "")
        if host:
            return f"https://{host if '.' in host else host + '.fly.dev'}"
    return ""
