"""What the account's people are told by mail: below which balance, past which spending."""

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
    }


page.add(SECTION, facts)


@account.post("/settings/notifications")
def set_low_balance() -> Response:
    member = sessions.signed_in()
    typed = request.form.get("low_balance", "").strip()
    try:
        nanos = _nanos(typed, param="low_balance") if typed else None
        alerts.set_threshold(member.account_id, nanos, actor=f"user:{member.user_id}")
    except Refused as refusal:
        return page.show(SECTION, errors={refusal.param: refusal.message}, typed=typed)
    said = "No mail about the balance." if nanos is None else "You get a mail below that balance."
    return page.done(SECTION, said)


@account.post("/settings/notifications/spend")
def set_spend_alert() -> Response:
    member = sessions.signed_in()
    typed = request.form.get("spend", "").strip()
    try:
        nanos = _nanos(typed, param="spend") if typed else None
        spending.set_threshold(member.account_id, nanos, actor=f"user:{member.user_id}")
    except Refused as refusal:
        return page.show(SECTION, errors={refusal.param: refusal.message}, typed_spend=typed)
    said = "No mail about spending." if nanos is None else "You get a mail past that spending."
    return page.done(SECTION, said)


def _nanos(typed: str, *, param: str) -> int:
    try:
        return parse_usd(typed)
    except NotMoney:
        raise Refused("Write an amount in US dollars, such as 5.", param=param) from None
