"""What is known of the transactions of one payment, as the payment's own `details` keep it. Pure.

Each has a key of its own there, so that a look at the chain and a person's claim never overwrite
each other.

| kind        | meaning                                                                     |
|-------------|-----------------------------------------------------------------------------|
| `paid`      | final, and proven to be this payment's: it is credited, once                |
| `checked`   | final, but a second node has not said the same of it yet                    |
| `review`    | money came, but not plainly for this payment: an operator has to look       |
| `claimed`   | somebody says that it is this payment's; it is looked for                   |
| `refused`   | a claim that is not believed, with the reason                               |
"""

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from typing import Any, Self

from solrouter.services.payments.rows import Payment
from solrouter.services.payments.solana.transfers import Target

PAID, CHECKED, REVIEW = "paid", "checked", "review"
CLAIMED, REFUSED = "claimed", "refused"
KEY = "transaction:"


@dataclass(frozen=True, slots=True)
class Entry:
    """One transaction of a payment."""

    signature: str
    kind: str
    units: int = 0
    reason: str = ""
    is_claim: bool = False
    since: str = ""

    @property
    def is_settled(self) -> bool:
        """Whether nothing more is to be found out about it."""
        return self.kind in (PAID, REVIEW, REFUSED)

    def is_older_than(self, age: timedelta, now: datetime) -> bool:
        """Whether it was entered so long ago."""
        return bool(self.since) and now - datetime.fromisoformat(self.since) > age

    def as_details(self) -> dict[str, Any]:
        """What the payment's details keep of it."""
        facts = asdict(self)
        return {KEY + facts.pop("signature"): facts}


@dataclass(frozen=True, slots=True)
class Order:
    """What a payment asks for, as it was when it began: settings may have changed since."""

    reference: str
    amount_units: int
    is_exact: bool
    wallet: str
    target: Target
    genesis_hash: str
    cursor: str | None

    @classmethod
    def of(cls, payment: Payment) -> Self:
        """Read from the payment's details; for payments that have begun."""
        details = payment.details
        return cls(
            reference=str(details["reference"]),
            amount_units=int(details["amount_units"]),
            is_exact=bool(details["is_exact"]),
            wallet=str(details["wallet"]),
            target=Target(str(details["token_account"]), str(details["mint"])),
            genesis_hash=str(details["genesis_hash"]),
            cursor=details.get("cursor"),
        )


def of(details: Mapping[str, Any]) -> dict[str, Entry]:
    """The entries by signature."""
    return {entry.signature: entry for entry in _read(details)}


def is_on_its_way(details: Mapping[str, Any]) -> bool:
    """Whether money was seen that is neither final nor given up."""
    return bool(details.get("seen")) or any(
        entry.kind in (CHECKED, CLAIMED) for entry in of(details).values()
    )


def _read(details: Mapping[str, Any]) -> Iterator[Entry]:
    for key, facts in details.items():
        if key.startswith(KEY):
            yield Entry(key.removeprefix(KEY), **facts)
