"""Pays and takes back, in a process of its own that may be killed at any step.

Run by test_killed_payments: `python -m tests.e2e.payer HOW ACCOUNT USER`, where HOW is `by hand`
(a checkout and a refund) or `alone` (an automatic top-up).
"""

import sys

from solrouter import create_app
from solrouter.money import parse_usd
from solrouter.services import payments
from solrouter.services.payments import refunds

BY_HAND, ALONE = "by hand", "alone"
AMOUNT, BACK = parse_usd("10"), parse_usd("4")


def main(how: str, account_id: int, user_id: int) -> None:
    """Begins, is paid by the fake while it asks, and refunds a part; or charges a saved card."""
    with create_app().app_context():
        if how == ALONE:
            payments.run_automatic()
            return
        wish = payments.Wish(account_id, user_id, "stripe", "card", AMOUNT, idempotency="form-1")
        payment = payments.begin(wish).payment
        payment = payments.check(payment)
        refunds.ask(payment, BACK, actor=f"user:{user_id}")


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
