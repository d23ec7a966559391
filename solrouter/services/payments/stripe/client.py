"""Stripe's own library, made from the settings; its errors become ours here, once.

A retried call cannot act twice: each that changes something names an idempotency key.
"""

import logging
from collections.abc import Iterator
from contextlib import contextmanager

import stripe

from solrouter import config
from solrouter.errors import Refused
from solrouter.services.payments.methods import ProviderUnavailable

log = logging.getLogger(__name__)

# What our objects at Stripe are read by; newer versions may rename fields.
API_VERSION = "2026-10-28.endive"
CONNECT_S, READ_S = 3.0, 8.0
RETRIES_MAX = 1
UNAVAILABLE = "Stripe did not answer. Nothing was lost; please try again in a minute."

CardError = stripe.CardError
InvalidRequestError = stripe.InvalidRequestError


def is_set_up() -> bool:
    """Whether there is a key."""
    return bool(config.current()["STRIPE_SECRET_KEY"])


def is_live() -> bool:
    """Whether the key moves real money."""
    return "_live_" in config.current()["STRIPE_SECRET_KEY"]


def client() -> stripe.StripeClient:
    """The library, for one act."""
    settings = config.current()
    key, url = settings["STRIPE_SECRET_KEY"], settings["SOLROUTER_STRIPE_API_URL"]
    if (key, url) not in _CLIENTS:
        _CLIENTS[key, url] = _made(key, url)
    return _CLIENTS[key, url]


@contextmanager
def translated() -> Iterator[None]:
    """Stripe's errors as ours: ProviderUnavailable when nothing is known, Refused when it declined.

    A declined card passes, for whoever knows what to do with it.
    """
    try:
        yield
    except stripe.CardError:
        raise
    except stripe.InvalidRequestError as error:
        log.error("Stripe refused a request: %s (%s)", error.code, error.request_id)
        raise Refused(f"Stripe did not accept this: {error.user_message}") from error
    except (stripe.AuthenticationError, stripe.PermissionError) as error:
        log.error("Stripe does not accept our key for this (%s)", error.request_id)
        raise ProviderUnavailable(UNAVAILABLE) from error
    except stripe.StripeError as error:
        log.warning("Stripe did not answer: %s", type(error).__name__)
        raise ProviderUnavailable(UNAVAILABLE) from error


_CLIENTS: dict[tuple[str, str], stripe.StripeClient] = {}


def _made(key: str, url: str) -> stripe.StripeClient:
    return stripe.StripeClient(
        key,
        stripe_version=API_VERSION,
        base_addresses={"api": url},
        max_network_retries=RETRIES_MAX,
        http_client=stripe.RequestsClient(timeout=(CONNECT_S, READ_S)),
    )
