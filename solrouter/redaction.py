"""Blanks secrets in text that leaves the house: log lines, upstreams' words, audit rows.

Two nets. What looks like a credential of a kind that we know is blanked by its shape; what this
process knows to be one (its settings, the keys of its providers) by its very text. Neither is a
reason to log a secret: they are for the day somebody forgets.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

BLANK = "[redacted]"
# Below it a text is too common a word: blanking it would only tell what it is.
KNOWN_CHARACTERS_MIN = 8

# A run of so many characters that two texts share is an echo and no accident.
ECHO_CHARACTERS = 12
# A longer text is not searched: who echoes it is not quoted at all.
ECHOED_CHARACTERS_MAX = 200_000

SHAPES = re.compile(
    r"sr_[0-9A-Za-z]{8,}"
    r"|\b(?:sk|pk|gsk|xai|csk|fw|r8|nvapi|ghp|gho|github_pat)[-_][0-9A-Za-z_-]{8,}"
    r"|Bearer\s+\S+|whsec_\S+|AIza[0-9A-Za-z_-]{10,}"
    r"|(?<=solrouter=)[0-9A-Za-z_-]{20,}|(?<=solrouter-passing=)[0-9A-Za-z._-]{20,}"
    r"|(?<=://)[^/\s:@]*:[^/\s@]+(?=@)",
    re.IGNORECASE,
)

_known: set[str] = set()


def remember(*secrets: str | None) -> None:
    """From now on these texts are blanked, wherever they stand. Of an address, its password is."""
    for secret in secrets:
        if not secret:
            continue
        for text in _spellings(secret):
            if len(text) >= KNOWN_CHARACTERS_MIN:
                _known.add(text)


def redacted(text: str) -> str:
    """The text without what is secret in it."""
    # One look for each is faster than a pattern of them all; iterated over a copy, since other
    # threads may add to it.
    for secret in tuple(_known):
        if secret in text:
            text = text.replace(secret, BLANK)
    return SHAPES.sub(BLANK, text)


def cleaned(value: Any) -> Any:
    """The same for all text within a JSON value."""
    if isinstance(value, str):
        return redacted(value)
    if isinstance(value, Mapping):
        return {cleaned(name): cleaned(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    return value


def without_echo(text: str, said: Any) -> str:
    """The text without what it repeats of `said`, a JSON value: a stranger's words about a prompt.

    Empty where that would take too long to find out.
    """
    heard = " ".join("\n".join(_texts(said)).split())
    if len(heard) > ECHOED_CHARACTERS_MAX:
        return ""
    kept, place = [], 0
    while place < len(text):
        end = place + ECHO_CHARACTERS
        if end > len(text) or text[place:end] not in heard:
            kept.append(text[place])
            place += 1
            continue
        while end < len(text) and text[place : end + 1] in heard:
            end += 1
        kept.append(BLANK)
        place = end
    return "".join(kept)


def _texts(value: Any) -> Iterator[str]:
    """Every text within a JSON value; data of images and files is none."""
    if isinstance(value, str):
        if not value.startswith("data:"):
            yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _spellings(secret: str) -> tuple[str, ...]:
    if "://" not in secret:
        return (secret,)
    try:
        password = urlsplit(secret).password or ""
    except ValueError:
        return (secret,)
    return (password, unquote(password))
