"""What people are told before it hurts: a balance that runs low, by mail and webhook.

The housekeeping looks; requests know nothing of it.
"""

from functools import partial
from weakref import WeakKeyDictionary

from sqlalchemy import Connection, select, update

from solrouter import database
from solrouter.clock import monotonic_s
from solrouter.database import Database
from solrouter.errors import Refused
from solrouter.models import Account, Membership
from solrouter.models.columns import db_now
from solrouter.money import decimal_usd, display_usd
from solrouter.services import audit, notices, outbox, webhook_queue

LOOK_EVERY_S = 60.0
KEEPERS_OF_MONEY = ("owner", "billing")

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
    present = select(Account.low_balance_nanos).where(Account.id == account_id).with_for_update()
    of_account = update(Account).where(Account.id == account_id)

    def verb(connection: Connection) -> None:
        before = connection.execute(present).scalar_one()
        connection.execute(of_account.values(low_balance_nanos=nanos, low_balance_told_at=None))
        connection.execute(
            audit.event(
                actor=actor,
                action="account.low_balance",
                subject=f"account:{account_id}",
                account_id=account_id,
                details={"limit_nanos": [before, nanos]},
            )
        )

    database.transact(verb)


def look(*, now: bool = False) -> int:
    """Orders the mails that are due, at most once a minute; says how many."""
    ours = database.current()
    if not now and monotonic_s() - _looked_at_s.get(ours, -LOOK_EVERY_S) < LOOK_EVERY_S:
        return 0
    _looked_at_s[ours] = monotonic_s()
    count = _tell_low_balances()
    if count:
        outbox.ring()
        webhook_queue.ring()
    return count


def forget(connection: Connection, account_id: int) -> None:
    """Deletes what is known of an account that ends."""
    of_account = update(Account).where(Account.id == account_id)
    connection.execute(
        of_account.values(
            low_balance_nanos=None,
            low_balance_told_at=None,
            spend_alert_nanos=None,
            spend_told_for=None,
        )
    )


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
