"""`flask catalogue sync`: the difference first, then a question, then all of it or nothing."""

import json
import os
import pty
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from flask import Flask
from flask.testing import FlaskClient, FlaskCliRunner

from solrouter.services import catalogue
from solrouter.services.catalogue import packaged
from tests.conftest import ROOT, settings

GPT = "openai/gpt-4o-mini"


def content(input_nanos: int = 300_000_000) -> bytes:
    """The packaged catalogue with another price of one model."""
    document: dict[str, Any] = json.loads(packaged.CATALOGUE_FILE.read_bytes())
    model = next(item for item in document["models"] if item["id"] == GPT)
    model["offers"][0]["prices"][-1]["rates"]["input"] = input_nanos
    return json.dumps(document).encode()


@pytest.fixture
def source(tmp_path: Path) -> str:
    path = tmp_path / "prices.json"
    path.write_bytes(content())
    return str(path)


def input_price(app: Flask) -> int:
    with app.app_context():
        return catalogue.find(GPT).input_nanos


def test_there_is_nothing_to_do_after_an_upgrade(runner: FlaskCliRunner) -> None:
    result = runner.invoke(args=["catalogue", "sync"])
    assert result.exit_code == 0
    assert "nothing to change" in result.output


def test_a_sync_shows_the_difference_and_does_it(
    app: Flask, runner: FlaskCliRunner, source: str
) -> None:
    result = runner.invoke(args=["catalogue", "sync", "--source", source, "--yes"])
    assert result.exit_code == 0, result.output
    row = next(line for line in result.output.splitlines() if "sale" in line)
    assert row.split() == [
        GPT,
        "at",
        "openai",
        "sale",
        "input",
        "$0.15",
        "$0.30",
        "+100.0",
        "%",
        "now",
    ]
    assert input_price(app) == 300_000_000
    again = runner.invoke(args=["catalogue", "sync", "--source", source, "--yes"])
    assert "nothing to change" in again.output


@pytest.mark.parametrize("extra", [["--dry-run"], []], ids=["dry run", "nobody to ask"])
def test_nothing_changes_without_a_yes(
    app: Flask, runner: FlaskCliRunner, source: str, extra: list[str]
) -> None:
    result = runner.invoke(args=["catalogue", "sync", "--source", source, *extra])
    assert "Nothing was changed" in result.output
    assert (result.exit_code == 0) == bool(extra)
    assert input_price(app) == 150_000_000


def test_a_jump_is_named_and_needs_to_be_accepted(
    app: Flask, runner: FlaskCliRunner, tmp_path: Path
) -> None:
    path = tmp_path / "prices.json"
    path.write_bytes(content(150_000_000_000))
    args = ["catalogue", "sync", "--source", str(path), "--yes"]
    refused = runner.invoke(args=args)
    assert refused.exit_code == 1
    assert "the cost of input would go from $0.15 to $150.00" in refused.output
    rehearsed = runner.invoke(args=[*args, "--dry-run"])
    assert rehearsed.exit_code == 1
    assert rehearsed.stderr.endswith("this was a dry run. A sync would ask for --accept.\n")
    assert input_price(app) == 150_000_000
    assert runner.invoke(args=[*args, "--accept"]).exit_code == 0
    assert input_price(app) == 150_000_000_000


def test_a_running_server_notices(
    app: Flask, client: FlaskClient, runner: FlaskCliRunner, source: str
) -> None:
    assert client.get(f"/v1/models/{GPT}").json["pricing"]["prompt"] == "0.00000015"
    runner.invoke(args=["catalogue", "sync", "--source", source, "--yes"])
    assert client.get(f"/v1/models/{GPT}").json["pricing"]["prompt"] == "0.0000003"


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"{}", "providers: must be a list"),
        (b"not json", "not JSON"),
        (None, "No such file"),
    ],
    ids=["empty", "text", "missing"],
)
def test_a_source_that_does_not_fit_changes_nothing(
    runner: FlaskCliRunner, tmp_path: Path, raw: bytes | None, words: str
) -> None:
    path = tmp_path / "prices.json"
    if raw is not None:
        path.write_bytes(raw)
    result = runner.invoke(args=["catalogue", "sync", "--source", str(path), "--yes"])
    assert result.exit_code == 1
    assert words in result.output


@pytest.mark.parametrize(
    "flags", [{"drop_params": 5}, {"stops_max": "x"}, {"model_rules": [{"match": "("}]}]
)
def test_flags_that_would_break_requests_are_refused(
    runner: FlaskCliRunner, tmp_path: Path, flags: dict[str, Any]
) -> None:
    document = json.loads(packaged.CATALOGUE_FILE.read_bytes())
    provider = next(item for item in document["providers"] if item["slug"] == "groq")
    provider["capabilities"] |= flags
    path = tmp_path / "prices.json"
    path.write_text(json.dumps(document))
    result = runner.invoke(args=["catalogue", "sync", "--source", str(path), "--yes"])
    assert result.exit_code == 1
    assert "the capabilities of groq" in result.output


class _Prices(BaseHTTPRequestHandler):
    """A web server with a catalogue, and with all that can go wrong."""

    body: ClassVar[bytes] = b""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0]
        if path == "/moved":
            self._answer(302, location="/prices.json")
        elif path == "/round":
            self._answer(302, location="/round")
        elif path == "/away":
            self._answer(302, location="file:///etc/passwd")
        elif path == "/huge":
            self._answer(200, b" " * (9 * 1024 * 1024))
        elif path == "/prices.json":
            self._answer(200, self.body)
        else:
            self._answer(500)

    def _answer(self, status: int, body: bytes = b"", location: str = "") -> None:
        self.send_response(status)
        if location:
            self.send_header("Location", location)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        try:
            self.wfile.write(body)
        except ConnectionError:
            self.close_connection = True

    def log_message(self, *args: object) -> None:
        """Says nothing."""


