"""What Flask's proxies stand for, for rooms that every request passes and that look often.

Each look through a proxy asks the context anew, which costs more than most of what is looked at.
"""

from typing import Any, cast

from flask import Request, g, request
from werkzeug.local import LocalProxy

_request = cast("LocalProxy[Request]", request)
_g = cast("LocalProxy[Any]", g)


def request_itself() -> Request:
    """The request at hand."""
    return _request._get_current_object()


def header(name: str) -> str | None:
    """A header of the request at hand, None without it; the name as WSGI spells it: `HTTP_…`."""
    value: str | None = _request._get_current_object().environ.get(name)
    return value


def notes_itself() -> Any:
    """Flask's `g` of the request at hand."""
    return _g._get_current_object()
