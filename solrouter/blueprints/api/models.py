"""GET /models: the catalogue for programs, in OpenAI's keys and OpenRouter's. Public, cacheable.

An answer's tag is made of its bytes, so it changes exactly when they do: with the catalogue, when a
dated price begins, when a provider gets its key. The whole list is large and asked for most, so it
is kept in memory for as long as its snapshot holds.
"""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from typing import Any
from urllib.parse import urlencode

import orjson
from flask import Response, request

from solrouter.blueprints.api import api, authenticate
from solrouter.blueprints.api.model_filters import page
from solrouter.blueprints.api.model_objects import endpoints_object, model_object
from solrouter.clock import utcnow
from solrouter.errors import NotFound
from solrouter.services import catalogue, health
from solrouter.services.catalogue import Snapshot

LIST_AGE_S_MAX = 60
# How offers do changes by the second.
ENDPOINTS_AGE_S_MAX = 5
TAG_CHARACTERS = 32
ENDPOINTS = "/endpoints"


@dataclass(frozen=True, slots=True)
class _Body:
    """A body and its tag."""

    content: bytes
    tag: str

    @classmethod
    def of(cls, value: Any) -> "_Body":
        content = orjson.dumps(value)
        return cls(content, hashlib.sha256(content).hexdigest()[:TAG_CHARACTERS])


class _Kept:
    """The whole list as last written, with the snapshot that it was written from."""

    pair: tuple[Snapshot, _Body] | None = None


@api.get("/models")
def list_models() -> Response:
    """The models that the query asks for; those that cannot be served here say so."""
    authenticate.refuse_wrong_key()
    snapshot = catalogue.fresh()
    body = _whole_list(snapshot) if not request.args else _list(snapshot)
    return _cacheable(body, LIST_AGE_S_MAX, snapshot)


@api.get("/models/<path:model_id>")
def show_model(model_id: str) -> Response:
    """One model; its offers when the path ends in /endpoints."""
    authenticate.refuse_wrong_key()
    wanted = model_id.removesuffix(ENDPOINTS)
    try:
        model = catalogue.find(wanted)
    except NotFound as error:
        error.code = "model_not_found"
        raise
    snapshot = catalogue.current()
    if wanted == model_id:
        return _cacheable(_Body.of(model_object(model)), LIST_AGE_S_MAX, snapshot)
    uptimes = health.uptimes([offer.id for offer in model.offers])
    body = _Body.of({"data": endpoints_object(model, health.conditions(), uptimes)})
    return _cacheable(body, ENDPOINTS_AGE_S_MAX, snapshot)


def _whole_list(snapshot: Snapshot) -> _Body:
    kept = _Kept.pair
    if kept is None or kept[0] is not snapshot:
        kept = _Kept.pair = (snapshot, _list(snapshot))
    return kept[1]


def _list(snapshot: Snapshot) -> _Body:
    everything = [snapshot.models[identifier] for identifier in sorted(snapshot.models)]
    found = page(everything, request.args)
    following = None
    if found.next_offset is not None:
        query = {**request.args.to_dict(flat=False), "offset": [str(found.next_offset)]}
        following = f"{request.path}?{urlencode(query, doseq=True)}"
    return _Body.of(
        {
            "object": "list",
            "data": [model_object(model) for model in found.models],
            "total_count": found.total,
            "links": {"next": following},
        }
    )


def _cacheable(body: _Body, age_s_max: int, snapshot: Snapshot) -> Response:
    """The body, or 304 to whoever has it.

    A cache must never answer for us where a key has to be checked: it keeps what keyless callers
    get, and only for them.
    """
    response = Response(body.content, mimetype="application/json")
    response.set_etag(body.tag)
    response.vary.add("Authorization")
    if "Authorization" in request.headers:
        response.headers["Cache-Control"] = "private, no-cache"
    else:
        response.headers["Cache-Control"] = f"public, max-age={_age_s(age_s_max, snapshot)}"
    response.make_conditional(request)
    return response


def _age_s(age_s_max: int, snapshot: Snapshot) -> int:
    """How long an answer is true: not beyond the beginning of the next price."""
    if snapshot.stale_at is None:
        return age_s_max
    left = (snapshot.stale_at - utcnow()) // timedelta(seconds=1)
    return max(0, min(age_s_max, left))
