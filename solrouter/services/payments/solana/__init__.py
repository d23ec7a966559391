"""USDC on Solana: paid into the operator's wallet by a Solana Pay transfer request, verified over
JSON-RPC at finality. No account with anyone, no key on this server (docs/payments.md).

    quotes     the reference and the exact amount of each payment
    readiness  which nodes are believed
    watching   a look at the chain for one payment
    transfers  what a transaction really moved, and whose it is
    by_hand    refunds, which an operator pays
    claims     transactions that people bring themselves
    progress   where a payment stands, for its page
"""

from solrouter.services.payments.solana.by_hand import ByHand
from solrouter.services.payments.solana.claims import accept, claim, is_known, reviews
from solrouter.services.payments.solana.entries import is_on_its_way
from solrouter.services.payments.solana.method import PROVIDER, Solana
from solrouter.services.payments.solana.readiness import look, look_if_due
from solrouter.services.payments.solana.settings import is_set_up

__all__ = [
    "PROVIDER",
    "ByHand",
    "Solana",
    "accept",
    "claim",
    "is_known",
    "is_on_its_way",
    "is_set_up",
    "look",
    "look_if_due",
    "reviews",
]
