"""What every site has that signs people in by OAuth's authorization code flow, as a program.

It is told who is signed in there (`person`) and what that person decides, and remembers what it
saw. It is as strict as the standard allows: a `state` is required, S256 is the only challenge, a
code works once. Each site adds its own paths and answers, and what it calls a mistake.
"""

import argparse
import base64
import hashlib
import hmac
import html
import json
import secrets
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlencode, urlsplit

from tests.fakes.site import Site, SiteHandler

Json = dict[str, Any]

CLIENT_ID = "fake-client-id"
CLIENT_SECRET = "fake-client-secret"
CODE_TTL_S = 600.0
FORM_TYPE = "application/x-www-form-urlencoded"
JSON_TYPE = "application/json; charset=utf-8"
HTML_TYPE = "text/html; charset=utf-8"

PAGE = """<!doctype html>
<html lang="en"><title>Authorize</title><h1>Authorize {client_id}</h1>
<p>You are signed in as <b>{login}</b>.</p>
<form method="post" action="{action}">{hidden}
<button name="authorize" value="1">Authorize</button>
<button name="authorize" value="0">Cancel</button></form></html>
"""


@dataclass(frozen=True)
class Seen:
    """One request as it came; header names in lower case, `form` whatever encoding it had."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    form: dict[str, str]


@dataclass(frozen=True)
class Grant:
    """What a code stands for until it is used."""

    person: Any
    redirect_uri: str
    scope: str
    code_challenge: str | None
    nonce: str | None
    expires_at_monotonic: float


@dataclass(frozen=True)
class Token:
    """Who a bearer token speaks for, and what it may read."""

    person: Any
    scope: str


@dataclass(frozen=True)
class Reply:
    """One response."""

    status: int
    body: str = ""
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)


def json_reply(status: int, body: object) -> Reply:
    return Reply(status, json.dumps(body))


def scopes(scope: str) -> list[str]:
    """Some take scopes with spaces between them, some with commas."""
    return scope.replace(",", " ").split()


def redirect_reply(target: str, answer: Mapping[str, str]) -> Reply:
    glue = "&" if urlsplit(target).query else "?"
    return Reply(
        302, content_type=HTML_TYPE, headers={"Location": target + glue + urlencode(answer)}
    )


def challenge_of(code_verifier: str) -> str:
    """Returns the S256 code challenge of a verifier (RFC 7636)."""
    digest = hashlib.sha256(code_verifier.encode("ascii", "replace")).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


class OAuthHandler(SiteHandler):
    """Reads a query, a form or a JSON object."""

    server_version = "FakeOAuth"

    def take(self) -> None:
        raw = self.body().decode()
        is_json = "json" in self.headers.get("content-type", "")
        form = json.loads(raw) if is_json else dict(parse_qsl(raw))
        parts = urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        query = dict(parse_qsl(parts.query))
        seen = Seen(self.command, parts.path, query, headers, form)
        reply = self.site.reply_to(seen)
        self.say(reply.status, reply.body.encode(), reply.content_type, **reply.headers)


class FakeOAuthSite(Site):
    """A site that people sign in at.

    `callback_url`: the registered one; a `redirect_uri` must equal it or lie below it. None takes
    any. `requires_pkce`: refuse callers that send no challenge. `fails_with`: a status that every
    request gets instead of an answer.
    """

    handler = OAuthHandler
    authorize_path = ""
    person: Any

    def __init__(
        self,
        *,
        port: int = 0,
        client_id: str = CLIENT_ID,
        client_secret: str = CLIENT_SECRET,
        interactive: bool = False,
    ) -> None:
        self.client_id = client_id
        self.client_secret = client_secret
        self.interactive = interactive
        self.denies = False
        self.requires_pkce = False
        self.callback_url: str | None = None
        self.code_ttl_s = CODE_TTL_S
        self.fails_with: int | None = None
        self._lock = threading.Lock()
        self._seen: list[Seen] = []
        self._grants: dict[str, Grant] = {}
        self._tokens: dict[str, Token] = {}
        super().__init__(port=port)

    @property
    def url(self) -> str:
        """Where it is."""
        return self.origin

    @property
    def seen(self) -> list[Seen]:
        """The requests so far."""
        with self._lock:
            return list(self._seen)

    @property
    def requests(self) -> int:
        """How many requests were seen."""
        return len(self.seen)

    def reply_to(self, seen: Seen) -> Reply:
        """Answers one request, and remembers it."""
        with self._lock:
            self._seen.append(seen)
        if self.fails_with is not None:
            return self.failure(self.fails_with)
        match seen.method, seen.path:
            case "GET", self.authorize_path:
                return self._authorize(seen.query, self._decision())
            case "POST", self.authorize_path:
                return self._authorize(seen.form, seen.form.get("authorize") == "1")
        return self.answer(seen)

    # What differs from site to site.

    def answer(self, seen: Seen) -> Reply:
        """The site's own paths."""
        raise NotImplementedError

    def failure(self, status: int) -> Reply:
        """What the site says when it is out of order."""
        raise NotImplementedError

    def problem(self, name: str, state: str | None = None) -> dict[str, str]:
        """An OAuth error in the site's words."""
        raise NotImplementedError

    # The browser's half.

    def _decision(self) -> bool | None:
        """What the person says without being asked, or None for asking them."""
        return None if self.interactive else not self.denies

    def _authorize(self, asked: Mapping[str, str], decision: bool | None) -> Reply:
        target, state = asked.get("redirect_uri", self.callback_url or ""), asked.get("state", "")
        problem = self._unanswerable(asked, target)
        if problem is not None:
            return Reply(404, f"<h1>{problem}</h1>", HTML_TYPE)
        if self.callback_url is not None and not is_below(target, self.callback_url):
            return redirect_reply(self.callback_url, self.problem("redirect_uri_mismatch", state))
        if not self._accepts_challenge(asked):
            return redirect_reply(target, self.problem("invalid_request", state))
        if decision is None:
            return Reply(200, self._page(asked), HTML_TYPE)
        if not decision:
            return redirect_reply(target, self.problem("access_denied", state))
        return redirect_reply(target, {"code": self._new_code(asked, target), "state": state})

    def _unanswerable(self, asked: Mapping[str, str], target: str) -> str | None:
        """Why the browser cannot even be sent back, if so."""
        if asked.get("client_id") != self.client_id:
            return "No such application"
        if not target.startswith(("http://", "https://")) or "#" in target:
            return "redirect_uri is not an absolute URL"
        return None if asked.get("state") else "state is missing"

    def _accepts_challenge(self, asked: Mapping[str, str]) -> bool:
        """Only S256 will do, and 43 characters are what SHA-256 makes."""
        if "code_challenge" not in asked:
            return not self.requires_pkce and "code_challenge_method" not in asked
        is_s256 = asked.get("code_challenge_method") == "S256"
        return is_s256 and len(asked["code_challenge"]) == 43

    def _page(self, asked: Mapping[str, str]) -> str:
        hidden = "".join(
            f'<input type="hidden" name="{html.escape(name)}" value="{html.escape(value)}">'
            for name, value in asked.items()
        )
        login, client_id = html.escape(self.person.login), html.escape(self.client_id)
        return PAGE.format(
            client_id=client_id, login=login, hidden=hidden, action=self.authorize_path
        )

    def _new_code(self, asked: Mapping[str, str], redirect_uri: str) -> str:
        code = secrets.token_hex(10)
        grant = Grant(
            person=self.person,
            redirect_uri=redirect_uri,
            scope=" ".join(scopes(asked.get("scope", ""))),
            code_challenge=asked.get("code_challenge"),
            nonce=asked.get("nonce"),
            expires_at_monotonic=time.monotonic() + self.code_ttl_s,
        )
        with self._lock:
            self._grants[code] = grant
        return code

    # The server's half.

    def redeemed(self, seen: Seen) -> tuple[str, Grant | None]:
        """The grant of a code, taken out of use, or the name of what is wrong."""
        form = seen.form
        client_id, client_secret = basic(seen) or (
            form.get("client_id", ""),
            form.get("client_secret", ""),
        )
        is_known = hmac.compare_digest(client_secret.encode(), self.client_secret.encode())
        if client_id != self.client_id or not is_known:
            return "incorrect_client_credentials", None
        with self._lock:
            grant = self._grants.pop(form.get("code", ""), None)
        if grant is None or time.monotonic() >= grant.expires_at_monotonic:
            return "bad_verification_code", None
        if form.get("redirect_uri", grant.redirect_uri) != grant.redirect_uri:
            return "redirect_uri_mismatch", None
        verifier = form.get("code_verifier")
        # A verifier without a challenge is refused too: the caller forgot one half (RFC 9700).
        if (challenge_of(verifier) if verifier else None) != grant.code_challenge:
            return "bad_verification_code", None
        return "", grant

    def new_token(self, grant: Grant, prefix: str = "") -> str:
        """A bearer token for what was granted."""
        token = f"{prefix}{secrets.token_hex(18)}"
        with self._lock:
            self._tokens[token] = Token(grant.person, grant.scope)
        return token

    def bearer(self, seen: Seen) -> Token | None:
        """What the request's token stands for."""
        kind, _, secret = seen.headers.get("authorization", "").partition(" ")
        with self._lock:
            token = self._tokens.get(secret)
        return token if kind.lower() in ("bearer", "token") else None


