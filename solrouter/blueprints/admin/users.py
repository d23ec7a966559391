"""Users and their accounts: found, looked at, confirmed, granted credit."""

import secrets
from collections.abc import Mapping

from flask import Response, flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx, welcome
from solrouter.blueprints.admin.room import admin, dollars
from solrouter.errors import NotFound, Refused
from solrouter.money import display_usd
from solrouter.services import accounts, activity, billing, keys, payments
from solrouter.services.accounts import Account

USERS_MAX = 50
ENTRIES_MAX = 20
REQUESTS_MAX = 20


@admin.get("/users")
def show_users() -> ResponseReturnValue:
    query = request.args.get("q", "")
    before = request.args.get("before")
    found = accounts.list_users(query, limit=USERS_MAX + 1, before=before)
    return hx.page_or_fragment(
        "admin/users.html",
        "admin/_users.html",
        users=found[:USERS_MAX],
        query=query,
        older=found[USERS_MAX - 1].public_id if len(found) > USERS_MAX else None,
    )


@admin.get("/accounts/<public_id>")
def show_account(public_id: str) -> ResponseReturnValue:
    return _account_page(_account(public_id))


@admin.post("/accounts/<public_id>/credit")
def grant_credit(public_id: str) -> ResponseReturnValue:
    account = _account(public_id)
    try:
        amount = dollars(request.form.get("amount", ""), param="amount")
        payments.grant(
            account.id,
            amount,
            actor=f"user:{current_user.user_id}",
            note=request.form.get("note", ""),
            idempotency=request.form.get("form_id", "")[:64] or None,
        )
    except Refused as refused:
        errors = {refused.param: refused.message}
        return _account_page(account, errors=errors, form=request.form)
    if hx.is_htmx():
        return hx.with_oob(_account_page(account, granted_nanos=amount), "_balance.html")
    flash(f"{display_usd(amount)} granted.", "success")
    return redirect(url_for("admin.show_account", public_id=public_id), 303)


@admin.post("/users/<public_id>/confirm-email")
def confirm_email(public_id: str) -> ResponseReturnValue:
    row = accounts.user_row(public_id)
    accounts.confirm_email(row.user_id, actor=f"user:{current_user.user_id}")
    welcome.greet(row.user_id)
    if hx.is_htmx():
        return _account_page(accounts.account_of(row.account_id), confirmed=row.email)
    flash(f"{row.email} is confirmed.", "success")
    return redirect(url_for("admin.show_account", public_id=row.account_public_id), 303)


def _account(public_id: str) -> Account:
    account = accounts.find_account(public_id)
    if account is None:
        raise NotFound("There is no such account.")
    return account


def _account_page(
    account: Account,
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
    granted_nanos: int | None = None,
    confirmed: str = "",
) -> Response:
    return hx.page_or_fragment(
        "admin/account.html",
        "admin/_account.html",
        status=422 if errors else 200,
        account=account,
        balance=billing.balance(account.id),
        users=accounts.list_users(account.public_id),
        keys=keys.list_of(account.id),
        entries=billing.statement(account.id, limit=ENTRIES_MAX),
        requests=activity.recent(account.id, limit=REQUESTS_MAX),
        errors=errors or {},
        form=form or {},
        granted_nanos=granted_nanos,
        form_id=secrets.token_hex(16),
        confirmed=confirmed,
    )
