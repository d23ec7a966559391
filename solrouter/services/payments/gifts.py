"""Credit that nobody paid for: an operator's word, or a code. The same rows, states and door as
money; it is a gift, so it is spent first and never given back for money.
"""

from sqlalchemy import Connection, insert

from solrouter import database
from solrouter.clock import new_id
from solrouter.errors import Refused
from solrouter.models import Payment
from solrouter.models.columns import db_now
from solrouter.money import AT_ONCE_NANOS_MAX, display_usd
from solrouter.services import admission, audit, billing
from solrouter.services.admission import Move
from solrouter.services.payments import moving, rows, states

GRANT, CODE = "grant", "code"


def grant(
    account_id: int, amount_nanos: int, *, actor: str, note: str, idempotency: str | None = None
) -> rows.Payment:
    """Gives credit to an account; the same `idempotency` twice is one gift. Raises Refused and
    NotFound.

    None comes in before an owner of the account has a verified address.
    """
    if amount_nanos <= 0:
        raise Refused("An amount to grant must be more than zero.", param="amount")
    require_sane(amount_nanos)
    if not note.strip():
        raise Refused("Say why, for the books.", param="note")

    def verb(connection: Connection) -> rows.Payment:
        admission.lock(connection, account_id)
        if idempotency and (known := rows.of_form(connection, account_id, idempotency)):
            return known
        return give(
            connection,
            account_id,
            amount_nanos,
            actor=actor,
            note=note.strip(),
            idempotency=idempotency,
        )

    return database.transact(verb)


def take_back(account_id: int, amount_nanos: int, *, actor: str, note: str) -> None:
    """Takes gifts that are not spent away again. Raises Refused and NotFound.

    Never what was paid for, which is refunded, nor what running requests hold.
    """
    if amount_nanos <= 0:
        raise Refused("An amount to take back must be more than zero.", param="amount")
    if not note.strip():
        raise Refused("Say why, for the books.", param="note")

    def verb(connection: Connection) -> None:
        had = admission.lock(connection, account_id)
        most = max(min(had.granted_nanos, had.available_nanos), 0)
        if amount_nanos > most:
            raise Refused(
                f"Only {display_usd(most)} of gifts is left to take back. "
                "What was paid for is refunded, under Payments.",
                param="amount",
            )
        terms = Move(
            transfer_id=new_id(),
            account_id=account_id,
            amount_nanos=amount_nanos,
            kind=billing.GRANT_TAKEN,
            provider="",
            actor=actor,
            note=note.strip(),
        )
        admission.move(connection, terms)
        details = {"amount_nanos": amount_nanos, "note": note.strip()}
        connection.execute(
            audit.event(
                actor=actor,
                action="credit.taken",
                subject=f"account:{account_id}",
                account_id=account_id,
                details=details,
            )
        )

    database.transact(verb)


def require_sane(amount_nanos: int) -> None:
    """Raises Refused (`amount`) for more than anybody means to give at once."""
    if amount_nanos > AT_ONCE_NANOS_MAX:
        raise Refused(f"At most {display_usd(AT_ONCE_NANOS_MAX)} at once.", param="amount")


def give(
    connection: Connection,
    account_id: int,
    amount_nanos: int,
    *,
    actor: str,
    note: str,
    provider: str = GRANT,
    order_id: str | None = None,
    user_id: int | None = None,
    idempotency: str | None = None,
) -> rows.Payment:
    """`grant`, in the caller's transaction. An `order_id` is taken once."""
    admission.require_proven_owner(connection, account_id)
    public_id = rows.new_public_id()
    values = {
        "public_id": public_id,
        "account_id": account_id,
        "user_id": user_id,
        "provider": provider,
        "method": provider,
        "is_live": True,
        "order_id": order_id or public_id,
        "idempotency": idempotency,
        "amount_nanos": amount_nanos,
        "currency": "usd",
        "state": states.PENDING,
        "details": {},
        "created_at": db_now(),
        "updated_at": db_now(),
    }
    payment_id = connection.execute(
        insert(Payment).values(values).returning(Payment.id)
    ).scalar_one()
    payment = rows.get(connection, payment_id)
    moving.move(connection, payment, billing.GRANT, amount_nanos, public_id, actor=actor, note=note)
    return rows.get(connection, payment_id)
