"""What an operator meets: the Procfile, settings that are refused, the commands, a log to show."""

import shlex
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import requests
from flask.testing import FlaskCliRunner

from tests import served as serving
from tests.conftest import SECRET_KEY, settings
from tests.e2e.place import (
    DEMO_MODEL,
    PROVIDER_KEY,
    TINY_MODEL,
    WAIT_S,
    Place,
    add_tiny_model,
    command,
    make_customer,
    starts_s,
    until,
)
from tests.fakes.upstream import FakeUpstream
from tests.served import ROOT, Served, free_port

PROCFILE = dict(line.split(": ", 1) for line in (ROOT / "Procfile").read_text().splitlines())
OTHER_SECRET = "another-secret-that-is-long-enough-to-be-used"
VENDOR_KEY = "sk-proj-canary-of-the-vendor-0123456789"
PASSWORD = "canary of the password box"
REFUSED_WITHIN_S = 90
REQUESTS_AT_ONCE = 40
ServerStarter = Callable[..., Served]


def environment(**named: str) -> dict[str, str]:
    """A platform's environment: where the programs are, and what is named."""
    programs = str(Path(sys.executable).parent)
    return {"PATH": f"{programs}:/usr/local/bin:/usr/bin:/bin", "LANG": "C.UTF-8", **named}


def chat(url: str, key: str, *, model: str = DEMO_MODEL, text: str = "Hello!") -> requests.Response:
    """One request for a completion, by hand."""
    return requests.post(
        f"{url}/v1/chat/completions",
        headers={"Authorization": f"Bearer {key}"},
        json={"model": model, "messages": [{"role": "user", "content": text}], "max_tokens": 50},
        timeout=WAIT_S,
    )


def models_of(served: Served) -> dict[str, dict[str, Any]]:
    """The models that the API lists, by id."""
    answer = requests.get(f"{served.api}/models", timeout=WAIT_S).json()
    assert answer["total_count"] == len(answer["data"])
    return {model["id"]: model for model in answer["data"]}


def copy_of(database_url: str, folder: Path) -> str:
    """The URL of a copy of an SQLite database that may be in use."""
    path = folder / "copy.sqlite3"
    source = database_url.removeprefix("sqlite:///")
    with closing(sqlite3.connect(source)) as used, closing(sqlite3.connect(path)) as copy:
        used.backup(copy)
    return f"sqlite:///{path}"


# The Procfile.


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The Procfile's lines on a new database, with nothing set but what a platform sets."""
    folder = tmp_path_factory.mktemp("by hand")
    port = free_port()
    database = f"sqlite:///{folder / 'new.sqlite3'}"
    environ = environment(PORT=str(port), DATABASE_URL=database, SECRET_KEY=SECRET_KEY)
    subprocess.run(shlex.split(PROCFILE["release"]), check=True, cwd=ROOT, env=environ)
    log_path = folder / "server.log"
    began_s = time.monotonic()
    with log_path.open("wb") as log:
        process = subprocess.Popen(
            shlex.split(PROCFILE["web"]), cwd=ROOT, env=environ, stdout=log, stderr=log
        )
    served = Served(process, port, log_path, environ, 0.0)
    try:
        until(lambda: _is_healthy(served), within_s=serving.READY_S)
        starts_s.append(time.monotonic() - began_s)
        yield served
    finally:
        served.stop()


def _is_healthy(served: Served) -> bool:
    assert served.process.poll() is None, served.log
    try:
        return requests.get(f"{served.url}/healthz", timeout=1).text == "ok"
    except requests.RequestException:
        return False


def test_the_release_line_gives_a_full_list_of_models(by_hand: Served) -> None:
    models = models_of(by_hand)
    authors = {model["owned_by"] for model in models.values()}
    assert len(models) > 100
    assert {"openai", "anthropic", "google", "meta-llama", "deepseek", "x-ai", "qwen"} <= authors
    assert any(author.startswith("mistral") for author in authors)


def test_production_offers_nothing_that_has_no_key(by_hand: Served) -> None:
    assert not any(model["available"] for model in models_of(by_hand).values())


