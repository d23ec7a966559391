"""A key for programs, in OpenRouter's words and ours; and what they say of one, read.

A name that we do not know is refused and not passed over: it may have been meant as a restriction.
"""

import re
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from solrouter.blueprints.api.fields import (
    FLAG,
    Check,
    Schema,
    checks,
    integer,
    kind,
    moment,
    nullable,
    one_of,
    optional,
    texts,
    usd,
    wrong_type,
)
from solrouter.errors import BadRequest, UnsupportedParameter
from solrouter.money import float_usd
from solrouter.services import key_rules, keys, rotations
from solrouter.services.key_rows import Former
from solrouter.services.key_rules import RATES_MAX, Rules
from solrouter.services.key_usage import KeyUsage
from solrouter.services.keys import Key

NETWORK_CHARACTERS_MAX = 60
FIELD_CHARACTERS_MAX = 60
OFFSET_DIGITS_MAX = 6
OFFSET = re.compile(rf"[0-9]{{1,{OFFSET_DIGITS_MAX}}}")
YES = ("true", "1")
# What a query may ask of the list of keys.
QUERY: Mapping[str, Schema] = {
    "offset": {"type": "integer", "minimum": 0, "maximum": 10**OFFSET_DIGITS_MAX - 1},
    "include_disabled": {"enum": list(YES)},
}
# The rules know which scopes there are, and tell so themselves.
SCOPES = Check(
    texts(len(key_rules.SCOPES), FIELD_CHARACTERS_MAX),
    {
        "type": "array",
        "items": {"enum": list(key_rules.SCOPES)},
        "minItems": 1,
        "maxItems": len(key_rules.SCOPES),
    },
)
RULES: Mapping[str, Check] = {
    "scopes": SCOPES,
    "models_allowed": texts(key_rules.MODELS_ALLOWED_MAX, key_rules.MODEL_CHARACTERS_MAX),
    "networks_allowed": texts(key_rules.NETWORKS_ALLOWED_MAX, NETWORK_CHARACTERS_MAX),
    **{name: integer(0, most) for name, most in RATES_MAX.items()},
    "expires_at": moment,
}
# What each span is called, here and in a key's usage.
SPANS = {
    "usage": "all",
    "usage_daily": "day",
    "usage_weekly": "week",
    "usage_monthly": "month",
}


@checks({"const": False})
def _no_byok(name: str, value: Any) -> Any:
    if FLAG(name, value):
        raise UnsupportedParameter(
            f"'{name}' has no meaning here: no requests run on keys of your own.", param=name
        )
    return value


# What may be said of a key when it is made, of one that there is, and when it is rotated.
TERMS: Mapping[str, Check] = {
    "name": kind(str, "a string"),
    "limit": usd,
    "limit_reset": one_of(*keys.RESETS),
    "include_byok_in_limit": _no_byok,
    **RULES,
}
CHANGES: Mapping[str, Check] = {**TERMS, "disabled": FLAG}
ROTATION: Mapping[str, Check] = {"overlap_s": integer(0, rotations.OVERLAP_S_MAX)}
# No key is without these. Elsewhere null lifts what was said.
LASTING = ("name", "scopes")


def described(terms: Mapping[str, Check]) -> dict[str, Schema]:
    """The schemas of what may be said of a key, with null where it is absence or lifts a rule."""
    return {
        name: check.schema if name in LASTING else nullable(check.schema)
        for name, check in terms.items()
    }


def key_object(key: Key, usage: KeyUsage) -> dict[str, Any]:
    """A key for programs."""
    left = key.left_nanos
    return {
        "hash": key.public_id,
        "label": key.hint,
        "name": key.name,
        "disabled": key.is_disabled,
        "status": key.status,
        "limit": None if key.limit_nanos is None else float_usd(key.limit_nanos),
        "limit_remaining": None if left is None else float_usd(left),
        "limit_reset": None if key.resets_at is None else key.resets,
        "limit_resets_at": _iso(key.resets_at),
        **_usage(usage),
        "scopes": list(key.rules.scopes),
        "models_allowed": _list(key.rules.models_allowed),
        "networks_allowed": _list(key.rules.networks_allowed),
        **{name: getattr(key.rules, name) for name in RATES_MAX},
        "created_at": key.created_at.isoformat(),
        "updated_at": key.updated_at.isoformat(),
        "expires_at": _iso(key.rules.expires_at),
        "last_used_at": _iso(key.last_used_at),
        "last_used_address": key.last_used_address,
    }


