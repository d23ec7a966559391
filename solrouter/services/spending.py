"""What people are told of money that is spent: once in a month, when it has passed what they named.

Months are UTC's. The sums are those of the activity page, so that both tell the same.
"""

from datetime import date
from functools import partial

from sqlalchemy import Connection, or_, select, update

from solrouter import clock, database
from solrouter.errors import Refused
from solrouter.models import Account, Membership
from solrouter.money import decimal_usd, display_usd
from solrouter.services import audit, notices, outbox, usage_days, webhook_queue

KEEPERS_OF_MONEY = ("owner", "billing")


def threshold(account_id: int) -> int | None:
    """The spending in a month at which the account's keepers of money are told; None: never."""
    query = select(Account.spend_alert_nanos).where(Account.id == account_id)
    with database.read() as connection:
        return connection.execute(query).scalar_one()


def set_threshold(account_id: int, nanos: int | None, *, actor: str) -> None:
    """Changes it; the next look goes by it, also in a month that was told of. Raises Refused."""
    if nanos is not None and nanos <= 0:
        raise Refused("Write an amount above zero, or nothing for no mail.", param="spend")
    present = select(Account.spend_alert_nanos).where(Account.id == account_id).with_for_update()
    changed = update(Account).where(Account.id == account_id)
    changed = changed.values(spend_alert_nanos=nanos, spend_told_for=None)

    def verb(connection: Connection) -> None:
        before = connection.execute(present).scalar_one()
        connection.execute(changed)
        connection.execute(
            audit.event(
                actor=actor,
                action="account.spend_alert",
                subject=f"account:{account_id}",
                account_id=account_id,
                details={"limit_nanos": [before, nanos]},
            )
        )

    database.transact(verb)


def look(today: date | None = None) -> int:
    """Orders the mails and webhooks that are due; says of how many accounts."""
    month = (today or clock.utcnow().date()).replace(day=1)
    due = select(Account.id, Account.spend_alert_nanos).where(
        Account.spend_alert_nanos.is_not(None),
        or_(Account.spend_told_for.is_(None), Account.spend_told_for < month),
    )
    with database.read() as connection:
        found = connection.execute(due).all()
    told = 0
    for account_id, limit in found:
        spent = usage_days.total(usage_days.of_account(account_id, month)).charge_nanos
        if limit is not None and spent >= limit:
            verb = partial(_tell, account_id=account_id, month=month, spent=spent)
            told += database.transact(verb)
    if told:
        outbox.ring()
        webhook_queue.ring()
    return told


def _tell(connection: Connection, *, account_id: int, month: date, spent: int) -> int:
    """Tells once, whoever else looks at the same time."""
    told = (
        update(Account)
        .where(
            Account.id == account_id,
            Account.spend_alert_nanos <= spent,
            or_(Account.spend_told_for.is_(None), Account.spend_told_for < month),
        )
        .values(spend_told_for=month)
        .returning(Account.name, Account.public_id, Account.spend_alert_nanos)
    )
    row = connection.execute(told).one_or_none()
    if row is None:
        return 0
    limit = row.spend_alert_nanos or 0
    keepers = select(Membership.user_id).where(
        Membership.account_id == account_id, Membership.role.in_(KEEPERS_OF_MONEY)
    )
    facts = {
        "account": row.name,
        "spent": display_usd(spent),
        "threshold": display_usd(limit),
        "month": f"{month:%B %Y}",
    }
    for user_id in connection.scalars(keepers).all():
        notices.put(connection, "spend_reached", user_id, **facts)
    data = {
        "account": row.public_id,
        "month": f"{month:%Y-%m}",
        "spent_usd": decimal_usd(spent),
        "threshold_usd": decimal_usd(limit),
    }
    webhook_queue.put(connection, webhook_queue.SPEND_REACHED, data, account_id=account_id)
    return 1
