"""Whether an account may spend while a payment of it is disputed."""

from sqlalchemy import Connection, update

from solrouter.models import Account
from solrouter.models.columns import db_now

# Why an account is frozen that will thaw again.
DISPUTE = "dispute"


def freeze_for_dispute(connection: Connection, account_id: int) -> None:
    """Stops the account's spending while a payment of it is disputed, and flags it for good."""
    of_account = update(Account).where(Account.id == account_id)
    connection.execute(
        of_account.where(Account.frozen_at.is_(None)).values(frozen_at=db_now(), frozen_for=DISPUTE)
    )
    flag(connection, account_id)


def flag(connection: Connection, account_id: int) -> None:
    """Marks the account as one whose payments were disputed."""
    unflagged = update(Account).where(Account.id == account_id, Account.flagged_at.is_(None))
    connection.execute(unflagged.values(flagged_at=db_now()))


def thaw_after_dispute(connection: Connection, account_id: int) -> None:
    """Lets the account spend again, unless it is frozen for another reason."""
    of_account = update(Account).where(Account.id == account_id, Account.frozen_for == DISPUTE)
    connection.execute(of_account.values(frozen_at=None, frozen_for=None))
