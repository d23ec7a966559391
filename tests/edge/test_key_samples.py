"""The samples about keys on the docs pages, run as they stand there."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flask import Flask

from solrouter.services import key_text, keys
from solrouter.services.key_rules import MANAGE, Rules
from tests.edge.signed_in import browser_of
from tests.factories import Person
from tests.samples import DOCS_PAGES, samples
from tests.served import Served


def test_the_documented_check_knows_keys() -> None:
    scope: dict[str, Any] = {}
    code = samples(DOCS_PAGES / "authentication.md")["key-checksum"].code
    exec(compile(code, "authentication.md", "exec"), scope)
    for _ in range(100):
        text = key_text.make_text()
        assert scope["is_key"](text)
        assert not scope["is_key"](text[:-1] + ("a" if text[-1] != "a" else "b"))


def test_the_documented_program_manages_keys(
    app: Flask, alice: Person, serve: Callable[..., Served], tmp_path: Path
) -> None:
    rules = Rules(scopes=(MANAGE,))
    with app.app_context():
        new = keys.create(alice.account_id, user_id=alice.user_id, name="Manager", rules=rules)
    served = serve()
    code = samples(DOCS_PAGES / "api-reference.md")["keys-python"].code
    program = tmp_path / "keys.py"
    program.write_text(code.replace("{{ api_base_url }}", served.api))
    done = subprocess.run(
        [sys.executable, str(program)],
        env={**os.environ, "SOLROUTER_MANAGEMENT_KEY": new.text},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "website 0.0 50.0" in done.stdout
    with app.app_context():
        [made] = [key for key in keys.list_of(alice.account_id) if key.name == "website"]
    assert made.status == "revoked"


def test_the_pages_show_them(app: Flask, alice: Person) -> None:
    browser = browser_of(app, alice)
    assert "Management keys" in browser.get("/docs/authentication").text
    assert "former_secrets" in browser.get("/docs/api-reference").text
