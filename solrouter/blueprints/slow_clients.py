"""Reading a request's body within its size and its time, so that nobody holds a place for ever.

The API reads after it knows the key, with limits of its own (api/bodies.py). Pages read before
anything else, since later nothing may wait; their forms are small, and no page takes a file.

| a page's form is refused when it                            | with                      |
|-------------------------------------------------------------|---------------------------|
| has more than `SOLROUTER_FORM_BYTES_MAX` bytes              | 413                       |
| has more than FORM_FIELDS_MAX fields                        | 413                       |
| comes in parts, as files do                                 | 415                       |
| does not come within FORM_DEADLINE_S, or the API's if less  | 400 `body_timeout`        |
"""

from flask import Flask, current_app, request
from gunicorn.http.errors import ParseException

from solrouter import config, interruptions
from solrouter.blueprints.contexts import header, request_itself
from solrouter.blueprints.mounts import is_api_path
from solrouter.errors import BadRequest, BodyTooLarge, UnsupportedMediaType

FORM_DEADLINE_S = 10.0
FORM_FIELDS_MAX = 200
# What a page's script sends may be as large as what programs send, and is read as theirs is: by the
# view, behind the guard.
READ_BY_THE_VIEW = frozenset(("playground.create_completion",))
FORM = "application/x-www-form-urlencoded"


def init_app(app: Flask) -> None:
    """Reads every page's form within its limits."""
    app.before_request(read_form)


def read_form() -> None:
    """Reads the body of a request to a page, so that nothing later waits for it."""
    # Without an endpoint nothing asks for it: the server throws it away, in keepalive time.
    if is_api_path(request_itself().path) or request.endpoint is None or not _may_have_body():
        return
    if request.endpoint in READ_BY_THE_VIEW:
        return
    if request.mimetype.startswith("multipart/"):
        raise UnsupportedMediaType("This page takes no files.")
    request.max_content_length = current_app.config["SOLROUTER_FORM_BYTES_MAX"]
    data = body(deadline_s=FORM_DEADLINE_S)
    # Counted before a field is made of any.
    if request.mimetype == FORM and data.count(b"&") >= FORM_FIELDS_MAX:
        raise BodyTooLarge(f"A form has at most {FORM_FIELDS_MAX} fields.")


def body(*, deadline_s: float | None = None) -> bytes:
    """The whole body, once. Raises BodyTooLarge, and BadRequest when it does not come in its time.

    With a deadline of its own it is a page's, whose fields are asked for later.
    """
    seconds = config.current()["SOLROUTER_BODY_DEADLINE_S"]
    length = stated_length() if deadline_s is None else None
    if deadline_s is not None:
        seconds = min(seconds, deadline_s)
    try:
        with interruptions.deadline(seconds):
            return _kept_body() if length is None else _plain_body(length)
    except interruptions.TooSlow:
        raise BadRequest("The request body did not come in time.", code="body_timeout") from None
    except (OSError, ParseException):
        # Broken off, or in chunks that are none. What came of it is not repeated anywhere.
        raise BadRequest("The request body could not be read.", code="body_unreadable") from None


def stated_length() -> int | None:
    """How many bytes the body is said to have; None where nothing, or no number, is said."""
    said = header("CONTENT_LENGTH") or ""
    is_stated = said.isdecimal() and header("HTTP_TRANSFER_ENCODING") is None
    return int(said) if is_stated else None


def _plain_body(length: int) -> bytes:
    """A body of a stated length that is wanted once, straight from the server."""
    data: bytes = request_itself().environ["wsgi.input"].read(length)
    if len(data) < length:
        raise ConnectionResetError("the client left in the middle of its body")
    return data


def _kept_body() -> bytes:
    asked = request_itself()
    data = asked.get_data()
    most = asked.max_content_length
    # A body in chunks has been cut off at the limit, without a word.
    if asked.content_length is None and most is not None and len(data) >= most:
        raise BodyTooLarge(f"The request body has at most {most} bytes.")
    return data


def _may_have_body() -> bool:
    # A body in chunks says nothing of its length.
    return bool(request.content_length) or "Transfer-Encoding" in request.headers
