"""Who a request speaks for, and those whom this process has proven a moment ago.

A request need not wait for the database twice. What it may see before it is admitted is decided by
what this process remembers of its key for some seconds; the admission then proves, in its own
transaction, that everything which is remembered still holds. So a key that was revoked or changed
elsewhere gets no further with its next request.
"""

from dataclasses import dataclass, replace
from typing import NamedTuple

from solrouter import database
from solrouter.clock import monotonic_s
from solrouter.errors import Forbidden
from solrouter.services import key_rules

REMEMBERED_S = 5.0
REMEMBERED_MAX = 4096
# What of a key's row decides what its requests may do, as one text; SQL for both databases.
TERMS = (
    "api_keys.scopes || '/' || coalesce(CAST(api_keys.models_allowed AS TEXT), '') || '/' || "
    "coalesce(CAST(api_keys.networks_allowed AS TEXT), '')"
)


class Limits(NamedTuple):
    """What an account's plan and a key allow; None is no limit."""

    requests_per_minute: int | None
    tokens_per_minute: int | None
    concurrency: int | None
    free_requests_per_day: int | None
    free_concurrency: int | None
    key_requests_per_minute: int | None
    key_tokens_per_minute: int | None
    key_concurrency: int | None


class Proof(NamedTuple):
    """What a key's row must still say: whose secret it is, and TERMS."""

    digest: bytes
    terms: str


class KeyChanged(Exception):
    """The key is not as it was remembered: ask the database who it speaks for, then try again."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Who a request speaks for, and the limits that it had when that was asked.

    With a `proof` it is remembered, and whoever admits it proves it first.
    """

    key_id: int
    key_public_id: str
    account_id: int
    user_id: int
    scopes: frozenset[str]
    models_allowed: tuple[str, ...] | None
    limits: Limits
    networks_allowed: tuple[str, ...] | None = None
    # Whence it was asked, as far as our proxies know.
    address: str = ""
    # How long its account wants prompts and answers kept; None: not at all. What is remembered of
    # this is proven when a content is written (`contents`).
    content_days: int | None = None
    proof: Proof | None = None

    def require(self, scope: str, *others: str) -> None:
        """Raises Forbidden when the key has neither the scope nor one of the others."""
        if self.scopes.isdisjoint((scope, *others)):
            raise Forbidden(f"This API key lacks the scope “{scope}”.", metadata={"scope": scope})

    def require_network(self) -> None:
        """Raises Forbidden when the key may not be used from where it was."""
        key_rules.require_network(self.networks_allowed, self.address)

    def is_as(self, other: "Principal") -> bool:
        """Whether both are the same but for how that is known."""
        return replace(self, proof=None) == replace(other, proof=None)


class Memory:
    """Whom secrets spoke for a moment ago, the oldest forgotten first."""

    def __init__(self, *, most: int = REMEMBERED_MAX, seconds: float = REMEMBERED_S) -> None:
        self._most = most
        self._seconds = seconds
        # By the secret's digest and the address, since a principal says both.
        self._known: dict[tuple[bytes, str], tuple[float, Principal]] = {}

    def recalled(self, digest: bytes, address: str) -> Principal | None:
        """Whom this secret spoke for, if that is not too long ago."""
        found = self._known.get((digest, address))
        return None if found is None or found[0] < monotonic_s() else found[1]

    def remember(self, principal: Principal, proof: Proof) -> None:
        """Remembers from now on who the secret speaks for."""
        place = (proof.digest, principal.address)
        # Put at the end again, so that the oldest comes first.
        self._known.pop(place, None)
        while len(self._known) >= self._most:
            self._known.pop(next(iter(self._known)))
        self._known[place] = (monotonic_s() + self._seconds, replace(principal, proof=proof))

    def forget(self, account_id: int) -> None:
        """Forgets the account's keys, in this process: for what no admission proves."""
        for place, (_, principal) in list(self._known.items()):
            if principal.account_id == account_id:
                self._known.pop(place, None)


def memory() -> Memory:
    """That of this process for the current app's database."""
    return database.current().remembered("principals", Memory)
