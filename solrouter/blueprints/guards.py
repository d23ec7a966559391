"""Who may enter which room, and which member which page of an account: two tables, looked up before
every view. What is not in them is closed.

Dicts and not `before_request` on each blueprint: blueprints are made once, apps many times. Every
route with everyone who may try it stands in tests/data/permissions.txt, which a test walks.
"""

import logging
from collections.abc import Callable, Mapping

from flask import Flask, current_app, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user
from werkzeug.exceptions import InternalServerError, NotFound

from solrouter.blueprints import half_way, hx, redirects
from solrouter.blueprints.contexts import request_itself
from solrouter.errors import Forbidden

log = logging.getLogger(__name__)

Guard = Callable[[], ResponseReturnValue | None]

OWNER, BILLING, DEVELOPER = "owner", "billing", "developer"
EVERY_MEMBER = frozenset((OWNER, BILLING, DEVELOPER))
KEEPERS_OF_KEYS = frozenset((OWNER, DEVELOPER))
KEEPERS_OF_MONEY = frozenset((OWNER, BILLING))
# What a person does with what is their own, whatever their role in the account.
OWN_PERSON = (
    "account.show_settings",
    "account.show_confirm",
    "account.confirm_person",
    "account.confirm_with_provider",
    "account.change_password",
    "account.ask_verification",
    "account.show_confirm_email",
    "account.confirm_email",
    "account.ask_email_change",
    "account.show_change_email",
    "account.change_email",
    "account.show_second_factor",
    "account.begin_second_factor",
    "account.confirm_second_factor",
    "account.renew_recovery_codes",
    "account.turn_off_second_factor",
    "account.show_unlink",
    "account.unlink",
    "account.end_session",
    "account.end_other_sessions",
    # What is the account's in it goes to an owner alone (settings/export.py).
    "account.export_data",
    "account.show_delete_account",
    "account.delete_account",
)
# Endpoint of an account's page to the roles that may open it. What is not named is the owner's:
# freezing all keys, the audit log, webhooks.
# A developer's keys are those that they made (own_keys.py).
MEMBERS: Mapping[str, frozenset[str]] = {
    **dict.fromkeys(OWN_PERSON, EVERY_MEMBER),
    "account.show_overview": EVERY_MEMBER,
    "account.show_activity": EVERY_MEMBER,
    "account.export_activity": EVERY_MEMBER,
    "account.set_low_balance": KEEPERS_OF_MONEY,
    "account.set_buyer": KEEPERS_OF_MONEY,
    "account.set_spend_alert": KEEPERS_OF_MONEY,
    "account.show_plan": EVERY_MEMBER,
    "account.show_receipt": EVERY_MEMBER,
    "account.show_balance": KEEPERS_OF_MONEY,
    "account.show_solana_payment": KEEPERS_OF_MONEY,
    "account.claim_solana_transaction": KEEPERS_OF_MONEY,
    "account.show_figures": KEEPERS_OF_MONEY,
    "account.show_quote": KEEPERS_OF_MONEY,
    "account.begin_payment": KEEPERS_OF_MONEY,
    "account.show_payment": KEEPERS_OF_MONEY,
    "account.answer_test_payment": KEEPERS_OF_MONEY,
    "account.show_payment_receipt": KEEPERS_OF_MONEY,
    "account.show_refund": KEEPERS_OF_MONEY,
    "account.refund_payment": KEEPERS_OF_MONEY,
    "account.redeem_code": KEEPERS_OF_MONEY,
    "account.show_auto_top_up": KEEPERS_OF_MONEY,
    "account.set_auto_top_up": KEEPERS_OF_MONEY,
    "account.stop_auto_top_up": KEEPERS_OF_MONEY,
    "account.open_card_portal": KEEPERS_OF_MONEY,
    "account.show_statements": KEEPERS_OF_MONEY,
    "account.download_statement": KEEPERS_OF_MONEY,
    "account.show_keys": KEEPERS_OF_KEYS,
    "account.create_key": KEEPERS_OF_KEYS,
    "account.show_key": KEEPERS_OF_KEYS,
    "account.edit_key": KEEPERS_OF_KEYS,
    "account.disable_key": KEEPERS_OF_KEYS,
    "account.enable_key": KEEPERS_OF_KEYS,
    "account.rotate_key": KEEPERS_OF_KEYS,
    "account.show_end_former": KEEPERS_OF_KEYS,
    "account.end_former": KEEPERS_OF_KEYS,
    "account.show_revoke_key": KEEPERS_OF_KEYS,
    "account.revoke_key": KEEPERS_OF_KEYS,
    # Who may make a key may spend without one.
    "playground.show_playground": KEEPERS_OF_KEYS,
    "playground.show_balance": KEEPERS_OF_KEYS,
    "playground.ask": KEEPERS_OF_KEYS,
    "playground.create_completion": KEEPERS_OF_KEYS,
    "account.show_team": EVERY_MEMBER,
    "account.show_leave_team": EVERY_MEMBER,
    "account.leave_team": EVERY_MEMBER,
    "account.show_join_team": EVERY_MEMBER,
    "account.join_team": EVERY_MEMBER,
    "account.switch_account": EVERY_MEMBER,
}
OWNER_ALONE = frozenset((OWNER,))
# What of an account an operator may look at (`viewing`): what is the account's, and nothing that is
# a person's own, that spends, or that hands out all of it at once.
VIEWER_PAGES = frozenset(
    (
        "account.show_overview",
        "account.show_activity",
        "account.show_receipt",
        "account.show_plan",
        "account.show_keys",
        "account.show_key",
        "account.show_balance",
        "account.show_figures",
        "account.show_payment",
        "account.show_payment_receipt",
        "account.show_solana_payment",
        "account.show_statements",
        "account.show_auto_top_up",
        "account.show_team",
        "account.show_audit",
    )
)
# What may be sent meanwhile: the way out, and what is the reader's own.
VIEWER_ACTS = frozenset(("admin.stop_viewing", "auth.sign_out", "pages.set_theme"))
SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))


