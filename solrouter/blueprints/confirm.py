"""Recent proof: what touches money, keys or access asks again who is there, after some minutes.

| what was asked for      | what happens                                                          |
|-------------------------|-----------------------------------------------------------------------|
| a form's act            | the confirm page, which holds the form, sealed; then the act goes on   |
| a page                  | the confirm page, and then back                                       |

Ending things is never hindered: revoking a key, ending sessions and signing out are not here.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from flask import Flask, Response, current_app, redirect, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.datastructures import ImmutableMultiDict

from solrouter import clock
from solrouter.blueprints import hx, oauth, redirects, request_ids, sealed, sessions
from solrouter.blueprints.contexts import request_itself
from solrouter.blueprints.oauth.provider import Provider
from solrouter.errors import Refused
from solrouter.services import identities, second_factors, sign_ins
from solrouter.services.identities import ProvenIdentity

# Endpoint to what the person is about to do.
NEEDS_PROOF: Mapping[str, str] = {
    "account.create_key": "create an API key",
    "account.edit_key": "change an API key",
    "account.enable_key": "enable an API key",
    "account.rotate_key": "give an API key a new secret",
    "account.unfreeze_keys": "let the API keys work again",
    "account.begin_second_factor": "set up a second factor",
    "account.renew_recovery_codes": "make new recovery codes",
    "account.export_data": "download your data",
    "account.keep_content": "have prompts and answers kept",
    "account.delete_content": "delete prompts and answers",
    "account.unlink": "remove a way to sign in",
    "account.invite_member": "invite somebody to your account",
    "account.resend_team_invitation": "invite somebody to your account",
    "account.change_member_role": "change a member’s role",
    "account.set_member_budget": "change what a member may spend",
    "account.remove_member": "remove a member",
    "account.refund_payment": "refund a payment",
    "account.set_auto_top_up": "let your card be charged by itself",
    "account.open_card_portal": "change the saved card",
    "account.add_webhook": "add a webhook",
    "account.renew_webhook_secret": "give a webhook a new secret",
    "admin.add_webhook": "add a webhook",
    "admin.renew_webhook_secret": "give a webhook a new secret",
    "auth.connect_provider": "add a way to sign in",
    "admin.confirm_email": "confirm an address by hand",
    "admin.grant_credit": "grant credit",
    "admin.take_credit": "take credit back",
    "admin.set_plan": "change an account’s plan",
    "admin.suspend_account": "suspend an account",
    "admin.lift_suspension": "let an account spend again",
    "admin.start_viewing": "look at somebody’s account",
    "admin.sign_out_user": "sign somebody out everywhere",
    "admin.shut_out_user": "shut a user out",
    "admin.let_in_user": "let a user in again",
    "admin.appoint_operator": "make a user an operator",
    "admin.dismiss_operator": "end a user’s rights as operator",
    "admin.set_price": "change a price",
    "admin.switch_model": "switch a model on or off",
    "admin.switch_offer": "switch an offer on or off",
    "admin.switch_provider": "switch a provider on or off",
    "admin.set_provider_key": "give a provider another key",
    "admin.forget_provider_key": "forget a provider’s key",
    "admin.set_provider_data": "say who keeps prompts",
    "admin.define_plan": "change what a plan allows",
    "admin.announce": "tell everybody something",
    "admin.refund_payment": "refund a payment",
    "admin.accept_transaction": "credit a transaction",
    "admin.finish_refund": "note that a refund is paid",
    "admin.reject_refund": "decline a refund",
    "admin.make_code": "make a redeem code",
    "admin.invite": "invite somebody",
    "admin.add_provider": "add a provider",
    "admin.add_offer": "offer a model at a price",
}
# Their own forms ask for the password and the code, however recent the last proof is; only who has
# neither is asked here.
ASKS_ITSELF: Mapping[str, str] = {
    "account.ask_email_change": "change your e-mail address",
    "account.change_password": "set a password",
    "account.turn_off_second_factor": "turn off the second factor",
    "account.delete_account": "delete your account",
}
HELD = "held"
# The passing cookie carries a held form through a sign-in elsewhere, if there is room for it.
HELD_CHARACTERS_MAX = 2000
PROOF_S_MIN = 30.0
UNPROCESSABLE = 422
FORBIDDEN = 403
SEE_AGAIN = 307
NO_LONGER = "That form was open for too long. Please go back and fill it in again."


def init_app(app: Flask) -> None:
    """Puts the question in front of every view. It comes after the check for other sites' forms."""
    app.before_request(ask_first)


def ask_first() -> ResponseReturnValue | None:
    """Asks for proof when the act needs it; after it, gives a held form back to its view."""
    endpoint = request_itself().endpoint or ""
    if endpoint not in NEEDS_PROOF and endpoint not in ASKS_ITSELF:
        return None
    if not current_user.is_authenticated:
        return None
    if not is_recent() and not _asks_itself(endpoint):
        if request.method in ("GET", "HEAD"):
            target = redirects.own_path(request.full_path.removesuffix("?"))
            return hx.go_to(url_for("account.show_confirm", next=target))
        return page(held=_hold(), what=_what(endpoint), status=FORBIDDEN)
    if HELD in request.form:
        request.form = _released(request.form[HELD])
    return None


