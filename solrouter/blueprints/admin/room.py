"""The operators' blueprint, its tabs, and how its forms read money, numbers and times."""

from collections.abc import Mapping
from datetime import datetime
from decimal import Decimal, InvalidOperation

from flask import Blueprint, url_for
from flask_login import current_user

from solrouter.blueprints import typed
from solrouter.errors import Refused
from solrouter.money import NotMoney, parse_usd

admin = Blueprint("admin", __name__, url_prefix="/admin")

ACCOUNT_PAGES = (
    "admin.show_account",
    "admin.grant_credit",
    "admin.take_credit",
    "admin.set_plan",
    "admin.suspend_account",
    "admin.lift_suspension",
    "admin.start_viewing",
)
PAYMENT_PAGES = (
    "admin.show_payment",
    "admin.refund_payment",
    "admin.accept_transaction",
    "admin.finish_refund",
    "admin.reject_refund",
)
# Each tab with the pages beneath it.
TABS = (
    ("Overview", "admin.show_overview", ()),
    ("Users", "admin.show_users", ACCOUNT_PAGES),
    ("Requests", "admin.show_requests", ("admin.show_request",)),
    ("Ledger", "admin.show_ledger", ()),
    ("Payments", "admin.show_payments", PAYMENT_PAGES),
    ("Codes", "admin.show_codes", ("admin.make_code",)),
    (
        "Models",
        "admin.show_models",
        ("admin.add_offer", "admin.show_prices", "admin.set_price"),
    ),
    (
        "Providers",
        "admin.show_providers",
        (
            "admin.add_provider",
            "admin.show_provider",
            "admin.try_provider",
            "admin.set_provider_key",
        ),
    ),
    ("Plans", "admin.show_plans", ("admin.show_plan", "admin.define_plan")),
    (
        "Notices",
        "admin.show_notices",
        ("admin.open_incident", "admin.tell_incident", "admin.announce"),
    ),
    ("Invitations", "admin.show_invitations", ("admin.invite",)),
    (
        "System",
        "admin.show_system",
        (
            "admin.show_webhooks",
            "admin.add_webhook",
            "admin.show_webhook",
            "admin.renew_webhook_secret",
            "admin.show_remove_webhook",
        ),
    ),
    ("Audit", "admin.show_audit", ()),
    ("Settings", "admin.show_settings", ()),
)


@admin.context_processor
def lend_tabs() -> dict[str, list[tuple[str, str, tuple[str, ...]]]]:
    tabs = [(text, url_for(name), (name, *beneath)) for text, name, beneath in TABS]
    return {"admin_tabs": tabs}


def actor() -> str:
    """Who acts, as the audit trail names them."""
    return f"user:{current_user.user_id}"


def dollars(text: str, *, param: str) -> int:
    """Nanodollars of an amount in a form. Raises Refused, naming the field."""
    try:
        return parse_usd(text)
    except NotMoney:
        raise Refused("Write an amount in US dollars, such as 25 or 2.50.", param=param) from None


def tokens(text: str, *, param: str) -> int:
    """A number of tokens in a form. Raises Refused, naming the field."""
    return typed.whole(text, param=param, sentence="Write a whole number of tokens.")


def whole_or_none(form: Mapping[str, str], name: str) -> int | None:
    """A whole number in a form, None where the field is empty. Raises Refused, naming the field."""
    text = form.get(name, "").strip()
    return typed.whole(text, param=name) if text else None


def percent(text: str, *, param: str) -> Decimal:
    """A percentage in a form. Raises Refused, naming the field."""
    try:
        number = Decimal(text.replace("%", "").strip())
    except InvalidOperation:
        raise Refused("Write a percentage, such as 5 or 2.5.", param=param) from None
    if not number.is_finite():
        raise Refused("Write a percentage, such as 5 or 2.5.", param=param)
    return number


def moment_or_none(form: Mapping[str, str], name: str) -> datetime | None:
    """A time in UTC, as a browser's own field writes it; None where it is empty. Raises Refused."""
    text = form.get(name, "").strip()
    return typed.moment(text, param=name) if text else None


def is_on(form: Mapping[str, str]) -> bool:
    """Which way a switch is to go: `to` is `on` or `off`. Raises Refused."""
    to = form.get("to", "")
    if to not in ("on", "off"):
        raise Refused("Say whether it is to be on or off.", param="to")
    return to == "on"
