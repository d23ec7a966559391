"""The reference and the exact amount of each payment, kept before anybody sees them.

The amount is the wish and a part of a cent on top, so that a transfer without the reference, from
an exchange say, can be told from all others (rule S10). What comes is credited, the part too.
"""

import secrets
from collections.abc import Set
from dataclasses import dataclass

from sqlalchemy import Connection, select, update
from sqlalchemy.dialects import postgresql, sqlite

from solrouter import database
from solrouter.models import SolanaOrder
from solrouter.models.columns import db_now
from solrouter.services.payments.solana import addresses
from solrouter.services.payments.solana.settings import NANOS_PER_UNIT

UNITS_PER_CENT = 10_000
# So long nobody else is asked for the same amount: as long as a payment is looked after.
EXACT_S = 31 * 86_400
TRIES_MAX = 20


@dataclass(frozen=True, slots=True)
class Quote:
    """What one payment asks for."""

    reference: str
    amount_units: int
    is_exact: bool


def quote(payment_id: int, amount_nanos: int) -> Quote:
    """What the payment asks for; the same again for the same payment."""
    known = find(payment_id)
    if known is not None:
        return known

    def verb(connection: Connection) -> None:
        _free_old(connection)
        for _ in range(TRIES_MAX):
            if _try_one(connection, payment_id, amount_nanos // NANOS_PER_UNIT):
                return
        # All parts of a cent are taken: this payment can be told by its reference alone.
        _insert(connection, payment_id, amount_nanos // NANOS_PER_UNIT, is_exact=False)

    database.transact(verb)
    found = find(payment_id)
    assert found is not None, "the row was written"
    return found


def find(payment_id: int) -> Quote | None:
    """What the payment asks for, if it was ever asked."""
    query = select(SolanaOrder.reference, SolanaOrder.amount_units, SolanaOrder.exact_units)
    with database.read() as connection:
        row = connection.execute(query.where(SolanaOrder.payment_id == payment_id)).one_or_none()
    return None if row is None else Quote(row[0], row[1], row[2] is not None)


def references_among(accounts: Set[str], *, but: str) -> frozenset[str]:
    """Which of these are references of other payments."""
    query = select(SolanaOrder.reference).where(
        SolanaOrder.reference.in_(sorted(accounts)), SolanaOrder.reference != but
    )
    with database.read() as connection:
        return frozenset(connection.execute(query).scalars())


def _try_one(connection: Connection, payment_id: int, units: int) -> bool:
    """Whether the payment has its row now: this try's, or one that another process wrote."""
    part = 1 + secrets.randbelow(UNITS_PER_CENT - 1)
    if _insert(connection, payment_id, units + part, is_exact=True):
        return True
    mine = select(SolanaOrder.payment_id).where(SolanaOrder.payment_id == payment_id)
    return connection.execute(mine).first() is not None


def _insert(connection: Connection, payment_id: int, units: int, *, is_exact: bool) -> bool:
    upsert = postgresql.insert if connection.dialect.name == "postgresql" else sqlite.insert
    statement = upsert(SolanaOrder).values(
        payment_id=payment_id,
        reference=addresses.new_reference(),
        amount_units=units,
        exact_units=units if is_exact else None,
        exact_until=db_now(EXACT_S),
        created_at=db_now(),
    )
    inserted = statement.on_conflict_do_nothing().returning(SolanaOrder.payment_id)
    return connection.execute(inserted).first() is not None


def _free_old(connection: Connection) -> None:
    """Old payments' amounts may be asked for again."""
    is_over = (SolanaOrder.exact_until < db_now(), SolanaOrder.exact_units.is_not(None))
    connection.execute(update(SolanaOrder).where(*is_over).values(exact_units=None))
