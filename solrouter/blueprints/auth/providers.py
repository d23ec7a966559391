"""Signing in and connecting through GitHub and Google: the way there and back, and what then.

An identity whose address a user has already waits in this browser's signed cookie, for a few
minutes, until that user has proven their password, or has said that the account is not theirs.
"""

from dataclasses import asdict
from typing import Any

from flask import (
    Response,
    current_app,
    flash,
    make_response,
    render_template,
    request,
    session,
    url_for,
)
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter import clock
from solrouter.blueprints import confirm, hx, oauth, redirects, request_ids, sessions, welcome
from solrouter.blueprints.auth.room import HOME, auth, let_in, login_page, next_page
from solrouter.errors import AddressKnown, Refused
from solrouter.services import identities
from solrouter.services.identities import ProvenIdentity

PENDING = "proven"
PENDING_S = 600


@auth.get("/auth/<provider>")
def go_to_provider(provider: str) -> ResponseReturnValue:
    found = oauth.named(provider)
    if current_user.is_authenticated:
        return hx.go_to(next_page())
    try:
        return oauth.start(found, next=redirects.own_path(request.args.get("next", "")))
    except Refused as refusal:
        return login_page(refusal)


@auth.post("/auth/<provider>")
def connect_provider(provider: str) -> ResponseReturnValue:
    """A POST, so that no other site can connect its own GitHub account to somebody's here."""
    found = oauth.named(provider)
    if not current_user.is_authenticated:
        return hx.go_to(url_for("auth.show_login"))
    try:
        return oauth.start(found, user_id=sessions.signed_in().user_id, next=next_page())
    except Refused as refusal:
        return _back_to_settings(refusal)


@auth.get("/auth/<provider>/callback")
def return_from_provider(provider: str) -> Response:
    found = oauth.named(provider)
    try:
        with request_ids.noting_refusals():
            profile, kept = oauth.finish(found)
        target = redirects.own_path(kept.get("next", "")) or url_for(HOME)
        if "proves" in kept:
            return confirm.return_from_provider(profile, kept["proves"], target)
        if "user_id" in kept:
            return _connect(profile, kept["user_id"], target)
        user = identities.sign_in_with(
            profile,
            signup=current_app.config["SOLROUTER_SIGNUP"],
            plan=current_app.config["SOLROUTER_DEFAULT_PLAN"],
            network=request.remote_addr or "",
        )
    except AddressKnown as known:
        _keep(profile, known)
        return hx.go_to(url_for("auth.show_known_address", next=target))
    except Refused as refusal:
        return _back_to_settings(refusal) if _is_inside() else login_page(refusal)
    return let_in(user.id, target)


@auth.get("/auth/known-address")
def show_known_address() -> Response:
    pending = _pending()
    if pending is None or current_user.is_authenticated:
        return hx.go_to(url_for("auth.show_login"))
    return make_response(
        render_template(
            "auth/known_address.html",
            profile=pending,
            is_verified=session[PENDING]["is_verified"],
            has_password=session[PENDING]["has_password"],
            next=redirects.safe_next(""),
            email=pending.email,
            errors={},
        )
    )


@auth.post("/auth/known-address")
def take_address() -> Response:
    """The owner of the address says that the account which nobody proved is not theirs."""
    pending = _pending()
    if pending is None:
        return login_page(Refused("That took too long. Please start again."))
    session.pop(PENDING)
    try:
        user = identities.take_address(pending)
    except Refused as refusal:
        return login_page(refusal)
    return let_in(user.id, next_page())


def adopt_pending(user_id: int) -> None:
    """Connects the identity that waits in this browser to whom it belongs, who is here now."""
    pending = _pending()
    session.pop(PENDING, None)
    if pending is None:
        return
    try:
        if identities.adopt(user_id, pending):
            flash(f"{pending.provider_name} is connected.", "success")
    except Refused as refusal:
        flash(refusal.message, "error")


def _connect(profile: ProvenIdentity, user_id: int, target: str) -> Response:
    if not current_user.is_authenticated or current_user.user_id != user_id:
        raise Refused(f"Sign in first, then connect {profile.provider_name}.")
    identities.link(user_id, profile)
    welcome.greet(user_id)
    flash(f"{profile.provider_name} is connected.", "success")
    return hx.go_to(target)


def _is_inside() -> bool:
    return bool(current_user.is_authenticated)


def _back_to_settings(refusal: Refused) -> Response:
    flash(refusal.message, "error")
    return hx.go_to(url_for("account.show_settings"))


def _keep(profile: ProvenIdentity, known: AddressKnown) -> None:
    session[PENDING] = {
        "profile": asdict(profile),
        "at": clock.utcnow().timestamp(),
        "is_verified": known.is_verified,
        "has_password": known.has_password,
    }


def _pending() -> ProvenIdentity | None:
    kept: dict[str, Any] | None = session.get(PENDING)
    if kept is None or clock.utcnow().timestamp() - kept["at"] > PENDING_S:
        return None
    return ProvenIdentity(**kept["profile"])
