"""What no column could hold is refused before any page looks at it: PostgreSQL's texts know no NUL.

No browser sends one, so that nobody loses what they typed. The API reads JSON and says for itself
what a field may be.
"""

from collections.abc import Iterable

from flask import Flask, request

from solrouter.blueprints import guards
from solrouter.blueprints.contexts import request_itself
from solrouter.errors import BadRequest
from solrouter.services import people


def init_app(app: Flask) -> None:
    """Puts the check in front of every view of a page."""
    app.before_request(refuse_unstorable)


def refuse_unstorable() -> None:
    """Raises BadRequest for a field of the address or of a form that could not be kept."""
    asked = request_itself()
    if asked.endpoint is None or guards.is_cookie_blind(asked.blueprint):
        return
    if not all(map(people.is_storable, _texts())):
        raise BadRequest("A field holds a character that cannot be kept. Take it out, please.")


def _texts() -> Iterable[str]:
    for fields in (request.args, request.form):
        for name, text in fields.items(multi=True):
            yield name
            yield text
