"""The account's audit log: who did what to money, keys and access, and from where."""

from flask import request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import audit_words, hx
from solrouter.blueprints.account.room import account
from solrouter.services import trail

PAGE_SIZE = 50


@account.get("/audit")
def show_audit() -> ResponseReturnValue:
    before = request.args.get("before")
    found = trail.of_account(current_user.account_id, limit=PAGE_SIZE + 1, before=before)
    return hx.page_or_fragment(
        "account/audit.html",
        "account/_audit.html",
        events=[(event, audit_words.of(event)) for event in found[:PAGE_SIZE]],
        older=found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None,
        is_first_page=before is None,
    )
