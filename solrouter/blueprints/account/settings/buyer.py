"""Who buys, as the account's receipts and statements say it."""

from typing import Any

from flask import Response, request

from solrouter.blueprints import sessions
from solrouter.blueprints.account.room import account
from solrouter.blueprints.account.settings import page
from solrouter.errors import Refused
from solrouter.services import buyers
from solrouter.services.buyers import Buyer

SECTION = "buyer"


def facts() -> dict[str, Any]:
    known = buyers.of_account(sessions.signed_in().account_id)
    return {"address": known.address, "tax_id": known.tax_id, "errors": {}, "said": ""}


page.add(SECTION, facts)


@account.post("/settings/buyer")
def set_buyer() -> Response:
    member, form = sessions.signed_in(), request.form
    typed = Buyer(form.get("address", ""), form.get("tax_id", ""))
    try:
        buyers.put(member.account_id, typed, actor=f"user:{member.user_id}")
    except Refused as refusal:
        errors = {refusal.param: refusal.message}
        return page.show(SECTION, errors=errors, address=typed.address, tax_id=typed.tax_id)
    return page.done(SECTION, "Your receipts and statements say so from now on.")
