"""`/v1/keys`, for a management key: OpenRouter's shapes, one service, one error shape."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select
from werkzeug.test import TestResponse

from solrouter import database
from solrouter.clock import utcnow
from solrouter.models import AuditEvent, IdempotencyKey
from solrouter.services import keys, members
from solrouter.services.key_rules import INFERENCE, MANAGE, READ, Rules
from tests.edge.signed_in import QUESTION, ask
from tests.factories import Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream

OPENROUTERS = {
    "hash", "name", "label", "disabled", "limit", "limit_remaining", "limit_reset",
    "include_byok_in_limit", "usage", "usage_daily", "usage_weekly", "usage_monthly",
    "byok_usage", "byok_usage_daily", "byok_usage_weekly", "byok_usage_monthly",
    "created_at", "updated_at", "expires_at",
}  # fmt: skip
NEW = {"name": "website"}


def key_with(app: Flask, person: Person, *scopes: str, name: str = "Manager") -> dict[str, str]:
    """The header of a new key with these scopes."""
    with app.app_context():
        rules = Rules(scopes=scopes)
        new = keys.create(person.account_id, user_id=person.user_id, name=name, rules=rules)
    return bearer(new.text)


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def manager(app: Flask, alice: Person) -> dict[str, str]:
    return key_with(app, alice, MANAGE)


@pytest.fixture
def made(client: FlaskClient, manager: dict[str, str]) -> dict[str, Any]:
    """A key that was made through the API, with its text."""
    answer = client.post("/v1/keys", json=NEW, headers=manager)
    assert answer.status_code == 201
    return {**answer.json["data"], "text": answer.json["key"]}


def chat(client: FlaskClient, text: str, model: str = "demo/echo", **more: Any) -> TestResponse:
    body = {"model": model, "messages": QUESTION}
    return client.post("/v1/chat/completions", json=body, headers=bearer(text), **more)


def error(answer: TestResponse) -> tuple[int, str, str | None]:
    told = answer.json["error"]
    assert set(told) <= {"message", "type", "code", "param", "metadata"}
    return answer.status_code, told["code"], told["param"]


# Making, reading, changing, ending


def test_a_key_is_made_and_its_text_told_once(
    app: Flask, client: FlaskClient, alice: Person, manager: dict[str, str]
) -> None:
    body = {
        "name": "website",
        "limit": 2.5,
        "limit_reset": "weekly",
        "include_byok_in_limit": False,
        "expires_at": "2099-01-31T01:00:00+01:00",
        "scopes": ["inference", "read"],
        "models_allowed": ["demo/*", "free"],
        "networks_allowed": ["127.0.0.1", "2001:db8::/32"],
        "requests_per_minute": 60,
        "tokens_per_minute": 100000,
        "concurrency": 4,
    }
    answer = client.post("/v1/keys", json=body, headers=manager)
    assert answer.status_code == 201
    assert answer.headers["Cache-Control"] == "no-store"
    told = answer.json["data"]
    assert set(told) >= OPENROUTERS
    same = {name: told[name] for name in body}
    assert same == {
        **body,
        "expires_at": "2099-01-31T00:00:00+00:00",
        "networks_allowed": ["127.0.0.1/32", "2001:db8::/32"],
    }
    assert (told["disabled"], told["status"], told["limit_remaining"]) == (False, "active", 2.5)
    assert chat(client, answer.json["key"]).status_code == 200
    again = client.get(f"/v1/keys/{told['hash']}", headers=manager)
    assert answer.json["key"] not in again.text
    assert again.json["data"]["usage"] > 0
    assert again.json["data"]["last_used_address"] == "127.0.0.1"
    with app.app_context():
        assert keys.find(alice.account_id, told["hash"]).name == "website"


def test_what_is_not_named_stays_as_it_was(
    client: FlaskClient, manager: dict[str, str], made: dict[str, Any]
) -> None:
    address = f"/v1/keys/{made['hash']}"

    def patched(**body: Any) -> dict[str, Any]:
        answer = client.patch(address, json=body, headers=manager)
        assert answer.status_code == 200, answer.text
        data: dict[str, Any] = answer.json["data"]
        return data

    patched(limit=5, limit_reset="daily", concurrency=2, networks_allowed=["127.0.0.0/8"])
    told = patched(name="renamed")
    assert (told["name"], told["limit"], told["limit_reset"]) == ("renamed", 5, "daily")
    assert told["updated_at"] > made["updated_at"]
    assert patched(limit="7.25")["limit_reset"] == "daily"
    told = patched(limit_reset=None, concurrency=None)
    assert (told["limit"], told["limit_reset"], told["concurrency"]) == (7.25, None, None)
    told = patched(limit=None, networks_allowed=None)
    assert (told["limit"], told["networks_allowed"]) == (None, None)
    assert patched() == told


def test_two_changes_at_once_are_both_done(apps: Flask) -> None:
    """Neither writes back what it has read before the other was done."""
    alice = make_person(apps, "alice@example.com", credit="5")
    headers = key_with(apps, alice, MANAGE)
    answer = apps.test_client().post("/v1/keys", json=NEW, headers=headers)
    address = f"/v1/keys/{answer.json['data']['hash']}"

    def patch(body: dict[str, Any]) -> int:
        return apps.test_client().patch(address, json=body, headers=headers).status_code

    for number in range(5):
        one = {"networks_allowed": [f"127.0.{number}.0/24", "127.0.0.1/32"]}
        other = {"limit": 5 - number, "name": f"round {number}"}
        with ThreadPoolExecutor(2) as pool:
            assert list(pool.map(patch, (one, other))) == [200, 200]
        told = apps.test_client().get(address, headers=headers).json["data"]
        assert {name: told[name] for name in (*one, *other)} == {**one, **other}


def test_a_change_that_is_refused_in_part_is_refused_whole(
    app: Flask, client: FlaskClient, alice: Person, bob: Person, manager: dict[str, str]
) -> None:
    """Who made the key left, and only an owner lets it go again."""
    with app.app_context():
        sent = members.invite(alice.account_id, bob.email, "developer", by=alice.user_id)
        members.accept(bob.user_id, str(sent.link).rpartition("/")[2])
        bots = keys.create(alice.account_id, user_id=bob.user_id, name="Bot").key
        members.leave(alice.account_id, bob.user_id)
    address, body = f"/v1/keys/{bots.public_id}", {"name": "mine", "disabled": False}
    assert error(client.patch(address, json=body, headers=manager))[::2] == (400, "disabled")
    told = client.get(address, headers=manager).json["data"]
    assert (told["name"], told["disabled"]) == ("Bot", True)


def test_a_key_is_disabled_and_enabled(
    client: FlaskClient, manager: dict[str, str], made: dict[str, Any]
) -> None:
    address = f"/v1/keys/{made['hash']}"
    told = client.patch(address, json={"disabled": True}, headers=manager).json["data"]
    assert (told["disabled"], told["status"]) == (True, "disabled")
    assert error(chat(client, made["text"])) == (401, "revoked_api_key", None)
    client.patch(address, json={"disabled": False}, headers=manager)
    assert chat(client, made["text"]).status_code == 200


def test_a_deleted_key_is_gone(
    app: Flask, client: FlaskClient, alice: Person, manager: dict[str, str], made: dict[str, Any]
) -> None:
    address = f"/v1/keys/{made['hash']}"
    assert client.delete(address, headers=manager).json == {"deleted": True}
    assert error(chat(client, made["text"])) == (401, "revoked_api_key", None)
    for method in ("GET", "DELETE"):
        assert error(client.open(address, method=method, headers=manager))[0] == 404
    assert client.patch(address, json={}, headers=manager).status_code == 404
    assert client.post(f"{address}/rotate", headers=manager).status_code == 404
    listed = client.get("/v1/keys", headers=manager).json["data"]
    assert made["hash"] not in {key["hash"] for key in listed}
    with app.app_context():
        assert keys.find(alice.account_id, made["hash"]).status == "revoked"


def test_a_key_is_rotated(
    client: FlaskClient, manager: dict[str, str], made: dict[str, Any]
) -> None:
    address = f"/v1/keys/{made['hash']}/rotate"
    answer = client.post(address, json={"overlap_s": 3600}, headers=manager)
    assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "no-store")
    told, newer = answer.json["data"], answer.json["key"]
    assert told["hash"] == made["hash"]
    assert told["label"] != made["label"]
    [former] = told["former_secrets"]
    assert former["label"] == made["label"]
    for text in (made["text"], newer):
        assert chat(client, text).status_code == 200
    newest = client.post(address, json={"overlap_s": 0}, headers=manager).json["key"]
    assert error(chat(client, newer)) == (401, "revoked_api_key", None)
    for text in (made["text"], newest):
        assert chat(client, text).status_code == 200
    # A whole day where nothing is said.
    told = client.post(address, headers=manager).json["data"]
    assert told["former_secrets"][0]["ends_at"] > (utcnow() + timedelta(hours=23)).isoformat()


# The list


def test_the_list_is_paged_by_offset(
    app: Flask, client: FlaskClient, alice: Person, manager: dict[str, str]
) -> None:
    with app.app_context():
        for number in range(103):
            keys.create(alice.account_id, user_id=alice.user_id, name=f"key {number}")
    first = client.get("/v1/keys", headers=manager).json
    assert (len(first["data"]), first["total_count"]) == (100, 105)
    assert [key["name"] for key in first["data"][:3]] == ["First key", "Manager", "key 0"]
    rest = client.get("/v1/keys?offset=100", headers=manager).json["data"]
    assert [key["name"] for key in rest] == [f"key {number}" for number in range(98, 103)]
    assert client.get("/v1/keys?offset=999999", headers=manager).json["data"] == []
    for offset in ("-1", "x", "1" * 5000, "٣", ""):
        answer = client.get(f"/v1/keys?offset={offset}", headers=manager)
        assert error(answer) == (400, "invalid_request", "offset")


def test_disabled_keys_are_listed_when_asked_for(
    client: FlaskClient, manager: dict[str, str], made: dict[str, Any]
) -> None:
    client.patch(f"/v1/keys/{made['hash']}", json={"disabled": True}, headers=manager)

    def listed(query: str) -> set[str]:
        answer = client.get(f"/v1/keys{query}", headers=manager).json
        assert answer["total_count"] == len(answer["data"])
        return {key["name"] for key in answer["data"]}

    assert listed("") == {"First key", "Manager"}
    assert listed("?include_disabled=true") == {"First key", "Manager", "website"}


def test_each_key_tells_its_own_usage(
    app: Flask, client: FlaskClient, alice: Person, manager: dict[str, str], made: dict[str, Any]
) -> None:
    ask(app, alice)
    chat(client, made["text"])
    listed = {key["name"]: key for key in client.get("/v1/keys", headers=manager).json["data"]}
    assert listed["Manager"]["usage"] == 0
    for name in ("First key", "website"):
        key = listed[name]
        spans = [key[f"usage{span}"] for span in ("", "_daily", "_weekly", "_monthly")]
        assert spans[0] > 0
        assert set(spans) == {spans[0]}


# Refusals


@pytest.mark.parametrize(
    ("body", "code", "param"),
    [
        ({}, "missing_parameter", "name"),
        ({"name": None}, "missing_parameter", "name"),
        ({"name": 7}, "invalid_request", "name"),
        ({"name": " "}, "invalid_request", "name"),
        ({"name": "two\nlines"}, "invalid_request", "name"),
        ({**NEW, "limit": -1}, "invalid_request", "limit"),
        ({**NEW, "limit": "much"}, "invalid_request", "limit"),
        ({**NEW, "limit": True}, "invalid_request", "limit"),
        ({**NEW, "limit": 5, "limit_reset": "hourly"}, "invalid_request", "limit_reset"),
        ({**NEW, "limit_reset": "daily"}, "invalid_request", "limit_reset"),
        ({**NEW, "include_byok_in_limit": True}, "unsupported_parameter", "include_byok_in_limit"),
        ({**NEW, "model_allowed": ["a/b"]}, "unsupported_parameter", "model_allowed"),
        ({**NEW, "disabled": True}, "unsupported_parameter", "disabled"),
        ({**NEW, "expires_at": "tomorrow"}, "invalid_request", "expires_at"),
        ({**NEW, "expires_at": "2099-01-31T00:00:00"}, "invalid_request", "expires_at"),
        ({**NEW, "expires_at": "2020-01-31T00:00:00Z"}, "invalid_request", "expires_at"),
        ({**NEW, "expires_at": "0001-01-01T00:00:00+23:59"}, "invalid_request", "expires_at"),
        ({**NEW, "scopes": None}, "invalid_request", "scopes"),
        ({**NEW, "scopes": []}, "invalid_request", "scopes"),
        ({**NEW, "scopes": "inference"}, "invalid_request", "scopes"),
        ({**NEW, "scopes": ["root"]}, "invalid_request", "scopes"),
        ({**NEW, "models_allowed": []}, "invalid_request", "models_allowed"),
        ({**NEW, "models_allowed": ["demo/ecko"]}, "invalid_request", "models_allowed"),
        ({**NEW, "models_allowed": ["nobody/*"]}, "invalid_request", "models_allowed"),
        ({**NEW, "models_allowed": [1]}, "invalid_request", "models_allowed"),
        ({**NEW, "models_allowed": ["a/b"] * 101}, "invalid_request", "models_allowed"),
        ({**NEW, "networks_allowed": ["10.0.0.5/8"]}, "invalid_request", "networks_allowed"),
        ({**NEW, "requests_per_minute": 1.5}, "invalid_request", "requests_per_minute"),
        ({**NEW, "tokens_per_minute": -1}, "invalid_request", "tokens_per_minute"),
        ({**NEW, "concurrency": 10**9}, "invalid_request", "concurrency"),
    ],
    ids=str,
)
def test_a_key_that_cannot_be_is_refused(
    app: Flask,
    client: FlaskClient,
    alice: Person,
    manager: dict[str, str],
    body: dict[str, Any],
    code: str,
    param: str,
) -> None:
    assert error(client.post("/v1/keys", json=body, headers=manager)) == (400, code, param)
    with app.app_context():
        assert len(keys.list_of(alice.account_id)) == 2


@pytest.mark.parametrize("overlap_s", [-1, 1.5, "day", 10**9])
def test_an_overlap_that_cannot_be_is_refused(
    client: FlaskClient, manager: dict[str, str], made: dict[str, Any], overlap_s: object
) -> None:
    address = f"/v1/keys/{made['hash']}/rotate"
    answer = client.post(address, json={"overlap_s": overlap_s}, headers=manager)
    assert error(answer) == (400, "invalid_request", "overlap_s")
    assert chat(client, made["text"]).status_code == 200


def test_an_account_full_of_keys_is_told(
    make_app: Callable[..., Flask], app: Flask, alice: Person, manager: dict[str, str]
) -> None:
    full = make_app(SOLROUTER_KEYS_PER_ACCOUNT_MAX="2").test_client()
    assert error(full.post("/v1/keys", json=NEW, headers=manager)) == (
        400,
        "invalid_request",
        "name",
    )


ROUTES = [
    ("GET", "/v1/keys"),
    ("POST", "/v1/keys"),
    ("GET", "/v1/keys/{}"),
    ("PATCH", "/v1/keys/{}"),
    ("DELETE", "/v1/keys/{}"),
    ("POST", "/v1/keys/{}/rotate"),
]


@pytest.mark.parametrize(("method", "path"), ROUTES, ids=str)
def test_only_a_management_key_may(
    app: Flask, client: FlaskClient, alice: Person, method: str, path: str
) -> None:
    with app.app_context():
        [key] = keys.list_of(alice.account_id)
    address = path.format(key.public_id)
    headers: dict[str, str]
    for headers in (alice.bearer, key_with(app, alice, INFERENCE, READ)):
        answer = client.open(address, method=method, json=NEW, headers=headers)
        assert error(answer) == (403, "scope_required", None)
        assert answer.json["error"]["metadata"] == {"scope": "keys:manage"}
    assert error(client.open(address, method=method, json=NEW))[:2] == (401, "invalid_api_key")


@pytest.mark.parametrize(("method", "path"), ROUTES[2:], ids=str)
def test_charlie_and_nonsense_find_nothing(
    app: Flask, client: FlaskClient, alice: Person, charlie: Person, method: str, path: str
) -> None:
    headers = key_with(app, charlie, MANAGE)
    with app.app_context():
        [key] = keys.list_of(alice.account_id)
    for name in (key.public_id, "key_0", "%00", "%ED%A0%80", "ü"):
        body = {"overlap_s": 0} if "rotate" in path else {}
        answer = client.open(path.format(name), method=method, json=body, headers=headers)
        assert error(answer) == (404, "not_found", None), name
    with app.app_context():
        assert keys.list_of(alice.account_id) == [key]
    listed = client.get("/v1/keys", headers=headers).json["data"]
    assert key.public_id not in {each["hash"] for each in listed}


def test_management_keys_are_none_of_its_business(
    app: Flask, client: FlaskClient, alice: Person, manager: dict[str, str]
) -> None:
    body = {**NEW, "scopes": ["inference", "keys:manage"]}
    wanted = (403, "owner_required", None)
    assert error(client.post("/v1/keys", json=body, headers=manager)) == wanted
    with app.app_context():
        [own] = [key for key in keys.list_of(alice.account_id) if key.rules.may_manage]
    address = f"/v1/keys/{own.public_id}"
    assert client.get(address, headers=manager).status_code == 200
    for change in ({"scopes": ["inference"]}, {"name": "mine"}, {"disabled": True}):
        assert error(client.patch(address, json=change, headers=manager)) == wanted
    assert error(client.delete(address, headers=manager)) == wanted
    assert error(client.post(f"{address}/rotate", headers=manager)) == wanted
    with app.app_context():
        [other] = [key for key in keys.list_of(alice.account_id) if not key.rules.may_manage]
    answer = client.patch(f"/v1/keys/{other.public_id}", json=body, headers=manager)
    assert error(answer) == wanted


def test_a_management_key_makes_no_requests_unless_it_may(
    app: Flask, client: FlaskClient, alice: Person, manager: dict[str, str]
) -> None:
    text = manager["Authorization"].removeprefix("Bearer ")
    assert error(chat(client, text)) == (403, "scope_required", None)
    both = key_with(app, alice, INFERENCE, MANAGE)["Authorization"].removeprefix("Bearer ")
    assert chat(client, both).status_code == 200


def test_what_it_does_stands_in_the_audit_trail(
    app: Flask, client: FlaskClient, alice: Person, manager: dict[str, str], made: dict[str, Any]
) -> None:
    address = f"/v1/keys/{made['hash']}"
    client.patch(address, json={"limit": 5, "disabled": True}, headers=manager)
    client.post(f"{address}/rotate", headers=manager)
    client.delete(address, headers=manager)
    with app.app_context():
        [own] = [key for key in keys.list_of(alice.account_id) if key.rules.may_manage]
        rows = select(AuditEvent.action).where(AuditEvent.actor == f"key:{own.id}")
        with database.read() as connection:
            acts = connection.execute(rows.order_by(AuditEvent.id)).scalars().all()
        assert own.last_used_at is not None
    assert acts == [f"key.{a}" for a in ("created", "changed", "disabled", "rotated", "revoked")]


def test_requests_to_it_are_counted(
    app: Flask, client: FlaskClient, alice: Person, manager: dict[str, str]
) -> None:
    with app.app_context():
        [own] = [key for key in keys.list_of(alice.account_id) if key.rules.may_manage]
        rules = {"requests_per_minute": 1}
        keys.change(alice.account_id, own.public_id, actor="t", rules=rules)
    assert client.get("/v1/keys", headers=manager).status_code == 200
    assert error(client.get("/v1/keys", headers=manager))[:2] == (429, "requests_per_minute")


# Twice asked, once done


def named(headers: dict[str, str], name: str) -> dict[str, str]:
    return {**headers, "Idempotency-Key": name}


@pytest.fixture
def apps(make_app: Callable[..., Flask], database_url: str) -> Flask:
    return make_app(database_url)


def test_a_repeated_order_makes_one_key_and_tells_the_same(apps: Flask) -> None:
    person = make_person(apps, "dora@example.com")
    manager = named(key_with(apps, person, MANAGE), "order-7")

    def order(_: int) -> TestResponse:
        return apps.test_client().post("/v1/keys", json=NEW, headers=manager)

    with ThreadPoolExecutor(4) as threads:
        answers = list(threads.map(order, range(4)))
    assert {answer.status_code for answer in answers} == {201}
    assert len({answer.json["key"] for answer in answers}) == 1
    assert sum("Idempotent-Replayed" in answer.headers for answer in answers) == 3
    with apps.app_context():
        assert len(keys.list_of(person.account_id)) == 3
        with database.read() as connection:
            sealed = connection.execute(select(IdempotencyKey.answer)).scalar_one()
    assert answers[0].json["key"].encode() not in sealed


def test_a_name_stands_for_one_order_on_one_address(apps: Flask) -> None:
    person = make_person(apps, "dora@example.com")
    manager = named(key_with(apps, person, MANAGE), "order-7")
    client = apps.test_client()
    first = client.post("/v1/keys", json=NEW, headers=manager).json
    with apps.app_context():
        others = [key.public_id for key in keys.list_of(person.account_id)]
    other = client.post("/v1/keys", json={"name": "other"}, headers=manager)
    assert error(other)[:2] == (409, "idempotency_mismatch")
    turn = named(manager, "turn")
    address = f"/v1/keys/{first['data']['hash']}/rotate"
    rotated = [client.post(address, headers=turn).json["key"] for _ in range(2)]
    assert rotated[0] == rotated[1] != first["key"]
    unlike = next(each for each in others if each != first["data"]["hash"])
    answer = client.post(f"/v1/keys/{unlike}/rotate", headers=turn)
    assert error(answer)[:2] in ((409, "idempotency_mismatch"), (403, "owner_required"))
    stranger = named(key_with(apps, person, MANAGE, name="Second"), "order-7")
    answer = client.post("/v1/keys", json=NEW, headers=stranger)
    assert error(answer)[:2] == (409, "answer_not_kept")


def test_a_refused_order_takes_no_name(client: FlaskClient, manager: dict[str, str]) -> None:
    headers = named(manager, "order-7")
    assert client.post("/v1/keys", json={"name": " "}, headers=headers).status_code == 400
    assert client.post("/v1/keys", json=NEW, headers=headers).status_code == 201


# Who am I, and what a key's rules do to its requests


def test_a_key_tells_what_it_is(
    client: FlaskClient, alice: Person, manager: dict[str, str]
) -> None:
    told = client.get("/v1/key", headers=manager).json["data"]
    assert set(told) >= OPENROUTERS
    assert (told["is_management_key"], told["scopes"]) == (True, ["keys:manage"])
    assert client.get("/v1/key", headers=alice.bearer).json["data"]["is_management_key"] is False


def test_receipts_are_for_those_who_ask_models_or_read(
    app: Flask, client: FlaskClient, alice: Person, manager: dict[str, str]
) -> None:
    address = f"/v1/generation?id={ask(app, alice)}"
    for headers in (alice.bearer, key_with(app, alice, READ)):
        assert client.get(address, headers=headers).status_code == 200
    assert error(client.get(address, headers=manager)) == (403, "scope_required", None)
    reader = key_with(app, alice, READ)["Authorization"].removeprefix("Bearer ")
    assert error(chat(client, reader)) == (403, "scope_required", None)


@pytest.mark.parametrize(
    ("allowed", "model", "status"),
    [
        (["demo/echo"], "demo/echo", 200),
        (["demo/*"], "demo/echo", 200),
        (["free"], "demo/echo", 403),
        (["acme/*", "free"], "demo/echo", 403),
    ],
)
def test_a_list_of_models_is_kept(
    app: Flask, client: FlaskClient, alice: Person, allowed: list[str], model: str, status: int
) -> None:
    with app.app_context():
        rules = Rules(models_allowed=tuple(allowed))
        new = keys.create(alice.account_id, user_id=alice.user_id, name="x", rules=rules)
    answer = chat(client, new.text, model)
    assert answer.status_code == status
    if status == 403:
        assert error(answer) == (403, "model_not_allowed", None)
        estimate = {"model": model, "messages": QUESTION}
        refused = client.post("/v1/estimate", json=estimate, headers=bearer(new.text))
        assert error(refused)[:2] == (403, "model_not_allowed")


def test_a_key_for_what_is_free_is_served_by_what_is_free(
    app: Flask, client: FlaskClient, alice: Person, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hello", usage=(1, 1))
    make_offer(app, upstream.url, model="acme/gift", input_usd="0", output_usd="0")
    make_offer(app, upstream.url, model="acme/both", input_usd="0", output_usd="0")
    make_offer(app, "http://127.0.0.1:9/v1", model="acme/both", provider="dear")
    make_offer(app, upstream.url, model="acme/dear")
    with app.app_context():
        rules = Rules(models_allowed=("free",))
        new = keys.create(alice.account_id, user_id=alice.user_id, name="x", rules=rules)
    for model, status in (("acme/gift", 200), ("acme/both", 200), ("acme/dear", 403)):
        answer = chat(client, new.text, model)
        assert answer.status_code == status, answer.text
    paid_first = {"provider": {"order": ["dear"]}, "model": "acme/both", "messages": QUESTION}
    answer = client.post("/v1/chat/completions", json=paid_first, headers=bearer(new.text))
    assert answer.json["usage"]["cost"] == 0
    only_paid = {**paid_first, "provider": {"only": ["dear"]}}
    answer = client.post("/v1/chat/completions", json=only_paid, headers=bearer(new.text))
    assert error(answer)[:2] == (400, "model_unavailable")


@pytest.mark.parametrize(
    ("hops", "address", "forwarded", "fits"),
    [
        ("0", "10.1.2.3", "", True),
        ("0", "192.0.2.1", "", False),
        ("0", "192.0.2.1", "10.1.2.3", False),
        ("1", "192.0.2.1", "10.1.2.3", True),
        ("1", "192.0.2.1", "10.1.2.3, 198.51.100.7", False),
        ("2", "192.0.2.1", "10.1.2.3, 198.51.100.7", True),
        ("1", "192.0.2.1", "10.1.2.3:4711", True),
        ("1", "192.0.2.1", "not an address", False),
        ("0", "2001:db8::1", "", True),
        ("0", "::ffff:10.1.2.3", "", True),
    ],
)
def test_a_key_is_used_from_its_networks_alone(
    make_app: Callable[..., Flask],
    app: Flask,
    alice: Person,
    hops: str,
    address: str,
    forwarded: str,
    fits: bool,
) -> None:
    with app.app_context():
        rules = Rules(networks_allowed=("10.0.0.0/8", "2001:db8::/32"))
        new = keys.create(alice.account_id, user_id=alice.user_id, name="x", rules=rules)
    client = make_app(SOLROUTER_PROXY_HOPS=hops).test_client()
    headers = {**bearer(new.text), **({"X-Forwarded-For": forwarded} if forwarded else {})}
    from_there = {"REMOTE_ADDR": address}
    for path in ("/v1/key", "/v1/models"):
        answer = client.get(path, headers=headers, environ_base=from_there)
        assert answer.status_code == (200 if fits else 403), answer.text
    if not fits:
        assert error(answer) == (403, "ip_not_allowed", None)
        assert "10.0.0.0" not in answer.text
        assert client.get("/v1/models", environ_base=from_there).status_code == 200
