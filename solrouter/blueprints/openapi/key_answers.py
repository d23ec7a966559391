"""What the API answers of keys, as schemas. Each rule is told as its check takes it."""

from solrouter.blueprints.api.fields import Schema, nullable
from solrouter.blueprints.api.key_objects import RULES, SPANS, TERMS, described
from solrouter.blueprints.openapi.answers import COUNT, FLAG, TEXT, TIME, by_name, record, some
from solrouter.services.key_rows import ACTIVE, DISABLED, EXPIRED, FROZEN
from solrouter.services.keys import RESETS

_SPENT: Schema = {"type": "number", "minimum": 0, "description": "USD"}
_KEY: dict[str, Schema] = {
    "hash": TEXT,
    "label": TEXT,
    "name": TEXT,
    "disabled": FLAG,
    "status": {"enum": [ACTIVE, DISABLED, EXPIRED, FROZEN]},
    "limit": nullable(_SPENT),
    "limit_remaining": nullable(_SPENT),
    # That it never begins anew is told as null.
    "limit_reset": {"enum": [None, *RESETS[1:]]},
    "limit_resets_at": nullable(TIME),
    **dict.fromkeys(SPANS, _SPENT),
    "include_byok_in_limit": TERMS["include_byok_in_limit"].schema,
    **{f"byok_{name}": {"const": 0} for name in SPANS},
    **described(RULES),
    "created_at": TIME,
    "updated_at": TIME,
    "last_used_at": nullable(TIME),
    "last_used_address": nullable(TEXT),
}
_FORMER = record(label=TEXT, replaced_at=TIME, ends_at=TIME, last_used_at=nullable(TIME))
_WHOLE = record(**_KEY, former_secrets=some(_FORMER))
_TEXT_OF_KEY: Schema = {**TEXT, "description": "The key itself, in this answer alone"}

KEY_ANSWERS: dict[str, Schema] = {
    "CurrentKey": record(
        data=record(
            **_KEY,
            is_management_key=FLAG,
            is_provisioning_key=FLAG,
            refused_today=by_name(COUNT),
        )
    ),
    "Key": record(data=_WHOLE),
    "KeyWithText": record(data=_WHOLE, key=_TEXT_OF_KEY),
    "KeyList": record(data=some(record(**_KEY)), total_count=COUNT),
    "KeyDeletion": record(deleted={"const": True}),
}
