"""One setting, as it is declared and as it was given. Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

DEFAULT, ENVIRONMENT, FILE = "default", "environment", "file"
USER_IN_URL = re.compile(r"://[^/@\s]+@")


class UnsafeConfiguration(Exception):
    """The settings are unusable or unsafe; the message says which one and what to do."""


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
