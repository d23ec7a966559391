"""The text of an API key: made, recognised, hinted at. Pure, and knows no row.

A key is `sr_` + 38 random base62 characters + 6 of checksum (CRC-32 of what precedes them, base62),
so that a mistyped or invented key is refused without asking the database, and secret scanners can
tell a real one: `sr_[0-9A-Za-z]{44}`.
"""

import secrets as random
import string
import zlib

PREFIX = "sr_"
RANDOM_CHARACTERS = 38
CHECKSUM_CHARACTERS = 6
KEY_LENGTH = len(PREFIX) + RANDOM_CHARACTERS + CHECKSUM_CHARACTERS
ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
# Two digits at once.
PAIRS = tuple(first + second for first in ALPHABET for second in ALPHABET)


def checksum(body: str) -> str:
    """Six base62 characters of CRC-32 over the text before them."""
    value, last = divmod(zlib.crc32(body.encode()), len(PAIRS))
    first, middle = divmod(value, len(PAIRS))
    return PAIRS[first] + PAIRS[middle] + PAIRS[last]


def make_text() -> str:
    """A fresh key text."""
    body = PREFIX + "".join(random.choice(ALPHABET) for _ in range(RANDOM_CHARACTERS))
    return body + checksum(body)


def is_well_formed(text: str) -> bool:
    """Whether the text could be a key of ours, by its shape and checksum alone."""
    if len(text) != KEY_LENGTH or not text.startswith(PREFIX) or not text.isascii():
        return False
    return checksum(text[:-CHECKSUM_CHARACTERS]) == text[-CHECKSUM_CHARACTERS:]


def hint(text: str) -> str:
    """What may be shown of a key: its first seven and last four characters."""
    return f"{text[:7]}…{text[-4:]}"
