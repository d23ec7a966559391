"""Cards through Stripe: its Checkout, its webhooks, its saved cards. Only `client` speaks to it."""

from solrouter.services.payments.stripe.method import StripeMethod
from solrouter.services.payments.stripe.webhooks import BadSignature, Hint, is_open, read_event

__all__ = ["BadSignature", "Hint", "StripeMethod", "is_open", "read_event"]