@pytest.fixture
def web() -> Iterator[str]:
    _Prices.body = content()
    server = HTTPServer(("127.0.0.1", 0), _Prices)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("path", ["/prices.json?token=secret", "/moved"])
def test_a_source_may_be_an_address(
    app: Flask, runner: FlaskCliRunner, web: str, path: str
) -> None:
    result = runner.invoke(args=["catalogue", "sync", "--source", web + path, "--yes"])
    assert result.exit_code == 0, result.output
    assert "secret" not in result.output
    assert input_price(app) == 300_000_000


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/round", "more than 3 redirects"),
        ("/away", "must begin with http"),
        ("/huge", "more than 8,388,608 bytes"),
        ("/broken", "status 500"),
    ],
)
def test_an_address_that_does_not_answer_as_it_must(
    runner: FlaskCliRunner, web: str, path: str, words: str
) -> None:
    result = runner.invoke(args=["catalogue", "sync", "--source", web + path, "--yes"])
    assert result.exit_code == 1
    assert words in result.output


def test_an_address_where_nobody_is(runner: FlaskCliRunner) -> None:
    result = runner.invoke(args=["catalogue", "sync", "--source", "http://127.0.0.1:1/x", "--yes"])
    assert result.exit_code == 1
    assert "no connection could be made" in result.output


def test_who_keeps_data_can_be_said(runner: FlaskCliRunner) -> None:
    for word, told in (("keeps-not", "no"), ("keeps", "yes"), ("unknown", "not known")):
        assert runner.invoke(args=["providers", "data", "openai", word]).exit_code == 0
        listed = runner.invoke(args=["providers", "list"]).output
        row = next(line for line in listed.splitlines() if line.startswith("openai\t"))
        assert row.endswith(f"keeps data: {told}")
    assert runner.invoke(args=["providers", "data", "nobody", "keeps"]).exit_code == 1


@pytest.mark.parametrize(
    ("typed", "becomes"), [(b"y\n", 300_000_000), (b"n\n", 150_000_000), (None, 150_000_000)],
    ids=["yes", "no", "killed"],
)  # fmt: skip
def test_a_person_is_asked(
    app: Flask, sqlite_url: str, tmp_path: Path, source: str, typed: bytes | None, becomes: int
) -> None:
    """On a terminal; whoever is killed while asking has changed nothing."""
    ours, theirs = pty.openpty()
    command = subprocess.Popen(
        [sys.executable, "-m", "flask", "catalogue", "sync", "--source", source],
        env={**os.environ, **settings(sqlite_url, tmp_path), "FLASK_APP": str(ROOT / "app.py")},
        cwd=ROOT,
        stdin=theirs,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        assert command.stderr is not None
        said = b""
        while b"[y/N]" not in said:
            piece = os.read(command.stderr.fileno(), 65_536)
            assert piece, said
            said += piece
        assert b"$0.30" in said
        if typed is None:
            command.kill()
        else:
            os.write(ours, typed)
        command.communicate(timeout=30)
    finally:
        command.kill()
        command.wait()
        os.close(ours)
        os.close(theirs)
    assert input_price(app) == becomes


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("https://[bad/x", "The source is no URL that can be read"),
        ("ftp://x/y", "A source is a file, or a URL that begins with http:// or https://."),
        ("/nowhere/catalogue.json", "The source cannot be read: No such file or directory"),
    ],
)
def test_a_source_that_is_none_is_told(runner: FlaskCliRunner, source: str, words: str) -> None:
    result = runner.invoke(args=["catalogue", "sync", "--source", source])
    assert result.exit_code == 1
    assert words in result.stderr


def test_a_model_has_a_length_that_can_be_kept(runner: FlaskCliRunner) -> None:
    offer = ["models", "add", "acme/tiny", "--provider", "openai", "--upstream", "tiny"]
    offer += ["--input", "1", "--output", "1"]
    huge = "99999999999999999999"
    for lengths in (["--context", huge], ["--context", "1000", "--max-output", huge]):
        result = runner.invoke(args=[*offer, *lengths])
        assert result.exit_code == 2, result.output
        assert "1<=x<=1000000000" in result.stderr


@pytest.mark.parametrize(
    ("url", "key", "words"),
    [
        ("http://h:abc/v1", "k" * 20, "a port is a number"),
        ("http://[h/v1", "k" * 20, "begins with http:// or https:// and a host"),
        ("http://localhost:9/v1", "two\nlines", "A key is one line"),
    ],
)
def test_a_provider_that_cannot_be_asked_is_refused(
    runner: FlaskCliRunner, url: str, key: str, words: str
) -> None:
    adding = ["providers", "add", "acme", "--kind", "openai", "--base-url", url]
    result = runner.invoke(args=[*adding, "--api-key", key])
    assert result.exit_code == 1, result.output
    assert words in result.stderr


def test_the_password_of_an_address_is_not_shown(runner: FlaskCliRunner) -> None:
    adding = ["providers", "add", "acme", "--kind", "openai", "--base-url"]
    url = "http://mallory:canary-word@localhost:9/v1"
    assert runner.invoke(args=[*adding, url]).exit_code == 0
    other = runner.invoke(args=[*adding, "http://localhost:8/v1"])
    assert other.exit_code == 1 and "@localhost:9/v1" in other.stderr
    listed = runner.invoke(args=["providers", "list"])
    assert "@localhost:9/v1" in listed.stdout
    assert "canary-word" not in listed.stdout + other.stderr
