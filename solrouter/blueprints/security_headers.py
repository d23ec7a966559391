"""Which hosts are served, what proxies are believed, and the headers that go out with every answer.

| answer            | headers                                                                 |
|-------------------|-------------------------------------------------------------------------|
| any               | nosniff, no framing; HSTS when the request came by https                |
| pages             | strict CSP, no referrer to others, no device; private pages are not     |
|                   | stored                                                                  |
| the API           | CORS for everyone, never with credentials; a CSP that allows nothing,   |
|                   | for whoever opens an answer as a page; what a key reads is not stored   |
"""

import re
from typing import Any
from urllib.parse import urlsplit

from flask import Flask, Response, current_app, request
from werkzeug.exceptions import BadRequest
from werkzeug.middleware.proxy_fix import ProxyFix

from solrouter import config
from solrouter.blueprints import answers, oauth
from solrouter.blueprints.contexts import header, request_itself
from solrouter.blueprints.mounts import is_api_path
from solrouter.blueprints.oauth.provider import origin_of

HSTS = "max-age=31536000"
PREFLIGHT_MAX_AGE_S = 86400
PERMANENT_REDIRECT = 308
PAGE_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "strict-origin-when-cross-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "X-Frame-Options": "DENY",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
}
# No view says these itself, so they are added without looking: a tenth of the time on each request.
API_HEADERS = (
    ("X-Content-Type-Options", "nosniff"),
    ("Access-Control-Allow-Origin", "*"),
    ("Access-Control-Expose-Headers", "*, Retry-After, X-Request-Id, X-Generation-Id"),
    (
        "Content-Security-Policy",
        "default-src 'none'; object-src 'none'; base-uri 'none'; frame-ancestors 'none'; sandbox",
    ),
    ("X-Frame-Options", "DENY"),
    ("Referrer-Policy", "no-referrer"),
)
PREFLIGHT_HEADERS = {
    "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE",
    # The star stands for all but `Authorization`, which must be named.
    "Access-Control-Allow-Headers": "Authorization, *",
    "Access-Control-Max-Age": str(PREFLIGHT_MAX_AGE_S),
}
PRIVATE_ROOMS = frozenset(("account", "admin", "auth", "playground"))
CONTENT_POLICY = "solrouter.content_security_policy"

# A name or an address, and a port if there is one.
HOST = re.compile(r"(?P<name>[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")


def init_app(app: Flask) -> None:
    """Believes the proxies that are ours, refuses hosts that are not, and sets the headers."""
    hops = app.config["SOLROUTER_PROXY_HOPS"]
    if hops:
        app.wsgi_app = ProxyFix(app.wsgi_app, x_for=hops, x_proto=hops, x_host=hops)  # type: ignore[method-assign]
    app.extensions[CONTENT_POLICY] = content_security_policy(app.config)
    app.before_request(refuse_unknown_host)
    app.before_request(answer_preflight)
    app.after_request(set_headers)


def content_security_policy(settings: dict[str, Any]) -> str:
    """The policy of every page: our own files and nothing inline."""
    form_targets = ["'self'"]
    for provider in oauth.PROVIDERS.values():
        if settings[provider.id_setting]:
            # A redirect after a form post counts, and connecting GitHub is one.
            form_targets.append(origin_of(settings, provider.url_setting))
    if settings["STRIPE_SECRET_KEY"]:
        # The form that begins a payment is answered by a redirect to Stripe's checkout.
        form_targets += settings["SOLROUTER_STRIPE_PAGES"]
    return (
        "default-src 'none'; object-src 'none'; script-src 'self'; style-src 'self'; "
        "img-src 'self' data:; connect-src 'self'; font-src 'self'; "
        f"form-action {' '.join(form_targets)}; "
        "base-uri 'none'; frame-ancestors 'none'"
    )


def refuse_unknown_host() -> None:
    """Answers 400 to a host that is not on the list, if there is one."""
    allowed = config.current()["SOLROUTER_ALLOWED_HOSTS"]
    # Not `request.host`, which takes the server's own name where the request has none.
    name = _host_name(header("HTTP_HOST") or "")
    if allowed and (not name or name not in {_host_name(host) for host in allowed}):
        raise BadRequest("This server does not answer to that host name.")


def answer_preflight() -> Response | None:
    """Lets pages of other sites call the API with a key of their own."""
    asked = request_itself()
    asks = asked.method == "OPTIONS" and "Access-Control-Request-Method" in asked.headers
    if not asks or not is_api_path(asked.path):
        return None
    return Response(status=204, headers=PREFLIGHT_HEADERS)


def set_headers(response: Response) -> Response:
    """Adds what is not there yet; a page may say more strictly what it needs."""
    asked, headers = request_itself(), response.headers
    if response.status_code == PERMANENT_REDIRECT:
        _lead_to_own_path(response)
    if asked.is_secure:
        headers["Strict-Transport-Security"] = HSTS
    if is_api_path(asked.path):
        answers.add(response, API_HEADERS)
        if asked.method == "GET" and "Authorization" in asked.headers:
            headers.setdefault("Cache-Control", "no-store")
        return response
    for name, value in PAGE_HEADERS.items():
        headers.setdefault(name, value)
    policy = current_app.extensions[CONTENT_POLICY]
    response.headers.setdefault("Content-Security-Policy", policy)
    if request.blueprint in PRIVATE_ROOMS:
        response.headers.setdefault("Cache-Control", "no-store")
    elif request.cookies and request.endpoint != "static":
        response.headers.setdefault("Cache-Control", "private, no-cache")
    return response


def _lead_to_own_path(response: Response) -> None:
    """The router mends doubled slashes with the host that the request named, which may be any."""
    parts = urlsplit(response.headers["Location"])
    response.headers["Location"] = parts._replace(scheme="", netloc="").geturl()
    response.set_data(b"")


def _host_name(host: str) -> str:
    """The name without the port, `[::1]` included; empty for what is no host at all.

    A path or a fragment behind a name of ours is somebody's try, whoever would read it how.
    """
    found = HOST.fullmatch(host)
    return found["name"].strip("[]").lower() if found else ""
