"""API keys of an account: the list, the one moment when a new key is shown, its changes, its end.

A new key is printed by the POST itself and can never be fetched again; nothing of this room is
stored by browsers or proxies (security_headers.PRIVATE_ROOMS).
"""

from collections.abc import Mapping

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx, own_keys
from solrouter.blueprints.account.room import account
from solrouter.errors import Refused
from solrouter.money import NotMoney, decimal_usd, parse_usd
from solrouter.services import keys

NEVER = "never"
# How often a limit may begin anew, for people.
RESETS = (
    (NEVER, "Never"),
    ("daily", "Every day"),
    ("weekly", "Every Monday"),
    ("monthly", "Every month"),
)


@account.get("/keys")
def show_keys() -> ResponseReturnValue:
    return _keys_page()


@account.post("/keys")
def create_key() -> ResponseReturnValue:
    try:
        new_key = keys.create(
            current_user.account_id,
            user_id=current_user.user_id,
            name=request.form.get("name", ""),
            limit_nanos=_limit(request.form.get("limit", "")),
            resets=request.form.get("resets", NEVER),
        )
    except Refused as refused:
        return _keys_page(errors={refused.param: refused.message}, form=request.form)
    return _keys_page(new_key=new_key)


@account.get("/keys/<public_id>/edit")
def show_edit_key(public_id: str) -> ResponseReturnValue:
    key = own_keys.find(public_id)
    limit = "" if key.limit_nanos is None else decimal_usd(key.limit_nanos)
    form = {"name": key.name, "limit": limit, "resets": key.resets}
    return _keys_page(form=form, editing=key)


@account.post("/keys/<public_id>/edit")
def edit_key(public_id: str) -> ResponseReturnValue:
    key = own_keys.find(public_id)
    try:
        key = keys.change(
            current_user.account_id,
            public_id,
            actor=f"user:{current_user.user_id}",
            name=request.form.get("name", ""),
            limit_nanos=_limit(request.form.get("limit", "")),
            resets=request.form.get("resets", NEVER),
        )
    except Refused as refused:
        errors = {refused.param: refused.message}
        return _keys_page(errors=errors, form=request.form, editing=key)
    if hx.is_htmx():
        return _keys_page(changed=key)
    flash(f"“{key.name}” is changed.", "success")
    return redirect(url_for("account.show_keys"), 303)


@account.get("/keys/<public_id>/revoke")
def show_revoke_key(public_id: str) -> ResponseReturnValue:
    key = own_keys.find(public_id)
    return render_template("account/revoke_key.html", key=key)


@account.post("/keys/<public_id>/revoke")
def revoke_key(public_id: str) -> ResponseReturnValue:
    actor = f"user:{current_user.user_id}"
    key = own_keys.find(public_id)
    key = keys.revoke(current_user.account_id, key.public_id, actor=actor)
    if hx.is_htmx():
        return _keys_page(revoked=key)
    flash(f"“{key.name}” is revoked.", "success")
    return redirect(url_for("account.show_keys"), 303)


def _keys_page(
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
    new_key: keys.NewKey | None = None,
    editing: keys.Key | None = None,
    changed: keys.Key | None = None,
    revoked: keys.Key | None = None,
) -> ResponseReturnValue:
    return hx.page_or_fragment(
        "account/keys.html",
        "account/_keys.html",
        status=422 if errors else 200,
        keys=own_keys.visible(),
        errors=errors or {},
        form=form or {},
        new_key=new_key,
        editing=editing,
        changed=changed,
        revoked=revoked,
        resets=RESETS,
    )


def _limit(text: str) -> int | None:
    if not text.strip():
        return None
    try:
        return parse_usd(text)
    except NotMoney:
        raise Refused("Write an amount in US dollars, such as 25 or 2.50.", param="limit") from None
