"""Money's words: parsed exactly, shown plainly, divided once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from solrouter import money
from solrouter.money import NotMoney


@pytest.mark.parametrize(
    ("text", "nanos"),
    [
        ("5", 5_000_000_000),
        ("$0.15", 150_000_000),
        ("1,000.50", 1_000_500_000_000),
        ("$12,345,678", 12_345_678_000_000_000),
        ("1_000", 1_000_000_000_000),
        (" 0.000000001 ", 1),
        ("-2", -2_000_000_000),
        ("1e-9", 1),
    ],
)
def test_amounts_are_parsed_exactly(text: str, nanos: int) -> None:
    assert money.parse_usd(text) == nanos


@pytest.mark.parametrize(
    "text",
    [
        *("5,50", "1,00", "1.000,50", ",5", "5,", "1,0000", "1,000,50", "12,34,567"),
        *("", "five", "0.0000000001", "NaN", "inf", "1e30", "€5"),
        *(
            "1e999999",
            "1e-999999",
            "1e9999999999",
            "-1e-9999999999",
            "0." + "1" * 9 + "0" * 30 + "1",
        ),
    ],
)
def test_what_is_not_money_is_refused(text: str) -> None:
    with pytest.raises(NotMoney):
        money.parse_usd(text)


@given(st.integers(min_value=-(2**63) + 1, max_value=2**63 - 1))
def test_decimal_text_is_exact(nanos: int) -> None:
    assert money.parse_usd(money.decimal_usd(nanos)) == nanos


@pytest.mark.parametrize(
    ("nanos", "shown"),
    [
        (0, "$0.00"),
        (5_000_000_000, "$5.00"),
        (47_050, "$0.000047"),
        (47_500, "$0.000048"),
        (1, "<$0.000001"),
        (-1_500_000_000, "-$1.50"),
        (1_234_567_890_000_000, "$1,234,567.89"),
    ],
)
def test_amounts_are_shown_with_unit_and_six_decimals_at_most(nanos: int, shown: str) -> None:
    assert money.display_usd(nanos) == shown


def test_prices_are_told_per_token_as_text() -> None:
    assert money.per_token_usd(150_000_000) == "0.00000015"
    assert money.per_token_usd(0) == "0"
    assert money.display_per_million(150_000_000) == "$0.15"
    assert money.display_per_million(2_500_000_000) == "$2.50"


@given(st.integers(0, 10**30), st.integers(1, 10**12))
def test_division_rounds_once_half_up(numerator: int, denominator: int) -> None:
    quotient = money.divide_half_up(numerator, denominator)
    assert abs(2 * (quotient * denominator - numerator)) <= denominator
    assert 2 * (quotient * denominator - numerator) > -denominator or numerator == 0
    assert money.divide_up(numerator, denominator) * denominator >= numerator
