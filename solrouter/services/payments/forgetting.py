"""What goes with an account that ends: its card, its standing order, addresses for refunds.

The payments stay, as the ledger does: they are the books. While money may still come, the account
does not end, since what comes later would be credited to nobody:

| under way                    | until                                          |
|------------------------------|------------------------------------------------|
| a refund                     | it is paid out or has failed                   |
| a payment that is held       | the account's first day is over                |
| a payment on its way         | the bank or the network has brought it, or not |
| an automatic top-up          | the provider says what became of the charge    |

A payment that only waits for its payer is none.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, func, or_, select, update

from solrouter.errors import Refused
from solrouter.models import Payment, PaymentRefund
from solrouter.money import display_usd
from solrouter.services.payments import customers, refund_rows, rows, solana, standing, states

REFUND = "A refund of this account is still under way. Wait until it is paid out, then try again."
HELD = "it is held until the account’s first day is over"
AUTOMATIC = "the card is being charged, or the answer was lost and is asked for again"
ON_ITS_WAY = "it is paid, and the money is not here yet"


def forget(connection: Connection, account_id: int) -> None:
    """In the transaction of the account's end. Raises Refused while money is on its way."""
    mine = select(Payment.id).where(Payment.account_id == account_id)
    waiting = select(func.count()).where(
        PaymentRefund.payment_id.in_(mine),
        PaymentRefund.state.in_((refund_rows.ASKED, refund_rows.SENT)),
    )
    if connection.execute(waiting).scalar():
        raise Refused(REFUND)
    for payment in _unpaid(connection, account_id):
        if why := _under_way(payment):
            raise Refused(
                f"A payment of {display_usd(payment.amount_nanos)} is still under way: {why}. "
                "Wait until “Balance” shows what became of it, then try again."
            )
    standing.forget(connection, account_id)
    customers.forget_all(connection, account_id)
    cleared = update(PaymentRefund).where(PaymentRefund.payment_id.in_(mine))
    connection.execute(cleared.values(pay_to=""))


def _unpaid(connection: Connection, account_id: int) -> Iterator[rows.Payment]:
    """What may bring money: on a chain also what is over, since the chain does not know it."""
    may_bring = or_(Payment.state.in_(states.OPEN), Payment.provider == solana.PROVIDER)
    query = rows.query(Payment.account_id == account_id, Payment.paid_at.is_(None), may_bring)
    return map(rows.as_payment, connection.execute(query.order_by(Payment.id)))


def _under_way(payment: rows.Payment) -> str:
    """Why money of the payment may come without its payer; empty when none may."""
    if payment.state == states.HELD:
        return HELD
    if payment.is_automatic and payment.is_open:
        return AUTOMATIC
    is_seen = payment.provider == solana.PROVIDER and solana.is_on_its_way(payment.details)
    return ON_ITS_WAY if payment.is_on_its_way or is_seen else ""