def test_production_hides_the_demo(by_hand: Served) -> None:
    assert DEMO_MODEL not in models_of(by_hand)
    assert "Demo Echo" not in requests.get(f"{by_hand.url}/models", timeout=WAIT_S).text


def test_production_makes_no_demo_account(by_hand: Served) -> None:
    refused = by_hand.flask("demo")
    assert refused.returncode == 1
    assert "production makes none" in refused.stderr


# Several workers.


@pytest.mark.postgresql
def test_two_workers_on_postgresql_keep_one_ledger(
    serve: ServerStarter, postgresql_url: str
) -> None:
    heroku_spelling = postgresql_url.replace("postgresql://", "postgres://")
    served = serve(heroku_spelling, WEB_CONCURRENCY="2")
    assert served.log.count("Booting worker") == 2
    with FakeUpstream(expected_key=PROVIDER_KEY) as upstream:
        add_tiny_model(served, upstream.url)
        key = make_customer(served, "alice@example.com", "--credit", "1")
        upstream.answers("Good day.", usage=(100, 10))
        with ThreadPoolExecutor(REQUESTS_AT_ONCE // 4) as pool:
            answers = list(
                pool.map(lambda _: chat(served.url, key, model=TINY_MODEL), range(REQUESTS_AT_ONCE))
            )
    assert [answer.status_code for answer in answers] == [200] * REQUESTS_AT_ONCE
    charges = [Decimal(answer.json()["usage"]["cost_details"]["charge"]) for answer in answers]
    # 100 × 123,456,789 + 10 × 9,876,543,211 for a million, rounded once.
    assert set(charges) == {Decimal("0.000111111")}
    balance = Place(served, upstream, key).get("/credits")["data"]["balance"]
    assert Decimal(balance) == 1 - sum(charges)
    command(served, "ledger", "audit")


# Production, with settings.


@pytest.fixture(scope="module")
def production(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[Served]:
    """A server as an operator may set it up: on SQLite, with a vendor's key and a host name."""
    folder = tmp_path_factory.mktemp("production")
    shutil.copy(sqlite_template, folder / "production.sqlite3")
    served = serving.start(
        settings(
            f"sqlite:///{folder / 'production.sqlite3'}",
            folder,
            SOLROUTER_ENV="production",
            SOLROUTER_DEMO="1",
            SOLROUTER_ALLOWED_HOSTS="llm.example.com,127.0.0.1",
            OPENAI_API_KEY=VENDOR_KEY,
            WEB_CONCURRENCY="4",
        )
    )
    starts_s.append(served.ready_s)
    yield served
    served.stop()


def test_sqlite_has_one_worker_whatever_the_platform_says(production: Served) -> None:
    assert "WEB_CONCURRENCY=4 is ignored: on SQLite there is always one worker" in production.log
    assert production.log.count("Booting worker") == 1


def test_a_vendors_key_brings_its_models_to_life(production: Served) -> None:
    models = models_of(production)
    assert models["openai/gpt-4o-mini"]["available"] is True
    assert models["anthropic/claude-sonnet-4"]["available"] is False


@pytest.mark.parametrize("path", ["/", "/v1/models", "/login", "/healthz"])
def test_hosts_that_were_not_named_are_refused(production: Served, path: str) -> None:
    for host, status in (("llm.example.com", 200), ("evil.example", 400)):
        answer = requests.get(production.url + path, headers={"Host": host}, timeout=WAIT_S)
        assert answer.status_code == status


def test_no_secret_is_in_the_log_of_a_busy_day(production: Served) -> None:
    """People sign in, customers ask, a provider fails and repeats our key to us."""
    person = ("--password", PASSWORD, "--credit", "1")
    key = make_customer(production, "alice@example.com", *person)
    assert DEMO_MODEL in models_of(production)
    assert chat(production.url, key).status_code == 200
    wrong_key = key[:-1] + ("a" if key[-1] != "a" else "b")
    assert chat(production.url, wrong_key).status_code == 401
    with FakeUpstream() as upstream:
        add_tiny_model(production, upstream.url)
        said = {"message": f"Incorrect API key provided: {PROVIDER_KEY}."}
        upstream.answers(status=500, error_body=said)
        refused = chat(production.url, key, model=TINY_MODEL, text="canary of the prompt")
        assert upstream.last.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
    assert refused.status_code == 502
    assert PROVIDER_KEY not in refused.text
    for password in (PASSWORD, f"{PASSWORD}, but another"):
        _sign_in(production, "alice@example.com", password)
    requests.get(f"{production.url}/models?q={key}", timeout=WAIT_S)

    log = production.log
    assert "POST /v1/chat/completions 200" in log
    assert "POST /login 303" in log
    canaries = (key, wrong_key, PROVIDER_KEY, VENDOR_KEY, PASSWORD, SECRET_KEY, "canary")
    assert [canary for canary in canaries if canary in log] == []


def _sign_in(served: Served, email: str, password: str) -> None:
    form = {"email": email, "password": password}
    headers = {"Sec-Fetch-Site": "same-origin"}
    requests.post(
        f"{served.url}/login", data=form, headers=headers, timeout=WAIT_S, allow_redirects=False
    )


# The root secret.


def test_another_secret_is_refused_on_a_database_that_was_used(
    place: Place, tmp_path: Path
) -> None:
    database = copy_of(place.served.environ["DATABASE_URL"], tmp_path)
    words = refusal(DATABASE_URL=database, SECRET_KEY=OTHER_SECRET)
    assert "SECRET_KEY is not the one that this database was used with" in words
    assert "SECRET_KEY_FALLBACKS" in words


def test_a_former_secret_lets_old_keys_and_fields_live_on(
    place: Place, upstream: FakeUpstream, serve: ServerStarter, tmp_path: Path
) -> None:
    database = copy_of(place.served.environ["DATABASE_URL"], tmp_path)
    served = serve(database, SECRET_KEY=OTHER_SECRET, SECRET_KEY_FALLBACKS=SECRET_KEY)
    # The customer's key is found by its digest, the provider's key is decrypted: both are old.
    assert chat(served.url, place.key, model=TINY_MODEL).status_code == 200
    assert upstream.last.headers["authorization"] == f"Bearer {PROVIDER_KEY}"


# Settings that are refused.


def refusal(**named: str) -> str:
    """What the Procfile's `web` line says when it refuses to start; it must end by itself."""
    result = subprocess.run(
        shlex.split(PROCFILE["web"]),
        check=False,
        capture_output=True,
        text=True,
        cwd=ROOT,
        env=environment(**{"PORT": str(free_port()), "SOLROUTER_BIND": "127.0.0.1", **named}),
        timeout=REFUSED_WITHIN_S,
    )
    assert result.returncode not in (0, None)
    assert "Traceback" not in result.stderr
    return result.stdout + result.stderr


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({"DATABASE_URL": "", "DYNO": "web.1"}, "a Heroku dyno's disk forgets everything"),
        ({"DATABASE_URL": "", "RENDER": "true"}, "Render forgets files with each deploy"),
        ({"SECRET_KEY": ""}, "SECRET_KEY is not set. In production it signs sessions"),
        ({"SECRET_KEY": "too-short"}, "SECRET_KEY is shorter than 32 bytes"),
        ({"DATABASE_URL": "mysql://localhost/solrouter"}, "DATABASE_URL must begin with"),
        ({"PORT": "99999"}, "PORT: must be 65535 at most"),
        ({"DATABASE_URL": "postgresql://u:ca/na@ry@h/db"}, "Percent-encode / @ : # ? in the"),
        ({}, "The database has no tables yet. Run: flask db upgrade"),
    ],
    ids=[
        "dyno without database",
        "platform without volume",
        "no secret",
        "short secret",
        "foreign database",
        "no such port",
        "password with a slash",
        "no tables",
    ],
)
def test_settings_that_are_unsafe_are_refused_with_a_sentence(
    tmp_path: Path, named: Mapping[str, str], words: str
) -> None:
    sane = {"DATABASE_URL": f"sqlite:///{tmp_path / 'empty.sqlite3'}", "SECRET_KEY": SECRET_KEY}
    assert words in refusal(**{**sane, **named})