def is_below(url: str, base: str) -> bool:
    """GitHub's rule: the same scheme, host and port, and the same path or one below it."""
    one, other = urlsplit(url), urlsplit(base)
    is_same_place = (one.scheme, one.netloc) == (other.scheme, other.netloc)
    root = other.path.rstrip("/")
    return is_same_place and (one.path == other.path or one.path.startswith(f"{root}/"))


def basic(seen: Seen) -> tuple[str, str] | None:
    """The client's name and secret from HTTP Basic, as RFC 6749 encodes them."""
    kind, _, encoded = seen.headers.get("authorization", "").partition(" ")
    if kind.lower() != "basic":
        return None
    name, _, secret = base64.b64decode(encoded).decode("utf-8", "replace").partition(":")
    return unquote(name), unquote(secret)


def serve_alone(site: Callable[..., FakeOAuthSite], name: str) -> None:
    """Serves until interrupted; prints the URL once it listens."""
    parser = argparse.ArgumentParser(description=f"A fake {name} to sign in with.")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--client-id", default=CLIENT_ID)
    parser.add_argument("--client-secret", default=CLIENT_SECRET)
    parser.add_argument("--interactive", action="store_true", help="ask before signing in")
    options = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    with site(**vars(options)) as running:
        sys.stdout.write(f"{running.url}\n")
        sys.stdout.flush()
        stop.wait()
