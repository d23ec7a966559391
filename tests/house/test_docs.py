"""Undocumented means red: settings, commands, make targets, error codes, endpoints."""

import re
from operator import attrgetter
from pathlib import Path

import click
import pytest
from flask import Flask

from solrouter import errors
from solrouter.config import SETTINGS, Setting
from tests.house.subclasses import all_subclasses

ROOT = Path(__file__).resolve().parents[2]
CONFIGURATION = (ROOT / "docs" / "configuration.md").read_text()
ENV_EXAMPLE = (ROOT / ".env.example").read_text()
ERRORS = (ROOT / "solrouter" / "docs_pages" / "errors.md").read_text()
REFERENCE = (ROOT / "solrouter" / "docs_pages" / "api-reference.md").read_text()
README = (ROOT / "README.md").read_text()
# What is refused in a form or by a command has no code that a program would see.
ERRORS_OF_THE_API = [
    cls for cls in all_subclasses(errors.SolRouterError) if not issubclass(cls, errors.Refused)
]
FIXED_NAMES = re.compile(
    r"PORT|DATABASE_URL|WEB_CONCURRENCY|SECRET_KEY|SECRET_KEY_FALLBACKS|[A-Z]+_API_KEY|STRIPE_\w+"
    r"|(GITHUB|GOOGLE)_CLIENT_(ID|SECRET)|SMTP_URL|SENTRY_\w+|OTEL_\w+|DYNO|SOLROUTER_[A-Z0-9_]+"
)


@pytest.mark.parametrize("setting", SETTINGS, ids=attrgetter("name"))
def test_every_setting_is_documented(setting: Setting) -> None:
    assert f"### `{setting.name}`" in CONFIGURATION
    assert setting.help in re.sub(r"\s+", " ", CONFIGURATION)
    assert re.search(rf"^#? ?{setting.name}=", ENV_EXAMPLE, re.MULTILINE)


@pytest.mark.parametrize("setting", SETTINGS, ids=attrgetter("name"))
def test_every_setting_has_a_name_that_others_fixed_or_ours(setting: Setting) -> None:
    assert FIXED_NAMES.fullmatch(setting.name)


def test_the_files_are_what_the_settings_say() -> None:
    """`.env.example` and docs/configuration.md are written by tools/settings_docs.py."""
    from tools.settings_docs import configuration_page, env_example

    assert env_example() == ENV_EXAMPLE
    assert configuration_page() == CONFIGURATION


@pytest.mark.parametrize("cls", ERRORS_OF_THE_API, ids=attrgetter("__name__"))
def test_every_error_code_is_documented(cls: type[errors.SolRouterError]) -> None:
    assert f"`{cls.code}`" in ERRORS, f"{cls.__name__}'s code {cls.code} is not in errors.md"


def test_every_code_that_the_source_writes_is_documented() -> None:
    for_pages_only = {"cross_origin", "only_looking", "role_required", "too_many_attempts"}
    written = {
        code
        for path in (ROOT / "solrouter").rglob("*.py")
        for code in re.findall(r'\bcode="([a-z_]+)"', path.read_text())
    }
    assert written
    for code in written - for_pages_only:
        assert f"`{code}`" in ERRORS, f"the code {code} is not in errors.md"


def test_every_api_route_is_in_the_reference(app: Flask) -> None:
    rules = [rule for rule in app.url_map.iter_rules() if rule.rule.startswith("/v1/")]
    assert rules
    reference = re.sub(r"\{[^}]+\}", "", REFERENCE)
    for rule in rules:
        path = re.sub(r"<[^>]+>", "", rule.rule).rstrip("/")
        assert path in reference, f"{rule.rule} is not in api-reference.md"


def test_every_make_target_has_a_word_of_help() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony
    for target in phony.group(1).split():
        assert re.search(rf"^{target}:.*## \w", makefile, re.MULTILINE), f"make {target} is unsaid"


def test_every_command_has_help(app: Flask) -> None:
    def walk(command: click.Command, path: str) -> None:
        assert command.help or command.short_help, f"flask {path} has no help"
        for name, child in getattr(command, "commands", {}).items():
            walk(child, f"{path} {name}")

    groups = "users keys credits providers models catalogue ledger plans secrets demo mails solana"
    for name in [*groups.split(), "incidents"]:
        walk(app.cli.commands[name], name)


@pytest.mark.parametrize("command", ["make run", "make test", "make"])
def test_the_readme_names_its_commands(command: str) -> None:
    assert command in README


def test_links_between_documents_lead_somewhere() -> None:
    for page in [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").rglob("*.md")),
    ]:
        for target in re.findall(r"\]\((?!https?:|#|mailto:|/)([^)#\s]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
