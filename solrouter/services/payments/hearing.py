"""What Stripe's webhook says, heard: the event goes into the inbox together with its effect.

The event is a hint which payment to ask about. What it says of money, state or account is not used:
the order is read from Stripe and compared with our row. So an event that is late, repeated, about
another account or made up changes nothing that is not true.
"""

import logging

from solrouter.errors import NotFound
from solrouter.services.payments import applying, customers, registry, rows
from solrouter.services.payments.stripe import Hint, StripeMethod
from solrouter.services.payments.stripe.method import PROVIDER

log = logging.getLogger(__name__)

DETACHED = "payment_method.detached"


def hear(hint: Hint) -> bool:
    """Takes an event; says whether it was new. Raises ProviderUnavailable and DatabaseUnavailable:
    then nothing was done, and Stripe sends it again.
    """
    if applying.knows_event(PROVIDER, hint.event_id):
        return False
    method = registry.METHODS[PROVIDER]
    assert isinstance(method, StripeMethod)
    payment = _payment_of(hint, method)
    if hint.kind == DETACHED and hint.saved_id:
        customers.forget_saved(PROVIDER, hint.saved_id)
    finding = None
    if payment is not None and payment.is_live == hint.is_live == method.is_live():
        finding = method.check(payment)
    elif payment is not None:
        log.error("an event for payment %s is of another mode", payment.public_id)
        payment = None
    return applying.take_event(
        PROVIDER,
        hint.event_id,
        hint.kind,
        payment_id=None if payment is None else payment.id,
        finding=finding,
    )


def _payment_of(hint: Hint, method: StripeMethod) -> rows.Payment | None:
    """Our payment that the event may be about, or None: Stripe accounts are shared with others."""
    payment = rows.find_by_order(PROVIDER, hint.session_id) if hint.session_id else None
    if payment is None and hint.intent_id:
        payment = rows.find_by_charge(PROVIDER, hint.intent_id)
    if payment is None:
        payment = _named(hint.public_id)
    if payment is None and hint.intent_id:
        payment = _named(method.payment_named_by(hint.intent_id))
    return payment


def _named(public_id: str) -> rows.Payment | None:
    if not public_id:
        return None
    try:
        payment = rows.find(public_id)
    except NotFound:
        return None
    # An order of another gateway is never completed here.
    return payment if payment.provider == PROVIDER else None
