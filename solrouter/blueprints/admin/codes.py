"""Redeem codes: made and shown once, listed, ended."""

from collections.abc import Mapping

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx
from solrouter.blueprints.admin.room import admin, dollars, whole_or_none
from solrouter.errors import Refused
from solrouter.services.payments import codes


@admin.get("/codes")
def show_codes() -> ResponseReturnValue:
    return _page()


@admin.post("/codes")
def make_code() -> ResponseReturnValue:
    form = request.form
    try:
        text = codes.make(
            dollars(form.get("amount", ""), param="amount"),
            uses_max=whole_or_none(form, "uses") or 1,
            days=whole_or_none(form, "days"),
            note=form.get("note", ""),
            actor=f"user:{current_user.user_id}",
        )
    except Refused as refused:
        return _page(errors={refused.param: refused.message}, form=form)
    # Printed by the POST itself: the code is kept nowhere.
    return _page(made=text)


@admin.post("/codes/<public_id>/end")
def end_code(public_id: str) -> ResponseReturnValue:
    codes.end(public_id, actor=f"user:{current_user.user_id}")
    flash("The code is ended. What it has given stays.", "success")
    return hx.go_to(url_for("admin.show_codes"))


def _page(
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
    made: str = "",
) -> Response:
    return hx.page_or_fragment(
        "admin/codes.html",
        "admin/_codes.html",
        status=422 if errors else 200,
        codes=codes.list_of(),
        errors=errors or {},
        form=form or {},
        made=made,
    )
