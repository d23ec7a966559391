"""How money comes in and goes back: one row for each payment, a state that its sums tell, and one
door to the ledger (`moving`). docs/payments.md tells how to add a way to pay.

    orders    a wish to pay becomes an order at a provider
    applying  what a provider tells becomes credit, refunds, disputes: once each
    checking  asking the provider, for the return page and for news that were lost
    refunds   money given back for credit that was not used
"""

from solrouter.services.payments.applying import apply, knows_event, take, take_event
from solrouter.services.payments.auto import portal_url as card_portal_url
from solrouter.services.payments.auto import run_due as run_automatic
from solrouter.services.payments.checking import answer_trial, check, check_due
from solrouter.services.payments.forgetting import forget
from solrouter.services.payments.gifts import grant, take_back
from solrouter.services.payments.hearing import hear
from solrouter.services.payments.methods import ProviderUnavailable
from solrouter.services.payments.moving import credit
from solrouter.services.payments.orders import Order, Wish, begin, fee_of, require_amount
from solrouter.services.payments.reconciling import reconcile, reconcile_daily
from solrouter.services.payments.refunds import send_waiting as send_waiting_refunds
from solrouter.services.payments.registry import METHODS, missing, offers
from solrouter.services.payments.rows import (
    Payment,
    find,
    find_by_charge,
    find_by_order,
    of_account,
    of_all,
)

__all__ = [
    "METHODS",
    "Order",
    "Payment",
    "ProviderUnavailable",
    "Wish",
    "answer_trial",
    "apply",
    "begin",
    "card_portal_url",
    "check",
    "check_due",
    "credit",
    "fee_of",
    "find",
    "find_by_charge",
    "find_by_order",
    "forget",
    "grant",
    "hear",
    "knows_event",
    "missing",
    "of_account",
    "of_all",
    "offers",
    "reconcile",
    "reconcile_daily",
    "require_amount",
    "run_automatic",
    "send_waiting_refunds",
    "take",
    "take_back",
    "take_event",
]
