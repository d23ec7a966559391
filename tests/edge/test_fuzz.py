"""Garbage against every route: no 500, no traceback, no hang, and the one error shape.

The bytes come from hypothesis: bodies of any depth and encoding, half a JSON, JSON that is almost a
request, any method, content type, query and header. Every failure prints the request that made it.
tests/e2e/test_openapi_fuzz.py does the same by the API's own document.
"""

import string
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote, urlencode

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from solrouter import create_app
from solrouter.blueprints.mounts import is_api_path
from solrouter.clock import monotonic_s
from tests import conftest
from tests.edge.conftest import visitor_of
from tests.house.permissions import Place, make_place, routes

SECONDS_MAX = 10.0
FUZZING = settings(
    max_examples=40,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
WHOLE_ANSWER_CHARACTERS_MAX = 2000
STATUSES_OF_OURS = frozenset((503,))

# Words that our own parsers look for, so that the garbage gets past the first of them.
NAMES = (
    "model", "models", "messages", "role", "content", "type", "text", "image_url", "url", "file",
    "file_data", "filename", "input_audio", "data", "format", "stream", "stream_options", "usage",
    "include_usage", "max_tokens", "max_completion_tokens", "n", "tools", "tool_choice", "function",
    "name", "parameters", "arguments", "tool_calls", "id", "tool_call_id", "response_format",
    "json_schema", "schema", "reasoning", "reasoning_effort", "provider", "order", "only", "ignore",
    "sort", "max_price", "prompt", "completion", "max_cost", "strict", "route", "cache_control",
    "ttl", "logit_bias", "stop", "seed", "temperature", "top_p", "metadata", "user", "plugins",
    "transforms", "modalities", "prediction", "store", "service_tier", "limit", "resets", "email",
    "password", "next", "slug", "kind", "base_url", "api_key", "amount", "note", "q", "before",
    "upstream", "input", "output", "context", "max_output",
)  # fmt: skip
WORDS = (
    "demo/echo", "demo/", "user", "assistant", "system", "tool", "text", "image_url", "function",
    "json_schema", "auto", "fallback", "price", "deny", "data:image/png;base64,AAAA", "data:,",
    "https://example.com/a.png", "http://[::1", "2024-01-01", "1e999", "-0", "NaN", "\x00",
    "\ud800",
    "\u202e", "ａ", "' OR 1=1 --", "{{7*7}}", "../../etc/passwd", "%00", "%", "a" * 3000, "",
)  # fmt: skip
NUMBERS = st.one_of(
    st.sampled_from(
        (0, -1, 1, 2**31, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**30, 1e308, -0.0)
    ),
    st.integers(),
    st.floats(),
)
TEXTS = st.one_of(st.sampled_from(WORDS), st.text(max_size=20))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(st.one_of(st.sampled_from(NAMES), st.text(max_size=8)), inner, max_size=5),
    ),
    max_leaves=25,
)
MESSAGES = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(("user", "assistant", "system", "tool", "developer"))},
        optional={"content": VALUES, "tool_calls": VALUES, "tool_call_id": VALUES, "name": VALUES},
    ),
    max_size=4,
)
ALMOST = st.fixed_dictionaries(
    {"model": st.sampled_from(("demo/echo", "demo/echo:floor", "nobody/nothing"))},
    optional={
        "messages": st.one_of(MESSAGES, VALUES),
        "max_tokens": st.one_of(st.integers(-2, 50), NUMBERS),
        **{name: VALUES for name in NAMES if name not in ("model", "messages", "max_tokens")},
    },
)


def written(value: Any) -> bytes:
    """JSON as a careless client writes it: with NaN, lone surrogates and huge numbers."""
    import json

    return json.dumps(value).encode("utf-8", "surrogatepass")


def broken(data: bytes, place: int, piece: bytes) -> bytes:
    cut = place % (len(data) + 1)
    return data[:cut] + piece + data[cut + len(piece) :]


