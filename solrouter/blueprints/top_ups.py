"""The form that adds credits: its amounts, its ways to pay, and what a choice comes to."""

from collections.abc import Mapping
from dataclasses import dataclass

from flask import current_app

from solrouter.blueprints import typed
from solrouter.errors import Refused
from solrouter.money import NotMoney, parse_usd
from solrouter.services import payments
from solrouter.services.payments.methods import Offer

REFUND_STATES: Mapping[str, str] = {
    "asked": "Asked for",
    "sent": "On its way",
    "done": "Given back",
    "failed": "Did not go through",
}
# A payment's state in words: what it is called, what it means, the tone of its badge.
STATES: Mapping[str, tuple[str, str, str]] = {
    "created": ("Begun", "The payment is being prepared.", "plain"),
    "pending": ("Waiting", "The money has not arrived yet.", "plain"),
    "held": (
        "On hold",
        (
            "The money is here. A payment of this size in an account’s first day is credited when "
            "the day is over."
        ),
        "warning",
    ),
    "paid": ("Paid", "The credits are in your balance.", "good"),
    "failed": ("Failed", "No money was taken.", "bad"),
    "expired": ("Expired", "It was not paid in time. Money that comes later is credited.", "plain"),
    "refunded_in_part": ("Refunded in part", "A part of it was given back.", "plain"),
    "refunded": ("Refunded", "All of it was given back.", "plain"),
    "disputed": ("Disputed", "It was contested at the bank, so its credits are gone.", "bad"),
}

# A payment that waits for nobody but its bank or its network.
ON_ITS_WAY = (
    "On its way",
    "You have paid. The credits come by themselves as soon as the money is here.",
    "plain",
)


@dataclass(frozen=True, slots=True)
class Quote:
    """What is credited and what is paid; `problem` says why there is none."""

    amount_nanos: int = 0
    fee_nanos: int = 0
    problem: str = ""

    @property
    def total_nanos(self) -> int:
        return self.amount_nanos + self.fee_nanos


def words_of(payment: payments.Payment) -> tuple[str, str, str]:
    """A payment's state in words, for who pays: as in `STATES`."""
    return ON_ITS_WAY if payment.is_on_its_way else STATES[payment.state]


def presets() -> list[int]:
    """The amounts that are offered."""
    least, most = limits()
    return [
        nanos for nanos in current_app.config["SOLROUTER_TOP_UP_PRESETS"] if least <= nanos <= most
    ]


def limits() -> tuple[int, int]:
    """The least and the most of one top-up."""
    settings = current_app.config
    return settings["SOLROUTER_TOP_UP_MIN"], settings["SOLROUTER_TOP_UP_MAX"]


def amount_of(form: Mapping[str, str]) -> int:
    """The amount that a form asks for: the one that was typed, else one of ours. Raises Refused."""
    text = form.get("amount", "").strip() or form.get("preset", "").strip()
    if not text:
        raise Refused("Choose an amount, or type one.", param="amount")
    try:
        return parse_usd(text)
    except NotMoney:
        raise Refused(
            "Write an amount in US dollars, such as 25 or 2.50.", param="amount"
        ) from None


def offer_of(form: Mapping[str, str]) -> tuple[str, Offer] | None:
    """The provider and way to pay that a form chose; the first one if it chose none."""
    offers = payments.offers()
    chosen = form.get("method", "")
    for method, offer in offers:
        if not chosen or chosen == f"{method.provider}:{offer.method}":
            return method.provider, offer
    return None


def seen(form: Mapping[str, str]) -> int | None:
    """What a refund's form says was refunded when its page was made; None where it does not."""
    return typed.whole_or_none(form.get("seen", ""))


def quote(form: Mapping[str, str]) -> Quote:
    """What the form's choice comes to, by the first amount where it has chosen none."""
    offered = offer_of(form)
    if offered is None:
        return Quote(problem="Choose a way to pay.")
    amounts = presets()
    try:
        has_amount = any(form.get(name, "").strip() for name in ("preset", "amount"))
        amount = amount_of(form) if has_amount or not amounts else amounts[0]
        payments.require_amount(amount)
    except Refused as refused:
        return Quote(problem=refused.message)
    return Quote(amount, payments.fee_of(amount, offered[1]))
