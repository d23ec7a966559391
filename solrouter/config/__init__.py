"""Every setting: its name, default, parser and help text. Nothing else reads the environment.

The loader, `.env.example`, docs/configuration.md and the tests all read SETTINGS. Names that others
fixed (`PORT`, `DATABASE_URL`, a provider's key) stay; ours begin with `SOLROUTER_`. `load` refuses
what is unsafe, with a sentence that says what to do. Settings are declared by what they are about,
one file each; `values` reads their texts, and `fitting` knows what they ask of one another.
"""

import os
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from dotenv import dotenv_values

from solrouter import apps
from solrouter.config.fitting import (
    complete_solana,
    own_sender,
    public_url,
    refuse_forgetful_disk,
    refuse_half_a_stripe,
    refuse_impossible_top_ups,
    refuse_mail_without_links,
    refuse_short_fallbacks,
    refuse_thin_lanes,
)
from solrouter.config.observing import OBSERVING
from solrouter.config.payments import MONEY, PAYMENTS, SOLANA
from solrouter.config.people import ACCOUNTS, MAIL
from solrouter.config.server import DATABASE, LIMITS, PLATFORM, SERVER
from solrouter.config.setting import (
    DEFAULT,
    ENVIRONMENT,
    FILE,
    USER_IN_URL,
    Given,
    Setting,
    UnsafeConfiguration,
)
from solrouter.config.surroundings import PLATFORMS, database_url, guessed_base_url, secret_key
from solrouter.config.upstreams import UPSTREAMS
from solrouter.config.values import PASSWORD_CHARACTERS_MIN

__all__ = [
    "PASSWORD_CHARACTERS_MIN",
    "SETTINGS",
    "Given",
    "Setting",
    "UnsafeConfiguration",
    "current",
    "given",
    "load",
    "meant",
    "read_environment",
    "read_file",
    "unknown",
]

# Heroku's router gives up after 30 s without a byte.
HEROKU_FIRST_BYTE_S = 25.0
# In the order of the documentation.
SETTINGS: tuple[Setting, ...] = (
    *SERVER,
    *OBSERVING,
    *DATABASE,
    *LIMITS,
    *UPSTREAMS,
    *MONEY,
    *PAYMENTS,
    *ACCOUNTS,
    *SOLANA,
    *MAIL,
    *PLATFORM,
)
NAMES = frozenset(setting.name for setting in SETTINGS)
OURS = "SOLROUTER_"
# What `make run` says to the server, and what our documentation gives a client's key as.
NO_SETTINGS = frozenset(("SOLROUTER_WELCOME", "SOLROUTER_API_KEY", "SOLROUTER_MANAGEMENT_KEY"))
LIKENESS_MIN = 0.8


def read_environment(root: Path) -> dict[str, str]:
    """The process environment over the `.env` file of `root`. Raises UnsafeConfiguration."""
    return {**read_file(root), **os.environ}


def read_file(root: Path) -> dict[str, str]:
    """What the `.env` file of `root` sets, if there is one. Raises UnsafeConfiguration."""
    path = root / ".env"
    try:
        return {name: value for name, value in dotenv_values(path).items() if value is not None}
    except UnicodeDecodeError:
        raise UnsafeConfiguration(
            f"{path} is not in UTF-8. Save it anew in that encoding."
        ) from None
    except OSError as error:
        raise UnsafeConfiguration(f"{path} cannot be read: {error.strerror}.") from None


def load(environ: Mapping[str, str], *, instance_path: Path) -> dict[str, Any]:
    """Flask's configuration from the environment. Raises UnsafeConfiguration."""
    config: dict[str, Any] = {s.name: _parsed(s, environ) for s in SETTINGS}
    config["PLATFORM"] = next((PLATFORMS[name] for name in PLATFORMS if environ.get(name)), "")
    refuse_forgetful_disk(config)
    config["DATABASE_URL"] = database_url(config["DATABASE_URL"], instance_path=instance_path)
    config["IS_SQLITE"] = config["DATABASE_URL"].startswith("sqlite:")
    config["SECRET_KEY"] = secret_key(config, instance_path=instance_path)
    config["SOLROUTER_BASE_URL"] = config["SOLROUTER_BASE_URL"] or guessed_base_url(environ)
    config["PUBLIC_URL"] = public_url(config)
    refuse_short_fallbacks(config)
    refuse_thin_lanes(config)
    refuse_mail_without_links(config)
    complete_solana(config)
    refuse_half_a_stripe(config)
    refuse_impossible_top_ups(config)
    config["SOLROUTER_MAIL_FROM"] = config["SOLROUTER_MAIL_FROM"] or own_sender(config)
    config["SOLROUTER_DEMO"] = config["SOLROUTER_DEMO"] or config["SOLROUTER_ENV"] != "production"
    if config["SOLROUTER_FIRST_BYTE_S"] is None:
        config["SOLROUTER_FIRST_BYTE_S"] = HEROKU_FIRST_BYTE_S if config["DYNO"] else 0.0
    config["SQLALCHEMY_DATABASE_URI"] = config["DATABASE_URL"]
    config["MAX_CONTENT_LENGTH"] = config["SOLROUTER_BODY_BYTES_MAX"]
    config["SETTINGS_GIVEN"] = given(environ)
    config["SETTINGS_UNKNOWN"] = unknown(environ)
    return config


def unknown(names: Iterable[str]) -> list[str]:
    """Those that look like settings of ours and are none: mostly a slip of the pen."""
    return sorted(
        name for name in names if name.startswith(OURS) and name not in NAMES | NO_SETTINGS
    )


def meant(name: str) -> str:
    """The setting whose name is close to this one; empty where none is."""
    return next(iter(get_close_matches(name.upper(), NAMES, n=1, cutoff=LIKENESS_MIN)), "")


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


def _parsed(setting: Setting, environ: Mapping[str, str]) -> Any:
    raw = environ.get(setting.name, "") or setting.default
    try:
        return setting.parse(raw)
    except ValueError as error:
        shown = "" if setting.secret else f" (it is {raw!r})"
        raise UnsafeConfiguration(f"{setting.name}: {error}{shown}") from None
