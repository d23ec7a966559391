"""Everybody's requests, newest first, with whose they are; what was asked is not for operators."""

from flask import request
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx
from solrouter.blueprints.admin.room import admin
from solrouter.services import activity

PAGE_SIZE = 50


@admin.get("/requests")
def show_requests() -> ResponseReturnValue:
    found = activity.recent_of_all(limit=PAGE_SIZE + 1, before=request.args.get("before"))
    return hx.page_or_fragment(
        "admin/requests.html",
        "admin/_requests.html",
        requests=found[:PAGE_SIZE],
        older=found[PAGE_SIZE - 1].receipt.id if len(found) > PAGE_SIZE else None,
        is_first_page="before" not in request.args,
    )
