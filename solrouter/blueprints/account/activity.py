"""Every request and its receipt. Shows what was settled; computes nothing that is charged."""

from flask import render_template, request
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx, own_requests, receipts, transcripts
from solrouter.blueprints.account.room import account

PAGE_SIZE = 50


@account.get("/activity")
def show_activity() -> ResponseReturnValue:
    before = request.args.get("before")
    found = own_requests.recent(limit=PAGE_SIZE + 1, before=before)
    return hx.page_or_fragment(
        "account/activity.html",
        "account/_requests.html",
        requests=found[:PAGE_SIZE],
        is_of_one=own_requests.maker_id() is not None,
        older=found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None,
        is_first_page=before is None,
    )


@account.get("/activity/<receipt_id>")
def show_receipt(receipt_id: str) -> str:
    receipt = own_requests.find(receipt_id)
    content = own_requests.content_of(receipt)
    return render_template(
        "account/receipt.html",
        receipt=receipt,
        content=content,
        transcript=transcripts.of(content) if content else None,
        lines=receipts.lines(receipt),
        cost_nanos=receipts.cost_nanos(receipt),
        reason=receipts.in_plain_words(receipt),
    )
