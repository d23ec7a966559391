"""A payment that moves no money, for trying things out. It needs no network, and production refuses
it. What is paid with it is labelled as a test everywhere.
"""

from solrouter import config
from solrouter.errors import Refused
from solrouter.services.payments import states
from solrouter.services.payments.methods import (
    Evidence,
    Finding,
    Offer,
    RefundNews,
    Started,
)
from solrouter.services.payments.rows import Payment

PROVIDER = "test"
PAID, DECLINED = "paid", "declined"
LIFETIME_S = 3600


class Trial:
    """The test method: the person says on our own page how the payment shall end."""

    provider = PROVIDER
    refunds_itself = True
    keeps_cards = False

    def is_live(self) -> bool:
        """No money moves, ever."""
        return False

    def offers(self) -> list[Offer]:
        """One, outside production."""
        if not is_allowed():
            return []
        hint = "No money moves. This server is not in production."
        return [Offer("test", "Test payment", hint, is_test=True)]

    def what_is_missing(self) -> str:
        """Nothing that an operator should set."""
        return ""

    def begin(self, payment: Payment, *, return_url: str, email: str) -> Started:
        """An order that waits for the person's word on the payment's own page."""
        require_allowed()
        return Started(f"test_{payment.public_id}", charge_id=f"charge_{payment.public_id}")

    def check(self, payment: Payment) -> Finding:
        """What the person has said so far."""
        require_allowed()
        if payment.order_id is None:
            return Finding(state=states.EXPIRED)
        said = payment.details.get("said")
        if said == PAID:
            return Finding((Evidence(f"charge_{payment.public_id}", payment.amount_nanos),))
        if said == DECLINED:
            return Finding(state=states.FAILED, problem="The test payment was declined.")
        return Finding(state=states.PENDING)

    def refund(self, payment: Payment, *, public_id: str, amount_nanos: int) -> RefundNews:
        """Gives back at once."""
        require_allowed()
        return RefundNews(f"refund_{public_id}", amount_nanos, ours=public_id)


def is_allowed() -> bool:
    """Whether this server takes test payments."""
    return bool(config.current()["SOLROUTER_ENV"] != "production")


def require_allowed() -> None:
    """Raises Refused in production."""
    if not is_allowed():
        raise Refused("Test payments are for development: production takes none.")
