"""/openapi.json says what the routes and the checks do, no more and no less."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
from flask import Flask
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from werkzeug.datastructures import MultiDict

from solrouter.blueprints.api import errors, key_objects, model_filters, preferences, schemas
from solrouter.blueprints.api.fields import Check
from solrouter.blueprints.mounts import API_MOUNT
from solrouter.errors import SolRouterError
from solrouter.providers import choices
from solrouter.services.key_rules import SCOPES
from tests.openapi import complaints, told

ORDINARY: dict[str, Any] = {"model": "a/b", "messages": [{"role": "user", "content": "Hi"}]}
# Values of every type, within bounds and without.
VALUES: tuple[Any, ...] = (
    True,
    False,
    *(-(2**70), -3, -1, 0, 1, 2, 5, 8, 9, 20, 21, 1_000_001, 2**70),
    *(-2.5, 0.5, 1.5, 2.5),
    *("", "x", "auto", "default", "fallback", "allow", "price", "0.5", "-1", "1e400", "x" * 300),
    *([], ["x"], [1], ["text"], ["x"] * 17, [{}], [{"type": "function"}]),
    [{"type": "function", "function": {"name": "f"}}],
    [{"type": "custom", "custom": {"name": "f"}}],
    [{"type": "web_search"}],
    [{"type": "custom", "custom": {"name": "f"}, "function": 5}],
    [{"type": "custom", "custom": {"name": "f"}, "function": None}],
    [{"type": "function", "function": {"name": "f", "parameters": {}}, "cache_control": {}}],
    [{"type": "function", "function": {"name": "f", "parameters": None}, "cache_control": 5}],
    [{"type": "function", "function": {"name": "f"}, "cache_control": {"ttl": []}}],
    *([{"type": "function", "function": {"name": "f", "parameters": p}}] for p in ("x", [1], True)),
    *({"type": "function", "function": f} for f in ("f", {"name": "f"}, {"name": 5}, None)),
    *({"type": "custom"}, {"type": "custom", "custom": {"name": "f"}}, {"function": 5}),
    *({"type": "allowed_tools"}, {"type": "allowed_tools", "allowed_tools": 5}),
    *({"type": "allowed_tools", "allowed_tools": a} for a in ({}, {"tools": 5}, {"tools": ["f"]})),
    {"type": "allowed_tools", "allowed_tools": {"mode": 5, "tools": []}},
    {"type": "allowed_tools", "allowed_tools": {"tools": [{"type": "function"}]}},
    {
        "type": "allowed_tools",
        "allowed_tools": {
            "mode": "auto",
            "tools": [{"type": "function", "function": {"name": "f"}}],
        },
    },
    [{"type": "function", "function": {"name": 1}}],
    [{"type": "function", "function": {"name": "f"}}] * 513,
    *({}, {"type": "text"}, {"type": "json_schema"}, {"type": "json_schema", "json_schema": {}}),
    *({"type": "xml"}, {"type": "json_schema", "json_schema": 1}, {"by": "price"}, {"by": "x"}),
    *({"prompt": 1}, {"prompt": -1}, {"prompt": "x"}, {"other": 1}, {"other": None}),
    *({"include_usage": True}, {"include": True}),
)
# The checks know more ways to write an amount, and that 0 is false, than the document promises.
LENIENT = ("max_cost", "max_price", "best_of", "store", "usage", "zdr", "enforce_distillable_text")


def is_refused(body: dict[str, Any]) -> bool:
    try:
        schemas.parse_chat(body, messages_max=100)
    except SolRouterError:
        return True
    return False


def test_the_document_is_openapi() -> None:
    OpenAPIV31SpecValidator(told()).validate()


def test_every_route_is_in_it_and_the_other_way_round(app: Flask) -> None:
    adapter = app.url_map.bind("localhost")
    documented = {
        (method.upper(), adapter.match(filled(API_MOUNT + path), method.upper())[0])
        for path, methods in told()["paths"].items()
        for method in methods
    }
    served = {
        (method, rule.endpoint)
        for rule in app.url_map.iter_rules()
        if rule.endpoint.startswith("api.")
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert documented == served


def filled(path: str) -> str:
    names = {"author": "openai", "name": "gpt-4o", "hash": "key_0"}
    return path.format(**names)


def test_every_parameter_in_a_path_is_described() -> None:
    for path, methods in told()["paths"].items():
        for operation in methods.values():
            named = {p["name"] for p in operation.get("parameters", ()) if p["in"] == "path"}
            assert named == {part[1:-1] for part in path.split("/") if part.startswith("{")}


class Listening(MultiDict[str, str]):
    """A query that notes what it is asked for."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def get(self, key: str, *arguments: Any, **more: Any) -> Any:
        self.names.add(key)
        return super().get(key, *arguments, **more)

    def getlist(self, key: str, *arguments: Any, **more: Any) -> Any:
        self.names.add(key)
        return super().getlist(key, *arguments, **more)


