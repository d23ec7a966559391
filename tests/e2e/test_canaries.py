"""Secrets with names of their own through every path, and then a search for them: in the log, in
answers and pages, in the database whole. Where one may be is said; everywhere else it is a leak.

The server is the real one, on each database; providers fail in all ways and repeat what they were
sent, people mistype, and in the end the database is taken away.
"""

import io
import re
import shutil
import socket
import sqlite3
import ssl
import subprocess
import zipfile
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
import requests
from sqlalchemy import make_url

from tests import served as serving
from tests.authenticator import Authenticator
from tests.conftest import POSTGRESQL, require, settings
from tests.e2e.place import DEMO_MODEL, TINY_MODEL, WAIT_S, browser, command, until
from tests.edge.mailbox import LINK, link_of
from tests.fakes.smtp import FakeSmtp, Taken
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
# Of somebody whose account has it kept: encrypted, and on the page of its receipt alone.
KEPT_PROMPT = "canary of the prompt that its owner wants kept"
EMAIL, BOB, BOBS_NEXT = "ann@example.com", "bob@example.com", "robert@example.com"
# What must be in no answer and on no page: not even their owner's. The prompt comes back as a model
# repeats it, and a password is kept nowhere to come back from.
OPERATORS = (
    ROOT_SECRET, FORMER_SECRET, PROVIDER_KEY, VENDOR_KEY, DATABASE_PASSWORD, SMTP_PASSWORD,
    GITHUB_SECRET, METRICS_TOKEN,
)  # fmt: skip
PEOPLES = (PASSWORD, WRONG_PASSWORD, PROMPT, KEPT_PROMPT)
KEYS, SET_UP = r"/account/keys$", r"/account/settings/second-factor(/confirm)?$"
CODES = r"/account/settings/(second-factor/confirm|recovery-codes)$"
# A cookie is set by a header that `told` leaves out, and stands nowhere else.
NOWHERE = r"$^"


@dataclass
class Day:
    """What happened: every answer, and the secrets that were made on the way, each with the pages
    that may show it.
    """

    served: Served
    smtp: FakeSmtp
    answers: list[requests.Response] = field(default_factory=list)
    made: dict[str, str] = field(default_factory=dict)
    cookie: str = ""
    links: list[str] = field(default_factory=list)

    def ask(self, key: str, *, model: str = DEMO_MODEL, **more: Any) -> requests.Response:
        """One completion with the canary as its prompt."""
        body = {"model": model, "messages": [{"role": "user", "content": PROMPT}], **more}
        headers = {"Authorization": f"Bearer {key}"}
        url = f"{self.served.api}/chat/completions"
        return self.keep(requests.post(url, json=body, headers=headers, timeout=WAIT_S))

    def get(
        self, path: str, visitor: requests.Session | None = None, **more: Any
    ) -> requests.Response:
        return self.keep((visitor or requests).get(self.served.url + path, timeout=WAIT_S, **more))

    def post(self, path: str, visitor: requests.Session, **form: str) -> requests.Response:
        return self.keep(visitor.post(self.served.url + path, data=form, timeout=WAIT_S))

    def keep(self, answer: requests.Response) -> requests.Response:
        self.answers.append(answer)
        return answer

    def link(self, recipient: str, subject: str) -> str:
        """The path of the link in the mail of this subject; its token may be on its own page."""

        def newest() -> Taken | None:
            mails = [mail for mail in self.smtp.taken if mail.recipients == (recipient,)]
            return next((mail for mail in mails[::-1] if mail.subject == subject), None)

        parts = urlsplit(link_of(until(newest)))
        path = f"{parts.path}?{parts.query}" if parts.query else parts.path
        token = re.split("[/=]", path)[-1]
        assert len(token) >= 40
        self.made[token] = re.escape(token)
        self.links.append(path)
        return path


@pytest.fixture
def mail_server() -> Iterator[FakeSmtp]:
    """A mail server that wants a password."""
    with FakeSmtp() as smtp:
        smtp.password = SMTP_PASSWORD
        yield smtp


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)])
def day(
    request: pytest.FixtureRequest, tmp_path: Path, sqlite_template: Path, mail_server: FakeSmtp
) -> Iterator[Day]:
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
            SMTP_URL=mail_server.url,
            SOLROUTER_BASE_URL="http://127.0.0.1",
            GITHUB_CLIENT_ID="id",
            GITHUB_CLIENT_SECRET=GITHUB_SECRET,
            SOLROUTER_GITHUB_URL="http://127.0.0.1:9",
            SOLROUTER_GITHUB_API_URL="http://127.0.0.1:9",
            SOLROUTER_METRICS_TOKEN=METRICS_TOKEN,
            SOLROUTER_CONNECT_S="1",
        )
    )
    yield Day(served, mail_server)
    served.stop()


