"""What goes with an account that ends: its card, its standing order, addresses for refunds.

The payments stay, as the ledger does: they are the books.
"""

from sqlalchemy import Connection, func, select, update

from solrouter.errors import Refused
from solrouter.models import Payment, PaymentRefund
from solrouter.services.payments import customers, refund_rows, solana, standing, states


def forget(connection: Connection, account_id: int) -> None:
    """In the transaction of the account's end. Raises Refused while money is on its way."""
    mine = select(Payment.id).where(Payment.account_id == account_id)
    paying = mine.where(Payment.state.in_((states.PENDING, states.HELD)), Payment.paid_at.is_(None))
    under_way = paying.where(Payment.is_automatic | (Payment.state == states.HELD))
    waiting = select(func.count()).where(
        PaymentRefund.payment_id.in_(mine),
        PaymentRefund.state.in_((refund_rows.ASKED, refund_rows.SENT)),
    )
    is_under_way = connection.execute(under_way.limit(1)).first() or _is_on_its_way(
        connection, account_id
    )
    if connection.execute(waiting).scalar() or is_under_way:
        raise Refused("A payment or a refund of this account is still under way. Try again later.")
    standing.forget(connection, account_id)
    customers.forget_all(connection, account_id)
    cleared = update(PaymentRefund).where(PaymentRefund.payment_id.in_(mine))
    connection.execute(cleared.values(pay_to=""))


def _is_on_its_way(connection: Connection, account_id: int) -> bool:
    """Whether a chain shows money for the account that is not final yet."""
    on_chain = select(Payment.details).where(
        Payment.account_id == account_id,
        Payment.provider == solana.PROVIDER,
        Payment.paid_at.is_(None),
    )
    return any(solana.is_on_its_way(row[0] or {}) for row in connection.execute(on_chain))
