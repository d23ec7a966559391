"""What is dangerous wherever it stands, and stands nowhere: code made of text, programs of the
system, guessable chance, broken digests, scripts that write markup or keep things in the browser.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from flask import Flask
from flask.testing import FlaskClient

from tests.browser import HTML, Browser
from tests.edge.conftest import visitor_of
from tests.edge.signed_in import browser_of
from tests.factories import Person

ROOT = Path(__file__).resolve().parents[2]
SOURCES = sorted((ROOT / "solrouter").rglob("*.py"))
TEMPLATES = sorted((ROOT / "solrouter" / "templates").rglob("*.html"))
SCRIPT = (ROOT / "solrouter" / "static" / "site.js").read_text()
# What runs text, or a program; and what makes objects of bytes that somebody sent.
CALLS = {"eval", "exec", "compile", "__import__", "render_template_string"}
MODULES = {"subprocess", "pty", "pickle", "marshal", "shelve", "dill", "yaml", "xml", "lxml"}
METHODS = {"from_string", "system", "popen", "execv", "execvp", "spawnl", "spawnv"}
GUESSABLE = {"random", "uuid1", "uuid3", "uuid5", "md5", "sha1"}
IN_SCRIPTS = re.compile(
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function"
    r"|localStorage|sessionStorage|indexedDB|document\.cookie|postMessage|__proto__"
)
PASSWORD_FIELD = re.compile(r'field\("[^"]*", "(password|current)"[^{}]*\)')


def uses(path: Path) -> Iterator[tuple[str, str]]:
    """What a file calls and imports: (kind, name)."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Name):
                yield "call", node.func.id
            elif isinstance(node.func, ast.Attribute):
                yield "method", node.func.attr
        elif isinstance(node, ast.Import):
            yield from (("module", alias.name.partition(".")[0]) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield "module", node.module.partition(".")[0]
            yield from (("name", alias.name) for alias in node.names)


def test_nothing_runs_text_or_a_program_or_makes_objects_of_bytes() -> None:
    for path in SOURCES:
        found = {
            (kind, name)
            for kind, name in uses(path)
            if (kind == "call" and name in CALLS)
            or (kind == "method" and name in METHODS)
            or (kind == "module" and name in MODULES)
        }
        assert not found, f"{path.relative_to(ROOT)}: {found}"


def test_chance_comes_from_the_system_and_no_digest_is_a_broken_one() -> None:
    for path in SOURCES:
        found = {name for _, name in uses(path) if name in GUESSABLE}
        assert not found, f"{path.relative_to(ROOT)}: {found}; use `secrets` and SHA-256"


def test_scripts_write_text_and_keep_nothing() -> None:
    assert IN_SCRIPTS.findall(SCRIPT) == []
    assert "textContent" in SCRIPT, "the search looks at nothing"


def test_a_password_is_typed_unseen_and_may_be_pasted_and_filled_in() -> None:
    found = []
    for path in TEMPLATES:
        source = path.read_text()
        found += [(path.name, match[0]) for match in PASSWORD_FIELD.finditer(source)]
        assert "onpaste" not in source and "data-no-paste" not in source
    assert len(found) >= 6
    for name, field in found:
        assert 'type="password"' in field, f"{name}: {field}"
        assert re.search(r'autocomplete="(current|new)-password"', field), f"{name}: {field}"


@pytest.mark.parametrize(
    "path",
    [
        "/.git/config",
        "/.git/HEAD",
        "/.env",
        "/instance/solrouter.sqlite3",
        "/static/",
        "/static/.env",
        "/static/../config.py",
        "/static/%2e%2e/config.py",
        "/static/..%2fconfig.py",
        "/static/..%5cconfig.py",
        "/static//etc/passwd",
        "/docs/../../config",
        "/docs/%2e%2e%2f%2e%2e%2fREADME",
    ],
)
def test_no_file_of_the_house_is_served(client: FlaskClient, path: str) -> None:
    answer = client.get(path, buffered=True)
    assert answer.status_code in (404, 308), path
    assert "SOLROUTER_" not in answer.text and "[core]" not in answer.text


@pytest.mark.parametrize("path", ["/", "/models", "/docs/quickstart", "/login", "/static/site.css"])
def test_text_says_how_it_is_encoded(client: FlaskClient, path: str) -> None:
    answer = client.get(path, buffered=True)
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].endswith("; charset=utf-8")


def test_each_page_of_who_is_signed_in_leads_out(app: Flask, operator: Person) -> None:
    browser = browser_of(app, operator)
    for path in ("/account", "/account/keys", "/account/settings", "/account/audit", "/admin",
                 "/admin/users", "/admin/requests", "/admin/audit"):  # fmt: skip
        assert "/logout" in ways_out(browser, path), path
    stranger = Browser(app)
    stranger.client = visitor_of(app)
    assert "/logout" not in ways_out(stranger, "/")


def ways_out(browser: Browser, path: str) -> list[str | None]:
    page = browser.get(path)
    forms = [form.get("action") for form in page.root.iter(f"{HTML}form")]
    return [*forms, *(link.get("href") for link in page.all("a"))]