def test_no_secret_is_where_it_must_not_be(day: Day, tmp_path: Path) -> None:
    key = a_busy_day(day)
    somebody_takes_care(day)
    everything_fails(day, key)
    strangers_send_nonsense(day, key)
    dump = database_dump(day.served.environ["DATABASE_URL"])
    assert EMAIL.encode() in dump and b"completion" in dump, "the search looks at nothing"
    assert b"kept_contents" in dump and b"second_factors" in dump
    if not day.served.environ["DATABASE_URL"].startswith("sqlite"):
        the_database_goes(day, key)
    day.served.stop()

    secrets = {*OPERATORS, *PEOPLES, *day.made}
    # Keys, cookies, links of mails, the secret of a second factor and its codes.
    assert len(day.made) >= 3 + 2 + 6 + 1 + 20
    log = day.served.log
    assert "POST /v1/chat/completions 200" in log
    assert "Invalid request from ip=127.0.0.1" in log and "Logging error" not in log
    assert [canary for canary in secrets if canary in log] == []
    assert [canary for canary in secrets if is_in(dump, canary)] == []
    for answer in day.answers:
        found = [canary for canary in OPERATORS if canary in told(answer)]
        assert not found, f"{answer.request.method} {answer.url}: {found}"
    for answer in day.answers:
        shown_on_pages(day, answer)
    for mail in day.smtp.taken:
        allowed = {urlsplit(link).path for link in LINK.findall(mail.text)}
        found = [canary for canary in secrets if canary in mail.text]
        assert all(any(canary in path for path in allowed) or canary in mail.text.partition(
            "invitation=")[2] for canary in found), mail.subject  # fmt: skip


def shown_on_pages(day: Day, answer: requests.Response) -> None:
    """Pages repeat no prompt but on its receipt, and a secret where it is made alone.

    To who asked, the provider's words about the request are told, less our key.
    """
    path = urlsplit(answer.url).path
    if "text/html" in answer.headers.get("Content-Type", ""):
        assert PROMPT not in told(answer), answer.url
        if not re.fullmatch(r"/account/activity/[\w-]+", path):
            assert KEPT_PROMPT not in told(answer), answer.url
    for secret, where in day.made.items():
        if secret in told(answer):
            assert re.search(where, answer.url), f"{secret} is on {answer.url}"


def is_in(dump: bytes, canary: str) -> bool:
    """Whether it is there, as text or as the hexadecimal digits of a column of bytes."""
    return canary.encode() in dump or canary.encode().hex().encode() in dump.lower()


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
    day.made[key] = KEYS
    day.post("/login", browser(), email=EMAIL, password=WRONG_PASSWORD)
    day.post("/signup", browser(), email=EMAIL, password=WRONG_PASSWORD)
    day.post("/signup", browser(), email=WRONG_PASSWORD, password=PASSWORD)
    day.post("/login", ann, email=EMAIL, password=PASSWORD)
    day.cookie = ann.cookies["solrouter"]
    day.made[day.cookie] = NOWHERE
    # People paste what does not belong there.
    day.post("/account/keys", ann, name=key)
    day.post("/account/keys", ann, name="second", limit=PASSWORD)
    page = day.post("/account/keys", ann, name="third")
    day.made |= dict.fromkeys(_keys_in(page.text), KEYS)
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


def somebody_takes_care(day: Day) -> None:
    """Bob signs up by mail, sets up a second factor, joins a team, forgets his password, has his
    prompts kept; and mistypes on the way.
    """
    bob = browser()
    day.smtp.refuses["AUTH"] = f"535 {SMTP_PASSWORD} is not your password"
    day.post("/signup", bob, email=BOB, password=PASSWORD)
    until(lambda: "mail server" in day.served.log)
    day.smtp.refuses.clear()
    day.post("/account/settings/email/confirmation", bob)
    link = day.link(BOB, "Confirm your e-mail address")
    day.get(link, browser())
    day.get(link, bob)
    day.post(link, bob)
    day.post(link, bob)
    codes = a_second_factor(day, bob)
    invitations(day, bob)
    prompts_are_kept(day, bob)
    day.post("/account/settings/email", bob, email=BOBS_NEXT, password=PASSWORD, code=codes[0])
    change = day.link(BOBS_NEXT, "Confirm your new e-mail address")
    day.get(change, bob)
    day.post("/password/forgot", browser(), email=BOB)
    reset = day.link(BOB, "Set a new password")
    day.get(reset)
    day.post(reset, browser(), password="short")
    day.post(reset, browser(), password=PASSWORD)
    day.post(reset, browser(), password=WRONG_PASSWORD)
    day.post("/password/forgot", browser(), email=BOB)
    again = browser()
    day.post("/login", again, email=BOB, password=PASSWORD)
    day.post("/login/code", again, code=codes[1] + "x")
    day.post("/login/code", again, code=codes[1])
    assert "solrouter" in again.cookies
    day.made[again.cookies["solrouter"]] = NOWHERE


