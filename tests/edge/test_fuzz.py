"""Garbage against every route: no 500, no traceback, no hang, and the one error shape.

The bytes come from hypothesis: bodies of any depth and encoding, half a JSON, JSON that is almost a
request, any method, content type, query and header. Every failure prints the request that made it.
tests/e2e/test_openapi_fuzz.py does the same by the API's own document.
"""

import string
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode
from xml.etree.ElementTree import Element

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from werkzeug.test import TestResponse

from solrouter import create_app
from solrouter.blueprints.mounts import is_api_path
from solrouter.clock import monotonic_s
from tests import conftest
from tests.browser import HTML, Page
from tests.edge.conftest import visitor_of
from tests.house.pages import addresses
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
FIELDS_TRIED_MIN = 1_000
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


# What is beyond a number, a calendar, a column or a parser, one of each kind that we have.
BEYOND = (
    "9" * 5000, "9" * 30, "3000000000", "999999999", "9999-12-31T23:59-23:00",
    "0001-01-01T00:00+23:00", "a" * 101, "a" * 3000, "acme/" + "a" * 150, "a" * 101 + "/a",
    "https://example.com/" + "a" * 600, "http://[::1",
)  # fmt: skip
# With which the rest of a form is filled in, so that it is read to its end.
FITTING: Mapping[str, str] = {
    "amount": "5", "base_url": "http://127.0.0.1:9/v1", "consent": "1", "context": "1000",
    "email": "somebody@example.com", "input": "1", "max_output": "100", "message": "Hi",
    "model": "demo/echo", "name": "A name", "note": "A note", "output": "1", "reason": "A reason",
    "slug": "a-slug", "text": "A text", "threshold": "5", "cap": "100", "title": "A title",
    "upstream": "a-model", "url": "https://example.com/hook", "why": "A reason",
}  # fmt: skip
# After these somebody is somebody else, or nobody; behind others are hashes, which take long.
NOT_TRIED = frozenset(
    ("admin.appoint_operator", "admin.shut_out_user", "admin.sign_out_user", "admin.start_viewing",
     "auth.create_account", "auth.sign_in", "pages.set_theme", "pages.show_patterns")
)  # fmt: skip


@dataclass(frozen=True)
class Form:
    """A form as a browser would send it, and who would."""

    method: str
    action: str
    reader: str
    fields: tuple[tuple[str, str], ...]

    def with_field(self, name: str, value: str) -> dict[str, list[str]]:
        """What is sent when this field has another value."""
        sent: dict[str, list[str]] = {}
        for each, text in self.fields:
            sent.setdefault(each, []).append(text)
        return {**sent, name: [value]}


def forms(place: Place) -> list[Form]:
    """Every form of every page, the fields filled in with what would pass."""
    urls = place.app.url_map.bind("localhost")
    found: dict[tuple[str, ...], Form] = {}
    for address in addresses(place):
        client, _ = place._client(address.reader, is_fresh=False)
        page = Page(client.get(address.path, buffered=True))
        for form in page.all("form"):
            method, action = form.get("method", "get").upper(), form.get("action") or address.path
            endpoint = str(urls.match(action.partition("?")[0].partition("#")[0], method)[0])
            fields = tuple(sent_by(form))
            if fields and endpoint not in NOT_TRIED:
                key = (method, endpoint, *sorted({name for name, _ in fields}))
                found.setdefault(key, Form(method, action, address.reader, fields))
    return list(found.values())


def sent_by(form: Element) -> Iterator[tuple[str, str]]:
    """The fields of a form: as they are, and as they fit where they are empty."""
    for field in form.iter():
        name, tag = field.get("name"), field.tag.removeprefix(HTML)
        if not name or tag not in ("input", "textarea", "select"):
            continue
        if field.get("type") in ("checkbox", "radio") and field.get("checked") is None:
            if name == "consent":
                yield name, field.get("value", "on")
            continue
        value = field.get("value") or "".join(field.itertext()).strip()
        if tag == "select":
            options = list(field.iter(f"{HTML}option"))
            chosen = [each for each in options if each.get("selected") is not None] or options[-1:]
            value = next((each.get("value") or "" for each in chosen), "")
        yield name, value or FITTING.get(name, "")


