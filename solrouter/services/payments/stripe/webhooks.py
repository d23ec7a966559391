"""Stripe's events: proven by their signature over the raw bytes, then taken as a hint and no more.

What an event says of money is not believed: whatever it is about is read from Stripe anew.
"""

import json
from dataclasses import dataclass
from typing import Any

import stripe

from solrouter import config

TOLERANCE_S = 300
NAME_CHARACTERS_MAX = 255


class BadSignature(Exception):
    """Not signed with our secret, or too old, or no event."""


@dataclass(frozen=True, slots=True)
class Hint:
    """An event, and which payment it may be about: by our name, by session, by intent."""

    event_id: str
    kind: str
    is_live: bool
    public_id: str
    session_id: str
    intent_id: str
    saved_id: str = ""


def is_open() -> bool:
    """Whether there is a secret; without one there is no webhook."""
    return bool(config.current()["STRIPE_WEBHOOK_SECRET"])


def read_event(body: bytes, signature: str) -> Hint:
    """The event in a request. Raises BadSignature.

    Either secret will do while one replaces the other.
    """
    for secret in config.current()["STRIPE_WEBHOOK_SECRET"]:
        if _is_signed(body, signature, secret):
            return _hint(body)
    raise BadSignature


def _is_signed(body: bytes, signature: str, secret: str) -> bool:
    try:
        stripe.WebhookSignature.verify_header(body, signature, secret, TOLERANCE_S)
    except (stripe.SignatureVerificationError, UnicodeDecodeError, ValueError):
        return False
    return True


def _hint(body: bytes) -> Hint:
    try:
        event = json.loads(body)
        found = event["data"]["object"]
        event_id, kind, is_live = str(event["id"]), str(event["type"]), event["livemode"] is True
        kind_of_object = str(found["object"])
    except (ValueError, KeyError, TypeError) as error:
        raise BadSignature from error
    if event.get("object") != "event" or not 0 < len(event_id) <= NAME_CHARACTERS_MAX:
        raise BadSignature
    return Hint(
        event_id,
        kind,
        is_live,
        public_id=_public_id(kind_of_object, found),
        session_id=_text(found, "id") if kind_of_object == "checkout.session" else "",
        intent_id=_intent_id(kind_of_object, found),
        saved_id=_text(found, "id") if kind_of_object == "payment_method" else "",
    )


def _public_id(kind: str, found: dict[str, Any]) -> str:
    if kind == "checkout.session":
        return _text(found, "client_reference_id")
    metadata = found.get("metadata")
    return _text(metadata, "payment") if isinstance(metadata, dict) else ""


def _intent_id(kind: str, found: dict[str, Any]) -> str:
    return _text(found, "id" if kind == "payment_intent" else "payment_intent")


def _text(found: dict[str, Any], name: str) -> str:
    value = found.get(name)
    if isinstance(value, dict):
        value = value.get("id")
    return value[:NAME_CHARACTERS_MAX] if isinstance(value, str) else ""
