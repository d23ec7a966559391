"""Money that comes to an account or leaves it by no request: credit, payments, what is given up."""

import uuid
from dataclasses import dataclass

from sqlalchemy import Connection, select, update

from solrouter import database
from solrouter.clock import new_id
from solrouter.errors import NotFound, Refused
from solrouter.models import Account, Membership, User
from solrouter.models.columns import db_now
from solrouter.services import audit, billing, people
from solrouter.services.admission import facts, welcoming
from solrouter.services.billing import Balance


def credit(
    account_id: int, amount_nanos: int, *, kind: str = billing.GRANT, actor: str, note: str
) -> uuid.UUID:
    """Brings credit to an account and returns the transfer's id. Raises Refused and NotFound.

    Of whatever kind: none comes in before an owner of the account has a verified address.
    """
    if amount_nanos <= 0:
        raise Refused("An amount to grant must be more than zero.", param="amount")
    if not note.strip():
        raise Refused("Say why, for the books.", param="note")
    terms = _Credit(account_id, amount_nanos, kind, actor, note.strip())
    return database.transact(lambda connection: _credit(connection, terms))


def welcome(user_id: int, amount_nanos: int) -> bool:
    """Grants the welcome credit, if the user's address is verified and they never had it.

    Harmless when asked for again, and says whether it was granted.
    """

    def verb(connection: Connection) -> bool:
        is_due = welcoming.claim(connection, user_id)
        if is_due:
            account_id = people.owned_account(connection, user_id)
            _credit(
                connection,
                _Credit(account_id, amount_nanos, billing.GRANT, "system", "Welcome credit"),
            )
        return is_due

    return amount_nanos > 0 and database.transact(verb)


@dataclass(frozen=True, slots=True)
class Move:
    """Credit that a payment brings or takes back; `kind` is one of `billing.SIDES`."""

    transfer_id: uuid.UUID
    account_id: int
    amount_nanos: int
    kind: str
    provider: str
    actor: str
    note: str
    fee_nanos: int = 0


@dataclass(frozen=True, slots=True)
class _Credit:
    account_id: int
    amount_nanos: int
    kind: str
    actor: str
    note: str


def _credit(connection: Connection, terms: _Credit) -> uuid.UUID:
    transfer_id = new_id()
    transfer = billing.credit_transfer(
        transfer_id,
        terms.account_id,
        terms.amount_nanos,
        kind=terms.kind,
        actor=terms.actor,
        note=terms.note,
    )
    require_proven_owner(connection, terms.account_id)
    raised = update(Account).where(Account.id == terms.account_id)
    raised = raised.values(granted_nanos=Account.granted_nanos + terms.amount_nanos)
    connection.execute(raised)
    connection.execute(billing.insert_transfers(), [transfer])
    details = {"amount_nanos": terms.amount_nanos, "kind": terms.kind, "note": terms.note}
    connection.execute(
        audit.event(
            actor=terms.actor,
            action="credit.granted",
            subject=f"account:{terms.account_id}",
            account_id=terms.account_id,
            details=details,
        )
    )
    return transfer_id


def require_proven_owner(connection: Connection, account_id: int) -> None:
    """Passes if an owner of the account has shown that their address is theirs. Raises Refused and
    NotFound.
    """
    lock(connection, account_id)
    proven = (
        select(User.id)
        .join(Membership, Membership.user_id == User.id)
        .where(
            Membership.account_id == account_id,
            Membership.role == "owner",
            User.email_verified_at.is_not(None),
        )
    )
    if connection.execute(proven.limit(1)).first() is not None:
        return
    raise Refused(
        "Nobody who owns this account has a verified e-mail address yet, and no money comes in "
        "before. An operator can confirm it: on the account's page, or by flask users confirm.",
        param="amount",
    )


def move(connection: Connection, terms: Move) -> None:
    """Brings credit to an account or takes it back. Raises NotFound.

    Within the transaction of the payment's own row, whose evidence is the once-only gate; the
    account's row is locked. What a refund or a dispute takes may leave less than nothing.
    """
    side = billing.SIDES[terms.kind]
    column = {"paid": Account.paid_nanos, "granted": Account.granted_nanos}[side.part]
    changed = update(Account).where(Account.id == terms.account_id)
    changed = changed.values({column: column + side.sign * terms.amount_nanos})
    if connection.execute(changed).rowcount != 1:
        raise NotFound("There is no such account.")
    transfers = billing.move_transfers(
        terms.transfer_id,
        terms.account_id,
        terms.amount_nanos,
        kind=terms.kind,
        actor=terms.actor,
        note=terms.note,
        provider=terms.provider,
        fee_nanos=terms.fee_nanos,
    )
    connection.execute(billing.insert_transfers(), transfers)


def lock(connection: Connection, account_id: int) -> Balance:
    """The account's balance, which nobody else changes until the commit. Raises NotFound."""
    facts.lock_account(connection, account_id)
    columns = select(Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
    row = connection.execute(columns.where(Account.id == account_id)).one_or_none()
    if row is None:
        raise NotFound("There is no such account.")
    return Balance(*row)


def forfeit(connection: Connection, account_id: int, *, expected_nanos: int, actor: str) -> None:
    """Empties an account whose owner leaves and gives up exactly this much, and freezes it.

    Within the transaction of the departure. Raises Refused while requests hold money, when the
    balance is another by now, and when it is below zero.
    """
    columns = select(Account.paid_nanos, Account.granted_nanos, Account.held_nanos)
    row = connection.execute(columns.where(Account.id == account_id).with_for_update()).one()
    had = billing.Balance(*row)
    if had.held_nanos:
        raise Refused("Requests of this account are still running. Try again when they have ended.")
    if had.paid_nanos < 0:
        raise Refused("This account owes money. Write to the operator of this server to settle it.")
    if had.posted_nanos != expected_nanos:
        raise Refused("The balance has changed meanwhile. Look at it again.", param="forfeit")
    emptied = update(Account).where(Account.id == account_id)
    connection.execute(
        emptied.values(
            paid_nanos=0,
            granted_nanos=0,
            frozen_at=db_now(),
            frozen_for=None,
            suspended_because=None,
        )
    )
    transfers = billing.forfeit_transfers(new_id(), account_id, had, actor=actor)
    if transfers:
        connection.execute(billing.insert_transfers(), transfers)
