"""Whether a payment of an account is disputed at the moment."""

from sqlalchemy import Connection, select

from solrouter.models import Payment, PaymentDispute


def has_open(connection: Connection, account_id: int) -> bool:
    """Whether a dispute of a payment of this account is not decided yet."""
    query = (
        select(PaymentDispute.id)
        .join(Payment, Payment.id == PaymentDispute.payment_id)
        .where(Payment.account_id == account_id, PaymentDispute.closed_at.is_(None))
    )
    return connection.execute(query.limit(1)).first() is not None
