"""Signing up, in and out. Reads forms and sets cookies; who may come in is the services' to say.

The other ways in are files of their own.
"""

from flask import Response, current_app, make_response, render_template, request, url_for
from flask_login import current_user

from solrouter.blueprints import half_way, hx, request_ids, sessions
from solrouter.blueprints.auth import providers
from solrouter.blueprints.auth.room import auth, form, let_in, login_page, next_page, typed
from solrouter.errors import Forbidden, Refused
from solrouter.services import accounts, invitations, sign_ins


@auth.get("/signup")
def show_signup() -> Response:
    if current_user.is_authenticated:
        return hx.go_to(next_page())
    return _signup_page()


@auth.post("/signup")
def create_account() -> Response:
    invitation = typed("invitation")
    _refuse_uninvited(invitation)
    try:
        user = accounts.sign_up(
            typed("email"),
            typed("password"),
            plan=current_app.config["SOLROUTER_DEFAULT_PLAN"],
            network=request.remote_addr or "",
            invitation=invitation,
        )
    except Refused as refusal:
        return _signup_page(refusal)
    return let_in(user.id, next_page())


@auth.get("/login")
def show_login() -> Response:
    if current_user.is_authenticated:
        return hx.go_to(next_page())
    return login_page()


@auth.post("/login")
def sign_in() -> Response:
    try:
        with request_ids.noting_refusals():
            step = sign_ins.sign_in(typed("email"), typed("password"), request.remote_addr or "")
            answer = let_in(step.user.id, next_page(), step.mark)
    except Refused as refusal:
        return login_page(refusal)
    # With a second step only after it: half a proof connects nothing.
    if half_way.waiting() is None:
        providers.adopt_pending(step.user.id)
    return answer


@auth.get("/logout")
def show_logout() -> Response:
    return make_response(render_template("auth/logout.html"))


@auth.post("/logout")
def sign_out() -> Response:
    sessions.sign_out()
    return hx.go_to(url_for("auth.show_login"))


def _refuse_uninvited(invitation: str) -> None:
    signup = current_app.config["SOLROUTER_SIGNUP"]
    if signup == "closed":
        raise Forbidden("Sign-up is closed: the operator of this server makes the accounts.")
    if signup == "invite" and not invitation:
        raise Forbidden("You need an invitation to sign up here. The operator sends them.")


def _signup_page(refusal: Refused | None = None) -> Response:
    invitation = request.values.get("invitation", "")
    invited = invitations.invited(invitation) if invitation else None
    if invitation and invited is None:
        refusal = Refused(invitations.GONE)
    return form(
        "auth/signup.html",
        "auth/_signup_form.html",
        refusal,
        status=200 if request.method == "GET" else None,
        invitation=invitation,
        invited=invited,
    )
