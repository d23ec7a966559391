"""The API against its own document, by schemathesis: requests that fit it and requests that do not.

schemathesis lives in an environment of its own (`make test-real` makes it), since it brings a
plugin into every pytest beside it.
"""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.conftest import require
from tests.e2e.place import WAIT_S, make_customer
from tests.served import ROOT, Served

PROGRAM = ROOT / ".venv-fuzz" / "bin" / "schemathesis"
EXAMPLES_MAX = 25
ENDED_WITHIN_S = 600
DOCUMENT = "/openapi.json"
# What the document promises of answers is its own tests' to hold; this one looks for 500s.
CHECKS = "not_a_server_error,response_schema_conformance,content_type_conformance"


@pytest.mark.real
def test_the_api_holds_what_its_document_says(serve: Callable[..., Served], tmp_path: Path) -> None:
    require("schemathesis (make test-real)", PROGRAM.exists())
    served = serve()
    found = requests.get(served.url + DOCUMENT, timeout=WAIT_S)
    assert found.status_code == 200
    path = tmp_path / "openapi.json"
    path.write_text(json.dumps(found.json()))
    key = make_customer(served, "ann@example.com", "--credit", "5", "--plan", "unlimited")
    done = fuzz(path, served, key)
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert "Traceback" not in served.log


def fuzz(document: Path, served: Served, key: str) -> "subprocess.CompletedProcess[str]":
    """Runs schemathesis over every operation of the document."""
    return subprocess.run(
        [
            PROGRAM, "run", document,
            "--url", _server_of(document, served),
            "--header", f"Authorization: Bearer {key}",
            "--checks", CHECKS,
            "--max-examples", str(EXAMPLES_MAX),
            "--seed", "1",
            "--no-color",
        ],
        check=False, capture_output=True, text=True, timeout=ENDED_WITHIN_S, cwd=document.parent,
    )  # fmt: skip


def _server_of(document: Path, served: Served) -> str:
    """Where the document's paths begin: at the API, unless they say `/v1` themselves."""
    paths = json.loads(document.read_text())["paths"]
    return served.url if any(path.startswith("/v1") for path in paths) else served.api
