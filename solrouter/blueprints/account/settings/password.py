"""The password: changed, or set for the first time. All other sessions end with it."""

from typing import Any

from flask import Response, request

from solrouter.blueprints import confirm, sessions
from solrouter.blueprints.account.room import account
from solrouter.blueprints.account.settings import page
from solrouter.errors import Refused
from solrouter.services import passwords, sign_ins

SECTION = "password_settings"


def facts() -> dict[str, Any]:
    return {"errors": {}, "said": ""}


page.add(SECTION, facts)


@account.post("/settings/password")
def change_password() -> Response:
    user, new = sessions.signed_in(), request.form.get("password", "")
    try:
        # First, since a code that was taken for nothing is gone.
        passwords.refuse_weak(new, email=user.email)
        confirm.prove(request.form)
        sign_ins.change_password(user.user_id, new, keep_session=user.session_id)
    except Refused as refusal:
        return page.show(SECTION, errors={refusal.param: refusal.message})
    sessions.prove()
    return page.done(SECTION, "Your password is changed, and all other sessions are ended.")
