"""Money given back for credit that was not used: by the people themselves, or by an operator.

The credit is taken first, in a transaction of its own; then the provider is asked; then its answer
is written. A process that dies in between leaves a row that `send_waiting` takes up: it asks the
provider first whether it knows the refund.
"""

import logging
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import Connection, Insert, select

from solrouter import clock, config, database
from solrouter.errors import Refused, SolRouterError
from solrouter.models import Account
from solrouter.money import NANOS_PER_USD, display_usd
from solrouter.services import admission, audit
from solrouter.services.billing import Balance
from solrouter.services.payments import checking, moving, refund_rows, registry, rows
from solrouter.services.payments.methods import Method, ProviderUnavailable
from solrouter.services.payments.refund_rows import Refund

log = logging.getLogger(__name__)

CENT_NANOS = NANOS_PER_USD // 100
PAY_TO_CHARACTERS_MAX = 200
PROOF_CHARACTERS_MAX = 255
WAITING_AT_ONCE_MAX = 50
SEEN = "seen"
DONE_ALREADY = "A refund of this payment was made a moment ago. Nothing more was given back."
# Whoever asks for a refund sends it too; after so long they have not.
LEFT_BEHIND = timedelta(minutes=2)


@dataclass(frozen=True, slots=True)
class Terms:
    """What may be refunded of a payment now; `reason` says why it is nothing."""

    amount_nanos: int
    reason: str = ""
    needs_address: bool = False
    # The part of a dollar that can still be paid.
    smallest_nanos: int = CENT_NANOS


def terms_for(payment: rows.Payment, balance: Balance, *, is_operator: bool = False) -> Terms:
    """What of a payment is left to give back: never more than it brought, nor than is unused."""
    method = registry.of(payment.provider)
    if payment.is_gift or method is None:
        return Terms(0, "Gifts cannot be refunded.")
    if not payment.has_money:
        return Terms(0, "Nothing was paid.")
    if payment.disputed_nanos or payment.state == "disputed":
        return Terms(0, "It is disputed at the bank.")
    if not is_operator and not _is_in_time(payment):
        days = config.current()["SOLROUTER_REFUND_DAYS"]
        return Terms(0, f"A refund is possible within {days} days." if days else "Ask for it.")
    left = payment.received_nanos - payment.refunded_nanos
    unused = max(balance.paid_nanos - balance.held_nanos, 0)
    by_hand = registry.BY_HAND.get(payment.provider)
    smallest = CENT_NANOS if by_hand is None else by_hand.smallest_nanos
    amount = min(left, unused) // smallest * smallest
    if amount <= 0:
        return Terms(0, "All of it is used or given back." if left else "All of it is given back.")
    return Terms(amount, needs_address=not method.refunds_itself, smallest_nanos=smallest)


def ask(
    payment: rows.Payment,
    amount_nanos: int | None = None,
    *,
    actor: str,
    pay_to: str = "",
    is_operator: bool = False,
    seen_nanos: int | None = None,
) -> Refund:
    """Refunds a payment, or that part of it. Raises Refused.

    `seen_nanos` is what the asker's page said was refunded so far: a form that is sent twice gives
    back once, and the second is refused (`seen`). What cannot be done at once is in state `asked`
    or `sent` and goes on by itself, or waits for an operator's hand.
    """
    pay_to = pay_to.strip()

    def verb(connection: Connection) -> Refund:
        balance = admission.lock(connection, payment.account_id)
        present = rows.get(connection, payment.id)
        if not is_operator:
            _refuse_frozen(connection, payment.account_id)
        if seen_nanos not in (None, present.refunded_nanos):
            raise Refused(DONE_ALREADY, param=SEEN)
        terms = terms_for(present, balance, is_operator=is_operator)
        amount = terms.amount_nanos if amount_nanos is None else amount_nanos
        _refuse(terms, amount, pay_to)
        if terms.needs_address and (rules := registry.BY_HAND.get(payment.provider)):
            rules.require_address(present, pay_to)
        return refund_rows.take_out(connection, present, amount, actor=actor, pay_to=pay_to)

    refund = database.transact(verb)
    return send(payment, refund)


def send(payment: rows.Payment, refund: Refund) -> Refund:
    """Asks the provider for a refund whose credit is taken."""
    method = registry.of(payment.provider)
    if method is None or not method.refunds_itself or refund.state != refund_rows.ASKED:
        return refund
    try:
        _send(method, payment, refund)
    except ProviderUnavailable as error:
        log.warning("refund %s has to wait: %s", refund.public_id, error.message)
    except Refused as refusal:
        _fail(payment, refund, refusal.message)
    with database.read() as connection:
        return refund_rows.get(connection, refund.public_id)


def send_waiting() -> int:
    """Takes up the refunds that were left behind; says how many are not waiting any more."""
    done = 0
    for refund in refund_rows.waiting(limit=WAITING_AT_ONCE_MAX):
        method = registry.of(refund.provider)
        if method is None or not method.refunds_itself:
            continue
        if clock.utcnow() - refund.created_at < LEFT_BEHIND:
            continue
        try:
            done += _take_up(refund)
        except SolRouterError as error:
            log.warning("refund %s has to wait: %s", refund.public_id, error.message)
    return done


