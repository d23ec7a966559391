"""Writes `.env.example` and docs/configuration.md from config.SETTINGS: python -m
tools.settings_docs
"""

from itertools import groupby
from operator import attrgetter
from pathlib import Path

from solrouter.config import SETTINGS

ROOT = Path(__file__).resolve().parent.parent
INTRODUCTION = """# Configuration

Every setting is an environment variable, or a line of a `.env` file beside `wsgi.py`; the
environment wins. Nothing needs to be set for `make run`. A server in production needs `SECRET_KEY`,
and a `DATABASE_URL` wherever the disk does not last.

A setting that cannot be read stops the server at its start, with a sentence that names it. A name
that is no setting is ignored, and `flask doctor` tells of it.

This page is written from `solrouter/config` by `python -m tools.settings_docs`.
"""
EXAMPLE_INTRODUCTION = """# Every setting with its default. Copy this file to .env and change
# what you need.
# What each one means: docs/configuration.md. Written by: python -m tools.settings_docs
"""


def configuration_page() -> str:
    """The text of docs/configuration.md."""
    parts = [INTRODUCTION]
    for group, settings in groupby(SETTINGS, attrgetter("group")):
        parts.append(f"\n## {group}\n")
        for setting in settings:
            default = f"`{setting.default}`" if setting.default else "not set"
            secret = " A secret: it is never shown or logged." if setting.secret else ""
            parts.append(f"\n### `{setting.name}`\n\n{setting.help}{secret} Default: {default}.\n")
    return "".join(parts)


def env_example() -> str:
    """The text of .env.example: all commented out, so that a copy changes nothing."""
    parts = [EXAMPLE_INTRODUCTION]
    for group, settings in groupby(SETTINGS, attrgetter("group")):
        parts.append(f"\n# {group}\n")
        parts.extend(f"# {setting.name}={setting.default}\n" for setting in settings)
    return "".join(parts)


if __name__ == "__main__":
    (ROOT / "docs" / "configuration.md").write_text(configuration_page())
    (ROOT / ".env.example").write_text(env_example())
