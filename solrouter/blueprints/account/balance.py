"""What an account has, every transfer that made it so, and the ways to add to it."""

import secrets
import uuid
from typing import Any

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import header_balance, hx, top_ups
from solrouter.blueprints.account.room import account
from solrouter.errors import RateLimited, Refused
from solrouter.money import display_usd
from solrouter.services import accounts, billing, payments
from solrouter.services.payments import auto, codes, standing

PAGE_SIZE = 25
PAYMENTS_SHOWN = 10


@account.get("/balance")
def show_balance() -> ResponseReturnValue:
    return page()


@account.get("/balance/figures")
def show_figures() -> ResponseReturnValue:
    """Payments and figures, as they are now; without HTMX, the page that they are on."""
    if not hx.is_htmx():
        return hx.go_to(url_for("account.show_balance"))
    found, fragment = _figures(), "account/_recent_payments.html"
    if hx.is_known(found["mark"]):
        return hx.unchanged()
    answer = hx.page_or_fragment(fragment, fragment, **found)
    return hx.with_oob(hx.with_oob(answer, "account/_figures.html", **found), "_balance.html")


@account.get("/balance/quote")
def show_quote() -> ResponseReturnValue:
    """What a top-up comes to; without HTMX, the page with it."""
    if not hx.is_htmx():
        return page(form=request.args)
    return hx.page_or_fragment(
        "account/_quote.html", "account/_quote.html", quote=top_ups.quote(request.args)
    )


@account.post("/balance/code")
def redeem_code() -> ResponseReturnValue:
    try:
        given = codes.redeem(
            current_user.account_id, current_user.user_id, request.form.get("code", "")
        )
    except Refused as refused:
        return page(errors={refused.param or "code": refused.message}, form=request.form)
    except RateLimited as limited:
        return page(errors={"code": limited.message}, form=request.form)
    flash(f"{display_usd(given.received_nanos)} added.", "success")
    return hx.go_to(url_for("account.show_balance"))


def page(
    *,
    errors: dict[str | None, str] | None = None,
    form: Any = None,
) -> Response:
    """The balance page; with errors, as the form left it."""
    account_id, form, offers = current_user.account_id, form or {}, payments.offers()
    entries = billing.statement(account_id, limit=PAGE_SIZE + 1, before=_cursor())
    return hx.page_or_fragment(
        "account/balance.html",
        "account/_transactions.html",
        status=422 if errors else 200,
        entries=entries[:PAGE_SIZE],
        older=entries[PAGE_SIZE - 1].id if len(entries) > PAGE_SIZE else None,
        is_first_page=_cursor() is None,
        **_figures(),
        offers=offers,
        keeps_cards=any(method.keeps_cards for method, _ in offers),
        missing=payments.missing(),
        presets=top_ups.presets(),
        limits=top_ups.limits(),
        quote=top_ups.quote(form),
        form_id=secrets.token_hex(16),
        form=form,
        errors=errors or {},
        auto_top_up=standing.find(account_id),
        is_frozen=accounts.account_of(account_id).is_frozen,
        card=auto.card_of(account_id),
    )


def _figures() -> dict[str, Any]:
    recent = payments.of_account(current_user.account_id, limit=PAYMENTS_SHOWN)
    balance = header_balance.read()
    shown = [(each.id, top_ups.words_of(each), each.received_nanos) for each in recent]
    return {
        "balance": balance,
        "mark": hx.mark_of(balance, shown),
        "recent": recent,
        # While one is under way the figures look again by themselves.
        "words_of": top_ups.words_of,
        "is_waiting": any(payment.is_open for payment in recent),
    }


def _cursor() -> str | None:
    """The `before` of an Older link; None where there is none or it is not an id of ours."""
    before = request.args.get("before", "")
    try:
        uuid.UUID(before)
    except ValueError:
        return None
    return before
