"""The page of one API key: what it did, what it may do, its secrets, its end.

A new secret is printed by the POST that made it, and nowhere else.
"""

from collections.abc import Mapping

from flask import flash, redirect, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import guards, hx, own_keys, typed
from solrouter.blueprints.account import key_forms
from solrouter.blueprints.account.key_forms import Form
from solrouter.blueprints.account.keys import actor, form_values, is_owner, keys_page
from solrouter.blueprints.account.room import account
from solrouter.errors import Refused
from solrouter.services import key_orders, key_switches, key_usage, keys, rotations
from solrouter.services.keys import Key, NewKey


@account.get("/keys/<public_id>")
def show_key(public_id: str) -> ResponseReturnValue:
    return _key_page(own_keys.find(public_id))


@account.post("/keys/<public_id>")
def edit_key(public_id: str) -> ResponseReturnValue:
    key = own_keys.find(public_id)
    parsed = key_forms.parse(request.form)
    errors, former_name = parsed.errors, key.name
    if not errors:
        try:
            key = key_orders.change(
                current_user.account_id,
                public_id,
                actor=actor(),
                is_owner=is_owner(),
                version=request.form.get("version") or None,
                **parsed.terms,
            )
            done = f"“{key.name}” is changed. This holds from the next request on."
            # The heading stands outside of what HTMX would swap.
            return _key_again(key, done, whole=key.name != former_name)
        except Refused as refused:
            if refused.param == "version":
                # What the form says is of another key than there is now.
                return _key_page(own_keys.find(public_id), errors={None: refused.message})
            errors[refused.param] = refused.message
    return _key_page(key, errors=errors, form=request.form)


@account.post("/keys/<public_id>/disable")
def disable_key(public_id: str) -> ResponseReturnValue:
    return _switched(public_id, True, "is disabled. Requests with it are refused from now on.")


@account.post("/keys/<public_id>/enable")
def enable_key(public_id: str) -> ResponseReturnValue:
    return _switched(public_id, False, "is enabled.")


@account.post("/keys/<public_id>/rotate")
def rotate_key(public_id: str) -> ResponseReturnValue:
    text = request.form.get("overlap_s", "")
    own_keys.find(public_id)
    overlap_s = typed.whole_or_none(text)
    try:
        new_key, _ = key_orders.rotate(
            current_user.account_id,
            public_id,
            overlap_s=rotations.OVERLAP_S if overlap_s is None else overlap_s,
            actor=actor(),
            is_owner=is_owner(),
        )
    except Refused as refused:
        return _key_page(own_keys.find(public_id), errors={"overlap_s": refused.message})
    return _key_page(new_key.key, new_key=new_key)


@account.get("/keys/<public_id>/end-former")
def show_end_former(public_id: str) -> ResponseReturnValue:
    key = own_keys.find(public_id)
    return render_template("account/end_former.html", key=key, formers=rotations.formers_of(key))


@account.post("/keys/<public_id>/end-former")
def end_former(public_id: str) -> ResponseReturnValue:
    own_keys.find(public_id)
    key = rotations.end_formers(
        current_user.account_id, public_id, actor=actor(), is_owner=is_owner()
    )
    return _key_again(key, "The old secret has ended. Only the newest one works.")


@account.get("/keys/<public_id>/revoke")
def show_revoke_key(public_id: str) -> ResponseReturnValue:
    return render_template("account/revoke_key.html", key=own_keys.find(public_id))


@account.post("/keys/<public_id>/revoke")
def revoke_key(public_id: str) -> ResponseReturnValue:
    own_keys.find(public_id)
    key = keys.revoke(current_user.account_id, public_id, actor=actor(), is_owner=is_owner())
    done = f"“{key.name}” is revoked. Requests with it are refused from now on."
    if hx.is_htmx():
        return keys_page(done=done)
    flash(done, "success")
    return redirect(url_for("account.show_keys"), 303)


def _switched(public_id: str, flag: bool, words: str) -> ResponseReturnValue:
    own_keys.find(public_id)
    try:
        key = key_switches.set_disabled(
            current_user.account_id, public_id, flag, actor=actor(), is_owner=is_owner()
        )
    except Refused as refused:
        return _key_page(own_keys.find(public_id), errors={None: refused.message})
    return _key_again(key, f"“{key.name}” {words}")


def _key_again(key: Key, done: str, *, whole: bool = False) -> ResponseReturnValue:
    if hx.is_htmx() and not whole:
        return _key_page(key, done=done)
    flash(done, "success")
    return hx.go_to(url_for("account.show_key", public_id=key.public_id))


def _key_page(
    key: Key,
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Form | None = None,
    new_key: NewKey | None = None,
    done: str = "",
) -> ResponseReturnValue:
    errors = errors or {}
    return hx.page_or_fragment(
        "account/key.html",
        "account/_key.html",
        status=422 if errors else 200,
        key=key,
        may_change=_may_change(key),
        usage=key_usage.of(key.id),
        formers=rotations.formers_of(key),
        overlaps=key_forms.OVERLAPS,
        new_key=new_key,
        done=done,
        **form_values(key_forms.of(key) if form is None else form, errors),
    )


def _may_change(key: Key) -> bool:
    """Whether this person may; an operator who looks at the account changes nothing."""
    may_manage = is_owner() or not key.rules.may_manage
    return key.status != "revoked" and may_manage and guards.may_open("account.edit_key")
