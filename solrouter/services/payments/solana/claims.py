"""Transactions that people bring themselves: a payer whose wallet or exchange left the reference
out (rule S10), and an operator who has looked at one and knows whose it is.

A payer's word is kept and the chain is asked in the background, as about every payment. An
operator's word replaces only the question whose it is: what came, and that it came once, is proven
by the chain and the ledger as ever.
"""

from datetime import timedelta

from sqlalchemy import Connection, update

from solrouter import clock, database, models
from solrouter.errors import Refused
from solrouter.services import audit, throttles
from solrouter.services.payments import applying, moving, rows
from solrouter.services.payments.methods import Evidence, Finding, ProviderUnavailable
from solrouter.services.payments.rows import Payment
from solrouter.services.payments.solana import addresses, chain, entries, readiness, transfers
from solrouter.services.payments.solana.chain import ChainUnavailable, UnreadableTransaction
from solrouter.services.payments.solana.entries import Entry, Order
from solrouter.services.payments.solana.settings import NANOS_PER_UNIT
from solrouter.services.payments.solana.transfers import Reading, Unreadable

PROVIDER = "solana"
LOOKED_AFTER = timedelta(days=60)
REVIEWS_SHOWN_MAX = 200
CLAIMS_PER_HOUR = 10
CLAIMS_PER_PAYMENT_MAX = 10
NO_SIGNATURE = (
    "Enter the transaction's signature: 87 or 88 letters and digits, as your wallet, your exchange "
    "or a block explorer shows it."
)


def is_known(payment: Payment, text: str) -> bool:
    """Whether a transaction is among this payment's, and not refused. Raises Refused."""
    entry = entries.of(_begun(payment).details).get(_signature(text))
    return entry is not None and entry.kind != entries.REFUSED


def claim(payment: Payment, text: str) -> Payment:
    """Keeps a payer's word that a transaction is this payment's; it is looked for at once.

    One that is known changes nothing. Raises Refused and RateLimited.
    """
    if is_known(payment, text):
        return payment
    signature = _signature(text)
    known = entries.of(_begun(payment).details)
    if sum(entry.is_claim for entry in known.values()) >= CLAIMS_PER_PAYMENT_MAX:
        raise Refused("That were many for one payment. Please write to the operator.")
    throttles.take(
        f"account:{payment.account_id}",
        "payment claims",
        per_s=CLAIMS_PER_HOUR / 3600,
        burst=CLAIMS_PER_HOUR,
    )
    since = clock.utcnow().isoformat()
    entry = Entry(signature, entries.CLAIMED, is_claim=True, since=since)
    return applying.take(payment.id, Finding(details=entry.as_details(), due_in_s=0))


def accept(payment: Payment, text: str, *, actor: str) -> int:
    """Credits a transaction by an operator's word that it is this payment's; returns nanodollars.

    All that it brought to our account is credited, once. Raises Refused and ProviderUnavailable.
    """
    signature, order = _signature(text), Order.of(_begun(payment))
    reading = _reading(signature, order)
    units = reading.gained_units
    if reading.has_failed or units <= 0:
        raise Refused("This transaction brought nothing to the account of this payment.")
    entry = Entry(signature, entries.PAID, units, since=clock.utcnow().isoformat())
    finding = Finding(
        (Evidence(signature, units * NANOS_PER_UNIT, {"accepted_by": actor}),),
        details=entry.as_details(),
        due_in_s=0,
    )

    def verb(connection: Connection) -> None:
        before = moving.locked(connection, payment.id).received_nanos
        applying.apply(connection, payment.id, finding)
        after = moving.locked(connection, payment.id)
        if after.received_nanos == before:
            raise Refused("This transaction is credited already, or its payment is held.")
        if not any(entry.kind == entries.REVIEW for entry in entries.of(after.details).values()):
            of_payment = update(models.Payment).where(models.Payment.id == payment.id)
            connection.execute(of_payment.values(problem=""))
        connection.execute(
            audit.event(
                actor=actor,
                action="payment.accepted",
                subject=f"payment:{payment.public_id}",
                account_id=payment.account_id,
                details={"amount_nanos": units * NANOS_PER_UNIT, "proof": signature},
            )
        )

    database.transact(verb)
    return units * NANOS_PER_UNIT


def reviews() -> list[tuple[Payment, Entry]]:
    """What needs an operator's look: each transaction with its payment, oldest first.

    Of payments that are still looked after; an operator's word settles an entry.
    """
    since = clock.utcnow() - LOOKED_AFTER
    is_open = (models.Payment.provider == PROVIDER, models.Payment.created_at > since)
    query = rows.query(*is_open, models.Payment.problem != "").order_by(models.Payment.id)
    with database.read() as connection:
        found = [rows.as_payment(row) for row in connection.execute(query.limit(REVIEWS_SHOWN_MAX))]
    return [
        (payment, entry)
        for payment in found
        for entry in entries.of(payment.details).values()
        if entry.kind == entries.REVIEW
    ]


def _reading(signature: str, order: Order) -> Reading:
    """What every node that answers says of a final transaction; they must agree."""
    told: list[Reading] = []
    for node in readiness.current().believed:
        try:
            found = chain.transaction(node, signature)
            if found is not None:
                told.append(transfers.read(found, order.target))
        except (UnreadableTransaction, Unreadable) as error:
            raise Refused(f"The transaction cannot be read: {error}.") from error
        except ChainUnavailable:
            continue
    if not told:
        raise ProviderUnavailable("No node knows this transaction as final at the moment.")
    if any(reading != told[0] for reading in told):
        raise Refused("The nodes tell this transaction differently. Do not trust one of them.")
    return told[0]


def _begun(payment: Payment) -> Payment:
    if payment.provider != PROVIDER or payment.order_id is None:
        raise Refused("This payment is not one on Solana.")
    return payment


def _signature(text: str) -> str:
    """The signature in what people paste: alone, or at the end of an explorer's address."""
    trimmed = text.strip().partition("?")[0].rstrip("/").rpartition("/")[2]
    if not addresses.is_signature(trimmed):
        raise Refused(NO_SIGNATURE, param="signature")
    return trimmed