@pytest.mark.parametrize(
    ("read", "path"),
    [(lambda query: model_filters.page([], query), "/models"), (key_objects.parse_query, "/keys")],
    ids=["models", "keys"],
)
def test_a_list_reads_the_query_that_is_described(
    read: Callable[[Listening], Any], path: str
) -> None:
    query = Listening()
    read(query)
    described = told()["paths"][path]["get"]["parameters"]
    assert query.names == {parameter["name"] for parameter in described}


def known_fields() -> set[str]:
    return {*schemas.PASSED, *schemas.COSTED, *schemas.ROUTING, *schemas.OWN}


def test_the_request_holds_every_field_that_is_known() -> None:
    request = told()["components"]["schemas"]["ChatCompletionRequest"]
    assert set(request["properties"]) == known_fields()


@pytest.mark.parametrize("name", sorted(known_fields() - {"messages", "stream_options"}))
def test_a_field_is_described_as_it_is_checked(name: str) -> None:
    for value in (None, *VALUES):
        body = {"models": ["c/d"], **ORDINARY, name: value}
        is_described = not complaints("ChatCompletionRequest", body)
        if is_described or name not in LENIENT:
            assert is_described is not is_refused(body), value


MESSAGES: tuple[Any, ...] = (
    None,
    [],
    "x",
    [{"role": "nobody", "content": "x"}],
    [{"role": "user"}],
    [{"role": "user", "content": None}],
    [{"role": "user", "content": "x", "name": "me"}],
    [{"role": "user", "content": []}],
    [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
    [{"role": "user", "content": [{"type": "text", "text": 1}]}],
    [{"role": "user", "content": [{"type": "text"}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": {}}]}],
    [{"role": "user", "content": [{"type": "image_url", "image_url": "x"}]}],
    [{"role": "user", "content": [{"type": "input_audio", "input_audio": {}}]}],
    [{"role": "user", "content": [{"type": "file", "file": {}}]}],
    [{"role": "system", "content": [{"type": "file", "file": {}}]}],
    [{"role": "assistant", "content": [{"type": "refusal", "refusal": "x"}]}],
    [{"role": "user", "content": [{"type": "text", "text": "x"}] * 1025}],
    [{"role": "assistant", "content": None}],
    [{"role": "assistant", "content": "x", "tool_calls": None}],
    [{"role": "assistant", "refusal": "no"}],
    [{"role": "assistant", "tool_calls": []}],
    [{"role": "assistant", "tool_calls": [{"id": "a"}]}],
    [{"role": "assistant", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": "{}"}}]}],
    [{"role": "assistant", "tool_calls": [
        {"id": "a", "type": "function", "function": {"name": "f", "arguments": {}}}]}],
    [{"role": "assistant", "tool_calls": [
        {"id": 1, "type": "function", "function": {"name": "f", "arguments": "{}"}}]}],
    [{"role": "assistant", "tool_calls": [
        {"id": "a", "type": "custom", "custom": {"name": "f", "input": "x"}, "function": None}]}],
    [{"role": "assistant", "tool_calls": [
        {"id": "a", "type": "custom", "custom": {"name": "f", "input": 5}}]}],
    [{"role": "assistant", "tool_calls": [
        {"id": "a", "type": "custom", "custom": {"name": "f"}, "function": 5}]}],
    *(
        [{"role": "assistant", "content": "x", name: value}]
        for name in ("audio", "cache_control", "function_call", "name", "reasoning_details",
                     "refusal", "tool_calls")
        for value in (None, 5, "x", [], {}, {"ttl": "5m"}, {"ttl": []})
    ),
    *(
        [{"role": "user", "content": [{"type": "text", "text": "x", name: value}]}]
        for name in ("cache_control", "refusal")
        for value in (None, 5, "x", {}, {"ttl": "5m"}, {"ttl": []})
    ),
    *(
        [{"role": "user", "content": [{"type": kind, kind: {field: value}}]}]
        for kind, field in (("input_audio", "format"), ("input_audio", "data"),
                            ("file", "file_data"), ("file", "filename"), ("file", "file_id"))
        for value in (None, 5, "x", [], {})
    ),
    [{"role": "tool", "content": "x"}],
    [{"role": "tool", "content": "x", "tool_call_id": "a"}],
    [{"role": "developer", "content": "x"}, {"role": "function", "content": "x"}],
)  # fmt: skip


@pytest.mark.parametrize("messages", MESSAGES, ids=lambda value: str(value)[:60])
def test_messages_are_described_as_they_are_checked(messages: Any) -> None:
    body = {**ORDINARY, "messages": messages}
    assert bool(complaints("ChatCompletionRequest", body)) is is_refused(body)


@pytest.mark.parametrize("name", preferences.PROVIDER["properties"])
def test_a_wish_is_described_as_it_is_checked(name: str) -> None:
    for value in (None, *VALUES):
        body = {**ORDINARY, "provider": {name: value}}
        is_described = not complaints("ChatCompletionRequest", body)
        if is_described or name not in LENIENT:
            assert is_described is not is_refused(body), value


Parse = Callable[[Mapping[str, Any]], Any]
KEY_BODIES: Mapping[str, tuple[dict[str, Any], Parse]] = {
    "KeyCreation": ({"name": "website", "limit": 5}, key_objects.parse_terms),
    "KeyChange": ({}, key_objects.parse_wishes),
}
# The check knows more ways to write an amount; which scopes there are, the rules tell.
LENIENT_OF_KEYS = ("limit", "scopes")
KEY_VALUES = (None, *VALUES, [], ["free"], ["a/b"] * 51, ["a/b"] * 101, ["x" * 61], *SCOPES)


@pytest.mark.parametrize("schema", KEY_BODIES)
@pytest.mark.parametrize("name", [*key_objects.TERMS, "unheard_of"])
def test_a_term_of_a_key_is_described_as_it_is_checked(schema: str, name: str) -> None:
    body, parse = KEY_BODIES[schema]
    for value in (*KEY_VALUES, [SCOPES[0]], list(SCOPES)):
        # A format is a remark to schemas, and every text would be a time.
        if name == "expires_at" and isinstance(value, str):
            continue
        given = {**body, name: value}
        is_described = not complaints(schema, given)
        if is_described or name not in LENIENT_OF_KEYS:
            assert is_described is not are_refused(given, parse), value


def are_refused(terms: dict[str, Any], parse: Parse) -> bool:
    try:
        parse(terms)
    except SolRouterError:
        return True
    return False


def test_a_key_is_made_with_a_name_and_changed_without() -> None:
    assert complaints("KeyCreation", {})
    assert are_refused({}, key_objects.parse_terms)
    assert not complaints("KeyChange", {})
    assert not are_refused({}, key_objects.parse_wishes)


def test_every_status_of_an_error_is_described() -> None:
    responses = told()["components"]["responses"]
    assert set(responses) == {str(status) for _, status, _ in errors.TABLE}


def test_as_many_choices_may_be_asked_for_as_can_be_made() -> None:
    """The edge may not import the adapters, so the number stands twice."""
    assert schemas.CHOICES_MAX == choices.CHOICES_MAX
    assert schemas.CHOICES.schema["maximum"] == choices.CHOICES_MAX


def test_every_schema_of_a_check_is_one() -> None:
    found: Mapping[str, Check] = {**schemas.PASSED, **key_objects.CHANGES, **key_objects.ROTATION}
    for check in found.values():
        Draft202012Validator.check_schema(check.schema)
