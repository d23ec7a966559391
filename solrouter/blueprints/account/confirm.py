"""“Confirm it is you”: the page on which a person proves again who they are. See `confirm`."""

from flask import request
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import confirm, hx, oauth, redirects
from solrouter.blueprints.account.room import account
from solrouter.errors import Refused


@account.get("/confirm")
def show_confirm() -> ResponseReturnValue:
    return confirm.page()


@account.post("/confirm")
def confirm_person() -> ResponseReturnValue:
    held = request.form.get(confirm.HELD, "")
    what = confirm.what_of(held)
    try:
        confirm.prove_once(request.form)
    except Refused as refusal:
        return confirm.page(held=held, what=what, errors={refusal.param: refusal.message})
    return confirm.go_on(held)


@account.post("/confirm/<provider>")
def confirm_with_provider(provider: str) -> ResponseReturnValue:
    """A fresh sign-in elsewhere, for who has neither password nor second factor."""
    found, held = oauth.named(provider), request.form.get(confirm.HELD, "")
    if current_user.has_password or current_user.has_second_factor:
        return hx.go_to(redirects.safe_next("/account"))
    kept = confirm.kept_for_provider(held)
    return oauth.start(found, proves=kept, next=redirects.safe_next("") or None)
