"""Acts of the audit trail in words for people; what it does not know it shows as it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from solrouter.blueprints import filters
from solrouter.money import display_usd
from solrouter.services.trail import Event

ACTIONS = {
    "account.buyer": "Changed who stands on receipts",
    "account.deleted": "Deleted the account",
    "account.frozen": "Froze the account",
    "account.lifted": "Let the account spend again",
    "account.spend_alert": "Changed when spending is told",
    "account.low_balance": "Changed when a low balance is told",
    "account.plan": "Changed the plan",
    "account.suspended": "Suspended the account",
    "account.view_begun": "Looked at the account as its owner sees it",
    "account.view_ended": "Stopped looking at the account",
    "announcement.ended": "Ended an announcement",
    "announcement.made": "Told everybody something",
    "auto_top_up.off": "Turned automatic top-ups off",
    "auto_top_up.on": "Turned automatic top-ups on",
    "catalogue.sync": "Brought in a catalogue",
    "code.ended": "Ended a redeem code",
    "code.made": "Made a redeem code",
    "content.deleted": "Deleted kept prompts and answers",
    "content.kept": "Changed for how long prompts and answers are kept",
    "credit.granted": "Granted credit",
    "credit.taken": "Took granted credit back",
    "incident.closed": "Ended an incident",
    "incident.opened": "Told of an incident",
    "incident.updated": "Told more of an incident",
    "invitation.created": "Invited somebody",
    "invitation.revoked": "Took an invitation back",
    "key.changed": "Changed a key",
    "key.created": "Created a key",
    "key.disabled": "Disabled a key",
    "key.enabled": "Enabled a key",
    "key.formers_ended": "Ended the former secrets of a key",
    "key.revoked": "Revoked a key",
    "key.rotated": "Gave a key a new secret",
    "keys.frozen": "Froze all keys",
    "keys.unfrozen": "Let the keys work again",
    "member.invitation_revoked": "Took back an invitation to the account",
    "member.invited": "Invited somebody to the account",
    "member.joined": "Joined the account",
    "member.left": "Left the account",
    "member.removed": "Removed somebody from the account",
    "member.role": "Changed a member’s role",
    "member.budget": "Changed what a member may spend",
    "model.off": "Switched a model off",
    "model.on": "Switched a model on",
    "offer.added": "Offered a model",
    "offer.off": "Switched an offer off",
    "offer.on": "Switched an offer on",
    "password.changed": "Changed the password",
    "password.set": "Set a password",
    "receipts.forgotten": "Forgot old receipts",
    "payment.accepted": "Credited a transaction by hand",
    "payment.begun": "Began a payment",
    "payment.credited": "Added credits by a payment",
    "payment.dispute_won": "Got a disputed payment back",
    "payment.disputed": "Lost a payment to a dispute",
    "payment.expired": "Let a payment expire",
    "payment.failed": "A payment failed",
    "payment.refund_failed": "A refund did not go through",
    "payment.refund_paid": "Paid a refund by hand",
    "payment.refunded": "Refunded a payment",
    "plan.set": "Set a plan’s limits",
    "price.set": "Set a price",
    "provider.added": "Added a provider",
    "provider.changed": "Changed a provider",
    "provider.data": "Said who keeps prompts",
    "provider.key": "Changed a provider’s key",
    "provider.off": "Switched a provider off",
    "provider.on": "Switched a provider on",
    "provider.tried": "Tried a provider",
    "second_factor.codes_renewed": "Made new recovery codes",
    "second_factor.off": "Turned two-step sign-in off",
    "second_factor.on": "Turned two-step sign-in on",
    "second_factor.recovery_code_used": "Used a recovery code",
    "session.closed": "Ended a session",
    "session.opened": "Signed in",
    "session.moved": "Moved to this account",
    "session.others_closed": "Signed out everywhere else",
    "session.all_closed": "Signed a user out everywhere",
    "sign_in.added": "Connected a way to sign in",
    "sign_in.removed": "Removed a way to sign in",
    "user.address_released": "Lost an address that was never confirmed",
    "user.created": "Signed up",
    "user.disabled": "Shut a user out",
    "user.email_changed": "Changed the e-mail address",
    "user.email_confirmed": "Confirmed an address by hand",
    "user.email_verified": "Confirmed the e-mail address",
    "user.enabled": "Let a user in again",
    "user.operator": "Made a user an operator",
    "user.no_operator": "Ended a user’s rights as operator",
    "user.password_reset": "Set a forgotten password anew",
    "user.verified": "Confirmed an address",
    "webhook.added": "Added a webhook",
    "webhook.off": "Turned a webhook off",
    "webhook.on": "Turned a webhook on",
    "webhook.removed": "Removed a webhook",
    "webhook.secret": "Gave a webhook a new secret",
}
# What a row tells as a list; of all else two are before and after.
MANY = frozenset(("scopes", "models_allowed", "networks_allowed", "hints"))


@dataclass(frozen=True, slots=True)
class Words:
    """The act, and what was given or changed, as pairs of name and value."""

    act: str
    details: list[tuple[str, str]]


def of(event: Event) -> Words:
    """The event in words."""
    act = ACTIONS.get(event.action, event.action)
    return Words(act, list(_details(event.details)))


def _details(details: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(_name(key), _value(key, value)) for key, value in details.items()]


def _name(key: str) -> str:
    return key.removesuffix("_nanos").replace("_", " ").capitalize()


def _value(key: str, value: Any) -> str:
    if isinstance(value, list) and len(value) == 2 and not _is_many(key, value):
        return f"{_one(key, value[0])} → {_one(key, value[1])}"
    return _one(key, value)


def _is_many(key: str, value: list[Any]) -> bool:
    """Whether the two are a list of two, and not before and after."""
    return key in MANY and all(isinstance(each, str) for each in value)


def _one(key: str, value: Any) -> str:
    if value is None or value == []:
        return "none"
    if key.endswith("_nanos") and isinstance(value, int):
        return display_usd(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return _moment(value) if key.endswith("_at") else str(value)


def _moment(text: str) -> str:
    try:
        return filters.date_and_time(datetime.fromisoformat(text))
    except ValueError:
        return text
