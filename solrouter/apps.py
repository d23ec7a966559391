"""The Flask app at hand, itself.

Each look through Flask's proxy asks the context anew, which costs more than most of what is looked
at; what every request looks at, it gets from here.
"""

from typing import cast

from flask import Flask, current_app
from werkzeug.local import LocalProxy

_current = cast("LocalProxy[Flask]", current_app)


def current() -> Flask:
    """The app of the context at hand. Raises RuntimeError outside of any."""
    return _current._get_current_object()