def is_recent() -> bool:
    """Whether the person has proven themselves a short time ago."""
    age = clock.utcnow() - sessions.signed_in().proven_at
    return age < timedelta(seconds=_proof_s())


def prove(form: Mapping[str, str]) -> None:
    """Passes with all that the user's sign-in asks for: `current` password and `code`.

    For the acts that ask themselves. Raises Refused (`current`, `code`) and RateLimited.
    """
    user, network = sessions.signed_in(), request.remote_addr or ""
    with request_ids.noting_refusals():
        if user.has_password:
            _prove_password(user.user_id, form.get("current", ""), network)
        if user.has_second_factor:
            second_factors.prove(user.user_id, form.get("code", ""), network=network)


def prove_once(form: Mapping[str, str]) -> None:
    """Passes with the password, or without one with a code. Raises Refused and RateLimited."""
    user, network = sessions.signed_in(), request.remote_addr or ""
    if is_recent():
        return
    with request_ids.noting_refusals():
        if user.has_password:
            _prove_password(user.user_id, form.get("current", ""), network)
        elif user.has_second_factor:
            second_factors.prove(user.user_id, form.get("code", ""), network=network)
        else:
            raise Refused("Confirm by signing in once more.")
    sessions.prove()


def go_on(held: str) -> ResponseReturnValue:
    """Sends the held form where it was going; the browser posts it again, and the view is asked
    with what was typed. Without one, to `next`.
    """
    if not held:
        return hx.go_to(redirects.safe_next(url_for("account.show_overview")))
    return redirect(str(_unsealed(held)["to"]), SEE_AGAIN)


def return_from_provider(profile: ProvenIdentity, kept: Mapping[str, Any], target: str) -> Response:
    """Takes a sign-in elsewhere for a proof; a held form waits for one more click. Raises
    Refused.
    """
    user_id = kept["user_id"]
    if not current_user.is_authenticated or current_user.user_id != user_id:
        raise Refused("Sign in first.")
    identities.prove(user_id, profile)
    sessions.prove()
    if not kept.get(HELD):
        return hx.go_to(target)
    return page(held=kept[HELD], what=str(_unsealed(kept[HELD])["what"]), is_proven=True)


def page(
    *,
    held: str = "",
    what: str = "",
    status: int = 200,
    errors: Mapping[str | None, str] | None = None,
    is_proven: bool = False,
) -> Response:
    """The page that asks who is there. It takes the place of all of a page, for HTMX too."""
    response = hx.page_or_fragment(
        "account/confirm.html",
        "account/_confirm.html",
        status=UNPROCESSABLE if errors else status,
        held=held,
        what=what,
        next=redirects.safe_next(""),
        errors=errors or {},
        is_proven=is_proven,
        providers=_own_providers(),
    )
    if hx.is_htmx():
        response.headers["HX-Retarget"] = "#main"
        response.headers["HX-Reswap"] = "innerHTML show:window:top"
    return response


def what_of(held: str) -> str:
    """What the held form is about to do, in words; empty for none."""
    return str(_unsealed(held)["what"]) if held else ""


def kept_for_provider(held: str) -> dict[str, Any]:
    """What must come back from a sign-in elsewhere."""
    kept: dict[str, Any] = {"user_id": sessions.signed_in().user_id}
    if 0 < len(held) <= HELD_CHARACTERS_MAX:
        kept[HELD] = held
    return kept


def _own_providers() -> list[Provider]:
    """Where the person could sign in to prove who they are."""
    linked = {row.provider for row in identities.list_of(sessions.signed_in().user_id)}
    return [provider for provider in oauth.enabled() if provider.slug in linked]


def _proof_s() -> float:
    # Less, and the act would ask again before it could go on.
    return max(float(current_app.config["SOLROUTER_PROOF_S"]), PROOF_S_MIN)


def _asks_itself(endpoint: str) -> bool:
    has_proof = current_user.has_password or current_user.has_second_factor
    return endpoint in ASKS_ITSELF and has_proof


def _what(endpoint: str) -> str:
    return NEEDS_PROOF.get(endpoint) or ASKS_ITSELF[endpoint]


def _prove_password(user_id: int, password: str, network: str) -> None:
    try:
        sign_ins.prove_password(user_id, password, network=network)
    except Refused as refusal:
        raise Refused(refusal.message, param="current") from refusal


def _hold() -> str:
    """The form that was sent, sealed: it may hold a provider's key, and a page shows no secret."""
    facts = {
        "user": current_user.user_id,
        "to": request.full_path.removesuffix("?"),
        "what": _what(request.endpoint or ""),
        "form": list(request.form.items(multi=True)),
    }
    return sealed.seal(HELD, facts)


def _unsealed(held: str) -> dict[str, Any]:
    """What was held. Raises Refused when it is not ours, not this person's, or too old."""
    facts: dict[str, Any] | None = sealed.unseal(HELD, held, age_s_max=_proof_s())
    if facts is None or facts["user"] != current_user.user_id:
        raise Refused(NO_LONGER)
    return facts


def _released(held: str) -> ImmutableMultiDict[str, str]:
    facts = _unsealed(held)
    if facts["to"] != request.full_path.removesuffix("?"):
        raise Refused(NO_LONGER)
    return ImmutableMultiDict((name, value) for name, value in facts["form"])
