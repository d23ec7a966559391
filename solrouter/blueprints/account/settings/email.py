"""The e-mail address of the person: confirmed, asked to be confirmed again, changed."""

from flask import Response, flash, make_response, render_template, request, url_for
from flask.typing import ResponseReturnValue

from solrouter.blueprints import hx, sessions, welcome
from solrouter.blueprints.account.room import account
from solrouter.blueprints.account.settings import page
from solrouter.errors import Forbidden, Refused
from solrouter.services import email_tokens, emails, outbox, second_factors

SECTION = "_email.html"


@account.post("/settings/email/confirmation")
def ask_verification() -> ResponseReturnValue:
    _refuse_without_mail()
    email = emails.ask_verification(sessions.signed_in().user_id)
    if hx.is_htmx():
        return page.show(SECTION, mailed_to=email)
    flash(f"A mail is on its way to {email}.", "success")
    return hx.go_to(url_for("account.show_settings"))


@account.post("/settings/email")
def ask_email_change() -> ResponseReturnValue:
    _refuse_without_mail()
    try:
        _prove_second_factor()
        email = emails.ask_change(
            sessions.signed_in().user_id,
            request.form.get("email", ""),
            password=request.form.get("password", ""),
        )
    except Refused as refused:
        return page.show(SECTION, errors={refused.param: refused.message}, form=request.form)
    if hx.is_htmx():
        return page.show(SECTION, mailed_to=email)
    flash(f"A mail is on its way to {email}. The link in it changes your address.", "success")
    return hx.go_to(url_for("account.show_settings"))


@account.get("/confirm-email/<token>")
def show_confirm_email(token: str) -> Response:
    return _link_page(token, email_tokens.VERIFY_EMAIL)


@account.post("/confirm-email/<token>")
def confirm_email(token: str) -> Response:
    user_id = sessions.signed_in().user_id
    try:
        user = emails.verify(user_id, token)
    except Refused as refused:
        return _link_page(token, email_tokens.VERIFY_EMAIL, refused)
    welcome.greet(user_id)
    flash(f"{user.email} is confirmed.", "success")
    return hx.go_to(url_for("account.show_overview"))


@account.get("/change-email/<token>")
def show_change_email(token: str) -> Response:
    return _link_page(token, email_tokens.CHANGE_EMAIL)


@account.post("/change-email/<token>")
def change_email(token: str) -> Response:
    user_id = sessions.signed_in().user_id
    try:
        user = emails.change(user_id, token)
    except Refused as refused:
        return _link_page(token, email_tokens.CHANGE_EMAIL, refused)
    welcome.greet(user_id)
    flash(f"Your address is {user.email} now.", "success")
    return hx.go_to(url_for("account.show_settings"))


def _link_page(token: str, purpose: str, refused: Refused | None = None) -> Response:
    """A link only asks: programs that look into mails open links, and none of them posts a form."""
    email = emails.proven_by(sessions.signed_in().user_id, token, purpose)
    message = refused.message if refused else None if email else emails.STALE
    response = make_response(
        render_template(
            "account/confirm_email.html",
            email=email,
            message=message,
            token=token,
            is_change=purpose == email_tokens.CHANGE_EMAIL,
        ),
        422 if message else 200,
    )
    # As in password_reset.
    response.headers["Referrer-Policy"] = "same-origin"
    return response


def _prove_second_factor() -> None:
    """Passes with a code, or without a second factor. Raises Refused and RateLimited."""
    user, form = sessions.signed_in(), request.form
    if not user.has_second_factor:
        return
    # First, since a code that was taken for nothing is gone.
    emails.refuse_wrong_password(user.user_id, form.get("password", ""))
    second_factors.prove(user.user_id, form.get("code", ""), network=request.remote_addr or "")


def _refuse_without_mail() -> None:
    if not outbox.is_on():
        raise Forbidden("This server sends no mail. Its operator can confirm and change addresses.")
