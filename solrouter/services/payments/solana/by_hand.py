"""Refunds in USDC: the operator pays them from the wallet, since the server has no key (rule S11).

Where to, and that it was paid, are looked at all the same: an address that is none, or a signature
of something else, is refused while it can still be put right.
"""

from solrouter.errors import Refused
from solrouter.services.payments.methods import ProviderUnavailable
from solrouter.services.payments.rows import Payment
from solrouter.services.payments.solana import addresses, chain, readiness, transfers
from solrouter.services.payments.solana.chain import ChainUnavailable, UnreadableTransaction
from solrouter.services.payments.solana.entries import Order
from solrouter.services.payments.solana.settings import NANOS_PER_UNIT
from solrouter.services.payments.solana.transfers import Unreadable

SMALLEST_NANOS = NANOS_PER_UNIT
NO_ADDRESS = "This is no address of a Solana wallet: 32 to 44 letters and digits."
NOT_YOURS = "This is an address of ours. Enter the one of your own wallet."


class ByHand:
    """What an operator must keep to."""

    smallest_nanos = SMALLEST_NANOS

    def require_address(self, payment: Payment, text: str) -> None:
        """Raises Refused (`pay_to`) for where the money cannot go."""
        if not addresses.is_address(text):
            raise Refused(NO_ADDRESS, param="pay_to")
        order = Order.of(payment)
        ours = (order.wallet, order.target.token_account, order.target.mint, order.reference)
        if text in ours:
            raise Refused(NOT_YOURS, param="pay_to")

    def require_proof(self, payment: Payment, pay_to: str, amount_nanos: int, proof: str) -> None:
        """Raises Refused (`proof`) for a signature of anything but this refund's transaction."""
        if not addresses.is_signature(proof):
            raise Refused("Enter the signature of the transaction that paid it.", param="proof")
        paid_units = _paid_units(payment, pay_to, proof)
        if paid_units * NANOS_PER_UNIT != amount_nanos:
            raise Refused(
                "This transaction did not bring this sum to that address. Check the signature.",
                param="proof",
            )


def _paid_units(payment: Payment, pay_to: str, signature: str) -> int:
    """What a final transaction brought to the address, by the first node that has it."""
    order = Order.of(payment)
    for node in readiness.current().believed:
        try:
            found = chain.transaction(node, signature)
            if found is not None:
                return transfers.gained_by(found, owner=pay_to, mint=order.target.mint)
        except (UnreadableTransaction, Unreadable) as error:
            raise Refused(f"It cannot be read: {error}.", param="proof") from error
        except ChainUnavailable:
            continue
    raise ProviderUnavailable(
        "No node knows this transaction as final at the moment. Try again in a minute."
    )
