"""What everybody is told: incidents on the status page, announcements above every page."""

from collections.abc import Mapping

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx
from solrouter.blueprints.admin.room import actor, admin, moment_or_none
from solrouter.errors import Refused
from solrouter.services import announcements, incidents


@admin.get("/notices")
def show_notices() -> ResponseReturnValue:
    return _page()


@admin.post("/incidents")
def open_incident() -> ResponseReturnValue:
    form = request.form
    try:
        incidents.open_one(
            form.get("title", ""),
            form.get("text", ""),
            kind=form.get("kind", ""),
            affects=form.get("affects", "").split(","),
            begins_at=moment_or_none(form, "begins"),
            actor=actor(),
        )
    except Refused as refused:
        return _page(act="incident", errors={refused.param: refused.message}, form=form)
    return _done("It is on the status page.")


@admin.post("/incidents/<public_id>/tell")
def tell_incident(public_id: str) -> ResponseReturnValue:
    form = request.form
    closes = form.get("closes") == "1"
    try:
        incidents.tell(public_id, form.get("text", ""), closes=closes, actor=actor())
    except Refused as refused:
        return _page(act=public_id, errors={refused.param: refused.message}, form=form)
    return _done("The incident is over." if closes else "It is on the status page.")


@admin.post("/announcements")
def announce() -> ResponseReturnValue:
    form = request.form
    try:
        announcements.announce(
            form.get("text", ""),
            tone=form.get("tone", ""),
            link=form.get("link", ""),
            begins_at=moment_or_none(form, "begins"),
            ends_at=moment_or_none(form, "ends"),
            actor=actor(),
        )
    except Refused as refused:
        return _page(act="announcement", errors={refused.param: refused.message}, form=form)
    return _done("Every page shows it within ten seconds of its time.")


@admin.post("/announcements/<public_id>/end")
def end_announcement(public_id: str) -> ResponseReturnValue:
    announcements.end(public_id, actor=actor())
    return _done("The announcement is over.")


def _done(said: str) -> ResponseReturnValue:
    flash(said, "success")
    return hx.go_to(url_for("admin.show_notices"))


def _page(
    *,
    act: str = "",
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Response:
    """The page; `act` is the form that was sent and refused, which shows what was typed."""
    return hx.page_or_fragment(
        "admin/notices.html",
        "admin/_notices.html",
        status=422 if errors else 200,
        incidents=incidents.recent(),
        announcements_made=announcements.list_of(),
        kinds=list(incidents.KINDS.items()),
        tones=list(announcements.TONES.items()),
        act=act,
        errors=errors or {},
        form=form or {},
    )
