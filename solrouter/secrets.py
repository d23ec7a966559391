"""All that derives from the one root secret: key pepper, field encryption, fingerprints.

HKDF-SHA-256 (RFC 5869) with one label for each use, so that no two uses share a key. Former secrets
(`SECRET_KEY_FALLBACKS`) can still be read with; only the newest writes.
"""

import base64
import hmac
from dataclasses import dataclass
from functools import cached_property

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from flask import Flask

from solrouter import apps

EXTENSION = "solrouter.secrets"
FINGERPRINT_HEX = 16


class Undecipherable(Exception):
    """A stored field was written under a root secret that this server does not have."""


@dataclass(frozen=True)
class RootSecret:
    """One root secret and what derives from it."""

    text: str

    def derive(self, label: str) -> bytes:
        """Thirty-two bytes for one use."""
        kdf = HKDF(algorithm=SHA256(), length=32, salt=None, info=f"solrouter:{label}".encode())
        return kdf.derive(self.text.encode())

    @cached_property
    def pepper(self) -> bytes:
        return self.derive("api-key-pepper")

    @cached_property
    def fingerprint(self) -> str:
        """Names the secret without telling it."""
        return self.derive("fingerprint").hex()[:FINGERPRINT_HEX]

    @cached_property
    def fernet(self) -> Fernet:
        return Fernet(base64.urlsafe_b64encode(self.derive("field-encryption")))

    def digest(self, token: str) -> bytes:
        """HMAC-SHA-256 of an API key under this secret's pepper."""
        return hmac.digest(self.pepper, token.encode(), "sha256")


class Secrets:
    """The newest root secret and its predecessors."""

    def __init__(self, newest: str, fallbacks: tuple[str, ...]) -> None:
        self.roots = tuple(RootSecret(text) for text in (newest, *fallbacks))
        self._fernet = MultiFernet([root.fernet for root in self.roots])

    @property
    def newest(self) -> RootSecret:
        return self.roots[0]

    def encrypt(self, text: str) -> bytes:
        """The text under the newest secret."""
        return self._fernet.encrypt(text.encode())

    def decrypt(self, token: bytes) -> str:
        """The text again. Raises Undecipherable."""
        try:
            return self._fernet.decrypt(token).decode()
        except InvalidToken:
            raise Undecipherable("written under a SECRET_KEY that is not set here") from None

    def renewed(self, token: bytes) -> bytes | None:
        """The same text under the newest secret; None if it is already. Raises Undecipherable."""
        try:
            self.newest.fernet.decrypt(token)
        except InvalidToken:
            return self.encrypt(self.decrypt(token))
        return None


def init_app(app: Flask) -> None:
    """Binds the app's secrets; the session signer gets a key of its own."""
    secrets = Secrets(app.config["SECRET_KEY"], app.config["SECRET_KEY_FALLBACKS"])
    app.extensions[EXTENSION] = secrets
    app.secret_key = secrets.newest.derive("cookie-signer")
    app.config["SECRET_KEY_FALLBACKS"] = [
        root.derive("cookie-signer") for root in secrets.roots[1:]
    ]


def current() -> Secrets:
    """The current app's secrets."""
    secrets: Secrets = apps.current().extensions[EXTENSION]
    return secrets
