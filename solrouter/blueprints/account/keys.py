"""API keys of an account: the list, the one moment when a new key is shown, and freezing them all.

A new key is printed by the POST itself and can never be fetched again; nothing of this room is
stored by browsers or proxies (security_headers.PRIVATE_ROOMS).
"""

from collections.abc import Mapping

from flask import flash, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx, own_keys
from solrouter.blueprints.account import key_forms
from solrouter.blueprints.account.key_forms import Form
from solrouter.blueprints.account.room import account
from solrouter.blueprints.sessions import signed_in
from solrouter.errors import Refused
from solrouter.services import key_orders, key_switches, key_usage, keys
from solrouter.services.key_rules import Rules

REVOKED_SHOWN_MAX = 50
OWNER = "owner"
FROZEN = "All keys are frozen. Requests with any of them are refused from now on."
UNFROZEN = "The keys work again, but for those that are disabled or expired."


@account.get("/keys")
def show_keys() -> ResponseReturnValue:
    return keys_page()


@account.post("/keys")
def create_key() -> ResponseReturnValue:
    parsed = key_forms.parse(request.form)
    terms, errors = parsed.terms, parsed.errors
    if not errors:
        try:
            new_key, _ = key_orders.create(
                current_user.account_id,
                user_id=current_user.user_id,
                is_owner=is_owner(),
                **{**terms, "rules": Rules(**terms["rules"])},
            )
            return keys_page(new_key=new_key)
        except Refused as refused:
            errors[refused.param] = refused.message
    return keys_page(errors=errors, form=request.form)


@account.post("/keys/freeze")
def freeze_keys() -> ResponseReturnValue:
    key_switches.freeze(current_user.account_id, actor=actor())
    return _list_again(FROZEN)


@account.post("/keys/unfreeze")
def unfreeze_keys() -> ResponseReturnValue:
    key_switches.unfreeze(current_user.account_id, actor=actor())
    return _list_again(UNFROZEN)


def actor() -> str:
    """Who stands in the audit trail."""
    return f"user:{current_user.user_id}"


def is_owner() -> bool:
    """Whether management keys are theirs to make and change."""
    return signed_in().role == OWNER


def keys_page(
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Form | None = None,
    new_key: keys.NewKey | None = None,
    done: str = "",
) -> ResponseReturnValue:
    """The list with the form for a new key, and what has just happened."""
    listed = own_keys.visible()
    live = [key for key in listed if key.status != "revoked"]
    revoked = [key for key in listed if key.status == "revoked"]
    form, errors = key_forms.blank() if form is None else form, errors or {}
    return hx.page_or_fragment(
        "account/keys.html",
        "account/_keys.html",
        status=422 if errors else 200,
        keys=live,
        revoked=revoked[:REVOKED_SHOWN_MAX],
        usages=key_usage.of_all(key.id for key in live),
        frozen_at=key_switches.frozen_at(current_user.account_id),
        new_key=new_key,
        done=done,
        **form_values(form, errors),
    )


def form_values(form: Form, errors: Mapping[str | None, str]) -> dict[str, object]:
    """What the fields of a key's form are drawn from."""
    return {
        "form": form,
        "errors": errors,
        "resets": key_forms.RESETS,
        "scopes": [scope for scope in key_forms.SCOPES if is_owner() or scope[0] != "keys:manage"],
        "is_narrowed": key_forms.is_narrowed(form, errors),
    }


def _list_again(done: str) -> ResponseReturnValue:
    if hx.is_htmx():
        return keys_page(done=done)
    flash(done, "success")
    return redirect(url_for("account.show_keys"), 303)
