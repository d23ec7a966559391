"""What the account's people are told by mail, and below which balance."""

from typing import Any

from flask import Response, request

from solrouter.blueprints import sessions
from solrouter.blueprints.account.room import account
from solrouter.blueprints.account.settings import page
from solrouter.errors import Refused
from solrouter.money import NotMoney, decimal_usd, parse_usd
from solrouter.services import alerts

SECTION = "notifications"


def facts() -> dict[str, Any]:
    member = sessions.signed_in()
    # It came with the session; after an act it is asked for anew.
    nanos = member.low_balance_nanos
    if request.method == "POST":
        nanos = alerts.threshold(member.account_id)
    typed = "" if nanos is None else decimal_usd(nanos)
    return {"threshold_nanos": nanos, "typed": typed, "errors": {}, "said": ""}


page.add(SECTION, facts)


@account.post("/settings/notifications")
def set_low_balance() -> Response:
    member = sessions.signed_in()
    typed = request.form.get("low_balance", "").strip()
    try:
        nanos = _nanos(typed) if typed else None
        alerts.set_threshold(member.account_id, nanos, actor=f"user:{member.user_id}")
    except Refused as refusal:
        return page.show(SECTION, errors={refusal.param: refusal.message}, typed=typed)
    said = "No mail about the balance." if nanos is None else "You get a mail below that balance."
    return page.done(SECTION, said)


def _nanos(typed: str) -> int:
    try:
        return parse_usd(typed)
    except NotMoney:
        raise Refused("Write an amount in US dollars, such as 5.", param="low_balance") from None
