"""Everybody's audit log, for operators."""

from flask import request
from flask.typing import ResponseReturnValue

from solrouter.blueprints import audit_words, hx
from solrouter.blueprints.admin.room import admin
from solrouter.services import trail

PAGE_SIZE = 50


@admin.get("/audit")
def show_audit() -> ResponseReturnValue:
    before = request.args.get("before")
    found = trail.of_all(limit=PAGE_SIZE + 1, before=before)
    return hx.page_or_fragment(
        "admin/audit.html",
        "admin/_audit.html",
        events=[(event, audit_words.of(event)) for event in found[:PAGE_SIZE]],
        older=found[PAGE_SIZE - 1].id if len(found) > PAGE_SIZE else None,
        is_first_page=before is None,
    )