# The commands. Their failures are asked for in this process: each would take a second outside.


def test_commands_can_be_run_again(runner: FlaskCliRunner) -> None:
    user = ["users", "create", "alice@example.com", "--password", PASSWORD, "--credit", "5"]
    provider = ["providers", "add", "acme", "--kind", "openai", "--base-url", "http://localhost/v1"]
    prices = ["--input", "1", "--output", "2", "--context", "1000"]
    model = ["models", "add", "acme/tiny", "--provider", "acme", "--upstream", "tiny-1", *prices]
    for arguments in (user, provider, model):
        first, second = runner.invoke(args=arguments), runner.invoke(args=arguments)
        assert (first.exit_code, second.exit_code) == (0, 0), first.output + second.output
        assert second.stderr.startswith("There already is ")
    upgrade = runner.invoke(args=["db", "upgrade"])
    assert upgrade.exit_code == 0
    assert upgrade.stderr.endswith("The catalogue is up to date.\n")
    granted = runner.invoke(
        args=["credits", "grant", "alice@example.com", "1.50", "--note", "Welcome"]
    )
    assert granted.stderr == "Granted $1.50. The balance is $6.50.\n"


def test_lists_are_for_scripts(runner: FlaskCliRunner) -> None:
    providers = runner.invoke(args=["providers", "list"]).stdout.splitlines()
    models = runner.invoke(args=["models", "list"]).stdout.splitlines()
    assert ["demo", "demo", "ready"] in [line.split("\t")[:3] for line in providers]
    assert ["openai", "openai", "not ready"] in [line.split("\t")[:3] for line in providers]
    states = dict(line.split("\t")[:2] for line in models)
    assert states[DEMO_MODEL] == "available"
    assert states["openai/gpt-4o-mini"] == "unavailable"


