"""What people type into the forms of pages, as numbers and times: bounded, whatever was typed.

Who reads a field by these needs to fear neither five thousand digits nor the end of the calendar.
All raise Refused, naming the field.
"""

from datetime import UTC, datetime

from solrouter.errors import Refused

# The most that every number of ours, and JSON's, can be.
WHOLE_MAX = 2**63 - 1
DIGITS_MAX = len(str(WHOLE_MAX))
SEPARATORS = str.maketrans("", "", ",_ ")


def whole(text: str, *, param: str, sentence: str = "Write a whole number.") -> int:
    """A whole number from zero, `1,000` too. Whether it is too large for its purpose is for whoever
    knows that.
    """
    found = whole_or_none(text.translate(SEPARATORS))
    if found is None:
        raise Refused(sentence, param=param)
    return found


def whole_or_none(digits: str) -> int | None:
    """The number that these are the digits of; None if they are none, or too many."""
    if not digits.isascii() or not digits.isdecimal() or len(digits) > DIGITS_MAX:
        return None
    found = int(digits)
    return found if found <= WHOLE_MAX else None


def moment(text: str, *, param: str) -> datetime:
    """A time, which is UTC unless it says otherwise; as a browser's own field writes it, too."""
    try:
        found = datetime.fromisoformat(text)
        return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
    # A year before the first or after the last has no UTC.
    except (ValueError, OverflowError):
        raise Refused(
            "Write a date and a time in UTC, such as 2027-01-31T00:00.", param=param
        ) from None
