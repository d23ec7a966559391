"""Secrets with names of their own through every path, and then a search for them: in the log, in
answers and pages, in the database whole. Where one may be is said; everywhere else it is a leak.

The server is the real one, on each database; providers fail in all ways and repeat what they were
sent, people mistype, and in the end the database is taken away.
"""

import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psycopg
import pytest
import requests
from sqlalchemy import make_url

from tests import served as serving
from tests.conftest import POSTGRESQL, require, settings
from tests.e2e.place import DEMO_MODEL, TINY_MODEL, WAIT_S, browser, command, until
from tests.fakes.upstream import FakeUpstream
from tests.providers.raw_server import RawServer
from tests.served import Served

ROOT_SECRET = "canary-root-secret-0123456789-0123456789"
FORMER_SECRET = "canary-former-secret-0123456789-0123456789"
PROVIDER_KEY = "canary.of.a.stored.provider.key"
VENDOR_KEY = "sk-canary-of-the-environment-0123456789"
DATABASE_PASSWORD = "canary-database-password"
SMTP_PASSWORD = "canary-smtp-password"
GITHUB_SECRET = "canary-github-secret-0123456789"
METRICS_TOKEN = "canary-metrics-token-0123456789"
PASSWORD = "canary of the password box"
WRONG_PASSWORD = "canary of another password"
PROMPT = "canary of the prompt, which is nobody else's"
EMAIL = "ann@example.com"
# What must be in no answer and on no page: not even their owner's. The prompt comes back as a model
# repeats it, and a password is kept nowhere to come back from.
OPERATORS = (
    ROOT_SECRET, FORMER_SECRET, PROVIDER_KEY, VENDOR_KEY, DATABASE_PASSWORD, SMTP_PASSWORD,
    GITHUB_SECRET, METRICS_TOKEN,
)  # fmt: skip
PEOPLES = (PASSWORD, WRONG_PASSWORD, PROMPT)


@dataclass
class Day:
    """What happened: every answer, and the secrets that were made on the way."""

    served: Served
    answers: list[requests.Response] = field(default_factory=list)
    made: list[str] = field(default_factory=list)

    def ask(self, key: str, *, model: str = DEMO_MODEL, **more: Any) -> requests.Response:
        """One completion with the canary as its prompt."""
        body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], **more}
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{self.served.api}/chat/completions"
        return self.keep(requests.post(url, json=body, headers=headers, timeout=WAIT_S))

    def get(self, path: str, visitor: requests.Session | None = None, **more: Any) -> None:
        self.keep((visitor or requests).get(self.served.url + path, timeout=WAIT_S, **more))

    def post(self, path: str, visitor: requests.Session, **form: str) -> requests.Response:
        return self.keep(visitor.post(self.served.url + path, data=form, timeout=WAIT_S))

    def keep(self, answer: requests.Response) -> requests.Response:
        self.answers.append(answer)
        return answer


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def day(request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path) -> Iterator[Day]:
    """A server whose every setting that is a secret is a canary."""
    if request.param == "sqlite":
        shutil.copy(sqlite_template, tmp_path / "day.sqlite3")
        url = f"sqlite:///{tmp_path / 'day.sqlite3'}"
    else:
        plain = make_url(request.getfixturevalue("postgresql_url"))
        url = plain.set(password=DATABASE_PASSWORD).render_as_string(hide_password=False)
    served = serving.start(
        settings(
            url,
            tmp_path,
            SOLROUTER_ENV="production",
            SOLROUTER_DEMO="1",
            SECRET_KEY=ROOT_SECRET,
            SECRET_KEY_FALLBACKS=FORMER_SECRET,
            OPENAI_API_KEY=VENDOR_KEY,
            SMTP_URL=f"smtp://ann:{SMTP_PASSWORD}@127.0.0.1:9",
            SOLROUTER_BASE_URL="http://127.0.0.1",
            GITHUB_CLIENT_ID="id",
            GITHUB_CLIENT_SECRET=GITHUB_SECRET,
            SOLROUTER_GITHUB_URL="http://127.0.0.1:9",
            SOLROUTER_GITHUB_API_URL="http://127.0.0.1:9",
            SOLROUTER_METRICS_TOKEN=METRICS_TOKEN,
            SOLROUTER_CONNECT_S="1",
        )
    )
    yield Day(served)
    served.stop()