def former_object(former: Former) -> dict[str, Any]:
    """A former secret that still works, for programs."""
    return {
        "label": former.hint,
        "replaced_at": former.replaced_at.isoformat(),
        "ends_at": former.ends_at.isoformat(),
        "last_used_at": _iso(former.last_used_at),
    }


def parse_query(query: Mapping[str, str]) -> dict[str, Any]:
    """Which keys a query asks for, as `keys.page` takes it. Raises BadRequest."""
    offset = query.get("offset", "0")
    if not OFFSET.fullmatch(offset):
        raise BadRequest("'offset' is a number of keys to pass over.", param="offset")
    with_disabled = query.get("include_disabled", "").lower() in YES
    return {"offset": int(offset), "with_disabled": with_disabled}


def parse_terms(body: Mapping[str, Any]) -> dict[str, Any]:
    """The terms of a new key, as `keys.create` takes them.

    Raises BadRequest and UnsupportedParameter.
    """
    refuse_unknown(body, TERMS)
    optional(body, "include_byok_in_limit", _no_byok)
    limit = _limit(body)
    if limit.get("limit_nanos") is None:
        _refuse_resets(limit)
    return {"name": _name(body), **limit, "rules": Rules(**_rules(body))}


def parse_wishes(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is to become of a key, as `keys.change` takes it: what the body names, and no more.

    Raises BadRequest and UnsupportedParameter.
    """
    refuse_unknown(body, CHANGES)
    optional(body, "include_byok_in_limit", _no_byok)
    limit = _limit(body)
    if "limit_nanos" in limit and limit["limit_nanos"] is None:
        _refuse_resets(limit)
    name = {"name": _name(body)} if "name" in body else {}
    is_disabled = optional(body, "disabled", CHANGES["disabled"])
    switch = {} if is_disabled is None else {"is_disabled": is_disabled}
    return {**name, **limit, "rules": _rules(body), **switch}


def refuse_unknown(body: Mapping[str, Any], known: Collection[str]) -> None:
    """Raises UnsupportedParameter for the first field that is not known."""
    for name in body:
        if name not in known:
            shown = name[:FIELD_CHARACTERS_MAX]
            raise UnsupportedParameter(f"'{shown}' is not known here.", param=shown)


def _name(body: Mapping[str, Any]) -> Any:
    if body.get("name") is None:
        raise BadRequest("Give the key a 'name'.", code="missing_parameter", param="name")
    return TERMS["name"]("name", body["name"])


def _limit(body: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the limit."""
    named: dict[str, Any] = {}
    if "limit" in body:
        named["limit_nanos"] = optional(body, "limit", usd)
    if "limit_reset" in body:
        resets = optional(body, "limit_reset", TERMS["limit_reset"])
        named["resets"] = resets or keys.RESETS[0]
    return named


def _refuse_resets(limit: Mapping[str, Any]) -> None:
    if limit.get("resets", keys.RESETS[0]) != keys.RESETS[0]:
        raise BadRequest("A 'limit_reset' needs a 'limit'.", param="limit_reset")


def _rules(body: Mapping[str, Any]) -> dict[str, Any]:
    """The rules that are named."""
    given = {name: optional(body, name, check) for name, check in RULES.items() if name in body}
    if "scopes" in given and given["scopes"] is None:
        raise wrong_type("scopes", "a list of strings")
    return given


def _usage(usage: KeyUsage) -> dict[str, Any]:
    return {
        **{name: float_usd(getattr(usage, span).nanos) for name, span in SPANS.items()},
        # No request runs on a key of the caller's own at a provider.
        "include_byok_in_limit": False,
        **{f"byok_{name}": 0 for name in SPANS},
    }


def _list(items: tuple[str, ...] | None) -> list[str] | None:
    return None if items is None else list(items)


def _iso(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat()
