"""Usage × price, by table: every class, fallback, tier and window, exact to the nanodollar."""

from datetime import UTC, datetime
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solrouter.chat import Usage
from solrouter.services import pricing
from solrouter.services.pricing import PRICED_CLASSES, PriceCard

NOW = datetime(2026, 11, 25, 2, 30, tzinfo=UTC)  # a Wednesday
PLAIN = PriceCard(1, NOW, {"input": 150_000_000, "output": 600_000_000})
FULL = PriceCard(
    2,
    NOW,
    {
        "input": 3_000_000_000,
        "cache_read": 300_000_000,
        "cache_write_5m": 3_750_000_000,
        "cache_write_1h": 6_000_000_000,
        "output": 15_000_000_000,
        "input_audio": 10_000_000_000,
        "output_audio": 40_000_000_000,
    },
    tiers=(
        {
            "above_input_tokens": 200_000,
            "rates": {"input": 6_000_000_000, "output": 22_500_000_000},
        },
    ),
)
PEAK = PriceCard(
    3,
    NOW,
    {"input": 150_000_000, "output": 600_000_000},
    windows=(
        {
            "utc_start": "01:00",
            "utc_end": "04:00",
            "days": ["mon", "tue", "wed", "thu", "fri"],
            "rates": {"input": 300_000_000, "output": 1_200_000_000},
        },
    ),
)


@pytest.mark.parametrize(
    ("usage", "card", "nanos"),
    [
        (Usage(input=15, output=83), PLAIN, 52_050),
        (Usage(), PLAIN, 0),
        (Usage(input=1), PriceCard(1, NOW, {"input": 499_999}), 0),
        (Usage(input=1), PriceCard(1, NOW, {"input": 500_000}), 1),
        (Usage(input=1000, cache_read=500), PLAIN, 225_000),
        (Usage(input=100, cache_read=900, output=10), FULL, 720_000),
        (Usage(cache_write_5m=1000), FULL, 3_750_000),
        (Usage(cache_write_1h=1000), FULL, 6_000_000),
        (Usage(input_audio=10, output_audio=10), FULL, 500_000),
        (Usage(input_image=1000), FULL, 3_000_000),
        (Usage(output=100, reasoning=90), FULL, 1_500_000),
        (Usage(input=200_000), FULL, 600_000_000),
        (Usage(input=200_001), FULL, 1_200_006_000),
        (Usage(input=1, cache_read=200_000, output=1), FULL, 6_000 + 60_000_000 + 22_500),
        (Usage(input=1_000_000, output=1_000_000), PEAK, 1_500_000_000),
    ],
)
def test_a_cost_is_what_was_worked_out_by_hand(usage: Usage, card: PriceCard, nanos: int) -> None:
    assert pricing.cost_nanos(usage, card, at=NOW) == nanos


@pytest.mark.parametrize(
    ("at", "is_peak"),
    [
        (datetime(2026, 11, 25, 1, 0, tzinfo=UTC), True),
        (datetime(2026, 11, 25, 3, 59, 59, tzinfo=UTC), True),
        (datetime(2026, 11, 25, 4, 0, tzinfo=UTC), False),
        (datetime(2026, 11, 25, 0, 59, tzinfo=UTC), False),
        (datetime(2026, 11, 28, 2, 0, tzinfo=UTC), False),
    ],
)
def test_a_window_begins_inside_and_ends_outside(at: datetime, is_peak: bool) -> None:
    assert pricing.in_window(PEAK.windows[0], at) is is_peak


@pytest.mark.parametrize(
    ("at", "is_inside"),
    [
        (datetime(2026, 11, 27, 23, 0, tzinfo=UTC), True),
        (datetime(2026, 11, 28, 1, 0, tzinfo=UTC), True),
        (datetime(2026, 11, 28, 23, 0, tzinfo=UTC), False),
        (datetime(2026, 11, 27, 1, 0, tzinfo=UTC), False),
    ],
)
def test_a_window_over_midnight_belongs_to_the_day_it_opened(at: datetime, is_inside: bool) -> None:
    window = {"utc_start": "22:00", "utc_end": "02:00", "days": ["fri"], "rates": {}}
    assert pricing.in_window(window, at) is is_inside


rates = st.integers(0, 10**14)
units = st.integers(0, 10**7)


@given(
    st.dictionaries(st.sampled_from(PRICED_CLASSES), rates), st.lists(units, min_size=9, max_size=9)
)
def test_a_cost_is_within_half_a_nanodollar_of_the_truth(
    table: dict[str, int], counts: list[int]
) -> None:
    card = PriceCard(1, NOW, table)
    usage = Usage(**dict(zip(PRICED_CLASSES, counts, strict=True)))
    exact = sum(
        Fraction(count * card.rate(name), 1_000_000)
        for name, count in zip(PRICED_CLASSES, counts, strict=True)
    )
    assert abs(pricing.cost_nanos(usage, card, at=NOW) - exact) <= Fraction(1, 2)


@given(
    st.sampled_from([PLAIN, FULL, PEAK]),
    st.integers(0, 400_000),
    st.integers(0, 100_000),
    st.data(),
)
def test_no_text_request_within_its_bounds_costs_more_than_its_hold(
    card: PriceCard, prompt: int, output: int, data: st.DataObject
) -> None:
    hold = pricing.worst_case_nanos(card, prompt_tokens=prompt, output_tokens=output, at=NOW)
    read = data.draw(st.integers(0, prompt))
    written = data.draw(st.integers(0, prompt - read))
    fresh = data.draw(st.integers(0, prompt - read - written))
    said = data.draw(st.integers(0, output))
    usage = Usage(input=fresh, cache_read=read, cache_write_5m=written, output=said)
    assert pricing.cost_nanos(usage, card, at=NOW) <= hold


@given(st.sampled_from([PLAIN, FULL, PEAK]), st.integers(0, 300_000), st.integers(0, 10**12))
def test_what_is_affordable_fits_and_one_token_more_does_not(
    card: PriceCard, prompt: int, budget: int
) -> None:
    tokens = pricing.affordable_output_tokens(
        card, prompt_tokens=prompt, budget_nanos=budget, at=NOW
    )

    def bound(output: int) -> int:
        return pricing.worst_case_nanos(card, prompt_tokens=prompt, output_tokens=output, at=NOW)

    if tokens >= 0:
        assert bound(tokens) <= budget
    assert bound(max(tokens + 1, 0)) > budget


def test_a_margin_is_added_to_each_rate_and_rounded_once() -> None:
    assert pricing.with_margin(
        {"input": 150_000_000, "output": 1}, margin_percent_e6=5_500_000
    ) == {
        "input": 158_250_000,
        "output": 1,
    }
