"""Reading JSON from strangers: every value is checked, every fault told with its place. Pure.

A value that does not fit is told and replaced by a harmless one, so that one reading finds all.
"""

import re
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

# A million dollars for a million units: more is a slip.
RATE_NANOS_MAX = 10**15
TEXT_CHARACTERS_TOLD = 60


class Faults:
    """What is wrong, as sentences with their places."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def tell(self, where: str, what: str) -> None:
        """Notes a fault."""
        self.told.append(f"{where}: {what}")


class JsonObject:
    """An object of a document, with the place where it stands."""

    def __init__(self, value: Any, where: str, faults: Faults) -> None:
        self.where = where
        self._faults = faults
        self._values: Mapping[str, Any] = value if isinstance(value, dict) else {}
        if not isinstance(value, dict):
            faults.tell(where or "the document", "must be an object")

    def __contains__(self, name: str) -> bool:
        return name in self._values

    def fault(self, name: str, what: str) -> None:
        """Notes that a value does not fit."""
        self._faults.tell(self._place(name), what)

    def know(self, *names: str) -> None:
        """Tells every key that is not one of these."""
        for name in sorted(self._values.keys() - set(names)):
            self.fault(str(name)[:TEXT_CHARACTERS_TOLD], "is not a key that we know")

    def text(
        self, name: str, *, pattern: str = "", one_of: Sequence[str] = (), most: int = 200
    ) -> str:
        """A text that is not empty; all of it fits the pattern."""
        value = self._values.get(name)
        if not isinstance(value, str) or not value.strip() or len(value) > most:
            self.fault(name, f"must be a text of 1 to {most} characters")
            return ""
        if one_of and value not in one_of:
            self.fault(name, f"must be one of {', '.join(one_of)}")
        elif (pattern and not re.fullmatch(pattern, value)) or not value.isprintable():
            self.fault(name, f"“{_short(value)}” is not written as it must be")
        return value

    def texts(
        self, name: str, *, pattern: str, most: int, optional: bool = False
    ) -> tuple[str, ...]:
        """A list of texts, none twice; empty where it may be absent."""
        value = self._values.get(name)
        if value is None and optional:
            return ()
        if not isinstance(value, list) or len(value) > most:
            self.fault(name, f"must be a list of at most {most} texts")
            return ()
        for item in value:
            if not isinstance(item, str) or not re.fullmatch(pattern, item):
                self.fault(name, f"“{_short(item)}” is not written as it must be")
                return ()
        if len(set(value)) < len(value):
            self.fault(name, "names something twice")
        return tuple(value)

    def whole(self, name: str, *, least: int, most: int) -> int:
        """A whole number within bounds."""
        value = self._values.get(name)
        if isinstance(value, int) and is_whole(value) and least <= value <= most:
            return value
        self.fault(name, f"must be a whole number from {least:,} to {most:,}")
        return least

    def whole_or_none(self, name: str, *, least: int, most: int) -> int | None:
        """A whole number within bounds, or None where it is null or absent."""
        if self._values.get(name) is None:
            return None
        return self.whole(name, least=least, most=most)

    def flag(self, name: str, *, optional: bool = False) -> bool:
        """True or false; false where it may be absent."""
        value = self._values.get(name, False if optional else None)
        if not isinstance(value, bool):
            self.fault(name, "must be true or false")
            return False
        return value

    def mapping(self, name: str, *, optional: bool = False) -> Mapping[str, Any]:
        """An object whose inside is somebody else's; empty where it may be absent."""
        value = self._values.get(name, {} if optional else None)
        if not isinstance(value, dict):
            self.fault(name, "must be an object")
            return {}
        return value

    def objects(self, name: str, *, most: int, optional: bool = False) -> "list[JsonObject]":
        """A list of objects."""
        value = self._values.get(name, [] if optional else None)
        if not isinstance(value, list) or len(value) > most:
            self.fault(name, f"must be a list of at most {most:,} objects")
            return []
        return [JsonObject(v, self._item(name, i, v), self._faults) for i, v in enumerate(value)]

    def day_or_none(self, name: str) -> date | None:
        """A day such as `2026-12-01`, or None where it is null or absent."""
        value = self._values.get(name)
        if value is None:
            return None
        try:
            return date.fromisoformat(value if isinstance(value, str) else "")
        except ValueError:
            self.fault(name, "must be a day such as 2026-12-01, or null")
            return None

    def moment(self, name: str) -> datetime:
        """A time with its zone, in UTC."""
        value = self._values.get(name)
        try:
            found = datetime.fromisoformat(value if isinstance(value, str) else "")
            if found.tzinfo is not None:
                return found.astimezone(UTC)
        except (ValueError, OverflowError):
            pass
        self.fault(name, "must be a time with its zone, such as 2026-12-01T00:00:00Z")
        return datetime(1970, 1, 1, tzinfo=UTC)

    def seconds(
        self, name: str, *, names: Collection[str], most: float
    ) -> Mapping[str, float] | None:
        """Seconds by name, or None where they are absent."""
        if name not in self:
            return None
        found: dict[str, float] = {}
        for key, value in self.mapping(name).items():
            is_number = isinstance(value, int | float) and not isinstance(value, bool)
            if key not in names or not is_number or not 0 < value <= most:
                self.fault(name, f"must be seconds up to {most:g} by {', '.join(names)}")
                break
            found[key] = float(value)
        return found

    def rates_or_none(self, name: str) -> Mapping[str, int] | None:
        """Rates by class, or None where they are null."""
        return None if self._values.get(name) is None else self.rates(name)

    def rates(self, name: str, *, classes: Collection[str] = ()) -> Mapping[str, int]:
        """Whole nanodollars per 1,000,000 units by class, input and output among them."""
        found = self.mapping(name)
        for key, value in found.items():
            if not is_whole(value) or not 0 <= value <= RATE_NANOS_MAX:
                self.fault(
                    f"{name}.{key[:TEXT_CHARACTERS_TOLD]}",
                    "must be whole nanodollars per million units, "
                    f"from 0 to {RATE_NANOS_MAX:,}; {_short(value)} is not",
                )
                return {}
            if classes and key not in classes:
                self.fault(f"{name}.{key[:TEXT_CHARACTERS_TOLD]}", "is not a class that we price")
        if not {"input", "output"} <= found.keys():
            self.fault(name, "must price input and output")
        return found

    def _place(self, name: str) -> str:
        return f"{self.where}.{name}" if self.where else name

    def _item(self, name: str, position: int, value: Any) -> str:
        """`models[3] (acme/tiny)`: where an object of a list stands."""
        own = value.get("id") or value.get("slug") if isinstance(value, dict) else None
        told = f" ({_short(own)})" if isinstance(own, str) else ""
        return f"{self._place(name)}[{position}]{told}"


def is_whole(value: Any) -> bool:
    """Whether a value is an integer and no truth value; 1.0 is not."""
    return isinstance(value, int) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = "".join(c if c.isprintable() else "?" for c in str(value)[: TEXT_CHARACTERS_TOLD + 1])
    if len(text) <= TEXT_CHARACTERS_TOLD:
        return text
    return text[:TEXT_CHARACTERS_TOLD] + "…"
