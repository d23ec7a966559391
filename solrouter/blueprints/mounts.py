"""Where the API lives: `/v1`, and the same API at two further addresses. Knows only paths.

The others are rewritten before routing, so that there is one route table, one guard and one set of
names: `/ai` is what later pages of the product's documents use, `/api/v1` what OpenRouter's clients
do.
"""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from flask import Flask

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

API_MOUNT = "/v1"
API_ALIASES = ("/ai", "/api/v1")
API_MOUNTS = (API_MOUNT, *API_ALIASES)
UNDER_API = tuple(f"{mount}/" for mount in API_MOUNTS)


class Aliases:
    """Serves the API's other addresses as `/v1`."""

    def __init__(self, wsgi_app: "WSGIApplication") -> None:
        self._wsgi_app = wsgi_app

    def __call__(
        self, environ: "WSGIEnvironment", start_response: "StartResponse"
    ) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        for alias in () if path.startswith(API_MOUNT) else API_ALIASES:
            if _is_under(path, alias):
                environ["PATH_INFO"] = API_MOUNT + path[len(alias) :]
        return self._wsgi_app(environ, start_response)


def init_app(app: Flask) -> None:
    """Puts the aliases in front of the routes."""
    app.wsgi_app = Aliases(app.wsgi_app)  # type: ignore[method-assign]


def is_api_path(path: str) -> bool:
    """Whether the path belongs to the API, known or not: bearer keys, JSON errors, no cookies."""
    return path.startswith(UNDER_API) or path in API_MOUNTS


def _is_under(path: str, mount: str) -> bool:
    return path == mount or path.startswith(f"{mount}/")