PROVIDER = ["providers", "add", "acme", "--kind", "openai"]
OFFER = ["--upstream", "t", "--input", "1", "--output", "2", "--context", "1000"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["users", "create", "alice"], "e-mail"),
        (["users", "create", "a@example.com", "--password", "short"], "password"),
        (["users", "create", "a@example.com", "--plan", "golden"], "no plan “golden”"),
        (["users", "create", "a@example.com", "--credit", "lots"], "not an amount in USD"),
        (["keys", "create", "nobody@example.com", "--name", "k"], "no user nobody@example.com"),
        (["keys", "create", "nobody@example.com"], "Missing option '--name'"),
        (["credits", "grant", "nobody@example.com", "1", "--note", "n"], "no user nobody"),
        (["credits", "grant", "b@example.com", "0", "--note", "n"], "more than zero"),
        (["credits", "grant", "b@example.com", "1", "--note", " "], "Say why"),
        (["providers", "add", "A Me", "--kind", "openai"], "A slug is"),
        (["providers", "add", "acme", "--kind", "telepathy"], "Invalid value for '--kind'"),
        ([*PROVIDER, "--base-url", "acme.example/v1"], "begins with http:// or https://"),
        (["providers", "add", "openai", "--kind", "openai", "--base-url", "http://a"], "another"),
        (["models", "add", "acme/tiny", "--provider", "nobody", *OFFER], "no provider “nobody”"),
        (["models", "add", "tiny", "--provider", "demo", *OFFER], "AUTHOR/NAME"),
        (["models", "add", "a/b", "--provider", "demo", *OFFER, "--input", "-1"], "negative"),
    ],
    ids=lambda value: " ".join(value[:4]) if isinstance(value, list) else None,
)
def test_commands_say_what_is_wrong(
    runner: FlaskCliRunner, arguments: list[str], words: str
) -> None:
    runner.invoke(args=["users", "create", "b@example.com"])
    result = runner.invoke(args=arguments)
    assert result.exit_code in (1, 2)
    assert result.stdout == ""
    assert words in result.stderr
    assert "Traceback" not in result.stderr