def finish_by_hand(public_id: str, proof: str, *, actor: str) -> None:
    """Notes that an operator has paid a refund, and what proves it.

    Raises Refused, NotFound and ProviderUnavailable.
    """
    proof = proof.strip()
    if not 0 < len(proof) <= PROOF_CHARACTERS_MAX:
        raise Refused("Enter the signature of the transaction that paid it.", param="proof")
    with database.read() as connection:
        asked = refund_rows.get(connection, public_id)
        of_payment = rows.get(connection, asked.payment_id)
    if asked.state == refund_rows.ASKED and (rules := registry.BY_HAND.get(asked.provider)):
        rules.require_proof(of_payment, asked.pay_to, asked.amount_nanos, proof)

    def verb(connection: Connection) -> None:
        payment, refund = _by_hand(connection, public_id)
        if refund_rows.is_known(connection, payment.provider, proof):
            raise Refused("This transaction has paid another refund already.", param="proof")
        refund_rows.mark(connection, refund.id, state=refund_rows.DONE, refund_id=proof)
        connection.execute(_paid_by_hand(payment, refund, proof, actor))

    database.transact(verb)


def reject_by_hand(public_id: str, why: str, *, actor: str) -> None:
    """Declines a refund that waits for a hand: its credit comes back. Raises Refused, NotFound."""
    if not why.strip():
        raise Refused("Say why; the customer sees it.", param="why")

    def verb(connection: Connection) -> None:
        payment, refund = _by_hand(connection, public_id)
        refund_rows.give_back(connection, payment, refund, why.strip(), actor=actor)

    database.transact(verb)


def waiting_for_hand() -> list[tuple[Refund, rows.Payment]]:
    """The refunds that an operator must pay by hand, oldest first."""
    found = []
    for refund in refund_rows.waiting(limit=WAITING_AT_ONCE_MAX):
        method = registry.of(refund.provider)
        if method is not None and not method.refunds_itself:
            with database.read() as connection:
                found.append((refund, rows.get(connection, refund.payment_id)))
    return found


def _refuse(terms: Terms, amount_nanos: int, pay_to: str) -> None:
    if terms.amount_nanos == 0:
        raise Refused(terms.reason)
    if not 0 < amount_nanos <= terms.amount_nanos:
        most = display_usd(terms.amount_nanos)
        raise Refused(f"At most {most} of this payment can be refunded.", param="amount")
    if amount_nanos % terms.smallest_nanos:
        parts = "whole cents" if terms.smallest_nanos == CENT_NANOS else "six decimals at most"
        raise Refused(f"An amount is in dollars and {parts}.", param="amount")
    if terms.needs_address and not 0 < len(pay_to) <= PAY_TO_CHARACTERS_MAX:
        raise Refused("Enter the address that the money shall go to.", param="pay_to")


def _refuse_frozen(connection: Connection, account_id: int) -> None:
    """Who has contested one payment does not take back the others meanwhile."""
    frozen_at = select(Account.frozen_at).where(Account.id == account_id)
    if connection.execute(frozen_at).scalar() is not None:
        raise Refused("This account is frozen. Please write to the operator.")


def _is_in_time(payment: rows.Payment) -> bool:
    days = config.current()["SOLROUTER_REFUND_DAYS"]
    paid_at = payment.paid_at or payment.created_at
    return bool(days) and clock.utcnow() - paid_at < timedelta(days=days)


def _send(method: Method, payment: rows.Payment, refund: Refund) -> None:
    news = method.refund(payment, public_id=refund.public_id, amount_nanos=refund.amount_nanos)
    database.transact(
        lambda connection: refund_rows.take_news(
            connection, moving.locked(connection, payment.id), news
        )
    )


def _take_up(refund: Refund) -> bool:
    with database.read() as connection:
        payment = rows.get(connection, refund.payment_id)
    # The provider may have done it without our hearing of it.
    payment = checking.check(payment)
    with database.read() as connection:
        refund = refund_rows.get(connection, refund.public_id)
    return send(payment, refund).state in (refund_rows.DONE, refund_rows.FAILED)


def _fail(payment: rows.Payment, refund: Refund, problem: str) -> None:
    def verb(connection: Connection) -> None:
        present = moving.locked(connection, payment.id)
        refund_rows.give_back(connection, present, refund, problem)

    database.transact(verb)


def _by_hand(connection: Connection, public_id: str) -> tuple[rows.Payment, Refund]:
    refund = refund_rows.get(connection, public_id)
    payment = moving.locked(connection, refund.payment_id)
    refund = refund_rows.get(connection, public_id)
    if refund.state != refund_rows.ASKED:
        raise Refused("This refund is not waiting any more.")
    return payment, refund


def _paid_by_hand(payment: rows.Payment, refund: Refund, proof: str, actor: str) -> Insert:
    return audit.event(
        actor=actor,
        action="payment.refund_paid",
        subject=f"payment:{payment.public_id}",
        account_id=payment.account_id,
        details={"amount_nanos": refund.amount_nanos, "proof": proof},
    )
