"""The operations of the public API: one row for each path and method. A test holds the routes to
it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from solrouter.blueprints.api import explain, idempotency, key_objects, keys, model_filters
from solrouter.blueprints.api.fields import Schema
from solrouter.services import rotations
from solrouter.services.key_rules import INFERENCE, MANAGE, READ
from solrouter.services.repeats import KEY_CHARACTERS_MAX

JSON, EVENTS = "application/json", "text/event-stream"
# Whoever needs a key can meet these; whoever sends a chat request the next, too.
OF_KEYS = (401, 403, 429, 500, 503)
OF_BODIES = (400, 413, 415)
OF_CHATS = (402, 409, 502)

Parameter = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """What one method of one path does: `answers` are schemas by media type, `body` is one too."""

    method: str
    path: str
    name: str
    summary: str
    answer: str
    answers: Mapping[str, str]
    errors: tuple[int, ...] = OF_KEYS
    parameters: tuple[Parameter, ...] = ()
    body: str | None = None
    needs_body: bool = True
    status: int = 200
    # Any one of them will do.
    scopes: tuple[str, ...] = ()
    is_public: bool = False


def _parameter(
    where: str, name: str, schema: Schema, words: str = "", *, required: bool = False
) -> Parameter:
    told = {"in": where, "name": name, "schema": schema, "required": required}
    return {**told, "description": words} if words else told


TEXT: Schema = {"type": "string"}
EXPLAINS = _parameter(
    "header", explain.EXPLAIN, {"enum": sorted(explain.YES)}, f"Tell the way in {explain.ROUTE}."
)
REPEATS = _parameter(
    "header",
    idempotency.HEADER,
    {"type": "string", "minLength": 1, "maxLength": KEY_CHARACTERS_MAX},
    "Your own name of the request: sent again with the same body, it is done once.",
)
MODEL_ID = (
    _parameter("path", "author", TEXT, required=True),
    _parameter("path", "name", TEXT, required=True),
)
HASH = _parameter("path", "hash", TEXT, "The `hash` of the key, not its text.", required=True)
OF_ANSWER = _parameter("query", "id", TEXT, "The `id` of the answer.", required=True)

OPERATIONS = (
    Operation(
        "post",
        "/chat/completions",
        "createChatCompletion",
        "Answers a conversation, whole or as a stream",
        "The answer. In a stream each `data:` line is one chunk, and the last one is `[DONE]`.",
        {JSON: "ChatCompletion", EVENTS: "ChatCompletionChunk"},
        errors=(*OF_BODIES, *OF_KEYS, *OF_CHATS),
        parameters=(REPEATS, EXPLAINS),
        body="ChatCompletionRequest",
        scopes=(INFERENCE,),
    ),
    Operation(
        "post",
        "/estimate",
        "createEstimate",
        "Says who would serve a request and what it may cost, without sending it",
        "The estimate",
        {JSON: "Estimate"},
        errors=(*OF_BODIES, *OF_KEYS),
        body="ChatCompletionRequest",
        scopes=(INFERENCE,),
    ),
    Operation(
        "get",
        "/models",
        "listModels",
        "Lists the models with their prices",
        "The models that the query asks for",
        {JSON: "ModelList"},
        errors=(400, *OF_KEYS),
        parameters=tuple(
            _parameter("query", name, schema) for name, schema in model_filters.QUERY.items()
        ),
        is_public=True,
    ),
    Operation(
        "get",
        "/models/{author}/{name}",
        "showModel",
        "One model",
        "The model",
        {JSON: "Model"},
        errors=(404, *OF_KEYS),
        parameters=MODEL_ID,
        is_public=True,
    ),
    Operation(
        "get",
        "/models/{author}/{name}/endpoints",
        "listEndpoints",
        "A model's offers, and how each is doing",
        "The model with its offers",
        {JSON: "ModelEndpoints"},
        errors=(404, *OF_KEYS),
        parameters=MODEL_ID,
        is_public=True,
    ),
    Operation(
        "get",
        "/key",
        "showKey",
        "The key that asks",
        "Its name, its limit and what is left of it",
        {JSON: "CurrentKey"},
    ),
    Operation(
        "get",
        "/keys",
        "listKeys",
        "Lists the account's keys, in the order in which they were made",
        f"At most {keys.KEYS_PER_PAGE} keys, and how many there are",
        {JSON: "KeyList"},
        errors=(400, *OF_KEYS),
        parameters=tuple(
            _parameter("query", name, schema) for name, schema in key_objects.QUERY.items()
        ),
        scopes=(MANAGE,),
    ),
    Operation(
        "post",
        "/keys",
        "createKey",
        "Makes a key",
        "The key with its text, which is in no other answer",
        {JSON: "KeyWithText"},
        errors=(*OF_BODIES, *OF_KEYS, 409),
        parameters=(REPEATS,),
        body="KeyCreation",
        status=keys.CREATED,
        scopes=(MANAGE,),
    ),
    Operation(
        "get",
        "/keys/{hash}",
        "showOneKey",
        "One key",
        "The key, and its former secrets that still work",
        {JSON: "Key"},
        errors=(404, *OF_KEYS),
        parameters=(HASH,),
        scopes=(MANAGE,),
    ),
    Operation(
        "patch",
        "/keys/{hash}",
        "changeKey",
        "Changes what the body names, from the next request on",
        "The key as it is now",
        {JSON: "Key"},
        errors=(*OF_BODIES, *OF_KEYS, 404),
        parameters=(HASH,),
        body="KeyChange",
        scopes=(MANAGE,),
    ),
    Operation(
        "delete",
        "/keys/{hash}",
        "deleteKey",
        "Revokes a key for good",
        "It is revoked",
        {JSON: "KeyDeletion"},
        errors=(404, *OF_KEYS),
        parameters=(HASH,),
        scopes=(MANAGE,),
    ),
    Operation(
        "post",
        "/keys/{hash}/rotate",
        "rotateKey",
        "Gives a key a new text; the former one works as long as the body says, or for "
        f"{rotations.OVERLAP_S} seconds",
        "The key with its new text, which is in no other answer",
        {JSON: "KeyWithText"},
        errors=(*OF_BODIES, *OF_KEYS, 404, 409),
        parameters=(HASH, REPEATS),
        body="KeyRotation",
        needs_body=False,
        scopes=(MANAGE,),
    ),
    Operation(
        "get",
        "/credits",
        "showCredits",
        "The account's balance, exactly",
        "The balance in USD",
        {JSON: "Credits"},
    ),
    Operation(
        "get",
        "/generation",
        "showGeneration",
        "One receipt, by the id of its answer",
        "The receipt; only its status while the request runs",
        {JSON: "Generation"},
        errors=(400, 404, *OF_KEYS),
        parameters=(OF_ANSWER,),
        scopes=(INFERENCE, READ),
    ),
    Operation(
        "get",
        "/generation/content",
        "showGenerationContent",
        "The prompt and the answer of a request of this key, where the account has them kept",
        "What is kept",
        {JSON: "GenerationContent"},
        errors=(400, 404, *OF_KEYS),
        parameters=(OF_ANSWER,),
        scopes=(INFERENCE, READ),
    ),
)
