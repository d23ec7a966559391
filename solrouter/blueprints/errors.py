"""What people see when something goes wrong: one table for pages; the API has its own.

| who asked      | what they get                                              |
|----------------|------------------------------------------------------------|
| for a form's   | the page that the form is on, by `way_back`                |
| a browser      | `errors/error.html`: title, message, request id            |
| HTMX           | `_problem.html`, sent into `#toast`                        |
| the API        | JSON, by `api.errors.respond`                              |
"""

import logging

from flask import Flask, Response, current_app, g, make_response, request
from werkzeug.exceptions import HTTPException

from solrouter.blueprints import hx, sessions, way_back
from solrouter.blueprints.api.errors import respond
from solrouter.blueprints.mounts import is_api_path
from solrouter.errors import (
    BadRequest,
    BodyTooLarge,
    Forbidden,
    InsufficientCredit,
    KeyExpired,
    KeyInvalid,
    KeyRevoked,
    MethodNotAllowed,
    NoProviderAvailable,
    NotFound,
    RateLimited,
    Refused,
    SolRouterError,
    Unavailable,
    UnsupportedMediaType,
)

log = logging.getLogger(__name__)

# The first class that fits decides.
STATUSES: tuple[tuple[type[SolRouterError], int], ...] = (
    (BadRequest, 400),
    (Refused, 422),
    (KeyInvalid, 401),
    (KeyRevoked, 401),
    (KeyExpired, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (MethodNotAllowed, 405),
    (BodyTooLarge, 413),
    (UnsupportedMediaType, 415),
    (InsufficientCredit, 402),
    (RateLimited, 429),
    (NoProviderAvailable, 502),
    (Unavailable, 503),
)
TITLES = {
    400: "That request does not fit",
    401: "Please sign in",
    402: "Not enough credit",
    403: "Not allowed",
    404: "Page not found",
    405: "Not possible here",
    413: "Too large",
    415: "Unknown kind of file",
    422: "That did not work",
    429: "Too many attempts",
    502: "No provider answered",
    503: "Back in a moment",
}
MESSAGES = {
    403: "You may not do this.",
    404: "There is nothing at this address. It may have moved, or the link is wrong.",
    405: "This address cannot do what was asked of it.",
    413: "What you sent is larger than this server accepts.",
}
TITLE_UNKNOWN = "Something went wrong"
MESSAGE_UNKNOWN = "This was our fault, and it has been noted. Please try again."


def init_app(app: Flask) -> None:
    """Registers the last handler of every exception."""
    app.register_error_handler(HTTPException, show_http_error)
    app.register_error_handler(SolRouterError, show_known_error)
    app.register_error_handler(Exception, show_unknown_error)


def show_http_error(error: HTTPException) -> Response:
    """Answers what Werkzeug or a view aborted with."""
    if is_api_path(request.path):
        return respond(error)
    if error.response is not None:
        return make_response(error.response)
    status = error.code or 500
    if status == 405 and request.method == "GET" and not hx.is_htmx():
        page = way_back.page_of_form(current_app.url_map)
        if page is not None:
            answer = hx.go_to(page)
            answer.headers["Cache-Control"] = "no-store"
            return answer
    response = _show(status, MESSAGES.get(status) or _description(error, status))
    for name, value in error.get_headers():
        if name.lower() in ("allow", "retry-after", "www-authenticate"):
            response.headers[name] = value
    return response


def show_known_error(error: SolRouterError) -> Response:
    """Answers an error of our own tree with its message for people."""
    if is_api_path(request.path):
        return respond(error)
    if isinstance(error, Unavailable):
        # The layout asks who is signed in, which would fail in the same way.
        sessions.treat_as_stranger()
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), 500)
    response = _show(status, error.message if status != 500 else MESSAGE_UNKNOWN)
    wait_s = getattr(error, "retry_after_s", None)
    if wait_s is not None:
        response.headers["Retry-After"] = str(wait_s)
    return response


def show_unknown_error(error: Exception) -> Response:
    """Answers a bug of ours: noted with its id, told without its insides."""
    if current_app.testing:
        raise error
    if is_api_path(request.path):
        return respond(error)
    log.error("unexpected fault in request %s", g.get("request_id", ""), exc_info=error)
    return _show(500, MESSAGE_UNKNOWN)


def _description(error: HTTPException, status: int) -> str:
    return MESSAGE_UNKNOWN if status >= 500 else error.description or TITLE_UNKNOWN


def _show(status: int, message: str) -> Response:
    problem = {
        "is_our_fault": status >= 500,
        "title": TITLES.get(status, TITLE_UNKNOWN),
        "message": message,
        "request_id": g.get("request_id", ""),
    }
    try:
        response = hx.page_or_fragment(
            "errors/error.html", "_problem.html", status=status, **problem
        )
    except Exception:
        log.exception("the error page failed, id=%s", problem["request_id"])
        response = Response(f"{problem['title']}. {message}\n", status, mimetype="text/plain")
    if hx.is_htmx():
        response.headers["HX-Retarget"] = "#toast"
        response.headers["HX-Reswap"] = "innerHTML"
    return response
