"""What the API answers, as schemas. A test holds real answers to them, field by field.

Answers of chats may hold more: fields of a provider that we do not know are passed on.
"""

from collections.abc import Sequence
from typing import Any

from solrouter.blueprints.api.fields import Schema, nullable
from solrouter.blueprints.api.model_objects import PRICE_NAMES, STATUS_OF

TEXT: Schema = {"type": "string"}
WHOLE: Schema = {"type": "integer"}
COUNT: Schema = {"type": "integer", "minimum": 0}
NUMBER: Schema = {"type": "number"}
FLAG: Schema = {"type": "boolean"}
ANYTHING: Schema = {}
NOTHING: Schema = {"type": "null"}
TIME: Schema = {"type": "string", "format": "date-time"}
# Money is exact as text, and a number beside it where clients expect one.
USD: Schema = {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]+)?$"}
CURRENCY: Schema = {"const": "USD"}


def some(schema: Schema) -> Schema:
    """A list of these."""
    return {"type": "array", "items": schema}


def by_name(schema: Schema) -> Schema:
    """An object whose names are data."""
    return {"type": "object", "additionalProperties": schema}


def record(optional: Sequence[str] = (), /, **fields: Schema) -> Schema:
    """An object that has all these fields but the optional ones."""
    required = [name for name in fields if name not in optional]
    return {"type": "object", "required": required, "properties": fields}


def ref(name: str) -> Schema:
    """One of the schemas of the document."""
    return {"$ref": f"#/components/schemas/{name}"}


def error_schema(kind: str, codes: Sequence[str]) -> Schema:
    """An error of one status: its type, and the codes that it mostly has."""
    told = record(
        ("metadata",),
        message=TEXT,
        type={"const": kind},
        code={"type": "string", "examples": list(codes)},
        param=nullable(TEXT),
        metadata={"type": "object"},
    )
    return record(error=told)


USAGE = record(
    prompt_tokens=COUNT,
    completion_tokens=COUNT,
    total_tokens=COUNT,
    prompt_tokens_details=record(cached_tokens=COUNT, cache_write_tokens=COUNT, audio_tokens=COUNT),
    completion_tokens_details=record(reasoning_tokens=COUNT, audio_tokens=COUNT),
    cost={"type": "number", "minimum": 0, "description": "USD, the amount charged"},
    cost_details=record(charge=USD, currency=CURRENCY),
)
FINISH_REASONS = ("stop", "length", "tool_calls", "content_filter", "function_call")
_FUNCTION = record(name=TEXT, arguments=TEXT)
_EXTRA: Schema = {"type": "object"}
_SAID: dict[str, Schema] = {
    "reasoning_content": TEXT,
    "reasoning_details": some({"type": "object"}),
    "images": some({"type": "object"}),
    "annotations": some({"type": "object"}),
    "audio": {"type": "object"},
    "function_call": {"type": "object"},
}
_OF_CALL = ("function", "custom", "extra_content")
_CALL = record(
    _OF_CALL, id=TEXT, type=TEXT, function=_FUNCTION, custom={"type": "object"},
    extra_content=_EXTRA,
)  # fmt: skip
_MESSAGE = record(
    ("tool_calls", *_SAID),
    role={"const": "assistant"},
    content=nullable(TEXT),
    refusal=nullable(TEXT),
    tool_calls=some(_CALL),
    **_SAID,
)
_LOGPROBS = nullable(
    record(("refusal",), content=nullable(some({"type": "object"})),
           refusal=nullable(some({"type": "object"})))
)  # fmt: skip
_CHOICE = record(
    index=COUNT,
    message=_MESSAGE,
    logprobs=_LOGPROBS,
    finish_reason={"enum": list(FINISH_REASONS)},
)
_PIECE_OF_CALL = record(
    ("id", "type", *_OF_CALL),
    index=COUNT,
    id=TEXT,
    type=TEXT,
    function=record(("name", "arguments"), name=TEXT, arguments=TEXT),
    custom={"type": "object"},
    extra_content=_EXTRA,
)
_DELTA = record(
    ("role", "content", "refusal", "tool_calls", *_SAID),
    role={"const": "assistant"},
    content=nullable(TEXT),
    refusal=nullable(TEXT),
    tool_calls=some(_PIECE_OF_CALL),
    **_SAID,
)
_PIECE = record(
    ("logprobs",),
    index=COUNT,
    delta=_DELTA,
    logprobs=_LOGPROBS,
    finish_reason={"enum": [None, *FINISH_REASONS, "error"]},
)
_STAMP: dict[str, Schema] = {"id": TEXT, "created": COUNT, "model": TEXT}
_OFTEN: dict[str, Schema] = {
    "system_fingerprint": nullable(TEXT),
    "service_tier": nullable(TEXT),
    "warnings": some(TEXT),
}

