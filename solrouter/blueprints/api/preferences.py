"""What a request says of its route and its cost: `models`, `route`, `provider`, `max_cost`,
`strict`.

The words are OpenRouter's. What we do not know of them is told in a warning; where ignoring it
would break a promise of privacy or of price, it is refused.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from solrouter.blueprints.api.fields import (
    AMOUNT,
    AMOUNT_MAX,
    FLAG,
    OBJECT,
    Schema,
    checks,
    one_of,
    optional,
    optional_fields,
    usd,
    wrong_type,
)
from solrouter.chat import NO_PREFERENCES, Preferences
from solrouter.errors import BadRequest, UnsupportedParameter

MODELS_MAX = 8
MODEL_CHARACTERS_MAX = 200
PROVIDERS_NAMED_MAX = 50
PROVIDER_CHARACTERS_MAX = 80
PROVIDER_KEYS_MAX = 50
KEY_CHARACTERS_MAX = 60
SORTS = ("price", "throughput", "latency")
# The price classes that a `max_price` limits, in OpenRouter's words.
PRICE_CLASSES = {
    "prompt": "input",
    "completion": "output",
    "image": "input_image",
    "audio": "input_audio",
}
# Nothing is charged for a request as such, so every limit on that is kept.
FREE_OF_CHARGE = "request"
# Promises that we cannot make yet: whoever asks for one must not be served without it. The values
# listed ask for nothing.
PROMISES: Mapping[str, tuple[Any, ...]] = {
    "zdr": (None, False),
    "enforce_distillable_text": (None, False),
    "quantizations": (None, []),
}
ROUTE = one_of("fallback")
# What most requests say of their route.
NO_WISH: tuple[Preferences, tuple[str, ...]] = (NO_PREFERENCES, ())


@checks({"type": "string", "minLength": 1})
def _model(name: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise wrong_type(name, "a string")
    # Longer is no model's id, and will be said so.
    return value[: MODEL_CHARACTERS_MAX + 1]


# One more than the fallbacks: the first may be the model.
@checks({"type": "array", "items": _model.schema, "maxItems": MODELS_MAX + 1})
def _models(name: str, value: Any) -> list[str]:
    if not isinstance(value, list):
        raise wrong_type(name, "a list of model ids")
    if len(value) > MODELS_MAX + 1:
        raise BadRequest(f"'{name}' has at most {MODELS_MAX} fallbacks.", param=name)
    return [_model(f"{name}[{index}]", item) for index, item in enumerate(value)]


_NAME: Schema = {"type": "string", "minLength": 1, "maxLength": PROVIDER_CHARACTERS_MAX}
_NAMES: Schema = {
    "anyOf": [_NAME, {"type": "array", "items": _NAME, "maxItems": PROVIDERS_NAMED_MAX}]
}
SORT = one_of(*SORTS)
COLLECTION = one_of("allow", "deny")
MODEL, MODELS = _model, _models
# Nothing at all can be had for nothing: a maximum is more.
MAX_COST: Schema = {
    "anyOf": [
        {"type": "number", "exclusiveMinimum": 0, "maximum": AMOUNT_MAX},
        {"type": "string", "pattern": AMOUNT, "not": {"pattern": r"^[0.]+$"}},
    ]
}
# The `provider` object, field by field.
PROVIDER: Schema = {
    "maxProperties": PROVIDER_KEYS_MAX,
    **optional_fields(
        order=_NAMES,
        only=_NAMES,
        ignore=_NAMES,
        allow_fallbacks=FLAG.schema,
        sort={"anyOf": [SORT.schema, optional_fields(by=SORT.schema)]},
        max_price={
            **optional_fields(**dict.fromkeys((*PRICE_CLASSES, FREE_OF_CHARGE), usd.schema)),
            "additionalProperties": {"type": "null"},
        },
        require_parameters=FLAG.schema,
        data_collection=COLLECTION.schema,
        **{name: {"enum": list(harmless)} for name, harmless in PROMISES.items()},
    ),
}


def parse_models(body: Mapping[str, Any]) -> tuple[str, tuple[str, ...]]:
    """The model, and those to fall back to. Raises BadRequest."""
    optional(body, "route", ROUTE)
    listed = optional(body, "models", _models) or []
    model = body.get("model")
    if model is None and listed:
        model = listed[0]
    if model is None:
        raise BadRequest(
            "You must provide a 'model' parameter, such as openai/gpt-4o-mini.",
            code="missing_parameter",
            param="model",
        )
    model = _model("model", model)
    # Each once, in order, and the model itself not again.
    fallbacks = tuple(dict.fromkeys(name for name in listed if name != model))
    if len(fallbacks) > MODELS_MAX:
        raise BadRequest(f"'models' has at most {MODELS_MAX} fallbacks.", param="models")
    return model, fallbacks


def parse_preferences(body: Mapping[str, Any]) -> tuple[Preferences, tuple[str, ...]]:
    """What the caller wants of the route, and what of it we do not know, as warnings.

    Raises BadRequest and UnsupportedParameter.
    """
    wish = optional(body, "provider", OBJECT)
    if not wish:
        return NO_WISH
    if len(wish) > PROVIDER_KEYS_MAX:
        raise BadRequest(f"'provider' has at most {PROVIDER_KEYS_MAX} fields.", param="provider")
    path = "provider."
    for name, harmless in PROMISES.items():
        if wish.get(name) not in harmless:
            raise UnsupportedParameter(
                f"'{path}{name}' is not supported here, and serving you without it would not be "
                "what you asked for. Leave it out.",
                param=path + name,
            )
    sort, warnings = _sort(wish)
    collection = optional(wish, "data_collection", COLLECTION, path=path)
    preferences = Preferences(
        order=_names(wish, "order"),
        only=_names(wish, "only"),
        ignore=_names(wish, "ignore"),
        allow_fallbacks=optional(wish, "allow_fallbacks", FLAG, path=path) is not False,
        sort=sort,
        max_rates=_max_rates(wish),
        require_parameters=bool(optional(wish, "require_parameters", FLAG, path=path)),
        deny_data_collection=collection == "deny",
    )
    return preferences, (*warnings, *_unknown(wish, set(PROVIDER["properties"]), path))


def parse_strict(body: Mapping[str, Any]) -> bool:
    """Whether nothing may be ignored. Raises BadRequest."""
    return bool(optional(body, "strict", FLAG))


def parse_max_cost(body: Mapping[str, Any]) -> int | None:
    """The most that the request may cost, in nanodollars. Raises BadRequest."""
    nanos: int | None = optional(body, "max_cost", usd)
    if nanos == 0:
        raise BadRequest("'max_cost' must be more than 0 USD.", param="max_cost")
    return nanos


def _names(wish: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """The providers that a list names, or a plain text, each once and in lower case."""
    value, path = wish.get(field), f"provider.{field}"
    if value is None:
        return ()
    listed = [value] if isinstance(value, str) else value
    if not isinstance(listed, list):
        raise wrong_type(path, "a list of provider names")
    if len(listed) > PROVIDERS_NAMED_MAX:
        raise BadRequest(f"'{path}' names at most {PROVIDERS_NAMED_MAX} providers.", param=path)
    return tuple(dict.fromkeys(_name(f"{path}[{index}]", v) for index, v in enumerate(listed)))


def _name(path: str, value: Any) -> str:
    if not isinstance(value, str) or not 0 < len(value.strip()) <= PROVIDER_CHARACTERS_MAX:
        raise wrong_type(path, f"a name of 1 to {PROVIDER_CHARACTERS_MAX} characters")
    return value.strip().casefold()


def _sort(wish: Mapping[str, Any]) -> tuple[str | None, Sequence[str]]:
    """What to sort by, as a text or as `{"by": …}`, and warnings."""
    value, path = wish.get("sort"), "provider.sort"
    if value is None:
        return None, ()
    if isinstance(value, str):
        return SORT(path, value), ()
    if not isinstance(value, dict):
        raise wrong_type(path, f"one of {', '.join(SORTS)}")
    # Sorting each model's providers is what `partition: "model"` asks for.
    known = {"by"} if value.get("partition") != "model" else {"by", "partition"}
    by = optional(value, "by", SORT, path=f"{path}.")
    return by, _unknown(value, known, f"{path}.")


def _max_rates(wish: Mapping[str, Any]) -> Mapping[str, int]:
    """Nanodollars per million tokens by price class."""
    path = "provider.max_price"
    value = optional(wish, "max_price", OBJECT, path="provider.") or {}
    for name in value:
        if name not in (*PRICE_CLASSES, FREE_OF_CHARGE) and value[name] is not None:
            raise UnsupportedParameter(
                f"'{path}.{name[:KEY_CHARACTERS_MAX]}' is not supported here: a price can be "
                f"limited for {', '.join(PRICE_CLASSES)}.",
                param=f"{path}.{name[:KEY_CHARACTERS_MAX]}",
            )
    optional(value, FREE_OF_CHARGE, usd, path=f"{path}.")
    rates = {
        price_class: optional(value, name, usd, path=f"{path}.")
        for name, price_class in PRICE_CLASSES.items()
    }
    return {price_class: rate for price_class, rate in rates.items() if rate is not None}


def _unknown(value: Mapping[str, Any], known: set[str], path: str) -> tuple[str, ...]:
    return tuple(
        f"{path}{name[:KEY_CHARACTERS_MAX]}: not known here, and not honoured"
        for name in value
        if name not in known and value[name] is not None
    )
