"""What a body says of its route and its cost, and what is said of a body that makes no sense."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from solrouter.blueprints.api import preferences
from solrouter.blueprints.api.schemas import parse_chat
from solrouter.chat import ChatRequest, Preferences
from solrouter.errors import BadRequest, UnsupportedParameter

HELLO = [{"role": "user", "content": "Hi"}]
DOLLAR = 1_000_000_000
NINE = [f"m/{n}" for n in range(9)]


def parsed(**fields: Any) -> ChatRequest:
    """The request of a body, as JSON carries it."""
    body = {"model": "acme/tiny", "messages": HELLO, **fields}
    return parse_chat(orjson.loads(orjson.dumps(body)), messages_max=10)


def wish(**fields: Any) -> Preferences:
    return parsed(provider=fields).preferences


def test_without_a_word_of_the_route_nothing_is_asked() -> None:
    request = parsed()
    assert request.preferences == Preferences()
    assert request.fallback_models == ()
    assert request.warnings == ()
    assert request.is_strict is False
    assert request.max_cost_nanos is None
    assert parsed(provider={}, models=[], route=None, transforms=[], strict=None) == request
    assert parsed(provider=dict.fromkeys(preferences.PROVIDER["properties"])) == request


@pytest.mark.parametrize(
    ("fields", "model", "fallbacks"),
    [
        ({"models": ["b/b", "c/c"]}, "acme/tiny", ("b/b", "c/c")),
        ({"models": ["b/b"], "route": "fallback"}, "acme/tiny", ("b/b",)),
        ({"models": ["acme/tiny", "b/b", "b/b"]}, "acme/tiny", ("b/b",)),
        ({"model": None, "models": ["b/b", "c/c"]}, "b/b", ("c/c",)),
        ({"model": None, "models": ["b/b", "c/c", "b/b"]}, "b/b", ("c/c",)),
        ({"model": None, "models": NINE}, "m/0", tuple(NINE[1:])),
        ({"models": ["x" * 300]}, "acme/tiny", ("x" * 201,)),
    ],
)
def test_fallback_models(fields: dict[str, Any], model: str, fallbacks: tuple[str, ...]) -> None:
    request = parsed(**fields)
    assert (request.model, request.fallback_models) == (model, fallbacks)


def test_the_provider_object() -> None:
    assert wish(
        order=["OpenAI", " together ", "openai"],
        only="Azure",
        ignore=["DeepInfra"],
        allow_fallbacks=False,
        sort="latency",
        require_parameters=True,
        data_collection="deny",
    ) == Preferences(
        order=("openai", "together"),
        only=("azure",),
        ignore=("deepinfra",),
        allow_fallbacks=False,
        sort="latency",
        require_parameters=True,
        deny_data_collection=True,
    )
    assert wish(data_collection="allow", sort={"by": "price", "partition": "model"}).sort == "price"


@pytest.mark.parametrize(
    ("max_price", "rates"),
    [
        ({}, {}),
        ({"prompt": 1, "completion": "2.5"}, {"input": DOLLAR, "output": 2_500_000_000}),
        ({"prompt": 0.1}, {"input": 100_000_000}),
        ({"prompt": 1e-9, "image": "0", "audio": None}, {"input": 1, "input_image": 0}),
        ({"audio": "$3", "request": 0}, {"input_audio": 3 * DOLLAR}),
        ({"request": "0.01"}, {}),
    ],
)
def test_max_price_is_read_exactly(max_price: dict[str, Any], rates: dict[str, int]) -> None:
    assert wish(max_price=max_price).max_rates == rates


@pytest.mark.parametrize(
    ("max_cost", "nanos"),
    [
        (1, DOLLAR),
        ("0.000000001", 1),
        (0.1, 100_000_000),
        # Finer than a nanodollar: nobody should wonder which way it was rounded.
        (0.30000000000000004, None),
        ("1.5", 1_500_000_000),
    ],
)
def test_max_cost_is_read_exactly(max_cost: Any, nanos: int | None) -> None:
    if nanos is None:
        with pytest.raises(BadRequest):
            parsed(max_cost=max_cost)
    else:
        assert parsed(max_cost=max_cost).max_cost_nanos == nanos


def test_what_is_not_known_is_told() -> None:
    request = parsed(
        provider={
            "preferred_min_throughput": 50,
            "zdr": False,
            "quantizations": [],
            "enforce_distillable_text": None,
            "sort": {"by": "price", "partition": "none"},
            "x" * 100: 1,
            "nothing": None,
        },
        strict=True,
    )
    assert request.warnings == (
        "provider.sort.partition: not known here, and not honoured",
        "provider.preferred_min_throughput: not known here, and not honoured",
        f"provider.{'x' * 60}: not known here, and not honoured",
    )
    assert request.is_strict


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"zdr": True}, "provider.zdr"),
        ({"zdr": "yes"}, "provider.zdr"),
        ({"enforce_distillable_text": True}, "provider.enforce_distillable_text"),
        ({"quantizations": ["fp8"]}, "provider.quantizations"),
        ({"max_price": {"web_search": 1}}, "provider.max_price.web_search"),
    ],
)
def test_what_would_break_a_promise_is_refused(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(UnsupportedParameter) as caught:
        wish(**fields)
    assert caught.value.param == param


MISTAKES = [
    ({"model": None}, "model"),
    ({"model": 7}, "model"),
    ({"model": ""}, "model"),
    ({"models": "b/b"}, "models"),
    ({"models": [7]}, "models[0]"),
    ({"models": ["b/b", ""]}, "models[1]"),
    ({"models": NINE}, "models"),
    ({"models": ["b/b"] * 10}, "models"),
    ({"route": "sort"}, "route"),
    ({"route": ["fallback"]}, "route"),
    ({"transforms": ["middle-out"]}, "transforms"),
    ({"strict": "true"}, "strict"),
    ({"max_cost": 0}, "max_cost"),
    ({"max_cost": -1}, "max_cost"),
    ({"max_cost": True}, "max_cost"),
    ({"max_cost": "a dollar"}, "max_cost"),
    ({"max_cost": "NaN"}, "max_cost"),
    ({"max_cost": "1e999999999"}, "max_cost"),
    ({"max_cost": 1e300}, "max_cost"),
    ({"max_cost": "9" * 1000}, "max_cost"),
    ({"max_cost": [1]}, "max_cost"),
    ({"provider": "openai"}, "provider"),
    ({"provider": ["openai"]}, "provider"),
    ({"provider": {str(n): n for n in range(51)}}, "provider"),
    ({"provider": {"order": 7}}, "provider.order"),
    ({"provider": {"order": {"a": 1}}}, "provider.order"),
    ({"provider": {"order": ["a", 7]}}, "provider.order[1]"),
    ({"provider": {"only": [" "]}}, "provider.only[0]"),
    ({"provider": {"only": ""}}, "provider.only[0]"),
    ({"provider": {"ignore": ["x" * 81]}}, "provider.ignore[0]"),
    ({"provider": {"ignore": ["x"] * 51}}, "provider.ignore"),
    ({"provider": {"allow_fallbacks": "no"}}, "provider.allow_fallbacks"),
    ({"provider": {"require_parameters": 1}}, "provider.require_parameters"),
    ({"provider": {"data_collection": "maybe"}}, "provider.data_collection"),
    ({"provider": {"data_collection": False}}, "provider.data_collection"),
    ({"provider": {"sort": "cheap"}}, "provider.sort"),
    ({"provider": {"sort": 1}}, "provider.sort"),
    ({"provider": {"sort": {"by": "cheap"}}}, "provider.sort.by"),
    ({"provider": {"max_price": 1}}, "provider.max_price"),
    ({"provider": {"max_price": {"prompt": "x"}}}, "provider.max_price.prompt"),
    ({"provider": {"max_price": {"prompt": -1}}}, "provider.max_price.prompt"),
    ({"provider": {"max_price": {"completion": 1e-10}}}, "provider.max_price.completion"),
    ({"provider": {"max_price": {"request": -1}}}, "provider.max_price.request"),
    ({"provider": {"max_price": {"image": False}}}, "provider.max_price.image"),
]


@pytest.mark.parametrize(("fields", "param"), MISTAKES, ids=[str(n) for n in range(len(MISTAKES))])
def test_a_mistake_is_named_by_its_path(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(BadRequest) as caught:
        parsed(**fields)
    assert caught.value.param == param
    assert param.partition("[")[0] in caught.value.message


WORDS = ("fallback", "price", "deny", "1.5", "acme/tiny")
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False)
    | st.text("ab1.e-$\x00ß", max_size=9)
    | st.sampled_from(WORDS)
)
anything = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(("by", "prompt", "request", "x")), inner, max_size=3)
    ),
    max_leaves=5,
)
routes = st.fixed_dictionaries(
    {},
    optional={
        "models": anything,
        "route": anything,
        "strict": anything,
        "max_cost": anything,
        "provider": anything
        | st.dictionaries(
            st.sampled_from((*preferences.PROVIDER["properties"], *preferences.PROMISES, "more")),
            anything,
        ),
    },
)


@given(routes)
def test_any_json_is_parsed_or_refused_by_name(fields: dict[str, Any]) -> None:
    fields = orjson.loads(orjson.dumps(fields))
    try:
        request = parsed(**fields)
    except BadRequest as error:
        root = (error.param or "").partition(".")[0].partition("[")[0]
        assert root in fields
    else:
        assert len(request.fallback_models) <= preferences.MODELS_MAX
        assert request.max_cost_nanos is None or request.max_cost_nanos > 0
        assert all(type(rate) is int for rate in request.preferences.max_rates.values())
