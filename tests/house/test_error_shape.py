"""One error shape, whatever happens: each of our errors, each of Werkzeug's, and a bug of ours."""

from operator import attrgetter

import orjson
import pytest
from flask import Flask
from werkzeug.exceptions import HTTPException, default_exceptions

from solrouter.blueprints.api.errors import TABLE, respond
from solrouter.errors import NoProviderAvailable, RateLimited, SolRouterError
from tests.house.subclasses import all_subclasses

TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_credits",
    403: "permission_error",
    404: "invalid_request_error",
    405: "invalid_request_error",
    409: "idempotency_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    500: "internal_error",
    502: "upstream_error",
    503: "service_unavailable",
}


def assert_canonical(app: Flask, error: Exception) -> dict[str, object]:
    with app.test_request_context("/v1/chat/completions"):
        answer = respond(error)
    body = orjson.loads(answer.data)
    assert set(body) == {"error"}
    assert {"message", "type", "code", "param"} <= set(body["error"])
    assert set(body["error"]) <= {"message", "type", "code", "param", "metadata"}
    assert body["error"]["type"] == TYPES[answer.status_code]
    assert body["error"]["message"]
    return {"status": answer.status_code, "headers": answer.headers, **body["error"]}


@pytest.mark.parametrize("cls", all_subclasses(SolRouterError), ids=attrgetter("__name__"))
def test_each_of_our_errors(app: Flask, cls: type[SolRouterError]) -> None:
    if issubclass(cls, RateLimited):
        shown = assert_canonical(app, cls("Later.", retry_after_s=7))
        assert shown["status"] == 429
        assert shown["headers"]["Retry-After"] == "7"  # type: ignore[index]
        return
    shown = assert_canonical(app, cls("It did not work."))
    assert shown["code"] == cls.code
    if shown["status"] == 503:
        assert shown["headers"]["Retry-After"] == "1"  # type: ignore[index]


@pytest.mark.parametrize("code", sorted(default_exceptions))
def test_each_of_werkzeugs_errors(app: Flask, code: int) -> None:
    error: HTTPException = default_exceptions[code]()
    shown = assert_canonical(app, error)
    assert shown["status"] in (400, 404, 405, 413, 415, 500)


def test_a_bug_of_ours_tells_nothing_of_itself(app: Flask) -> None:
    shown = assert_canonical(app, ValueError("sr_secret in the works"))
    assert shown["status"] == 500
    assert "secret" not in str(shown["message"])


def test_an_upstreams_wish_to_wait_is_passed_on(app: Flask) -> None:
    shown = assert_canonical(app, NoProviderAvailable("Busy.", retry_after_s=9))
    assert shown["headers"]["Retry-After"] == "9"  # type: ignore[index]


def test_no_row_of_the_table_is_hidden_by_one_above() -> None:
    for index, (cls, _, _) in enumerate(TABLE):
        for above, _, _ in TABLE[:index]:
            assert not issubclass(cls, above), f"{cls.__name__} is never reached"
