"""Which offer first: by table, and by properties that hold for any offers and any wishes."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solrouter.chat import Preferences
from solrouter.services import routing
from solrouter.services.pricing import OUTPUT_CLASSES, TEXT_INPUT_CLASSES, PriceCard
from solrouter.services.routing import COOLING, HEALTHY, PROBING, Condition, Offer, Ranking

AT = datetime(2026, 11, 24, 12, tzinfo=UTC)
LONG_AGO = AT - timedelta(days=30)
DOLLAR = 1_000_000_000
DOWN = Condition(state=COOLING)
DUE = Condition(state=PROBING)


def card(rates: dict[str, int], **more: Any) -> PriceCard:
    return PriceCard(id=1, effective_at=more.pop("effective_at", LONG_AGO), rates=rates, **more)


def offer(
    number: int,
    slug: str,
    *,
    usd: tuple[int, int] = (1, 2),
    sale: PriceCard | None = None,
    **more: Any,
) -> Offer:
    sale = sale or card({"input": usd[0] * DOLLAR, "output": usd[1] * DOLLAR})
    plain = Offer(
        id=number,
        model_id="acme/tiny",
        provider_slug=slug,
        provider_name=f"{slug.title()} Inc.",
        kind="openai",
        upstream_model="tiny-1",
        is_available=True,
        is_free=False,
        weight=1,
        bills_after_cancel=False,
        sale=sale,
        cost=sale,
    )
    return replace(plain, **more)


A = offer(1, "alfa", usd=(1, 2))
B = offer(2, "beta", usd=(2, 4))
C = offer(3, "coda", usd=(1, 2))
HEAVY = offer(4, "hulk", usd=(3, 6), weight=5)
FREE = offer(5, "free", usd=(0, 0), is_free=True)


FAILING = Condition(error_rate=0.2)
MEASURED = {
    1: Condition(tokens_per_s=50, first_content_ms=900),
    2: Condition(tokens_per_s=200, first_content_ms=100),
}
# What happens, the offers, what the call says beside them, and the ranking as it is explained.
TABLE: list[tuple[str, tuple[Offer, ...], dict[str, Any], str]] = [
    ("nothing", (), {}, "nobody"),
    ("a single one", (A,), {}, "alfa (single)"),
    ("the cheaper first, the dearer not at all", (B, A), {}, "alfa (single); not beta (dearer)"),
    ("of equals the older", (C, A), {}, "alfa (tie) > coda (tie)"),
    ("of equals the healthier", (A, C), {"health": {1: FAILING}}, "coda (health) > alfa (health)"),
    ("the operator's weight before the price", (A, HEAVY), {}, "hulk (weight) > alfa (weight)"),
    (
        "sorted by price in spite of the weight",
        (A, HEAVY),
        {"sort": "price"},
        "alfa (single); not hulk (dearer)",
    ),
    (
        "the fastest first, then who costs no more",
        (A, B, C),
        {"sort": "throughput", "health": MEASURED},
        "beta (throughput) > alfa (throughput) > coda (throughput)",
    ),
    (
        "the quickest first, the unmeasured last",
        (C, A, B),
        {"sort": "latency", "health": MEASURED},
        "beta (latency) > alfa (latency) > coda (latency)",
    ),
    (
        "the caller's order, dearer or not",
        (A, B, HEAVY),
        {"order": ("hulk", "beta")},
        "hulk (order) > beta (order) > alfa (order)",
    ),
    (
        "an order names slugs or names in any case",
        (A, B),
        {"order": ("BETA inc.",)},
        "beta (order) > alfa (order)",
    ),
    (
        "an order of unknown names changes nothing",
        (A, C),
        {"order": ("nobody",)},
        "alfa (tie) > coda (tie)",
    ),
    (
        "only",
        (A, B, C),
        {"only": ("beta", "alfa")},
        "alfa (price) > beta (price); not coda (not in only)",
    ),
    ("ignored", (A, C), {"ignore": ("alfa",)}, "coda (single); not alfa (ignored)"),
    (
        "an order without fallbacks",
        (A, B, C),
        {"order": ("beta", "coda"), "allow_fallbacks": False},
        "beta (order) > coda (order); not alfa (no fallbacks)",
    ),
    (
        "an order without fallbacks that nobody fits",
        (A,),
        {"order": ("beta",), "allow_fallbacks": False},
        "nobody; not alfa (no fallbacks)",
    ),
    ("no fallbacks", (A, C), {"allow_fallbacks": False}, "alfa (single); not coda (no fallbacks)"),
    (
        "no fallbacks, even if it is down",
        (A, C),
        {"allow_fallbacks": False, "health": {1: DOWN}},
        "alfa (cooling); not coda (no fallbacks)",
    ),
    ("no key", (replace(A, is_available=False), B), {}, "beta (single); not alfa (no key)"),
    (
        "not priced yet",
        (replace(A, sale=card({}, effective_at=AT + timedelta(days=1))),),
        {},
        "nobody; not alfa (not priced yet)",
    ),
    (
        "keeps data",
        (replace(A, collects_data=True), B),
        {"deny_data_collection": True},
        "beta (single); not alfa (keeps data)",
    ),
    ("free only", (A, FREE), {"free_only": True}, "free (single); not alfa (not free)"),
    (
        "free never becomes paid",
        (A, FREE),
        {"health": {5: DOWN}},
        "free (cooling); not alfa (dearer)",
    ),
    (
        "lacks parameters",
        (replace(A, parameters=frozenset(("tools",))),),
        {
            "require_parameters": True,
            "parameters": frozenset(("tools", "seed", "top_k", "messages")),
        },
        "nobody; not alfa (lacks parameters: seed, top_k)",
    ),
    (
        "an older spelling is another parameter",
        (replace(A, parameters=frozenset(("tools", "reasoning_effort"))),),
        {"require_parameters": True, "parameters": frozenset(("functions", "reasoning_effort"))},
        "nobody; not alfa (lacks parameters: functions)",
    ),
    (
        "unknown parameters are the model's",
        (A,),
        {"require_parameters": True, "parameters": frozenset(("seed",))},
        "alfa (single)",
    ),
    (
        "above max_price",
        (A, B),
        {"max_rates": {"input": DOLLAR}},
        "alfa (single); not beta (above max_price)",
    ),
    (
        "within max_price, so a dearer fallback is allowed",
        (A, B),
        {"max_rates": {"input": 2 * DOLLAR, "output": 4 * DOLLAR}},
        "alfa (price) > beta (price)",
    ),
    (
        "a class that max_price does not name may not be dearer",
        (A, B),
        {"max_rates": {"input": 2 * DOLLAR}},
        "alfa (single); not beta (dearer)",
    ),
    (
        "prompt too long",
        (replace(A, context_tokens=10), B),
        {"prompt_tokens": 11},
        "beta (single); not alfa (prompt too long)",
    ),
    (
        "a prompt that is only bounded may fit",
        (replace(A, context_tokens=10),),
        {"prompt_bound": 11},
        "alfa (single)",
    ),
    ("prompt just fits", (replace(A, context_tokens=10),), {"prompt_tokens": 10}, "alfa (single)"),
    (
        "an outage moves nobody to a dearer one",
        (A, B),
        {"health": {1: DOWN}},
        "alfa (cooling); not beta (dearer)",
    ),
    (
        "an outage moves to one that costs no more",
        (A, C),
        {"health": {1: DOWN}},
        "coda (health) > alfa (cooling)",
    ),
    (
        "those who cool down keep their order at the end",
        (A, B, C),
        {"order": ("beta", "alfa"), "health": {2: DOWN, 1: DOWN}},
        "coda (health) > beta (cooling) > alfa (cooling)",
    ),
    (
        "one that is due for a probe keeps its place",
        (A, C),
        {"health": {1: DUE}},
        "alfa (cooling) > coda (tie)",
    ),
]
WISHES = frozenset(Preferences.__dataclass_fields__)


@pytest.mark.parametrize(
    ("offers", "arguments", "explained"),
    [row[1:] for row in TABLE],
    ids=[row[0].replace(" ", "-") for row in TABLE],
)
def test_offers_are_ranked(
    offers: tuple[Offer, ...], arguments: dict[str, Any], explained: str
) -> None:
    wish = {name: value for name, value in arguments.items() if name in WISHES}
    other = {name: value for name, value in arguments.items() if name not in WISHES}
    ranking = routing.rank(offers, at=AT, preferences=Preferences(**wish), **other)
    assert routing.explain(ranking) == explained


PLAIN = card({"input": 10, "output": 10})
LOW = card({"input": 2, "output": 2})
CHEAP_CACHE = card({"input": 10, "output": 10, "cache_read": 1})
STEPS = card({"input": 1, "output": 1}, tiers=({"above_input_tokens": 100, "rates": {"input": 9}},))
NIGHTLY = card(
    {"input": 1, "output": 1},
    windows=({"utc_start": "11:00", "utc_end": "13:00", "rates": {"output": 9}},),
)


@pytest.mark.parametrize(
    ("first", "other", "prompt_bound", "is_dearer"),
    [
        (PLAIN, card({"input": 9, "output": 11}), 0, True),
        (PLAIN, PLAIN, 0, False),
        # Nobody can count on another provider's cache, nor must pay more than plain input for it.
        (CHEAP_CACHE, card({"input": 10, "output": 10}), 0, False),
        (CHEAP_CACHE, card({"input": 10, "output": 10, "cache_read": 11}), 0, True),
        # Writing into a cache is something that any text request may cause.
        (PLAIN, card({"input": 10, "output": 10, "cache_write_5m": 12}), 0, True),
        (LOW, STEPS, 0, False),
        (LOW, STEPS, 100, False),
        (LOW, STEPS, 101, True),
        (STEPS, card({"input": 5, "output": 1}), 1000, True),
        (LOW, NIGHTLY, 0, True),
    ],
)
def test_a_dearer_fallback_is_known_by_each_rate_and_size(
    first: PriceCard, other: PriceCard, prompt_bound: int, is_dearer: bool
) -> None:
    offers = (offer(1, "alfa", sale=first, weight=2), offer(2, "beta", sale=other))
    ranking = routing.rank(offers, at=AT, prompt_bound=prompt_bound)
    assert [entry.why for entry in ranking.skipped] == (["dearer"] if is_dearer else [])


@pytest.mark.parametrize(
    ("model_id", "base", "variant"),
    [
        ("acme/tiny", "acme/tiny", None),
        ("acme/tiny:nitro", "acme/tiny", "nitro"),
        ("acme/tiny:floor", "acme/tiny", "floor"),
        ("acme/tiny:free", "acme/tiny", "free"),
        ("acme/tiny:online", "acme/tiny:online", None),
        (":free", ":free", None),
        ("acme/tiny:", "acme/tiny:", None),
        ("acme/tiny:v1:free", "acme/tiny:v1", "free"),
    ],
)
def test_a_variant_is_split_from_the_id(model_id: str, base: str, variant: str | None) -> None:
    assert routing.variant(model_id) == (base, variant)


def test_a_variant_goes_before_the_sort() -> None:
    wish = Preferences(order=("alfa",), sort="latency")
    assert routing.with_variant(wish, None) is wish
    assert routing.with_variant(wish, "nitro") == replace(wish, sort="throughput")
    assert routing.with_variant(wish, "floor") == replace(wish, sort="price")
    assert routing.with_variant(wish, "free") == replace(wish, free_only=True)


def test_a_route_is_explained_in_one_line() -> None:
    assert routing.explain(routing.rank((A, B, C), at=AT)) == (
        "alfa (tie) > coda (tie); not beta (dearer)"
    )
    assert routing.explain(Ranking((), ())) == "nobody"
    two_models = routing.rank((A, replace(C, model_id="acme/größer\n")), at=AT)
    assert routing.explain(two_models) == "alfa acme/tiny (tie) > coda acme/gr??er? (tie)"


def test_a_long_route_still_fits_a_header() -> None:
    many = tuple(offer(number, f"provider-{number:03}") for number in range(100))
    line = routing.explain(routing.rank(many, at=AT))
    assert len(line) == 1000
    assert line.endswith("...")


slugs = st.sampled_from(("alfa", "beta", "coda", "dune", "echo"))
rates = st.fixed_dictionaries(
    {"input": st.integers(0, 5), "output": st.integers(0, 5)},
    optional={"cache_read": st.integers(0, 5), "cache_write_5m": st.integers(0, 6)},
)
tiers = st.lists(
    st.fixed_dictionaries({"above_input_tokens": st.sampled_from((10, 100)), "rates": rates}),
    max_size=1,
)
some_offers = st.lists(
    st.builds(
        lambda slug, rates, tiers, **more: offer(
            0, slug, sale=card(rates, tiers=tuple(tiers)), **more
        ),
        slugs,
        rates,
        tiers,
        weight=st.integers(1, 2),
        is_available=st.integers(0, 9).map(bool),
        is_free=st.booleans(),
        collects_data=st.booleans(),
    ),
    max_size=6,
).map(lambda made: tuple(replace(each, id=number) for number, each in enumerate(made, 1)))
names = st.lists(slugs, max_size=3, unique=True).map(tuple)
wishes = st.builds(
    Preferences,
    order=names,
    only=names,
    ignore=names,
    allow_fallbacks=st.integers(0, 3).map(bool),
    sort=st.sampled_from((None, "price", "throughput", "latency")),
    max_rates=st.dictionaries(st.sampled_from(("input", "output")), st.integers(0, 6)),
    deny_data_collection=st.booleans(),
    free_only=st.integers(0, 3).map(lambda n: n == 0),
)
conditions = st.dictionaries(
    st.integers(1, 6),
    st.builds(
        Condition,
        state=st.sampled_from((HEALTHY, COOLING, PROBING)),
        error_rate=st.floats(0, 1),
        tokens_per_s=st.none() | st.floats(1, 100),
        first_content_ms=st.none() | st.floats(1, 100),
    ),
)


@given(some_offers, wishes, conditions, st.sampled_from((0, 10, 50, 1000)))
def test_what_holds_for_every_ranking(
    offers: tuple[Offer, ...], wish: Preferences, health: dict[int, Condition], prompt: int
) -> None:
    def rank(health: dict[int, Condition]) -> Ranking:
        return routing.rank(offers, at=AT, preferences=wish, health=health, prompt_bound=prompt)

    ranking = rank(health)
    chosen = [choice.offer for choice in ranking.choices]
    skipped = [entry.offer for entry in ranking.skipped]
    assert sorted(each.id for each in chosen + skipped) == [each.id for each in offers]
    assert all(each.is_available for each in chosen)
    assert not {each.provider_slug for each in chosen} & set(wish.ignore)
    assert not wish.only or {each.provider_slug for each in chosen} <= set(wish.only)
    assert not (wish.free_only and not all(each.is_free for each in chosen))
    assert not (wish.deny_data_collection and any(each.collects_data for each in chosen))
    if not wish.allow_fallbacks:
        named = all(each.provider_slug in wish.order for each in chosen)
        assert named if wish.order else len(chosen) <= 1

    states = [health.get(each.id, Condition()).state == COOLING for each in chosen]
    assert states == sorted(states), "those that cool down come last"
    places = [
        wish.order.index(each.provider_slug) if each.provider_slug in wish.order else 99
        for each in chosen
    ]
    for is_down in (False, True):
        some = [place for place, down in zip(places, states, strict=True) if down == is_down]
        assert some == sorted(some), "in the caller's order"
    same_but_up = {number: replace(each, state=HEALTHY) for number, each in health.items()}
    assert {each.id for each in chosen} == {c.offer.id for c in rank(same_but_up).choices}, (
        "health never adds or takes away"
    )
    line = routing.explain(ranking)
    assert line.isascii() and line.isprintable() and len(line) <= 1024


@given(some_offers, conditions, st.sampled_from((None, "price")), st.sampled_from((0, 50)))
def test_a_fallback_is_never_dearer_than_the_first_choice(
    offers: tuple[Offer, ...], health: dict[int, Condition], sort: str | None, prompt: int
) -> None:
    """The first choice is that of a day on which nobody is down and nobody fails."""
    wish = Preferences(sort=sort)
    up = routing.rank(offers, at=AT, preferences=wish, prompt_bound=prompt)
    now = routing.rank(offers, at=AT, preferences=wish, health=health, prompt_bound=prompt)
    for choice in now.choices:
        first = up.choices[0].offer.sale
        for size in {0, min(11, prompt), prompt}:
            theirs = routing.prices.rates_for(first, input_tokens=size, at=AT)
            ours = routing.prices.rates_for(choice.offer.sale, input_tokens=size, at=AT)
            for name in (*TEXT_INPUT_CLASSES, *OUTPUT_CLASSES):
                most = first.rate(name, theirs)
                if name == "cache_read":
                    most = max(most, first.rate("input", theirs))
                assert choice.offer.sale.rate(name, ours) <= most
