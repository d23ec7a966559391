"""Every request and its receipt. Shows what was settled; computes nothing that is charged."""

from flask import render_template, request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx, receipts
from solrouter.blueprints.account.room import account
from solrouter.services import activity

PAGE_SIZE = 50


@account.get("/activity")
def show_activity() -> ResponseReturnValue:
    before = request.args.get("before")
    found = activity.recent(current_user.account_id, limit=PAGE_SIZE + 1, before=before)
    return hx.page_or_fragment(
        "account/activity.html",
        "account/_requests.html",
        requests=found[:PAGE_SIZE],
        older=found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None,
        is_first_page=before is None,
    )


@account.get("/activity/<receipt_id>")
def show_receipt(receipt_id: str) -> str:
    receipt = activity.find(current_user.account_id, receipt_id)
    return render_template(
        "account/receipt.html",
        receipt=receipt,
        lines=receipts.lines(receipt),
        cost_nanos=receipts.cost_nanos(receipt),
        reason=receipts.in_plain_words(receipt),
    )
