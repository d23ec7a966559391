"""Asking a provider what became of a payment: by the return page, and by the reconciliation for
news that never came.

Each payment says when it is due. Whoever takes it moves that on first, so that one process asks at
a time, and one that dies leaves it to the next round.
"""

import logging
from collections.abc import Collection

from sqlalchemy import Connection, select, update

from solrouter import database
from solrouter.errors import SolRouterError
from solrouter.models import Payment
from solrouter.models.columns import db_now
from solrouter.services.payments import applying, registry, rows, states, trial
from solrouter.services.payments.methods import Finding

log = logging.getLogger(__name__)

AT_ONCE_MAX = 20
# So long one process may take to ask; then another may try.
CLAIM_S = 120
RETRY_S = 600


def check(payment: rows.Payment) -> rows.Payment:
    """The payment after its provider was asked once more. Raises ProviderUnavailable."""
    method = registry.of(payment.provider)
    if method is None or method.is_live() != payment.is_live:
        # A key of the other mode knows nothing of it.
        return payment
    return applying.take(payment.id, method.check(payment))


def fail(payment: rows.Payment, problem: str) -> None:
    """Ends an order that the provider did not take."""
    applying.take(payment.id, Finding(state=states.FAILED, problem=problem))


def answer_trial(payment: rows.Payment, said: str) -> rows.Payment:
    """Lets a test payment end as its person says; the first word counts. Raises Refused."""
    trial.require_allowed()
    if "said" not in payment.details:
        applying.take(payment.id, Finding(details={"said": said}))
    with database.read() as connection:
        payment = rows.get(connection, payment.id)
    return check(payment)


def check_due(providers: Collection[str] | None = None) -> int:
    """Asks about the payments that are due, of these providers alone if any are named, so that one
    that is slow holds up no other. Says how many brought news; what fails is for later.
    """
    changed = 0
    for payment in _claim(registry.METHODS.keys() if providers is None else providers):
        try:
            after = check(payment)
        except SolRouterError as error:
            log.warning("payment %s could not be checked: %s", payment.public_id, error.message)
            _put_off(payment)
            continue
        changed += (after.state, after.received_nanos) != (payment.state, payment.received_nanos)
    return changed


def _put_off(payment: rows.Payment) -> None:
    later = update(Payment).where(Payment.id == payment.id).values(due_at=db_now(RETRY_S))
    database.transact(lambda connection: connection.execute(later), durable=False)


def _claim(providers: Collection[str]) -> list[rows.Payment]:
    is_due = Payment.due_at <= db_now()
    due = select(Payment.id).where(is_due, Payment.provider.in_(sorted(providers)))
    due = due.order_by(Payment.due_at).limit(AT_ONCE_MAX)

    def take(connection: Connection) -> list[rows.Payment]:
        claimed = []
        for payment_id in connection.execute(due).scalars().all():
            mine = update(Payment).where(Payment.id == payment_id, is_due)
            if connection.execute(mine.values(due_at=db_now(CLAIM_S))).rowcount:
                claimed.append(rows.get(connection, payment_id))
        return claimed

    with database.read() as connection:
        if connection.execute(due).first() is None:
            return []
    return database.transact(take)
