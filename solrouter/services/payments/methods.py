"""What a way to pay must be able to do. `registry` names those that this server has.

A method speaks to its provider and knows no database: it begins an order, and says what it finds
when it is asked about one. `payments` does the rest. Nothing here runs in a transaction.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol

from solrouter.errors import Unavailable
from solrouter.services.payments import states
from solrouter.services.payments.rows import Payment


class ProviderUnavailable(Unavailable):
    """The payment provider did not answer as it should; nothing is known, so nothing was done."""


@dataclass(frozen=True, slots=True)
class Offer:
    """A way to pay as people choose it: `fee_percent` and `fee_nanos` are on top of the credit."""

    method: str
    label: str
    hint: str
    fee_percent: Decimal = Decimal(0)
    fee_nanos: int = 0
    is_test: bool = False


@dataclass(frozen=True, slots=True)
class Started:
    """An order that the provider has taken. `pay_url` is where the person goes to pay, if it is
    elsewhere; without one the payment's own page says how.
    """

    order_id: str
    pay_url: str = ""
    charge_id: str | None = None
    expires_at: datetime | None = None
    due_in_s: int | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Proof that money came: `id` names it at the provider, once for ever."""

    id: str
    amount_nanos: int
    details: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class RefundNews:
    """A refund as the provider tells it; `ours` is the name that we gave it, if we asked for it."""

    refund_id: str
    amount_nanos: int
    is_failed: bool = False
    is_done: bool = True
    ours: str = ""
    problem: str = ""


@dataclass(frozen=True, slots=True)
class DisputeNews:
    """A dispute as the provider tells it."""

    dispute_id: str
    amount_nanos: int
    is_withdrawn: bool
    is_reinstated: bool
    is_closed: bool
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SavedCard:
    """A way to pay that the provider keeps for the account."""

    customer_id: str
    saved_id: str
    label: str


@dataclass(frozen=True, slots=True)
class Finding:
    """All that the provider knows of an order now. It is applied in one transaction, any number of
    times and in any order: whatever was applied before changes nothing.

    `state` is `states.PENDING`, FAILED or EXPIRED, or None for nothing new. `details` are laid over
    the payment's. `due_in_s` says when to ask again; None: not by itself.
    """

    evidence: tuple[Evidence, ...] = ()
    order_id: str | None = None
    state: str | None = None
    problem: str = ""
    charge_id: str | None = None
    refunds: tuple[RefundNews, ...] = ()
    disputes: tuple[DisputeNews, ...] = ()
    saved: SavedCard | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    due_in_s: int | None = None


class Method(Protocol):
    """A provider of payments. `provider` names it in the tables and in `cash:<provider>`."""

    provider: str
    # Whether a refund is an act of ours at the provider, or a person pays by hand.
    refunds_itself: bool
    # Whether a card can be kept and charged by itself.
    keeps_cards: bool

    def is_live(self) -> bool:
        """Whether real money moves."""

    def offers(self) -> list[Offer]:
        """The ways to pay that are ready now; none when it is not set up."""

    def what_is_missing(self) -> str:
        """For operators: what they must set to have it; empty when it is ready."""

    def begin(self, payment: Payment, *, return_url: str, email: str) -> Started:
        """Makes the order. Called again with the same payment it must find the first one.

        Raises ProviderUnavailable, and Refused when the provider declines.
        """

    def check(self, payment: Payment) -> Finding:
        """Asks what became of it. Raises ProviderUnavailable: then nothing is known.

        Without an `order_id` we never heard the answer to `begin`: the finding names the order, or
        says that there is none (EXPIRED).
        """

    def refund(self, payment: Payment, *, public_id: str, amount_nanos: int) -> RefundNews:
        """Gives money back, once for each public id. Raises ProviderUnavailable."""


class ByHand(Protocol):
    """What holds where an operator pays refunds by hand."""

    # The part of a dollar that can still be paid.
    smallest_nanos: int

    def require_address(self, payment: Payment, text: str) -> None:
        """Raises Refused (`pay_to`) for where the money cannot go."""

    def require_proof(self, payment: Payment, pay_to: str, amount_nanos: int, proof: str) -> None:
        """Raises Refused (`proof`) for what does not prove it, and ProviderUnavailable."""


# For readers of this file: what `Finding.state` may be.
TOLD_STATES = (states.PENDING, states.FAILED, states.EXPIRED)
