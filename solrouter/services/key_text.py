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


def checksum(body: str) -> str:
    """Six base62 characters of CRC-32 over the text before them."""
    value = zlib.crc32(body.encode())
    characters = []
    for _ in range(CHECKSUM_CHARACTERS):
        value, digit = divmod(value, len(ALPHABET))
        characters.append(ALPHABET[digit])
    return "".join(reversed(characters))


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
