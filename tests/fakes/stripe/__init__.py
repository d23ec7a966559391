"""Stripe as a program on a real socket: its API, its checkout and portal pages, its webhooks."""

from tests.fakes.stripe.books import Books, Event
from tests.fakes.stripe.server import API_KEY, WEBHOOK_SECRET, FakeStripe, signed

__all__ = ["API_KEY", "WEBHOOK_SECRET", "Books", "Event", "FakeStripe", "signed"]
