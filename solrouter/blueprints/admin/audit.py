"""Everybody's audit log, for operators."""

from flask import request
from flask.typing import ResponseReturnValue

from solrouter.blueprints import audit_words, hx
from solrouter.blueprints.admin.room import admin
from solrouter.services import trail

PAGE_SIZE = 50
ABOUT = {
    "": "Everything",
    "money": "Money",
    "accounts": "Accounts and members",
    "people": "People and sign-ins",
    "keys": "Keys",
    "catalogue": "Models, prices, plans",
    "notices": "Incidents, announcements",
}


@admin.get("/audit")
def show_audit() -> ResponseReturnValue:
    before = request.args.get("before")
    account, about = request.args.get("account", "").strip(), request.args.get("about", "")
    about = about if about in ABOUT else ""
    found = trail.of_all(limit=PAGE_SIZE + 1, before=before, account=account, about=about)
    said = {name: value for name, value in (("account", account), ("about", about)) if value}
    return hx.page_or_fragment(
        "admin/audit.html",
        "admin/_audit.html",
        events=[(event, audit_words.of(event)) for event in found[:PAGE_SIZE]],
        older=found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None,
        is_first_page=before is None,
        account=account,
        about=about,
        abouts=list(ABOUT.items()),
        said=said,
    )
