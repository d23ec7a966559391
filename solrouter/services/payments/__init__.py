"""How money comes in and goes back: one row for each payment, a state that its sums tell, and one
door to the ledger (`moving`). docs/payments.md tells how to add a way to pay.

    orders    a wish to pay becomes an order at a provider
    applying  what a provider tells becomes credit, refunds, disputes: once each
    checking  asking the provider, for the return page and for news that were lost
    refunds   money given back for credit that was not used
"""

from solrouter.services.payments.applying import apply, knows_event, take, take_event
from solrouter.services.payments.checking import check, check_due
from solrouter.services.payments.hearing import hear
from solrouter.services.payments.methods import ProviderUnavailable
from solrouter.services.payments.moving import credit
from solrouter.services.payments.orders import Order, Wish, begin, fee_of
from solrouter.services.payments.registry import METHODS, missing, offers
from solrouter.services.payments.rows import (
    Payment,
    find,
    find_by_charge,
    find_by_order,
    of_account,
)

__all__ = [
    "METHODS",
    "Order",
    "Payment",
    "ProviderUnavailable",
    "Wish",
    "apply",
    "begin",
    "check",
    "check_due",
    "credit",
    "fee_of",
    "find",
    "find_by_charge",
    "find_by_order",
    "hear",
    "knows_event",
    "missing",
    "of_account",
    "offers",
    "take",
    "take_event",
]
