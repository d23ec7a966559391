"""Invitations to sign up: sent, listed, taken back."""

from collections.abc import Mapping

from flask import Response, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx
from solrouter.blueprints.admin.room import admin
from solrouter.errors import Refused
from solrouter.services import invitations
from solrouter.services.invitations import Sent


@admin.get("/invitations")
def show_invitations() -> ResponseReturnValue:
    return _page()


@admin.post("/invitations")
def invite() -> ResponseReturnValue:
    try:
        sent = invitations.invite(request.form.get("email", ""), actor=_actor())
    except Refused as refused:
        return _page(errors={refused.param: refused.message}, form=request.form)
    # Printed by the POST itself where it is not mailed: the link is kept nowhere.
    return _page(sent=sent)


@admin.post("/invitations/<public_id>/revoke")
def revoke_invitation(public_id: str) -> ResponseReturnValue:
    email = invitations.revoke(public_id, actor=_actor())
    if hx.is_htmx():
        return _page(revoked=email)
    flash(f"The invitation of {email} is taken back.", "success")
    return redirect(url_for("admin.show_invitations"), 303)


def _actor() -> str:
    return f"user:{current_user.user_id}"


def _page(
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
    sent: Sent | None = None,
    revoked: str = "",
) -> Response:
    return hx.page_or_fragment(
        "admin/invitations.html",
        "admin/_invitations.html",
        status=422 if errors else 200,
        invitations=invitations.list_of(),
        errors=errors or {},
        form=form or {},
        sent=sent,
        revoked=revoked,
    )