def test_no_secret_is_where_it_must_not_be(day: Day, tmp_path: Path) -> None:
    key = a_busy_day(day)
    everything_fails(day, key)
    strangers_send_nonsense(day, key)
    dump = database_dump(day.served.environ["DATABASE_URL"])
    assert EMAIL.encode() in dump and b"completion" in dump, "the search looks at nothing"
    if not day.served.environ["DATABASE_URL"].startswith("sqlite"):
        the_database_goes(day, key)
    day.served.stop()

    secrets = {*OPERATORS, *PEOPLES, *day.made}
    assert len(day.made) >= 4
    log = day.served.log
    assert "POST /v1/chat/completions 200" in log
    assert "Invalid request from ip=127.0.0.1" in log and "Logging error" not in log
    assert [canary for canary in secrets if canary in log] == []
    assert [canary for canary in secrets if canary.encode() in dump] == []
    for answer in day.answers:
        found = [canary for canary in OPERATORS if canary in told(answer)]
        assert not found, f"{answer.request.method} {answer.url}: {found}"
    # Pages repeat no prompt, and a key is shown by the page that makes it alone. (To who asked, the
    # provider's words about the request are told, less our key.)
    for answer in day.answers:
        if "text/html" in answer.headers.get("Content-Type", ""):
            assert PROMPT not in told(answer), answer.url
        shown = [secret for secret in day.made if secret in told(answer)]
        assert not shown or answer.url.endswith("/account/keys"), answer.url


def told(answer: requests.Response) -> str:
    """All of an answer but the cookies that it sets."""
    headers = {k: v for k, v in answer.headers.items() if k.lower() != "set-cookie"}
    return f"{answer.status_code} {headers} {answer.text}"


def a_busy_day(day: Day) -> str:
    """People sign in and out, mistype, make keys, ask; returns a key."""
    served, ann = day.served, browser()
    options = ("--password", PASSWORD, "--credit", "5", "--plan", "unlimited", "--admin")
    command(served, "users", "create", EMAIL, *options)
    key = command(served, "keys", "create", EMAIL, "--name", "laptop").strip()
    day.made.append(key)
    day.post("/login", browser(), email=EMAIL, password=WRONG_PASSWORD)
    day.post("/signup", browser(), email=EMAIL, password=WRONG_PASSWORD)
    day.post("/signup", browser(), email=WRONG_PASSWORD, password=PASSWORD)
    day.post("/login", ann, email=EMAIL, password=PASSWORD)
    day.made.append(ann.cookies["solrouter"])
    # People paste what does not belong there.
    day.post("/account/keys", ann, name=key)
    day.post("/account/keys", ann, name="second", limit=PASSWORD)
    page = day.post("/account/keys", ann, name="third")
    day.made.extend(word for word in _keys_in(page.text) if word not in day.made)
    for path in ("/account", "/account/keys", "/account/activity", "/account/balance", "/admin",
                 "/admin/providers", "/admin/users", "/admin/requests", "/admin/models",
                 "/docs/quickstart", "/models"):  # fmt: skip
        day.get(path, ann)
    day.post(
        "/admin/providers", ann, slug="acme", kind="openai", api_key=PROVIDER_KEY,
        base_url="not an address",
    )  # fmt: skip
    assert day.ask(key).status_code == 200
    day.ask(key, stream=True)
    for headers in ({"Idempotency-Key": PROMPT}, {"Idempotency-Key": PROMPT}):
        day.keep(
            requests.post(
                f"{served.api}/chat/completions",
                json={"model": DEMO_MODEL, "messages": [{"role": "user", "content": PROMPT}]},
                headers={"Authorization": f"Bearer {key}", **headers},
                timeout=WAIT_S,
            )
        )
    day.get("/metrics", headers={"Authorization": f"Bearer {METRICS_TOKEN}"})
    day.get("/auth/github/callback?code=canary&state=canary")
    day.get("/logout", ann)
    return key


def _keys_in(text: str) -> list[str]:
    return re.findall(r"\bsr_[0-9A-Za-z]{44}\b", text)


