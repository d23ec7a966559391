"""The Flask app at hand, itself.

Each look through Flask's proxy asks the context anew, which costs more than most of what is looked
at; what every request looks at, it gets from here.
"""

from contextvars import ContextVar
from typing import Any, cast

from flask import Flask, current_app

# What the proxy stands for: Werkzeug documents `__wrapped__` as the variable behind it.
_context: ContextVar[Any] = cast(Any, current_app).__wrapped__


def current() -> Flask:
    """The app of the context at hand. Raises LookupError outside of any."""
    app: Flask = _context.get().app
    return app
