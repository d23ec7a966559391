"""Base58 as Bitcoin and Solana write keys and signatures. Pure."""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
# A longer text is no key or signature, and decoding takes time that grows with its square.
CHARACTERS_MAX = 128

_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}


class NotBase58(ValueError):
    """The text is not base58, or stands for another number of bytes."""


def encode(data: bytes) -> str:
    """The bytes as text; each leading zero byte is a leading `1`."""
    zeros = len(data) - len(data.lstrip(b"\0"))
    number = int.from_bytes(data, "big")
    letters = []
    while number:
        number, value = divmod(number, len(ALPHABET))
        letters.append(ALPHABET[value])
    return "1" * zeros + "".join(reversed(letters))


def decode(text: str, *, length_bytes: int) -> bytes:
    """So many bytes that the text stands for. Raises NotBase58."""
    if not text or len(text) > CHARACTERS_MAX or not _VALUES.keys() >= set(text):
        raise NotBase58("not base58")
    number = 0
    for letter in text:
        number = number * len(ALPHABET) + _VALUES[letter]
    zeros = len(text) - len(text.lstrip("1"))
    data = b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
    if len(data) != length_bytes:
        raise NotBase58(f"{len(data)} bytes instead of {length_bytes}")
    return data
