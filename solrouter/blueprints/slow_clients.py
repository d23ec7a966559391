"""Reading a request's body in its time, so that slow clients hold no place for ever.

The API reads after it knows the key; pages before anything else.
"""

from flask import Flask, current_app, request

from solrouter import interruptions
from solrouter.blueprints.mounts import is_api_path
from solrouter.errors import BadRequest


def init_app(app: Flask) -> None:
    """Reads every page's form within the deadline."""
    app.before_request(read_form)


def read_form() -> None:
    """Reads the body of a request to a page, so that nothing later waits for it."""
    if not is_api_path(request.path) and request.content_length:
        body()


def body() -> bytes:
    """The whole body. Raises BadRequest when it does not come in its time."""
    try:
        with interruptions.deadline(current_app.config["SOLROUTER_BODY_DEADLINE_S"]):
            return request.get_data()
    except interruptions.TooSlow:
        raise BadRequest("The request body did not come in time.", code="body_timeout") from None
