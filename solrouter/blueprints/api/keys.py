"""GET, POST, PATCH and DELETE /keys: the account's keys, for a management key, as OpenRouter has
them.

A management key neither makes nor touches management keys, itself included: those are the owner's.
An answer may hold a key's text, so none is stored on its way.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import orjson
from flask import Response, request

from solrouter.blueprints.api import api, authenticate, bodies, idempotency
from solrouter.blueprints.api.fields import optional
from solrouter.blueprints.api.key_objects import (
    ROTATION,
    former_object,
    key_object,
    parse_query,
    parse_terms,
    parse_wishes,
    refuse_unknown,
)
from solrouter.errors import BadRequest, NotFound, Refused
from solrouter.services import admission, key_orders, key_usage, keys, rotations
from solrouter.services.key_rules import MANAGE
from solrouter.services.keys import Key, NewKey
from solrouter.services.principals import Principal
from solrouter.services.repeats import Repeat

KEYS_PER_PAGE = 100
CREATED = 201
NO_STORE = {"Cache-Control": "no-store"}
# What the services call otherwise.
FIELD_NAMES: dict[str | None, str] = {"resets": "limit_reset"}


@api.get("/keys")
def list_keys() -> Response:
    """A page of the account's keys, in the order in which they were made."""
    principal = _manager()
    asked = parse_query(request.args)
    found, total = keys.page(principal.account_id, limit=KEYS_PER_PAGE, **asked)
    usages = key_usage.of_all(key.id for key in found)
    data = [key_object(key, usages[key.id]) for key in found]
    return _json({"data": data, "total_count": total})


@api.post("/keys")
def create_key() -> Response:
    """A new key, whose text is in this answer and in no other."""
    principal = _manager()
    data = bodies.read()
    terms = parse_terms(bodies.json_object(data))
    with _as_bad_request():
        new, is_repeated = key_orders.create(
            principal.account_id,
            user_id=principal.user_id,
            repeat=_repeat(principal, data),
            **terms,
            **_actor(principal),
        )
    return _told(new, is_repeated=is_repeated, status=CREATED)


@api.get("/keys/<public_id>")
def show_one_key(public_id: str) -> Response:
    """One key."""
    return _json({"data": _whole(_found(_manager(), public_id))})


@api.patch("/keys/<public_id>")
def change_key(public_id: str) -> Response:
    """The key with what the body names changed: all of it, or nothing."""
    principal = _manager()
    body = bodies.json_object(bodies.read())
    key = _found(principal, public_id)
    wishes = parse_wishes(body)
    with _as_bad_request():
        key = key_orders.change(principal.account_id, key.public_id, **wishes, **_actor(principal))
    return _json({"data": _whole(key)})


@api.delete("/keys/<public_id>")
def delete_key(public_id: str) -> Response:
    """Revokes a key."""
    principal = _manager()
    key = _found(principal, public_id)
    keys.revoke(principal.account_id, key.public_id, **_actor(principal))
    return _json({"deleted": True})


@api.post("/keys/<public_id>/rotate")
def rotate_key(public_id: str) -> Response:
    """The key with a new text, which is in this answer and in no other."""
    principal = _manager()
    data = bodies.read()
    body = bodies.json_object(data) if data.strip() else {}
    refuse_unknown(body, ROTATION)
    overlap_s = optional(body, "overlap_s", ROTATION["overlap_s"])
    key = _found(principal, public_id)
    with _as_bad_request():
        new, is_repeated = key_orders.rotate(
            principal.account_id,
            key.public_id,
            overlap_s=rotations.OVERLAP_S if overlap_s is None else overlap_s,
            repeat=_repeat(principal, data),
            **_actor(principal),
        )
    return _told(new, is_repeated=is_repeated)


def _manager() -> Principal:
    """Who manages keys; counted as one request, and seen to have been here."""
    principal = authenticate.bearer()
    principal.require(MANAGE)
    admission.count_request(principal)
    keys.note_use(principal)
    return principal


def _actor(principal: Principal) -> dict[str, Any]:
    return {"actor": f"key:{principal.key_id}", "is_owner": False}


def _found(principal: Principal, public_id: str) -> Key:
    """A key of the account that is not revoked. Raises NotFound."""
    key = keys.find(principal.account_id, public_id)
    if key.status == "revoked":
        raise NotFound("There is no such key.")
    return key


def _repeat(principal: Principal, data: bytes) -> Repeat | None:
    """The caller's name for this act, which is one on this address alone."""
    return idempotency.named(principal, f"{request.method} {request.path}\n".encode() + data)


@contextmanager
def _as_bad_request() -> Iterator[None]:
    """What a service refuses, as programs are told it."""
    try:
        yield
    except Refused as refused:
        param = FIELD_NAMES.get(refused.param, refused.param)
        raise BadRequest(refused.message, param=param) from refused


def _whole(key: Key) -> dict[str, Any]:
    formers = rotations.formers_of(key)
    return {
        **key_object(key, key_usage.of(key.id)),
        "former_secrets": [former_object(former) for former in formers],
    }


def _told(new: NewKey, *, is_repeated: bool, status: int = 200) -> Response:
    response = _json({"data": _whole(new.key), "key": new.text}, status=status)
    if is_repeated:
        response.headers["Idempotent-Replayed"] = "true"
    return response


def _json(body: Any, *, status: int = 200) -> Response:
    return Response(
        orjson.dumps(body), status=status, mimetype="application/json", headers=NO_STORE
    )
