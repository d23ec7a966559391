"""What Flask's proxies stand for, for rooms that every request passes and that look often.

Each look through a proxy asks the context anew, which costs more than most of what is looked at.
"""

from contextvars import ContextVar
from typing import Any, cast

from flask import Request, g, request

# What the proxies stand for: Werkzeug documents `__wrapped__` as the variable behind one.
_of_request: ContextVar[Any] = cast(Any, request).__wrapped__
_of_app: ContextVar[Any] = cast(Any, g).__wrapped__


def request_itself() -> Request:
    """The request at hand."""
    itself: Request = _of_request.get().request
    return itself


def header(name: str) -> str | None:
    """A header of the request at hand, None without it; the name as WSGI spells it: `HTTP_…`."""
    value: str | None = _of_request.get().request.environ.get(name)
    return value


def notes_itself() -> Any:
    """Flask's `g` of the request at hand."""
    return _of_app.get().g