JSON_BODIES = st.one_of(
    ALMOST.map(written),
    VALUES.map(written),
    st.builds(broken, ALMOST.map(written), st.integers(0, 10_000), st.binary(max_size=3)),
)
BODIES = st.one_of(
    JSON_BODIES,
    st.binary(max_size=200),
    st.integers(1, 3000).map(lambda depth: b"[" * depth),
    st.integers(1, 3000).map(lambda depth: b'{"messages":' * depth),
    ALMOST.map(lambda value: written(value).decode().encode("utf-16")),
    ALMOST.map(lambda value: b"\xef\xbb\xbf" + written(value)),
    st.just(b'{"model":"demo/echo","model":"x","messages":[]}'),
    st.just(b""),
)
CONTENT_TYPES = st.sampled_from(
    ("application/json", "application/json; charset=utf-16", "application/json; charset=\x01",
     "application/problem+json", "text/plain", "application/x-www-form-urlencoded",
     "multipart/form-data", "multipart/form-data; boundary=x", "application/octet-stream", "/", "",
     ";;;", "a" * 500)
)  # fmt: skip
METHODS = st.sampled_from(
    ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "X")
)
HEADER_VALUES = st.text(
    st.characters(min_codepoint=1, max_codepoint=255, exclude_characters="\r\n"), max_size=60
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ("Idempotency-Key", "X-SolRouter-Explain", "Accept", "HX-Request", "HX-Current-URL",
         "Cookie",
         "If-None-Match", "If-Modified-Since", "Range", "Content-Encoding", "Origin", "Host",
         "X-Forwarded-For", "X-Forwarded-Proto", "X-HTTP-Method-Override", "Accept-Language",
         "Access-Control-Request-Method", "Sec-Fetch-Site", "User-Agent", "Referer")
    ),
    HEADER_VALUES,
    max_size=3,
)  # fmt: skip
QUERIES = st.one_of(
    st.just(""),
    st.text(string.printable, max_size=60),
    # The test client encodes UTF-8 only; a hostile one sends the bytes of a lone surrogate, too.
    st.dictionaries(st.sampled_from((*NAMES, "id", "offset", "sort")), TEXTS, max_size=3).map(
        lambda fields: urlencode(fields, errors="surrogatepass")
    ),
)


@pytest.fixture(
    scope="module", params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgresql)]
)
def place(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Place]:
    """A server as in production: what is not caught becomes a 500 and is counted here.

    On each database, since what one can hold the other cannot: PostgreSQL knows no NUL.
    """
    folder = tmp_path_factory.mktemp("fuzz")
    with conftest.fresh_database(request, request.param, folder) as database_url:
        app = create_app(conftest.settings(database_url, folder))
        app.testing = True
        made = make_place(app)
        app.testing = False
        yield made
        conftest.close(app)


def inspect(answer: TestResponse, began_s: float) -> None:
    """What every answer must be, whatever was asked."""
    told = answer.get_data()[:WHOLE_ANSWER_CHARACTERS_MAX]
    path = answer.request.path
    assert answer.status_code < 500 or answer.status_code in STATUSES_OF_OURS, (path, told)
    assert b"Traceback" not in told and b"solrouter/" not in told, (path, told)
    assert monotonic_s() - began_s < SECONDS_MAX, path
    if is_api_path(path) and answer.status_code >= 400 and answer.request.method != "HEAD":
        error = orjson.loads(answer.get_data())["error"]
        assert {"message", "type", "code", "param"} <= set(error), path
        assert isinstance(error["message"], str) and error["message"], path


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/estimate"])
@FUZZING
@given(data=BODIES, content_type=CONTENT_TYPES, headers=HEADERS)
def test_a_body_of_any_kind(
    place: Place, path: str, data: bytes, content_type: str, headers: dict[str, str]
) -> None:
    headers = {**headers, **place.people["owner"].bearer, "Content-Type": content_type}
    began_s = monotonic_s()
    answer = place.app.test_client().post(path, data=data, headers=headers, buffered=True)
    inspect(answer, began_s)


@FUZZING
@given(data=JSON_BODIES)
def test_a_body_that_is_almost_a_request(place: Place, data: bytes) -> None:
    headers = {**place.people["owner"].bearer, "Content-Type": "application/json"}
    began_s = monotonic_s()
    answer = place.app.test_client().post(
        "/v1/chat/completions", data=data, headers=headers, buffered=True
    )
    inspect(answer, began_s)


