"""Money as integer nanodollars (10⁻⁹ USD). Pure: parse, format, divide. No floats, ever.

A price is integer nanodollars per 1,000,000 units, exact to 10⁻¹⁵ USD a token. See
docs/adr/0002-money-in-nanodollars.md.
"""

import re
from decimal import Decimal, InvalidOperation
from typing import NewType

Nanos = NewType("Nanos", int)

NANOS_PER_USD = 1_000_000_000
UNITS_PER_PRICE = 1_000_000
NANOS_MAX = 2**63 - 1
# The most that comes in at once: sums of thousands of them still fit into 64 bits, past which
# SQLite would go on with floats.
AT_ONCE_NANOS_MAX = 1_000_000 * NANOS_PER_USD
# What decimal arithmetic keeps without rounding.
DIGITS_MAX = 28
THOUSANDS = re.compile(r"[+-]?[0-9]{1,3}(,[0-9]{3})+(\.[0-9]*)?")


class NotMoney(ValueError):
    """The text is not an amount that nanodollars can hold exactly."""


def parse_usd(text: str) -> Nanos:
    """Nanodollars of a decimal USD text such as `5`, `$0.15` or `1,000.50`.

    Raises NotMoney for anything else, and for a fraction finer than a nanodollar. A comma stands
    between thousands alone: who writes `5,50` for five and a half must not pay 550.
    """
    cleaned = text.strip().removeprefix("$").replace("_", "")
    if "," in cleaned:
        if not THOUSANDS.fullmatch(cleaned):
            raise NotMoney(f"{text:.40} has a comma that is not between thousands")
        cleaned = cleaned.replace(",", "")
    try:
        amount = Decimal(cleaned)
    except InvalidOperation:
        raise NotMoney(f"{text!r} is not an amount in USD") from None
    if not amount.is_finite():
        raise NotMoney(f"{text!r} is not an amount in USD")
    if amount.adjusted() > len(str(NANOS_MAX // NANOS_PER_USD)):
        raise NotMoney(f"{text:.40} is more than a balance can hold")
    if amount and (amount.adjusted() < -9 or len(amount.as_tuple().digits) > DIGITS_MAX):
        raise NotMoney(f"{text:.40} is finer than a nanodollar")
    nanos = amount * NANOS_PER_USD
    if nanos != nanos.to_integral_value():
        raise NotMoney(f"{text!r} is finer than a nanodollar")
    if abs(nanos) > NANOS_MAX:
        raise NotMoney(f"{text!r} is more than a balance can hold")
    return Nanos(int(nanos))


def decimal_usd(nanos: int) -> str:
    """The exact amount as a plain decimal text, `0.00004705`: what JSON carries."""
    sign = "-" if nanos < 0 else ""
    whole, fraction = divmod(abs(nanos), NANOS_PER_USD)
    digits = f"{fraction:09d}".rstrip("0")
    return f"{sign}{whole}.{digits}" if digits else f"{sign}{whole}"


def float_usd(nanos: int) -> float:
    """The amount as a JSON number, for `usage.cost`; never computed with."""
    return float(Decimal(nanos) / NANOS_PER_USD)


def display_usd(nanos: int) -> str:
    """For people: `$5.00`, `$0.000047`; at least two decimals, at most six."""
    sign = "-" if nanos < 0 else ""
    micros, rest = divmod(abs(nanos), 1_000)
    micros += 1 if rest >= 500 else 0
    if micros == 0 and nanos != 0:
        return f"{sign}<$0.000001"
    whole, fraction = divmod(micros, 1_000_000)
    digits = f"{fraction:06d}".rstrip("0").ljust(2, "0")
    return f"{sign}${whole:,}.{digits}"


def per_token_usd(nanos_per_million: int) -> str:
    """A price as USD per token in decimal text, as OpenRouter's clients read it: `0.00000015`."""
    if nanos_per_million == 0:
        return "0"
    amount = Decimal(nanos_per_million) / (NANOS_PER_USD * UNITS_PER_PRICE)
    return format(amount.normalize(), "f")


def display_per_million(nanos_per_million: int) -> str:
    """A price for people, per million tokens: `$0.15`; more decimals only where they are needed."""
    text = decimal_usd(nanos_per_million)
    whole, _, fraction = text.partition(".")
    return f"${int(whole):,}.{fraction.ljust(2, '0')}"


def divide_half_up(numerator: int, denominator: int) -> int:
    """Integer division of non-negative numbers, rounded once, half up."""
    assert numerator >= 0
    assert denominator > 0
    return (numerator + denominator // 2) // denominator


def divide_up(numerator: int, denominator: int) -> int:
    """Integer division of non-negative numbers, rounded up: what a hold must cover."""
    assert numerator >= 0
    assert denominator > 0
    return -(-numerator // denominator)
