"""Small checks of a JSON field. Each returns the value, or raises BadRequest naming its path."""

from collections.abc import Callable, Mapping
from typing import Any

from solrouter.errors import BadRequest

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


def optional(body: Mapping[str, Any], name: str, check: Check, *, path: str = "") -> Any:
    """The checked field of a body, None where it is absent or null; `path` is where it stands."""
    value = body.get(name)
    return None if value is None else check(f"{path}{name}", value)


def _between(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise BadRequest(f"'{name}' must be between {low} and {high}.", param=name)
    return value


FLAG = kind(bool, "true or false")
OBJECT = kind(dict, "an object")
