"""Where a payment on Solana stands, for its page: what to pay, what was seen, what was credited.
Pure.

    waiting ──▶ seen ──▶ final ──▶ credited
       └──▶ over (its time is up; what comes is credited all the same)
"""

from dataclasses import dataclass
from datetime import datetime

from solrouter.money import display_usd
from solrouter.services.payments.rows import Payment
from solrouter.services.payments.solana import entries, pay_url
from solrouter.services.payments.solana.entries import Entry, Order
from solrouter.services.payments.solana.settings import NANOS_PER_UNIT

WAITING, OVER, SEEN, FINAL, CREDITED = "waiting", "over", "seen", "final", "credited"
# Which steps of the way are done at each stage: seen, final, credited.
STEPS_DONE = {WAITING: 0, OVER: 0, SEEN: 1, FINAL: 2, CREDITED: 3}
EXPLORER = "https://explorer.solana.com/tx/"


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transaction as the page shows it."""

    signature: str
    kind: str
    amount_nanos: int
    reason: str

    @property
    def explorer_url(self) -> str:
        """Where everybody can look at it."""
        return EXPLORER + self.signature


@dataclass(frozen=True, slots=True)
class Progress:
    """All that the page shows of a payment."""

    stage: str
    link: str
    amount_text: str
    wallet: str
    mint: str
    missing_nanos: int
    missing_text: str
    over_nanos: int
    expires_at: datetime | None
    transactions: tuple[Transaction, ...]
    small_nanos: int
    is_trouble: bool
    has_vanished: bool
    is_held: bool
    # Whether the page asks for money still.
    is_payable: bool

    @property
    def steps_done(self) -> int:
        """How many of the three steps are behind us."""
        return STEPS_DONE[self.stage]

    @property
    def mark(self) -> str:
        """Changes whenever the page would look otherwise."""
        known = [f"{entry.signature[:12]}{entry.kind}" for entry in self.transactions]
        facts = (self.stage, self.missing_nanos, self.over_nanos, self.is_trouble, self.is_held)
        return "-".join(map(str, (*facts, self.has_vanished, self.small_nanos, *known)))

    @property
    def is_moving(self) -> bool:
        """Whether the page should ask again soon."""
        return self.stage in (SEEN, FINAL) or self.is_payable


def of(payment: Payment, now: datetime, *, label: str) -> Progress:
    """Where the payment stands; for payments that have begun."""
    order, known = Order.of(payment), entries.of(payment.details)
    seen = payment.details.get("seen") or []
    received_units = payment.received_nanos // NANOS_PER_UNIT
    missing_units = max(order.amount_units - received_units, 0)
    # Whoever typed the round amount has paid all that they wanted to.
    is_enough = received_units * NANOS_PER_UNIT >= payment.amount_nanos
    stage = _stage(payment, list(known.values()), has_seen=bool(seen), now=now)
    small = payment.details.get("small") or {}
    asked_units = missing_units if received_units > 0 and not is_enough else order.amount_units
    return Progress(
        stage=stage,
        link=pay_url.transfer_request(
            wallet=order.wallet,
            mint=order.target.mint,
            amount_units=asked_units,
            reference=order.reference,
            label=label,
            message=f"{display_usd(payment.amount_nanos)} of credit, {payment.public_id}",
        ),
        amount_text=pay_url.token_text(asked_units),
        wallet=order.wallet,
        mint=order.target.mint,
        missing_nanos=0 if is_enough else missing_units * NANOS_PER_UNIT,
        missing_text=pay_url.token_text(missing_units),
        over_nanos=max(received_units - order.amount_units, 0) * NANOS_PER_UNIT,
        expires_at=payment.expires_at,
        transactions=transactions_of(payment),
        small_nanos=int(small.get("units", 0)) * NANOS_PER_UNIT,
        is_trouble=bool(payment.details.get("is_trouble")),
        has_vanished=bool(payment.details.get("has_vanished")),
        is_held=payment.state == "held",
        is_payable=not is_enough and not payment.refunded_nanos and stage not in (SEEN, FINAL),
    )


def transactions_of(payment: Payment) -> tuple[Transaction, ...]:
    """What is known of the payment's transactions, those in sight first."""
    return _transactions(payment.details.get("seen") or [], entries.of(payment.details))


def _stage(payment: Payment, known: list[Entry], *, has_seen: bool, now: datetime) -> str:
    credited_units = payment.received_nanos // NANOS_PER_UNIT
    final_units = sum(
        entry.units for entry in known if entry.kind in (entries.PAID, entries.CHECKED)
    )
    if has_seen:
        return SEEN
    if final_units > credited_units:
        return FINAL
    if payment.has_money:
        return CREDITED
    is_over = payment.expires_at is not None and payment.expires_at < now
    return OVER if is_over else WAITING


def _transactions(
    seen: list[dict[str, object]], known: dict[str, Entry]
) -> tuple[Transaction, ...]:
    found = [
        Transaction(str(item["signature"]), SEEN, int(str(item["units"])) * NANOS_PER_UNIT, "")
        for item in seen
        if str(item["signature"]) not in known
        or known[str(item["signature"])].kind == entries.CLAIMED
    ]
    in_sight = {transaction.signature for transaction in found}
    return (
        *found,
        *(
            Transaction(entry.signature, entry.kind, entry.units * NANOS_PER_UNIT, entry.reason)
            for entry in known.values()
            if entry.signature not in in_sight
        ),
    )
