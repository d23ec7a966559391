"""Deleting one's user: asked with the amount that is given up, the address typed, and proof."""

from collections.abc import Mapping

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue

from solrouter.blueprints import confirm, hx, sessions, typed
from solrouter.blueprints.account.room import account
from solrouter.errors import Refused
from solrouter.services import departures


@account.get("/settings/delete")
def show_delete_account() -> ResponseReturnValue:
    return _page()


@account.post("/settings/delete")
def delete_account() -> ResponseReturnValue:
    user, form = sessions.signed_in(), request.form
    try:
        forfeit_nanos = _agreed_nanos(form, user.user_id)
        if form.get("email", "").strip().lower() != user.email:
            raise Refused("That is not the e-mail address of this account.", param="email")
        confirm.prove(form)
        departures.delete_user(user.user_id, forfeit_nanos=forfeit_nanos)
    except Refused as refusal:
        return _page({refusal.param or "form": refusal.message})
    sessions.sign_out()
    flash("Your account is deleted.", "success")
    return hx.go_to(url_for("pages.show_landing"))


def _agreed_nanos(form: Mapping[str, str], user_id: int) -> int:
    """What the person has agreed to give up. Raises Refused if there is more, and they have not."""
    has_something = any(closing.posted_nanos for closing in departures.closings(user_id))
    agreed = form.get("forfeit", "" if has_something else "0")
    nanos = typed.whole_or_none(agreed.removeprefix("-"))
    if nanos is None:
        raise Refused("Agree to give up the balance, or use it first.", param="forfeit")
    return -nanos if agreed.startswith("-") else nanos


def _page(errors: Mapping[str, str] | None = None) -> Response:
    ending = departures.closings(sessions.signed_in().user_id)
    return hx.page_or_fragment(
        "account/settings/delete.html",
        "account/settings/_delete_form.html",
        status=422 if errors else 200,
        ending=ending,
        forfeit_nanos=sum(closing.posted_nanos for closing in ending),
        form=request.form,
        errors=errors or {},
    )
