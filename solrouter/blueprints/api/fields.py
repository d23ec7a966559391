"""Small checks of a JSON field. Each returns the value, or raises BadRequest naming its path.

A check carries the JSON schema of what it lets pass, from which /openapi.json is written.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from solrouter.errors import BadRequest
from solrouter.money import NotMoney, decimal_usd, parse_usd

MONEY_CHARACTERS_MAX = 40
# USD as text, to the nanodollar; and as a number.
AMOUNT = r"^[0-9]{1,9}(\.[0-9]{1,9})?$"
AMOUNT_MAX = 10**9

Schema = Mapping[str, Any]
Judge = Callable[[str, Any], Any]

TYPE_NAMES: Mapping[type, str] = {
    bool: "boolean",
    dict: "object",
    list: "array",
    str: "string",
}


@dataclass(frozen=True, slots=True)
class Check:
    """How one field is judged, and the schema that says the same."""

    judge: Judge
    schema: Schema

    def __call__(self, name: str, value: Any) -> Any:
        return self.judge(name, value)


def checks(schema: Schema) -> Callable[[Judge], Check]:
    """Makes a check of a function that judges by more than one rule."""
    return lambda judge: Check(judge, schema)


def nullable(schema: Schema) -> Schema:
    """The schema of a field that may as well be null: where it is optional, null is absence."""
    if isinstance(schema.get("type"), str) and "enum" not in schema:
        return {**schema, "type": [schema["type"], "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def optional_fields(**fields: Schema) -> Schema:
    """The schema of an object with these fields, none of them required."""
    properties = {name: nullable(schema) for name, schema in fields.items()}
    return {"type": "object", "properties": properties}


def wrong_type(name: str, words: str) -> BadRequest:
    """The refusal of a value of another type."""
    return BadRequest(f"'{name}' must be {words}.", param=name)


def number(low: float, high: float) -> Check:
    """A check for numbers within bounds."""

    def judge(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise wrong_type(name, "a number")
        return _between(name, value, low, high)

    return Check(judge, {"type": "number", "minimum": low, "maximum": high})


def integer(low: int, high: int) -> Check:
    """A check for integers within bounds."""

    def judge(name: str, value: Any) -> Any:
        if isinstance(value, bool) or not isinstance(value, int):
            raise wrong_type(name, "an integer")
        return _between(name, value, low, high)

    return Check(judge, {"type": "integer", "minimum": low, "maximum": high})


def kind(cls: type | tuple[type, ...], words: str) -> Check:
    """A check for values of a type, or of one of several."""

    def judge(name: str, value: Any) -> Any:
        if not isinstance(value, cls):
            raise wrong_type(name, words)
        return value

    names = [TYPE_NAMES[one] for one in (cls if isinstance(cls, tuple) else (cls,))]
    return Check(judge, {"type": names if len(names) > 1 else names[0]})


def one_of(*words: str) -> Check:
    """A check for one of these texts."""

    def judge(name: str, value: Any) -> Any:
        if not isinstance(value, str) or value not in words:
            raise BadRequest(f"'{name}' must be one of {', '.join(words)}.", param=name)
        return value

    return Check(judge, {"type": "string", "enum": list(words)})


@checks(
    {
        "anyOf": [
            {"type": "number", "minimum": 0, "maximum": AMOUNT_MAX},
            {"type": "string", "pattern": AMOUNT},
        ]
    }
)
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


def optional(body: Mapping[str, Any], name: str, check: Judge, *, path: str = "") -> Any:
    """The checked field of a body, None where it is absent or null; `path` is where it stands."""
    value = body.get(name)
    return None if value is None else check(f"{path}{name}", value)


def _between(name: str, value: float, low: float, high: float) -> float:
    if not low <= value <= high:
        raise BadRequest(f"'{name}' must be between {low} and {high}.", param=name)
    return value


def texts(most: int, characters_max: int) -> Check:
    """A check for a list of so many texts of such a length."""

    def judge(name: str, value: Any) -> Any:
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise wrong_type(name, "a list of strings")
        if len(value) > most or any(len(each) > characters_max for each in value):
            raise BadRequest(
                f"'{name}' has at most {most} strings of {characters_max} characters.", param=name
            )
        return tuple(value)

    item = {"type": "string", "maxLength": characters_max}
    return Check(judge, {"type": "array", "items": item, "maxItems": most})


@checks({"type": "string", "format": "date-time"})
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
LIST = kind(list, "a list")
OBJECT = kind(dict, "an object")
TEXT = kind(str, "a string")


def fields_of(**fields: Check) -> Check:
    """A check for an object with these fields, none of them required and others let pass."""

    def judge(name: str, value: Any) -> Any:
        OBJECT(name, value)
        for field in fields.keys() & value.keys():
            optional(value, field, fields[field], path=f"{name}.")
        return value

    schemas = {name: check.schema for name, check in fields.items()}
    return Check(judge, optional_fields(**schemas))