def test_no_field_of_any_form_takes_what_is_beyond_it(place: Place) -> None:
    """One field after another, beside others that pass."""
    tried = 0
    for form in forms(place):
        for name in sorted({name for name, _ in form.fields}):
            for value in BEYOND:
                client, _ = place._client(form.reader, is_fresh=False)
                fields, began_s = form.with_field(name, value), monotonic_s()
                where = "data" if form.method == "POST" else "query_string"
                answer = client.open(
                    form.action, method=form.method, buffered=True, **{where: fields}
                )
                what = (form.method, form.action, name, value[:40])
                assert answer.status_code < 500 and answer.status_code not in (401, 403), what
                assert "/login" not in answer.headers.get("Location", ""), what
                inspect(answer, began_s)
                tried += 1
    assert tried > FIELDS_TRIED_MIN, tried


# What is wrong with a field stands at it, in the form that comes again; and what else is sent.
OFFER = {"model": "demo/new", "provider": "demo", "upstream": "new", "input": "1", "output": "1"}
PROVIDER = {"slug": "a-slug", "kind": "openai/", "base_url": "http://127.0.0.1:9/v1"}
KEY = {"name": "A name", "with_rules": "1", "scopes": "inference"}
TOO_MUCH = (
    ("account.delete_account", "forfeit", "1" * 5000, {}, "Agree to give up the balance"),
    ("account.create_key", "expires_at", "9999-12-31T23:59-23:00", KEY, "Write a date and a time"),
    ("account.create_key", "expires_at", "0001-01-01T00:00+23:00", KEY, "Write a date and a time"),
    ("playground.ask", "max_tokens", "9" * 30, {"message": "Hi"}, "Write max_tokens as a number"),
    ("admin.define_plan", "requests_per_minute", "3000000000", {"slug": "new"}, "0 and 1,000,000"),
    ("admin.define_plan", "tokens_per_minute", "9" * 30, {"slug": "new"}, "Write a whole number"),
    ("admin.define_plan", "name", "a" * 200, {"slug": "new"}, "at most 80 characters"),
    ("admin.make_code", "days", "999999999", {"amount": "5"}, "good for 1 to 36,525 days"),
    ("admin.add_offer", "context", "3000000000", OFFER, "1 to 1,000,000,000 tokens"),
    ("admin.add_offer", "max_output", "9" * 5000, {**OFFER, "context": "9"}, "number of tokens"),
    ("admin.add_offer", "upstream", "a" * 300, {**OFFER, "context": "9"}, "than 200 characters"),
    ("admin.add_provider", "base_url", "http://[::1", PROVIDER, "A base URL begins with"),
    ("admin.add_provider", "name", "a" * 200, PROVIDER, "At most 80 characters"),
    ("admin.announce", "ends", "9999-12-31T23:59-23:00", {"text": "Hi"}, "Write a date and a time"),
)


@pytest.mark.parametrize(
    ("endpoint", "field", "value", "others", "sentence"),
    TOO_MUCH,
    ids=[f"{endpoint} {field} {value[:9]}" for endpoint, field, value, *_ in TOO_MUCH],
)
def test_what_is_too_much_for_a_field_is_told_at_it(
    place: Place, endpoint: str, field: str, value: str, others: dict[str, str], sentence: str
) -> None:
    path = place.path(routes(place.app)[f"POST {endpoint}"], place.objects)
    client, _ = place._client("operator" if "/admin" in path else "owner", is_fresh=False)
    answer = client.post(path, data={**others, field: value}, buffered=True)
    assert answer.status_code == (400 if endpoint.startswith("playground") else 422)
    page = Page(answer)
    told = [
        "".join(each.itertext())
        for each in page.root.iter()
        if each.get("id", "").endswith("-error") or each.get("role") == "alert"
    ]
    assert any(sentence in each for each in told), told


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
