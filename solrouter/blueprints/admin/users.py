"""Users: found, confirmed, signed out everywhere, shut out and let in again, made operators."""

from flask import flash, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx, welcome
from solrouter.blueprints.admin.room import actor, admin
from solrouter.errors import Refused
from solrouter.services import accounts, operators, sessions
from solrouter.services.accounts import UserRow

USERS_MAX = 50


@admin.get("/users")
def show_users() -> ResponseReturnValue:
    query, kind = request.args.get("q", ""), request.args.get("kind", "")
    before = request.args.get("before")
    found = accounts.list_users(query, kind=kind, limit=USERS_MAX + 1, before=before)
    return hx.page_or_fragment(
        "admin/users.html",
        "admin/_users.html",
        users=found[:USERS_MAX],
        query=query,
        kind=kind if kind in accounts.KINDS else "",
        kinds=[("", "Everybody"), *accounts.KINDS.items()],
        older=found[USERS_MAX - 1].public_id if len(found) > USERS_MAX else None,
    )


@admin.post("/users/<public_id>/confirm-email")
def confirm_email(public_id: str) -> ResponseReturnValue:
    row = accounts.user_row(public_id)
    accounts.confirm_email(row.user_id, actor=actor())
    welcome.greet(row.user_id)
    return _done(row, f"{row.email} is confirmed.")


@admin.post("/users/<public_id>/sign-out")
def sign_out_user(public_id: str) -> ResponseReturnValue:
    """Ends every session of theirs; an operator's own leads them to the sign-in."""
    row = accounts.user_row(public_id)
    closed = sessions.close_all(row.user_id, actor=actor())
    ended = "1 session is" if closed == 1 else f"{closed} sessions are"
    return _done(row, f"{row.email} is signed out: {ended} ended.")


@admin.post("/users/<public_id>/shut-out")
def shut_out_user(public_id: str) -> ResponseReturnValue:
    row = accounts.user_row(public_id)
    if row.user_id == current_user.user_id:
        raise Refused("You cannot shut yourself out.")
    accounts.set_disabled(row.user_id, True, actor=actor())
    return _done(row, f"{row.email} is shut out: no session and no key of theirs works.")


@admin.post("/users/<public_id>/let-in")
def let_in_user(public_id: str) -> ResponseReturnValue:
    row = accounts.user_row(public_id)
    accounts.set_disabled(row.user_id, False, actor=actor())
    return _done(row, f"{row.email} may sign in again.")


@admin.post("/users/<public_id>/appoint")
def appoint_operator(public_id: str) -> ResponseReturnValue:
    row = accounts.user_row(public_id)
    operators.appoint(row.user_id, by=current_user.user_id)
    return _done(row, f"{row.email} is an operator and may open these pages.")


@admin.post("/users/<public_id>/dismiss")
def dismiss_operator(public_id: str) -> ResponseReturnValue:
    row = accounts.user_row(public_id)
    operators.dismiss(row.user_id, by=current_user.user_id)
    return _done(row, f"{row.email} is no operator any more.")


def _done(row: UserRow, said: str) -> ResponseReturnValue:
    flash(said, "success")
    # The page that it was done on: of an account to which they were invited, too.
    account = request.form.get("account", row.account_public_id)
    return hx.go_to(url_for("admin.show_account", public_id=account))