_PRICES: dict[str, Schema] = dict.fromkeys((*PRICE_NAMES, "request"), USD)
_OVERRIDE: dict[str, Schema] = {
    "min_prompt_tokens": COUNT,
    "utc_start": TEXT,
    "utc_end": TEXT,
    "utc_days": some(TEXT),
}
_PRICING = record(
    (*_PRICES, "overrides"),
    **_PRICES,
    overrides=some(record((*_OVERRIDE, *_PRICES), **_OVERRIDE, **_PRICES)),
)
_LIMITS: dict[str, Schema] = {
    "context_length": nullable(COUNT),
    "max_completion_tokens": nullable(COUNT),
}
_MODEL: dict[str, Schema] = {
    "id": TEXT,
    "object": {"const": "model"},
    "created": WHOLE,
    "owned_by": TEXT,
    "name": TEXT,
    "canonical_slug": TEXT,
    "hugging_face_id": NOTHING,
    "alias_target": nullable(TEXT),
    "description": TEXT,
    "context_length": COUNT,
    "architecture": record(
        modality=TEXT,
        input_modalities=some(TEXT),
        output_modalities=some(TEXT),
        tokenizer=TEXT,
        instruct_type=NOTHING,
    ),
    "pricing": _PRICING,
    "top_provider": record(**_LIMITS, is_moderated=FLAG),
    "supported_parameters": some(TEXT),
    "default_parameters": {"type": "object"},
    "per_request_limits": NOTHING,
    "knowledge_cutoff": NOTHING,
    "expiration_date": nullable(TEXT),
    "supported_voices": NOTHING,
    "links": record(details=TEXT),
    "available": FLAG,
    "status": TEXT,
}
_MEDIAN = nullable(record(p50=nullable(NUMBER)))
_ENDPOINT = record(
    name=TEXT,
    model_id=TEXT,
    model_name=TEXT,
    provider_name=TEXT,
    tag=TEXT,
    quantization=NOTHING,
    **_LIMITS,
    max_prompt_tokens=NOTHING,
    pricing=_PRICING,
    supported_parameters=some(TEXT),
    parameter_support=by_name(ANYTHING),
    supports_implicit_caching=FLAG,
    collects_data=nullable(FLAG),
    is_free=FLAG,
    available=FLAG,
    state={"enum": list(STATUS_OF)},
    status={"enum": list(STATUS_OF.values())},
    uptime_last_5m=nullable(NUMBER),
    uptime_last_30m=nullable(NUMBER),
    uptime_last_1d=nullable(NUMBER),
    latency_last_30m=_MEDIAN,
    throughput_last_30m=_MEDIAN,
)

_STEP = record(model=TEXT, provider=TEXT, why=TEXT)
_ESTIMATE = record(
    object={"const": "chat.completion.estimate"},
    model=TEXT,
    provider=TEXT,
    route=some(_STEP),
    skipped=some(_STEP),
    prompt_tokens=record(estimated=COUNT, most=COUNT),
    completion_tokens=record(likely=COUNT, most=COUNT),
    cost=record(least=USD, likely=USD, most=USD, currency=CURRENCY),
    balance=record(available=USD, after_likely=USD, after_most=USD),
    is_affordable=FLAG,
    warnings=some(TEXT),
)
_CREDITS = record(
    balance=USD, available=USD, held=USD, paid=USD, granted=USD, currency=CURRENCY
)  # fmt: skip
_ATTEMPT = record(
    ("why", "ms"), provider=TEXT, model=TEXT, why=TEXT, error=nullable(TEXT), ms=COUNT
)
_RECEIPT: dict[str, Any] = {
    "id": TEXT,
    "status": {"const": "settled"},
    "created_at": TIME,
    "model": TEXT,
    "requested_model": TEXT,
    "provider_name": TEXT,
    "upstream_id": nullable(TEXT),
    "streamed": FLAG,
    "outcome": {"enum": ["finished", "cancelled", "failed", "stopped", "interrupted"]},
    "reason": TEXT,
    "finish_reason": nullable(TEXT),
    "error_code": nullable(TEXT),
    "tokens_prompt": COUNT,
    "tokens_completion": COUNT,
    "usage_classes": by_name(COUNT),
    "usage_source": {"enum": ["upstream", "estimated", "none"]},
    "total_cost": NUMBER,
    "charge": USD,
    "written_off": USD,
    "price": record(
        unit=TEXT,
        rates=nullable(by_name(COUNT)),
        tiers=some({"type": "object"}),
        windows=some({"type": "object"}),
    ),
    "attempts": some(_ATTEMPT),
    "latency": nullable(COUNT),
    "generation_time": nullable(COUNT),
}
_CONTENT = record(
    id=TEXT,
    expires_at=TIME,
    input={"type": "object"},
    output=record(completion={}, reasoning={}, choices=some({"type": "object"})),
    messages_left_out=COUNT,
    is_cut=FLAG,
)
_PENDING = record(id=TEXT, status={"const": "pending"})

ANSWERS: dict[str, Schema] = {
    "Usage": USAGE,
    "ChatCompletion": record(
        tuple(_OFTEN),
        **_STAMP,
        object={"const": "chat.completion"},
        choices=some(_CHOICE),
        usage=ref("Usage"),
        **_OFTEN,
    ),
    "ChatCompletionChunk": record(
        (*_OFTEN, "usage", "error"),
        **_STAMP,
        object={"const": "chat.completion.chunk"},
        choices=some(_PIECE),
        usage={"anyOf": [ref("Usage"), NOTHING]},
        error=record(
            ("metadata",), message=TEXT, type=TEXT, code=TEXT, param=nullable(TEXT),
            metadata={"type": "object"},
        ),
        **_OFTEN,
    ),
    "Estimate": _ESTIMATE,
    "Model": record(**_MODEL),
    "ModelList": record(
        object={"const": "list"},
        data=some(ref("Model")),
        total_count=COUNT,
        links=record(next=nullable(TEXT)),
    ),
    "ModelEndpoints": record(data=record(**_MODEL, endpoints=some(_ENDPOINT))),
    "Credits": record(data=_CREDITS),
    "Generation": record(data={"anyOf": [record(**_RECEIPT), _PENDING]}),
    "GenerationContent": record(data=_CONTENT),
}  # fmt: skip