@FUZZING
@given(drawn=st.data(), method=METHODS, query=QUERIES, headers=HEADERS, data=BODIES)
def test_every_route_by_any_method(
    place: Place,
    drawn: st.DataObject,
    method: str,
    query: str,
    headers: dict[str, str],
    data: bytes,
) -> None:
    rules = sorted({rule.rule for rule in routes(place.app).values()})
    rule = drawn.draw(st.sampled_from(rules))
    filled = "/".join(
        drawn.draw(st.one_of(st.sampled_from(WORDS[:10]), st.text(max_size=12)))
        if part.startswith("<")
        else part
        for part in rule.split("/")
    )
    who = drawn.draw(st.sampled_from(("anonymous", "owner", "operator", "key")))
    # A header of ours may sign this browser in or out: the place keeps its cookies apart.
    client, bearer = place._client(who, is_fresh=False)
    began_s = monotonic_s()
    answer = client.open(
        # A "?" that was drawn belongs to the path: the query is drawn apart.
        quote(filled, safe="/%", errors="surrogatepass"),
        method=method,
        query_string=query,
        headers={**headers, **bearer},
        data=data,
        content_type=drawn.draw(CONTENT_TYPES),
        buffered=True,
    )
    inspect(answer, began_s)


FORMS = st.dictionaries(
    st.one_of(st.sampled_from(NAMES), st.text(max_size=8)),
    st.one_of(TEXTS, st.integers().map(str), st.just("9" * 400)),
    max_size=8,
)


@FUZZING
@given(drawn=st.data(), form=FORMS, is_htmx=st.booleans())
def test_every_form_with_any_fields(
    place: Place, drawn: st.DataObject, form: dict[str, str], is_htmx: bool
) -> None:
    posts = [rule for name, rule in sorted(routes(place.app).items()) if name.startswith("POST")]
    rule = drawn.draw(
        st.sampled_from([r for r in posts if not r.rule.startswith(("/v1", "/logout"))])
    )
    path = place.path(rule, place.objects)
    client, _ = place._client("operator" if "/admin" in path else "owner", is_fresh=False)
    fields = {
        name.encode("utf-8", "replace").decode(): value.encode("utf-8", "replace").decode()
        for name, value in form.items()
    }
    began_s = monotonic_s()
    answer = client.post(
        path, data=fields, headers={"HX-Request": "true"} if is_htmx else {}, buffered=True
    )
    inspect(answer, began_s)


# Pages that take what they are given into a statement, each with what it needs to get so far.
NUL_FIELDS = (
    ("account.begin_payment", "form_id", {"preset": "$10.00", "method": "test:test"}),
    ("admin.grant_credit", "note", {"amount": "5"}),
    ("admin.make_code", "note", {"amount": "5"}),
    ("admin.add_offer", "upstream", {"model": "demo/echo", "provider": "demo", "input": "1",
                                     "output": "1", "context": "1000", "max_output": "100"}),
)  # fmt: skip


@pytest.mark.parametrize(("endpoint", "field", "form"), NUL_FIELDS)
def test_a_nul_in_a_form_is_refused_before_a_statement_sees_it(
    place: Place, endpoint: str, field: str, form: dict[str, str]
) -> None:
    path = place.path(routes(place.app)[f"POST {endpoint}"], place.objects)
    client, _ = place._client("operator" if "/admin" in path else "owner", is_fresh=False)
    answer = client.post(path, data={**form, field: "a\0b"}, buffered=True)
    assert answer.status_code == 400, answer.text[:500]


@pytest.mark.parametrize("field", ["key", "model"])
def test_a_nul_in_an_address_is_refused_before_a_statement_sees_it(
    place: Place, field: str
) -> None:
    client, _ = place._client("owner", is_fresh=False)
    for path in ("/account/activity", "/account/activity/export.csv"):
        assert client.get(path, query_string={field: "a\0b"}).status_code in (400, 404)


def test_the_place_has_lived_through_it(place: Place) -> None:
    """The tests above change nothing that they should not, and the books still balance."""
    from solrouter.services import billing

    with place.app.app_context():
        assert list(billing.audit()) == []
    answer = visitor_of(place.app).get("/healthz")
    assert answer.text == "ok"
