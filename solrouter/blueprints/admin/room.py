"""The operators' blueprint, its tabs, and how its forms read money and numbers."""

from flask import Blueprint, url_for

from solrouter.errors import Refused
from solrouter.money import NotMoney, parse_usd

admin = Blueprint("admin", __name__, url_prefix="/admin")

TABS = (
    ("Overview", "admin.show_overview", ()),
    ("Users", "admin.show_users", ("admin.show_account", "admin.grant_credit")),
    (
        "Payments",
        "admin.show_payments",
        (
            "admin.show_payment",
            "admin.refund_payment",
            "admin.finish_refund",
            "admin.reject_refund",
        ),
    ),
    ("Codes", "admin.show_codes", ("admin.make_code",)),
    ("Invitations", "admin.show_invitations", ("admin.invite",)),
    ("Providers", "admin.show_providers", ("admin.add_provider",)),
    ("Models", "admin.show_models", ("admin.add_offer",)),
    ("Requests", "admin.show_requests", ()),
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
)


@admin.context_processor
def lend_tabs() -> dict[str, list[tuple[str, str, tuple[str, ...]]]]:
    tabs = [(text, url_for(name), (name, *beneath)) for text, name, beneath in TABS]
    return {"admin_tabs": tabs}


def dollars(text: str, *, param: str) -> int:
    """Nanodollars of an amount in a form. Raises Refused, naming the field."""
    try:
        return parse_usd(text)
    except NotMoney:
        raise Refused("Write an amount in US dollars, such as 25 or 2.50.", param=param) from None


def tokens(text: str, *, param: str) -> int:
    """A number of tokens in a form. Raises Refused, naming the field."""
    try:
        return int(text.replace(",", "").replace("_", "").strip())
    except ValueError:
        raise Refused("Write a whole number of tokens.", param=param) from None
