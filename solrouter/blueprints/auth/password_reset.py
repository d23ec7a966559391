"""A forgotten password: asked for, and set anew by a mail's link.

The answer is the same for every address. Setting a password signs nobody in: who follows a link
has still to say the password that they have just chosen.
"""

from flask import Response, flash, make_response, render_template, request, url_for

from solrouter.blueprints import hx
from solrouter.blueprints.auth.room import UNPROCESSABLE, auth, typed
from solrouter.errors import Forbidden, Refused
from solrouter.services import outbox, recovery


@auth.get("/password/forgot")
def show_forgot_password() -> Response:
    return _forgot_page()


@auth.post("/password/forgot")
def ask_reset() -> Response:
    if not outbox.is_on():
        raise Forbidden("This server sends no mail. Its operator can set a new password.")
    try:
        email = recovery.ask_reset(typed("email"), request.remote_addr or "")
    except Refused as refusal:
        return _forgot_page(refusal)
    return hx.page_or_fragment(
        "auth/forgot_password.html", "auth/_forgot_password.html", asked=email, errors={}, email=""
    )


@auth.get("/password/reset/<token>")
def show_reset_password(token: str) -> Response:
    return _reset_page(token)


@auth.post("/password/reset/<token>")
def reset_password(token: str) -> Response:
    try:
        recovery.reset(token, typed("password"))
    except Refused as refusal:
        return _reset_page(token, refusal)
    flash("Your password is set. Sign in with it.", "success")
    return hx.go_to(url_for("auth.show_login"))


def _forgot_page(refusal: Refused | None = None) -> Response:
    return hx.page_or_fragment(
        "auth/forgot_password.html",
        "auth/_forgot_password.html",
        status=200 if refusal is None else UNPROCESSABLE,
        asked="",
        email=typed("email").strip(),
        errors={} if refusal is None else {refusal.param or "form": refusal.message},
    )


def _reset_page(token: str, refusal: Refused | None = None) -> Response:
    email = recovery.email_of(token)
    errors = {} if refusal is None else {refusal.param or "form": refusal.message}
    data = {"token": token, "email": email, "errors": errors}
    if hx.is_htmx():
        page = make_response(render_template("auth/_reset_password.html", **data))
    else:
        page = make_response(render_template("auth/reset_password.html", **data))
    page.status_code = 200 if refusal is None and email else UNPROCESSABLE
    # The address of this page is a secret. Not `no-referrer`: browsers would then send our own form
    # with `Origin: null`, which no form of ours has.
    page.headers["Referrer-Policy"] = "same-origin"
    return page
