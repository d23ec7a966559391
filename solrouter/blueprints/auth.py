"""Signing up, in and out. Reads forms and sets cookies; who may come in is the services' to say."""

from flask import Blueprint, Response, current_app, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import github, hx, redirects, sessions
from solrouter.errors import Forbidden, Refused
from solrouter.services import accounts, sign_ins

auth = Blueprint("auth", __name__)

HOME = "account.show_overview"
UNPROCESSABLE = 422


@auth.get("/signup")
def show_signup() -> Response:
    if current_user.is_authenticated:
        return hx.go_to(_next())
    return _signup_page()


@auth.post("/signup")
def create_account() -> Response:
    _refuse_when_closed()
    try:
        user = accounts.sign_up(
            _typed("email"),
            _typed("password"),
            plan=current_app.config["SOLROUTER_DEFAULT_PLAN"],
            network=request.remote_addr or "",
        )
    except Refused as refusal:
        return _signup_page(refusal)
    sessions.sign_in(user.id)
    return hx.go_to(_next())


@auth.get("/login")
def show_login() -> Response:
    if current_user.is_authenticated:
        return hx.go_to(_next())
    return _login_page()


@auth.post("/login")
def sign_in() -> Response:
    try:
        user = sign_ins.sign_in(_typed("email"), _typed("password"), request.remote_addr or "")
    except Refused as refusal:
        return _login_page(refusal)
    sessions.sign_in(user.id)
    return hx.go_to(_next())


@auth.get("/logout")
def show_logout() -> Response:
    return make_response(render_template("auth/logout.html"))


@auth.post("/logout")
def sign_out() -> Response:
    sessions.sign_out()
    return hx.go_to(url_for("auth.show_login"))


@auth.get("/auth/github")
def go_to_github() -> ResponseReturnValue:
    if current_user.is_authenticated:
        return hx.go_to(_next())
    try:
        return github.start(next=redirects.own_path(request.args.get("next", "")))
    except Refused as refusal:
        return _login_page(refusal)


@auth.post("/auth/github")
def connect_github() -> ResponseReturnValue:
    """A POST, so that no other site can connect its own GitHub account to somebody's here."""
    if not current_user.is_authenticated:
        return hx.go_to(url_for("auth.show_login"))
    return github.start(user_id=sessions.signed_in().user_id, next=_next())


@auth.get("/auth/github/callback")
def return_from_github() -> Response:
    try:
        profile, kept = github.finish()
        if "user_id" in kept:
            _connect(profile, kept["user_id"])
        else:
            sessions.sign_in(_user_id_of(profile))
    except Refused as refusal:
        return _login_page(refusal)
    return hx.go_to(redirects.own_path(kept.get("next", "")) or url_for(HOME))


def _connect(profile: sign_ins.ProvenIdentity, user_id: int) -> None:
    if not current_user.is_authenticated or current_user.user_id != user_id:
        raise Refused("Sign in first, then connect GitHub.")
    sign_ins.link_identity(user_id, profile)


def _user_id_of(profile: sign_ins.ProvenIdentity) -> int:
    config = current_app.config
    user = sign_ins.sign_in_with(
        profile,
        may_create=config["SOLROUTER_SIGNUP"] != "closed",
        plan=config["SOLROUTER_DEFAULT_PLAN"],
    )
    return user.id


def _refuse_when_closed() -> None:
    if current_app.config["SOLROUTER_SIGNUP"] == "closed":
        raise Forbidden("Sign-up is closed: the operator of this server makes the accounts.")


def _login_page(refusal: Refused | None = None) -> Response:
    return _form("auth/login.html", "auth/_login_form.html", refusal)


def _signup_page(refusal: Refused | None = None) -> Response:
    return _form("auth/signup.html", "auth/_signup_form.html", refusal)


def _form(page: str, fragment: str, refusal: Refused | None) -> Response:
    """The form with what was typed, the password excepted, and what is wrong with it."""
    return hx.page_or_fragment(
        page,
        fragment,
        status=200 if refusal is None else UNPROCESSABLE,
        email=_typed("email").strip(),
        next=redirects.safe_next(""),
        errors={} if refusal is None else {refusal.param or "form": refusal.message},
    )


def _typed(name: str) -> str:
    return request.form.get(name, "")


def _next() -> str:
    return redirects.safe_next(url_for(HOME))