def a_second_factor(day: Day, bob: requests.Session) -> list[str]:
    """Bob sets it up, not without a mistake; returns codes that have not been used."""
    page = day.post("/account/settings/second-factor", bob)
    secret = _within(page.text, "totp-secret")
    assert re.fullmatch("[A-Z2-7]{32}", secret)
    day.made[secret] = SET_UP
    phone = Authenticator(secret)
    day.post("/account/settings/second-factor/confirm", bob, code=secret)
    day.post("/account/settings/second-factor/confirm", bob, code=phone.wrong_code())
    page = day.post("/account/settings/second-factor/confirm", bob, code=phone.code())
    first = _within(page.text, "recovery-codes").split()
    page = day.post("/account/settings/recovery-codes", bob)
    second = _within(page.text, "recovery-codes").split()
    assert len({*first, *second}) == 20
    day.made |= dict.fromkeys((*first, *second), CODES)
    for path in ("/account/settings", "/account/settings/second-factor", "/account/audit"):
        day.get(path, bob)
    return second


def invitations(day: Day, bob: requests.Session) -> None:
    """Bob invites Ann, who joins; and Ann, who runs the place, invites a stranger."""
    ann = browser()
    day.post("/login", ann, email=EMAIL, password=PASSWORD)
    day.post("/account/team/invitations", bob, email=EMAIL, role="developer")
    link = day.link(EMAIL, f"{BOB} invites you to their account")
    for visitor in (browser(), bob, ann):
        day.get(link, visitor)
    day.post(link, ann)
    day.post(link, ann)
    day.get("/account/team", bob)
    day.post("/admin/invitations", ann, email="ines@example.com")
    link = day.link("ines@example.com", "You are invited to SolRouter")
    day.get(link)
    day.get("/admin/invitations", ann)


def prompts_are_kept(day: Day, bob: requests.Session) -> None:
    """Bob has his prompts kept, looks at one, and takes all of his data along."""
    command(day.served, "credits", "grant", BOB, "1", "--note", "For the day")
    day.post("/account/settings/content", bob, days="7")
    (key,) = set(_keys_in(day.post("/account/keys", bob, name="of Bob").text))
    day.made[key] = KEYS
    messages = [{"role": "user", "content": KEPT_PROMPT}]
    for stream in (False, True):
        answer = day.ask(key, stream=stream, messages=messages)
        assert answer.status_code == 200
        page = f"/account/activity/{answer.headers['X-Generation-Id']}"
        until(lambda page=page: KEPT_PROMPT in day.get(page, bob).text)  # type: ignore[misc]
    for path in ("/account", "/account/activity", "/account/settings/content/delete"):
        day.get(path, bob)
    export = day.post("/account/settings/export", bob)
    with zipfile.ZipFile(io.BytesIO(export.content)) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    assert KEPT_PROMPT in files["contents.jsonl"]
    taken = "".join(files.values())
    assert [secret for secret in (*OPERATORS, *day.made) if secret in taken] == []


def _within(text: str, identifier: str) -> str:
    """The text of the element with this id."""
    found = re.search(rf'id="{identifier}"[^>]*>([^<]+)<', text)
    assert found is not None, f"nothing has the id {identifier}"
    return found[1]


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
    day.made[wrong] = NOWHERE
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
    cookie = day.cookie
    for link in day.links:
        # As if the link had been broken over two lines, and sent to whom it is nothing to.
        day.get(f"{link}x")
        requests.put(day.served.url + link, timeout=WAIT_S)
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
    ann.cookies["solrouter"] = day.cookie
    for path in ("/account", "/account/keys", "/readyz", *day.links):
        day.get(path, ann)
        day.post(path, ann, password=PASSWORD)
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
