"""The one table from what went wrong to what a program is told: status, `type`, and the one body.

`{"error": {"message", "type", "code", "param", "metadata"}}`, whatever happened. The statuses and
types of the user's own document are law; SDKs retry 408, 409, 429 and 5xx by themselves unless told
not to.
"""

import logging
from typing import Any

import orjson
from flask import Response, g
from werkzeug.exceptions import HTTPException

from solrouter.blueprints import request_ids
from solrouter.blueprints.api import explain
from solrouter.errors import (
    AnswerNotKept,
    BadRequest,
    BodyTooLarge,
    Forbidden,
    IdempotencyConflict,
    IdempotencyMismatch,
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
from solrouter.services import refusals

log = logging.getLogger(__name__)

INVALID_REQUEST = "invalid_request_error"
AUTHENTICATION = "authentication_error"

# The first row that fits decides, so a class stands above its base.
TABLE: tuple[tuple[type[SolRouterError], int, str], ...] = (
    (KeyInvalid, 401, AUTHENTICATION),
    (KeyRevoked, 401, AUTHENTICATION),
    (KeyExpired, 401, AUTHENTICATION),
    (InsufficientCredit, 402, "insufficient_credits"),
    (Forbidden, 403, "permission_error"),
    (NotFound, 404, INVALID_REQUEST),
    (MethodNotAllowed, 405, INVALID_REQUEST),
    (BodyTooLarge, 413, INVALID_REQUEST),
    (UnsupportedMediaType, 415, INVALID_REQUEST),
    (BadRequest, 400, INVALID_REQUEST),
    (Refused, 400, INVALID_REQUEST),
    (IdempotencyConflict, 409, "idempotency_error"),
    (RateLimited, 429, "rate_limit_error"),
    (NoProviderAvailable, 502, "upstream_error"),
    (Unavailable, 503, "service_unavailable"),
    (SolRouterError, 500, "internal_error"),
)
# Trying the same again cannot help.
NOT_RETRYABLE = frozenset((400, 401, 402, 403, 404, 405, 413, 415))
# Above it the fault is not the caller's, and a receipt tells of it.
REFUSED_MAX = 429
HTTP_ERRORS: dict[int, tuple[type[SolRouterError], str]] = {
    404: (NotFound, "There is no such address. The API is described at /docs/api-reference."),
    405: (MethodNotAllowed, "This address does not take that method."),
    413: (BodyTooLarge, "The request body is too large."),
    415: (UnsupportedMediaType, "Send JSON, with the header Content-Type: application/json."),
}


def respond(error: Exception) -> Response:
    """The answer to whatever was raised on an API path; what is not ours is logged and hidden."""
    ours = as_ours(error)
    status, _ = classify(ours)
    body = orjson.dumps({"error": error_object(ours)})
    response = Response(body, status=status, mimetype="application/json")
    principal = g.get("principal")
    if principal is not None and 400 <= status <= REFUSED_MAX:
        refusals.note(principal.key_id, ours.code)
    if ours.generation_id is not None:
        response.headers[request_ids.RECEIPT] = ours.generation_id
    if ours.route is not None and explain.is_asked():
        response.headers[explain.ROUTE] = ours.route
    retry_after_s = getattr(ours, "retry_after_s", None)
    if retry_after_s is not None:
        response.headers["Retry-After"] = str(retry_after_s)
    if status in NOT_RETRYABLE or isinstance(ours, IdempotencyMismatch | AnswerNotKept):
        response.headers["x-should-retry"] = "false"
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Bearer realm="SolRouter"'
    if status == 405 and isinstance(error, HTTPException):
        response.headers.extend(
            (k, v) for k, v in error.get_response().headers.items() if k == "Allow"
        )
    return response


def error_object(error: SolRouterError) -> dict[str, Any]:
    """What a program is told of an error, in an answer or at the end of a stream."""
    _, kind = classify(error)
    told: dict[str, Any] = {
        "message": error.message,
        "type": kind,
        "code": error.code,
        "param": error.param,
    }
    return {**told, "metadata": error.metadata} if error.metadata else told


def classify(error: SolRouterError) -> tuple[int, str]:
    """The status and `type` of one of our errors."""
    return next((status, kind) for cls, status, kind in TABLE if isinstance(error, cls))


def as_ours(error: Exception) -> SolRouterError:
    """Ours as it is; Werkzeug's in our words; anything else logged, and told as our fault."""
    if isinstance(error, SolRouterError):
        return error
    if isinstance(error, HTTPException):
        kind, message = HTTP_ERRORS.get(error.code or 500, (None, ""))
        if kind is not None:
            return kind(message)
        if error.code is not None and 400 <= error.code < 500:
            return BadRequest(error.description or "The request could not be understood.")
    request_id = getattr(g, "request_id", "")
    log.error("unexpected fault in request %s", request_id, exc_info=error)
    return SolRouterError(
        f"Something went wrong on our side. If it goes on, tell us the request id {request_id}."
    )