def everything_fails(day: Day, key: str) -> None:
    """Providers refuse, break, and repeat our key and the caller's words."""
    repeated = f"Incorrect key {PROVIDER_KEY} for “{PROMPT}”."
    with FakeUpstream() as upstream, tls_server() as secured:
        _offer(day.served, "acme", TINY_MODEL, upstream.url)
        _offer(day.served, "tls", "acme/tls", secured.url)
        _offer(day.served, "gone", "acme/gone", "http://127.0.0.1:9")
        for status in (400, 401, 403, 404, 429, 500, 503):
            for stream in (False, True):
                upstream.reset()
                upstream.answers(status=status, error_body={"message": repeated})
                assert day.ask(key, model=TINY_MODEL, stream=stream).status_code >= 400
        assert upstream.last.headers["authorization"] == f"Bearer {PROVIDER_KEY}"
        plain = {"content-type": "text/plain"}
        for fault in (
            {"body": repeated, "headers": plain, "status": 500},
            {"body": repeated, "headers": plain},
            {"body": {"surprise": repeated}},
        ):
            upstream.reset()
            upstream.answers(**fault)
            day.ask(key, model=TINY_MODEL)
        upstream.reset()
        upstream.streams("one", "two", error_event=(2, {"error": {"message": repeated}}))
        day.ask(key, model=TINY_MODEL, stream=True)
        for model in ("acme/tls", "acme/gone"):
            assert day.ask(key, model=model).status_code == 502
    for wrong in ({"model": PROMPT}, {"stop": [PROMPT] * 99}, {"user": {"a": PROMPT}},
                  {"tools": [{"type": PROMPT}]}, {"response_format": {"type": PROMPT}},
                  {"provider": {"order": [PROMPT]}}, {"messages": PROMPT},
                  {PROMPT: 1}):  # fmt: skip
        body = {"model": DEMO_MODEL, "messages": [{"role": "user", "content": PROMPT}], **wrong}
        requests.post(
            f"{day.served.api}/chat/completions",
            json=body,
            headers={"Authorization": f"Bearer {key}"},
            timeout=WAIT_S,
        )


def strangers_send_nonsense(day: Day, key: str) -> None:
    """Secrets in addresses, in headers that are none, in requests that are none."""
    wrong = key[:-1] + ("a" if key[-1] != "a" else "b")
    day.made.append(wrong)
    for path in (f"/models?q={key}", f"/{key}", f"/v1/{wrong}", f"/v1/models/{key}?key={key}",
                 f"/login?next=/{key}", f"/account/activity?before={key}"):  # fmt: skip
        requests.get(day.served.url + path, timeout=WAIT_S)
    for bearer in (wrong, f"{key} {key}", PROVIDER_KEY):
        day.keep(
            requests.get(
                f"{day.served.api}/key",
                headers={"Authorization": f"Bearer {bearer}"},
                timeout=WAIT_S,
            )
        )
    cookie = day.made[1]
    for broken in (
        f"GET /{PASSWORD} HTTP/1.1\r\nHost: x\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nCookie solrouter={cookie}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\nCookie : solrouter={cookie}\r\n\r\n",
        f"GET / HTTP/1.1\r\nHost: x\r\n{PROMPT}\r\n\r\n",
        f"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n{PASSWORD}\r\n",
    ):
        with socket.create_connection(("127.0.0.1", day.served.port), timeout=WAIT_S) as sock:
            sock.sendall(broken.encode())
            with suppress(OSError):
                sock.recv(65_536)


def the_database_goes(day: Day, key: str) -> None:
    """It is dropped while the server runs: 503, and words about it in the log."""
    name = make_url(day.served.environ["DATABASE_URL"]).database
    with psycopg.connect(POSTGRESQL, autocommit=True) as admin:
        admin.execute(f"DROP DATABASE {name} WITH (FORCE)")

    def is_away() -> bool:
        return day.ask(key).status_code == 503

    until(is_away)
    ann = browser()
    ann.cookies["solrouter"] = day.made[1]
    for path in ("/account", "/account/keys", "/readyz"):
        day.get(path, ann)
    day.post("/login", browser(), email=EMAIL, password=PASSWORD)
    assert "the database does not answer" in day.served.log
    with psycopg.connect(POSTGRESQL, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}")


def database_dump(url: str) -> bytes:
    """Every byte of every table."""
    if url.startswith("sqlite"):
        path = Path(url.removeprefix("sqlite:///"))
        with closing(sqlite3.connect(path)) as connection:
            told = "\n".join(connection.iterdump()).encode()
        files = path.parent.glob(f"{path.name}*")
        return told + b"".join(file.read_bytes() for file in files)
    require("pg_dump", shutil.which("pg_dump") is not None)
    plain = make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)
    done = subprocess.run(["pg_dump", "--inserts", plain], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    # Bytes are written as hex there: ciphertext, digests.
    return done.stdout


def _offer(served: Served, slug: str, model: str, base_url: str) -> None:
    kind = ("--kind", "openai", "--base-url", base_url, "--api-key", PROVIDER_KEY)
    command(served, "providers", "add", slug, *kind)
    terms = ("--upstream", "tiny-1", "--input", "1", "--output", "2", "--context", "100000")
    command(served, "models", "add", model, "--provider", slug, *terms)


def tls_server() -> RawServer:
    """A server that ends every handshake: its certificate cannot be trusted, since it has none."""
    return RawServer(lambda sock, number: None, tls=ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER))
