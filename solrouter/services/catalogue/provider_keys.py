"""A provider's key as its row keeps it: encrypted, with the provider's name inside.

So nobody who can write the database gives one provider's key to another. A key that was stored
before the name was put inside is read as it is, and bound when it is next given.
"""

import logging

from solrouter import secrets

log = logging.getLogger(__name__)

MARK = "provider:"


def seal(slug: str, key: str) -> bytes:
    """What the row of this provider keeps."""
    return secrets.current().encrypt(f"{MARK}{slug}:{key}")


def unseal(slug: str, sealed: bytes) -> str | None:
    """The key; None when it cannot be read, or is another provider's."""
    try:
        text = secrets.current().decrypt(sealed)
    except secrets.Undecipherable:
        return None
    if not text.startswith(MARK):
        return text
    if not text.startswith(f"{MARK}{slug}:"):
        log.error("the stored key of provider %s is another provider's", slug)
        return None
    return text.removeprefix(f"{MARK}{slug}:")
