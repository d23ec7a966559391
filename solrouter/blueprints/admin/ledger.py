"""The ledger: what we owe in all, and every act on money with its two sides."""

from flask import request
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx
from solrouter.blueprints.admin.room import admin
from solrouter.services import journal

PAGE_SIZE = 50
ALL = "all"


@admin.get("/ledger")
def show_ledger() -> ResponseReturnValue:
    kind, before = request.args.get("kind", journal.BUT_USAGE), request.args.get("before")
    kind = kind if kind in journal.KINDS or kind == ALL else journal.BUT_USAGE
    account = request.args.get("account", "").strip()
    found = journal.page(
        kind="" if kind == ALL else kind, account=account, limit=PAGE_SIZE, before=before
    )
    said = {"kind": kind} if kind != journal.BUT_USAGE else {}
    if account:
        said["account"] = account
    return hx.page_or_fragment(
        "admin/ledger.html",
        "admin/_ledger.html",
        acts=found.acts,
        older=found.older,
        is_cut=found.is_cut,
        is_first_page=before is None,
        kind=kind,
        account=account,
        kinds=[*journal.KINDS.items(), (ALL, "Everything")],
        names=journal.NAMES,
        said=said,
        books=None if hx.is_htmx() else journal.books(),
    )
