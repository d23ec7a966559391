"""Accounts that an operator stops and lets go on. The mark is the one that a dispute sets, too, and
every admission compares it: so the next request of the account is refused, on every worker.

| the account is …            | and an operator …                                              |
|-----------------------------|----------------------------------------------------------------|
| as usual, or in a dispute   | suspends it: it spends nothing, whatever becomes of a dispute  |
| suspended                   | lifts that: as usual again, or stopped by a dispute still open |
| stopped by a dispute        | lifts that: it spends though the dispute goes on               |
| closed by its owner         | can do nothing: it is empty and nobody's                       |
"""

from typing import Any

from sqlalchemy import Connection, Row, Update, select, update

from solrouter import database
from solrouter.errors import NotFound, Refused
from solrouter.models import Account
from solrouter.models.columns import db_now
from solrouter.services import admission, audit
from solrouter.services.payments import disputes

OPERATOR = "operator"
REASON_CHARACTERS_MAX = 200


def suspend(account_id: int, reason: str, *, actor: str) -> None:
    """Stops the account's spending until an operator lifts it. Raises Refused and NotFound.

    The reason is shown to the account's members.
    """
    because = _checked(reason)

    def verb(connection: Connection) -> None:
        row = _locked(connection, account_id)
        if row.frozen_at is not None and row.frozen_for is None:
            raise Refused("This account is closed: nobody can use it any more.")
        if row.frozen_for == OPERATOR:
            raise Refused("This account is suspended already.")
        values = {"frozen_at": db_now(), "frozen_for": OPERATOR, "suspended_because": because}
        connection.execute(_of(account_id).values(values))
        _note(connection, account_id, "account.suspended", because, actor)

    database.transact(verb)


def lift(account_id: int, reason: str, *, actor: str) -> None:
    """Lets the account spend again. Raises Refused and NotFound."""
    because = _checked(reason)

    def verb(connection: Connection) -> None:
        row = _locked(connection, account_id)
        if row.frozen_at is None or row.frozen_for is None:
            raise Refused("This account is not suspended.")
        values = {"frozen_at": None, "frozen_for": None, "suspended_because": None}
        connection.execute(_of(account_id).values(values))
        if row.frozen_for == OPERATOR and disputes.has_open(connection, account_id):
            admission.freeze_for_dispute(connection, account_id)
        _note(connection, account_id, "account.lifted", because, actor)

    database.transact(verb)


def _checked(reason: str) -> str:
    reason = reason.strip()
    if not reason:
        raise Refused(
            "Say why: the account’s members see it, and the audit log keeps it.", param="reason"
        )
    if len(reason) > REASON_CHARACTERS_MAX:
        raise Refused(f"At most {REASON_CHARACTERS_MAX} characters.", param="reason")
    return reason


def _locked(connection: Connection, account_id: int) -> Row[*tuple[Any, ...]]:
    """How the account stands, until the commit."""
    columns = select(Account.frozen_at, Account.frozen_for).where(Account.id == account_id)
    row = connection.execute(columns.with_for_update()).one_or_none()
    if row is None:
        raise NotFound("There is no such account.")
    return row


def _of(account_id: int) -> Update:
    return update(Account).where(Account.id == account_id)


def _note(connection: Connection, account_id: int, action: str, because: str, actor: str) -> None:
    connection.execute(
        audit.event(
            actor=actor,
            action=action,
            subject=f"account:{account_id}",
            account_id=account_id,
            details={"reason": because},
        )
    )
