"""Small checks of a JSON field. Each returns the value, or raises BadRequest naming its path."""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

from solrouter.errors import BadRequest
from solrouter.money import NotMoney, decimal_usd, parse_usd

MONEY_CHARACTERS_MAX = 40

Check = Callable[[str, Any], Any]


def wrong_type(name: str, words: str) -> BadRequest:
    """The refusal of a value of another type."""
    return BadRequest(f"'{name}' must be {words}.", param=name)


def number(low: float, high: float) -> Check:
    """A check for numbers within bounds."""

    def check(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(name, "a number")
        return _between(name, value, low, high)

    return check


def integer(low: int, high: int) -> Check:
    """A check for integers within bounds."""

    def check(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(name, "an integer")
        return _between(name, value, low, high)

    return check


def kind(cls: type | tuple[type, ...], words: str) -> Check:
    """A check for values of a type."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, cls):
            raise wrong_type(name, words)
        return value

    return check


def one_of(*words: str) -> Check:
    """A check for one of these texts."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            raise BadRequest(f"'{name}' must be one of {', '.join(words)}.", param=name)
        return value

    return check


def usd(name: str, value: Any) -> int:
    """Nanodollars of a number or a text in USD. A float says what its shortest decimal says."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise wrong_type(name, "an amount in USD, as a number or a string")
    text = value if isinstance(value, str) else repr(value)
    try:
        if len(text) > MONEY_CHARACTERS_MAX:
            raise NotMoney("no amount is so long")
        nanos = int(parse_usd(text))
    # An exponent beyond all bounds is arithmetic's trouble.
    except (ValueError, ArithmeticError) as error:
        raise BadRequest(
            f"'{name}' must be an amount in USD, exact to {decimal_usd(1)}.", param=name
        ) from error
    if nanos < 0:
        raise BadRequest(f"'{name}' must not be negative.", param=name)
    return nanos


def optional(body: Mapping[str, Any], name: str, check: Check, *, path: str = "") -> Any:
    """The checked field of a body, None where it is absent or null; `path` is where it stands."""
    value = body.get(name)
    return None if value is None else check(f"{path}{name}", value)


def _between(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise BadRequest(f"'{name}' must be between {low} and {high}.", param=name)
    return value


def texts(most: int, characters_max: int) -> Check:
    """A check for a list of so many texts of such a length."""

    def check(name: str, value: Any) -> Any:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise wrong_type(name, "a list of strings")
        if len(value) > most or any(len(each) > characters_max for each in value):
            raise BadRequest(
                f"'{name}' has at most {most} strings of {characters_max} characters.", param=name
            )
        return tuple(value)

    return check


def moment(name: str, value: Any) -> Any:
    """A time with its zone, as RFC 3339 writes it."""
    try:
        found = datetime.fromisoformat(value) if isinstance(value, str) else None
        if found is not None and found.tzinfo is not None:
            return found.astimezone(UTC)
    # A year before the first or after the last has no UTC.
    except (ValueError, OverflowError):
        pass
    raise wrong_type(name, "a time with its zone, such as 2027-01-31T00:00:00Z")


FLAG = kind(bool, "true or false")
OBJECT = kind(dict, "an object")
