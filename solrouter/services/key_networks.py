"""The networks that a key is used from. Who made the key gets a mail when one is new.

Each process notes from where keys are used that it has asked the database about, and tells of it in
its next round: a request waits for none of it, and no use from a new network is missed.
"""

from datetime import timedelta
from functools import partial
from ipaddress import ip_address, ip_network
from typing import NamedTuple

from sqlalchemy import Connection, delete, select
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.clock import utcnow
from solrouter.models import ApiKey, KeyNetwork
from solrouter.services import key_rules, notices, outbox

# About as large as what one customer of a network provider has.
NETWORK_BITS = {4: 24, 6: 48}
TOLD_EVERY = timedelta(days=1)
KNOWN_MAX = 10_000
# More than this in one round is left out: a key that comes from everywhere has long been told of.
WAITING_MAX = 1_000


class Use(NamedTuple):
    """A key and the network that it was used from."""

    key_id: int
    network: str


class _Seen:
    """What this process has seen: uses that the database knows, and those that it is to be told."""

    def __init__(self) -> None:
        # Without values: in the order in which they came.
        self.known: dict[Use, None] = {}
        self.waiting: dict[Use, None] = {}

    def settle(self, use: Use) -> None:
        """The database knows of it; the oldest are forgotten first."""
        self.waiting.pop(use, None)
        while len(self.known) >= KNOWN_MAX:
            self.known.pop(next(iter(self.known)))
        self.known[use] = None


def network_of(address: str) -> str | None:
    """The network of an address; None for what is none."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return str(ip_network((found, NETWORK_BITS[found.version]), strict=False))


def note(key_id: int, address: str) -> None:
    """A key was used from this address; told with the next round."""
    network = network_of(address)
    if network is None:
        return
    seen, use = _seen(), Use(key_id, network)
    if use not in seen.known and len(seen.waiting) < WAITING_MAX:
        seen.waiting[use] = None


def tell() -> int:
    """Keeps the networks that were noted, and orders the mails that are due; says how many.

    Raises DatabaseUnavailable, and then tells the rest in the next round.
    """
    seen, told = _seen(), 0
    for use in tuple(seen.waiting):
        told += database.transact(partial(_learn, use=use), durable=False)
        seen.settle(use)
    if told:
        outbox.ring()
    return told


def forget(connection: Connection, account_id: int) -> None:
    """Deletes what is known of the keys of an account that ends."""
    keys = select(ApiKey.id).where(ApiKey.account_id == account_id)
    connection.execute(delete(KeyNetwork).where(KeyNetwork.key_id.in_(keys)))


def _learn(connection: Connection, use: Use) -> int:
    """Keeps the network, and tells who made the key unless it is the key's first."""
    seen = select(KeyNetwork.network, KeyNetwork.seen_at).where(KeyNetwork.key_id == use.key_id)
    known = {row.network: row.seen_at for row in connection.execute(seen)}
    if use.network in known:
        return 0
    of_key = select(ApiKey.user_id, ApiKey.name, ApiKey.hint).where(
        ApiKey.id == use.key_id, ApiKey.purpose == key_rules.API
    )
    key = connection.execute(of_key).one_or_none()
    if key is None:
        return 0
    new = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    values = {"key_id": use.key_id, "network": use.network, "seen_at": utcnow()}
    kept = new(KeyNetwork).values(**values).on_conflict_do_nothing()
    # Another process may have been first.
    if not connection.execute(kept).rowcount or not known:
        return 0
    # The first network tells nothing; each later one told, or was within a day of one that did.
    if len(known) > 1 and max(known.values()) > utcnow() - TOLD_EVERY:
        return 0
    facts = {"key": key.name, "hint": key.hint, "network": use.network}
    notices.put(connection, "key_new_network", key.user_id, **facts)
    return 1


def _seen() -> _Seen:
    return database.current().remembered("key_networks", _Seen)
