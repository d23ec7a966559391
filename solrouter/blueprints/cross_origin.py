"""CSRF by headers: no token, no field that expires (docs/adr/0004-csrf-by-headers.md).

| an unsafe request with               | passes if                                |
|--------------------------------------|------------------------------------------|
| `Sec-Fetch-Site`                     | it is `same-origin` or `none`            |
| `Origin` alone (browsers over http)  | its host is the host of the request      |
| neither                              | it brings no cookie                      |

Rooms that read no cookie (`guards.COOKIE_BLIND`) are not asked.
"""

from urllib.parse import urlsplit

from flask import Flask, request

from solrouter.blueprints import guards
from solrouter.blueprints.contexts import request_itself
from solrouter.errors import Forbidden

SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
OWN_SITES = frozenset(("same-origin", "none"))


def init_app(app: Flask) -> None:
    """Puts the check in front of every view."""
    app.before_request(refuse_cross_origin)


def refuse_cross_origin() -> None:
    """Raises Forbidden when another site's page sent an unsafe request."""
    # Without an endpoint nothing would run, and the answer is 404 or 405.
    asked = request_itself()
    if asked.method in SAFE_METHODS or asked.endpoint is None:
        return
    if guards.is_cookie_blind(asked.blueprint) or _is_from_here():
        return
    raise Forbidden(
        "This form did not come from one of our own pages, so nothing was done. "
        "Open the page here and try again.",
        code="cross_origin",
    )


def _is_from_here() -> bool:
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site in OWN_SITES
    origin = request.headers.get("Origin")
    if origin is not None:
        return _host_of(origin) == request.host.lower()
    return not request.cookies


def _host_of(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
