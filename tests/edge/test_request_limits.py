"""Limits by name on what a request may hold; and what a wrong key costs: not one statement."""

import io
from collections.abc import Callable

import orjson
import pytest
from flask import Flask
from flask.testing import FlaskClient

from solrouter.blueprints import slow_clients
from solrouter.blueprints.api import bodies, messages
from tests.edge.conftest import visitor_of
from tests.factories import Person
from tests.services.test_hot_path import counted

CHAT = "/v1/chat/completions"
IMAGE = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
PATHS = (CHAT, "/v1/estimate")


def refused(client: FlaskClient, person: Person, body: object, path: str = CHAT) -> tuple[int, str]:
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    headers = {**person.bearer, "Content-Type": "application/json"}
    answer = client.post(path, data=data, headers=headers)
    return answer.status_code, answer.get_json()["error"]["code"]


def chat(content: object, count: int = 1) -> dict[str, object]:
    return {"model": "demo/echo", "messages": [{"role": "user", "content": content}] * count}


# The API.


@pytest.mark.parametrize("path", PATHS)
def test_too_many_messages(make_app: Callable[..., Flask], alice: Person, path: str) -> None:
    client = make_app(SOLROUTER_MESSAGES_MAX="3").test_client()
    assert refused(client, alice, chat("Hi", 4), path) == (400, "invalid_request")


@pytest.mark.parametrize("path", PATHS)
def test_too_many_images(client: FlaskClient, alice: Person, path: str) -> None:
    """The limit is on the whole request, so that many messages do not pass it."""
    half = messages.MEDIA_PARTS_MAX // 2 + 1
    answer = client.post(path, json=chat([IMAGE] * half, 2), headers=alice.bearer)
    assert answer.status_code == 400
    assert f"at most {messages.MEDIA_PARTS_MAX} images" in answer.get_json()["error"]["message"]


def test_too_many_parts(client: FlaskClient, alice: Person) -> None:
    parts = [{"type": "text", "text": "a"}] * (messages.PARTS_PER_MESSAGE_MAX + 1)
    assert refused(client, alice, chat(parts)) == (400, "invalid_request")


@pytest.mark.parametrize("brackets", [b"[", b'{"a":'])
@pytest.mark.parametrize("path", PATHS)
def test_too_deep(client: FlaskClient, alice: Person, brackets: bytes, path: str) -> None:
    depth = bodies.JSON_DEPTH_MAX + 1
    ends = b"]" * depth if brackets == b"[" else b"1" + b"}" * depth
    body = b'{"model":"demo/echo","messages":' + brackets * depth + ends + b"}"
    assert refused(client, alice, body, path) == (400, "invalid_json")


@pytest.mark.parametrize("path", PATHS)
def test_too_long(make_app: Callable[..., Flask], alice: Person, path: str) -> None:
    client = make_app(SOLROUTER_BODY_BYTES_MAX="1000").test_client()
    assert refused(client, alice, chat("a" * 1000), path) == (413, "body_too_large")


@pytest.mark.parametrize("path", [CHAT, "/login"])
def test_too_long_without_a_length(
    make_app: Callable[..., Flask], alice: Person, path: str
) -> None:
    """A body in chunks says nothing of its length; it is counted as it comes."""
    limits = {"SOLROUTER_BODY_BYTES_MAX": "1000", "SOLROUTER_FORM_BYTES_MAX": "1000"}
    client = visitor_of(make_app(**limits))
    answer = client.post(
        path,
        headers={**alice.bearer, "Transfer-Encoding": "chunked"},
        content_type="application/json",
        environ_overrides={
            "wsgi.input": io.BytesIO(orjson.dumps(chat("a" * 1000))),
            "wsgi.input_terminated": True,
            "CONTENT_LENGTH": "",
        },
    )
    assert answer.status_code == 413, answer.text


# Forms.


@pytest.mark.parametrize("path", ["/login", "/signup", "/account/keys", "/admin/providers"])
def test_a_large_form_is_refused(make_app: Callable[..., Flask], path: str) -> None:
    client = visitor_of(make_app(SOLROUTER_FORM_BYTES_MAX="1000"))
    assert client.post(path, data={"email": "a" * 1000}).status_code == 413
    assert client.post(path, data={"email": "a"}).status_code in (303, 422)


def test_a_form_of_many_fields_is_refused(app: Flask) -> None:
    client, form = visitor_of(app), {f"f{i}": "a" for i in range(slow_clients.FORM_FIELDS_MAX)}
    assert client.post("/login", data=form).status_code == 422
    assert client.post("/login", data={**form, "one": "more"}).status_code == 413


def test_a_page_takes_no_files(app: Flask) -> None:
    client = visitor_of(app)
    for fields in ({"email": "a@example.com"}, {"file": (io.BytesIO(b"x"), "a.txt")}):
        answer = client.post("/login", data=fields, content_type="multipart/form-data")
        assert answer.status_code == 415


# What a wrong key costs.


@pytest.mark.parametrize(
    "authorization",
    [
        None,
        "Bearer",
        "Bearer ",
        "Basic YTpi",
        "Bearer sr_nothing",
        "Bearer ' OR '1'='1",
        "Bearer sr_" + "a" * 44,
        "Bearer " + "a" * 5000,
        "wrong checksum",
    ],
    ids=str,
)
@pytest.mark.parametrize("path", [CHAT, "/v1/estimate", "/v1/key", "/v1/credits"])
def test_what_is_no_key_costs_no_statement(
    app: Flask, client: FlaskClient, alice: Person, authorization: str | None, path: str
) -> None:
    if authorization == "wrong checksum":
        last = alice.key_text[-1]
        authorization = f"Bearer {alice.key_text[:-1]}{'a' if last != 'a' else 'b'}"
    headers = {} if authorization is None else {"Authorization": authorization}
    method = "POST" if path in PATHS else "GET"
    with app.app_context(), counted() as found:
        answer = client.open(path, method=method, headers=headers)
    assert answer.status_code == 401
    assert answer.get_json()["error"]["code"] == "invalid_api_key"
    assert found.statements == 0


def test_a_key_that_could_be_ours_costs_one(app: Flask, client: FlaskClient) -> None:
    """The counting itself: a good checksum is looked up once."""
    from solrouter.services.key_text import make_text

    headers = {"Authorization": f"Bearer {make_text()}"}
    client.get("/v1/key", headers=headers)
    with app.app_context(), counted() as found:
        assert client.get("/v1/key", headers=headers).status_code == 401
    assert found.statements == 1


class Unread(io.RawIOBase):
    """A body that must not be read."""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: object) -> int:
        raise AssertionError("the body was read before the key was known")


@pytest.mark.parametrize("path", PATHS)
def test_the_key_is_checked_before_the_body_is_read(client: FlaskClient, path: str) -> None:
    answer = client.post(
        path,
        headers={"Authorization": "Bearer sr_no"},
        content_type="application/json",
        environ_overrides={"wsgi.input": Unread(), "CONTENT_LENGTH": "1000"},
    )
    assert answer.status_code == 401


def test_a_keys_name_is_no_key(app: Flask, alice: Person) -> None:
    """A name is stored and shown as it is."""
    client = visitor_of(app)
    alice.sign_in(client)
    answer = client.post("/account/keys", data={"name": f"my {alice.key_text}"})
    assert answer.status_code == 422
    assert "looks like a secret" in answer.text
