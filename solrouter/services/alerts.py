"""What people are told before it hurts: a balance that runs low, by mail and webhook; and by mail a
key in a new network.

The housekeeping looks; requests know nothing of it. A key's last address is noted once a minute at
most, so a network that a key was used from within the minute of another's use may go unseen.
"""

from datetime import timedelta
from functools import partial
from ipaddress import ip_address, ip_network
from typing import Any
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, delete, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.clock import monotonic_s, utcnow
from solrouter.database import Database
from solrouter.errors import Refused
from solrouter.models import Account, ApiKey, KeyNetwork, Membership
from solrouter.models.columns import db_now
from solrouter.money import decimal_usd, display_usd
from solrouter.services import audit, key_rules, notices, outbox, webhook_queue

LOOK_EVERY_S = 60.0
# A little longer than the time between two looks, so that no use falls between them.
USED_WITHIN_S = 180
KEEPERS_OF_MONEY = ("owner", "billing")
NETWORK_BITS = {4: 24, 6: 48}
TOLD_EVERY = timedelta(days=1)

_looked_at_s: WeakKeyDictionary[Database, float] = WeakKeyDictionary()


def threshold(account_id: int) -> int | None:
    """The balance below which the account's keepers of money get a mail; None: no mail."""
    query = select(Account.low_balance_nanos).where(Account.id == account_id)
    with database.read() as connection:
        return connection.execute(query).scalar_one()


def set_threshold(account_id: int, nanos: int | None, *, actor: str) -> None:
    """Changes it; the next look goes by it. Raises Refused."""
    if nanos is not None and nanos <= 0:
        raise Refused("Write an amount above zero, or nothing for no mail.", param="low_balance")
    of_account = update(Account).where(Account.id == account_id)
    event = audit.event(
        actor=actor,
        action="account.low_balance",
        subject=f"account:{account_id}",
        account_id=account_id,
        details={"limit_nanos": nanos},
    )

    def verb(connection: Connection) -> None:
        connection.execute(of_account.values(low_balance_nanos=nanos, low_balance_told_at=None))
        connection.execute(event)

    database.transact(verb)


def look(*, now: bool = False) -> int:
    """Orders the mails that are due, at most once a minute; says how many accounts and keys."""
    ours = database.current()
    if not now and monotonic_s() - _looked_at_s.get(ours, -LOOK_EVERY_S) < LOOK_EVERY_S:
        return 0
    _looked_at_s[ours] = monotonic_s()
    count = _tell_low_balances() + _tell_new_networks()
    if count:
        outbox.ring()
        webhook_queue.ring()
    return count


def forget(connection: Connection, account_id: int) -> None:
    """Deletes what is known of an account that ends."""
    keys = select(ApiKey.id).where(ApiKey.account_id == account_id)
    connection.execute(delete(KeyNetwork).where(KeyNetwork.key_id.in_(keys)))
    of_account = update(Account).where(Account.id == account_id)
    connection.execute(
        of_account.values(
            low_balance_nanos=None,
            low_balance_told_at=None,
            spend_alert_nanos=None,
            spend_told_for=None,
        )
    )


def network_of(address: str) -> str | None:
    """The network of an address, about as large as one customer of a provider has."""
    try:
        found = ip_address(address)
    except ValueError:
        return None
    return str(ip_network((found, NETWORK_BITS[found.version]), strict=False))


def _tell_low_balances() -> int:
    posted = Account.paid_nanos + Account.granted_nanos
    is_low = posted < Account.low_balance_nanos
    due = select(Account.id).where(
        Account.low_balance_nanos.is_not(None), is_low, Account.low_balance_told_at.is_(None)
    )
    over = select(Account.id).where(Account.low_balance_told_at.is_not(None), ~is_low)
    with database.read() as connection:
        low = connection.scalars(due).all()
        well = connection.scalars(over).all()
    if well:
        rearmed = update(Account).where(Account.id.in_(well), ~is_low)
        database.transact(
            lambda connection: connection.execute(rearmed.values(low_balance_told_at=None))
        )
    return sum(database.transact(partial(_tell_low_balance, account_id=one)) for one in low)


def _tell_low_balance(connection: Connection, *, account_id: int) -> int:
    """Tells once, whoever else looks at the same time."""
    posted = Account.paid_nanos + Account.granted_nanos
    told = (
        update(Account)
        .where(
            Account.id == account_id,
            Account.low_balance_told_at.is_(None),
            posted < Account.low_balance_nanos,
        )
        .values(low_balance_told_at=db_now())
        .returning(Account.name, posted, Account.low_balance_nanos, Account.public_id)
    )
    row = connection.execute(told).one_or_none()
    if row is None:
        return 0
    name, nanos, limit = row[0], int(row[1]), int(row[2] or 0)
    keepers = select(Membership.user_id).where(
        Membership.account_id == account_id, Membership.role.in_(KEEPERS_OF_MONEY)
    )
    facts = {"account": name, "balance": display_usd(nanos), "threshold": display_usd(limit)}
    for user_id in connection.scalars(keepers).all():
        notices.put(connection, "low_balance", user_id, **facts)
    data = {
        "account": row[3],
        "balance_usd": decimal_usd(nanos),
        "threshold_usd": decimal_usd(limit),
    }
    webhook_queue.put(connection, webhook_queue.BALANCE_LOW, data, account_id=account_id)
    return 1


def _tell_new_networks() -> int:
    used = select(
        ApiKey.id, ApiKey.user_id, ApiKey.name, ApiKey.hint, ApiKey.last_used_address
    ).where(
        ApiKey.last_used_at > db_now(-USED_WITHIN_S),
        ApiKey.last_used_address.is_not(None),
        ApiKey.purpose == key_rules.API,
    )
    with database.read() as connection:
        keys = connection.execute(used).all()
        known_rows = select(KeyNetwork.key_id, KeyNetwork.network).where(
            KeyNetwork.key_id.in_([key.id for key in keys])
        )
        known = {(row[0], row[1]) for row in connection.execute(known_rows)} if keys else set()
    told = 0
    for key in keys:
        network = network_of(key.last_used_address)
        if network is not None and (key.id, network) not in known:
            told += _learn(key, network)
    return told


def _learn(key: Any, network: str) -> int:
    """Keeps the network, and tells who made the key unless it is the key's first."""

    def verb(connection: Connection) -> int:
        others = select(KeyNetwork.seen_at).where(KeyNetwork.key_id == key.id)
        seen = sorted(connection.scalars(others).all())
        new = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
        values = {"key_id": key.id, "network": network, "seen_at": utcnow()}
        kept = new(KeyNetwork).values(**values).on_conflict_do_nothing()
        if not connection.execute(kept).rowcount or not seen:
            return 0
        # The first network tells nothing; each later one told, or was within a day of one that did.
        if len(seen) > 1 and seen[-1] > utcnow() - TOLD_EVERY:
            return 0
        facts = {"key": key.name, "hint": key.hint, "network": network}
        notices.put(connection, "key_new_network", key.user_id, **facts)
        return 1

    return database.transact(verb)
