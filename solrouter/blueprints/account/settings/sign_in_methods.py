"""The accounts elsewhere that can sign in: connected by `sign_in_providers`, removed here."""

from flask import Response, flash, render_template, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from solrouter.blueprints import hx, sessions
from solrouter.blueprints.account.room import account
from solrouter.blueprints.account.settings import page
from solrouter.errors import Refused
from solrouter.services import identities

SECTION = "_sign_in_methods.html"


@account.get("/settings/sign-in-methods/<provider>/remove")
def show_unlink(provider: str) -> str:
    linked = {row.provider: row for row in identities.list_of(sessions.signed_in().user_id)}
    if provider not in linked:
        raise NotFound
    return render_template("account/unlink.html", row=linked[provider])


@account.post("/settings/sign-in-methods/<provider>/remove")
def unlink(provider: str) -> ResponseReturnValue:
    try:
        name = identities.unlink(sessions.signed_in().user_id, provider)
    except Refused as refused:
        return _refused(refused)
    if hx.is_htmx():
        return page.show(SECTION, removed=name)
    flash(f"{name} is removed. It can no longer sign in here.", "success")
    return hx.go_to(url_for("account.show_settings"))


def _refused(refused: Refused) -> Response:
    return page.show(SECTION, errors={"form": refused.message})