def anyone() -> None:
    """Lets everyone in."""


def signed_in() -> ResponseReturnValue | None:
    """Sends strangers to sign in, and then back to where they were.

    Who has done the first step of two is led to the second.
    """
    if current_user.is_authenticated:
        return None
    step = "auth.show_login" if half_way.waiting() is None else "auth.show_second_step"
    return hx.go_to(url_for(step, next=_page_asked_for()))


def member() -> ResponseReturnValue | None:
    """Lets members of the account in, each where their role may go. Raises Forbidden."""
    sent_away = signed_in()
    if sent_away is None and current_user.is_viewing:
        if request.endpoint not in VIEWER_PAGES:
            raise _only_looking()
    elif sent_away is None and not may_open(request.endpoint or ""):
        raise Forbidden(
            f"Your role in this account is “{current_user.role}”, which may not do this. "
            "Ask an owner of the account.",
            code="role_required",
        )
    return sent_away


def may_open(endpoint: str) -> bool:
    """Whether the signed-in member's role may open this page of their account."""
    if getattr(current_user, "is_viewing", False):
        return endpoint in VIEWER_PAGES
    # An error page asks it for nobody, too.
    return getattr(current_user, "role", None) in MEMBERS.get(endpoint, OWNER_ALONE)


def operator() -> ResponseReturnValue | None:
    """Lets operators in; for other users there is nothing here.

    With `SOLROUTER_OPERATOR_2FA=required` only those who have a second factor.
    """
    sent_away = signed_in()
    if sent_away is not None:
        return sent_away
    if not current_user.is_operator:
        raise NotFound
    is_required = current_app.config["SOLROUTER_OPERATOR_2FA"] == "required"
    if is_required and not current_user.has_second_factor:
        return hx.go_to(url_for("account.show_second_factor", next=_page_asked_for()))
    return None


def bearer() -> None:
    """Reads no cookie: the API's own `authenticate` asks for a key, view by view."""


def machine() -> None:
    """Reads no cookie: a webhook or a monitor, which proves itself by a signature or a token."""


# Blueprint name to guard. `None` is what belongs to no blueprint: static files and unknown paths.
GUARDS: Mapping[str | None, Guard] = {
    None: anyone,
    "pages": anyone,
    "auth": anyone,
    "catalogue": anyone,
    "policies": anyone,
    "status": anyone,
    "docs": anyone,
    "search_engines": anyone,
    "openapi": anyone,
    "development": anyone,
    "account": member,
    "playground": member,
    "admin": operator,
    "api": bearer,
    "metrics": machine,
    "webhooks": machine,
}
COOKIE_BLIND = frozenset((bearer, machine))


def init_app(app: Flask) -> None:
    """Puts the table in front of every view."""
    app.before_request(check)


def check() -> ResponseReturnValue | None:
    """Asks the guard of the room. Answers 500 when the room has none: better closed than open."""
    guard = GUARDS.get(request_itself().blueprint)
    if guard is None:
        log.error("blueprint %s has no guard; add it to GUARDS", request.blueprint)
        raise InternalServerError
    if guard not in COOKIE_BLIND and request_itself().method not in SAFE_METHODS:
        _refuse_acts_of_a_viewer()
    return guard()


def _refuse_acts_of_a_viewer() -> None:
    """Whoever looks at somebody's account does nothing, anywhere, until they have gone back."""
    if request.endpoint in VIEWER_ACTS:
        return
    if current_user.is_authenticated and current_user.is_viewing:
        raise _only_looking()


def _only_looking() -> Forbidden:
    return Forbidden(
        "You are looking at somebody’s account, where nothing can be done. Stop looking first.",
        code="only_looking",
    )


def is_cookie_blind(blueprint: str | None) -> bool:
    """Whether the room reads no cookies, so that another site can borrow nobody's."""
    return GUARDS.get(blueprint) in COOKIE_BLIND


def _page_asked_for() -> str | None:
    """The page to come back to: this one, or the one that holds the piece that was asked for."""
    if hx.is_htmx():
        return redirects.own_path_of_url(request.headers.get("HX-Current-URL", ""))
    if request.method not in ("GET", "HEAD"):
        return None
    return redirects.own_path(request.full_path.removesuffix("?"))
