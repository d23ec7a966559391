"""What the account's people are told by mail: below which balance, past which spending."""

from collections.abc import Callable
from typing import Any

from flask import Response, request

from solrouter.blueprints import sessions
from solrouter.blueprints.account.room import account
from solrouter.blueprints.account.settings import page
from solrouter.errors import Refused
from solrouter.money import NotMoney, decimal_usd, parse_usd
from solrouter.services import alerts, spending

SECTION = "notifications"


def facts() -> dict[str, Any]:
    member = sessions.signed_in()
    # They came with the session; after an act they are asked for anew.
    balance, spend = member.low_balance_nanos, member.spend_alert_nanos
    if request.method == "POST":
        balance = alerts.threshold(member.account_id)
        spend = spending.threshold(member.account_id)
    return {
        "threshold_nanos": balance,
        "typed": "" if balance is None else decimal_usd(balance),
        "spend_nanos": spend,
        "typed_spend": "" if spend is None else decimal_usd(spend),
        "errors": {},
        "said": "",
        # The form that was sent; what is typed into the other one stays.
        "about": "",
    }


page.add(SECTION, facts)


@account.post("/settings/notifications")
def set_low_balance() -> Response:
    return _put("low_balance", "typed", alerts.set_threshold, "below that balance", "the balance")


@account.post("/settings/notifications/spend")
def set_spend_alert() -> Response:
    return _put("spend", "typed_spend", spending.set_threshold, "past that spending", "spending")


def _put(field: str, shown_as: str, put: Callable[..., None], when: str, about: str) -> Response:
    """Notes the amount that was typed, or that there shall be no mail; refused, it stays typed."""
    member, typed = sessions.signed_in(), request.form.get(field, "").strip()
    try:
        nanos = _nanos(typed, param=field) if typed else None
        put(member.account_id, nanos, actor=f"user:{member.user_id}")
    except Refused as refusal:
        errors = {refusal.param: refusal.message}
        facts: dict[str, Any] = {shown_as: typed, "about": field}
        return page.show(SECTION, errors=errors, **facts)
    said = f"No mail about {about}." if nanos is None else f"You get a mail {when}."
    return page.done(SECTION, said, about=field)


def _nanos(typed: str, *, param: str) -> int:
    try:
        return parse_usd(typed)
    except NotMoney:
        raise Refused("Write an amount in US dollars, such as 5.", param=param) from None
