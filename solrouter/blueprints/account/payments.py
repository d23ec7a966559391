"""One payment: begun, followed until it is credited, its receipt, and its way back.

The page of a payment asks the provider itself, so that it needs no webhook; while the payment is
open it looks again by itself, and shows the new balance as soon as there is one.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

from flask import Response, current_app, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter import clock
from solrouter.blueprints import header_balance, hx, top_ups
from solrouter.blueprints.account import balance
from solrouter.blueprints.account.room import account
from solrouter.errors import NotFound, RateLimited, Refused, SolRouterError, Unavailable
from solrouter.money import NotMoney, decimal_usd, display_usd, parse_usd
from solrouter.services import buyers, payments, plans
from solrouter.services.payments import Payment, Wish, refund_rows, refunds, trial

# A page that is looked at often asks the provider no more often than this.
ASK_EVERY = timedelta(seconds=3)


@account.post("/payments")
def begin_payment() -> ResponseReturnValue:
    form = request.form
    try:
        offered = top_ups.offer_of(form)
        if offered is None:
            raise Refused("Choose a way to pay that is offered here.", param="method")
        provider, offer = offered
        wish = Wish(
            account_id=current_user.account_id,
            user_id=current_user.user_id,
            provider=provider,
            method=offer.method,
            amount_nanos=top_ups.amount_of(form),
            idempotency=form.get("form_id", "")[:64] or None,
            details={"saves_card": True} if form.get("save_card") else {},
        )
        order = payments.begin(wish)
    except Refused as refused:
        return balance.page(errors={refused.param: refused.message}, form=form)
    except (RateLimited, Unavailable) as error:
        return balance.page(errors={None: error.message}, form=form)
    # The form of an order that has ended leads to what became of it, not to a closed checkout.
    if order.pay_url and order.payment.is_open:
        return hx.go_to(order.pay_url)
    return hx.go_to(url_for("account.show_payment", public_id=order.payment.public_id))


@account.get("/payments/<public_id>")
def show_payment(public_id: str) -> ResponseReturnValue:
    return _payment_page(_fresh(_found(public_id)))


@account.post("/payments/<public_id>/test")
def answer_test_payment(public_id: str) -> ResponseReturnValue:
    payment = _found(public_id)
    if payment.provider != trial.PROVIDER:
        raise NotFound("This is no test payment.")
    said = trial.PAID if request.form.get("act") == trial.PAID else trial.DECLINED
    payments.answer_trial(payment, said)
    return hx.go_to(url_for("account.show_payment", public_id=public_id))


@account.get("/payments/<public_id>/receipt")
def show_payment_receipt(public_id: str) -> ResponseReturnValue:
    payment = _found(public_id)
    if not payment.has_money or payment.is_gift:
        raise NotFound("There is a receipt once a payment has arrived, and none for a gift.")
    page = render_template(
        "account/payment_receipt.html",
        payment=payment,
        refunds=refund_rows.of_payment(payment.id),
        words=top_ups.STATES,
        **_seller(),
    )
    if "download" not in request.args:
        return page
    bare = render_template(
        "account/payment_receipt.txt",
        payment=payment,
        refunds=refund_rows.of_payment(payment.id),
        words=top_ups.STATES,
        **_seller(),
    )
    name = f'attachment; filename="receipt-{payment.public_id}.txt"'
    headers = {"Content-Disposition": name}
    return Response(bare, content_type="text/plain; charset=utf-8", headers=headers)


@account.get("/payments/<public_id>/refund")
def show_refund(public_id: str) -> ResponseReturnValue:
    return _refund_page(_found(public_id))


@account.post("/payments/<public_id>/refund")
def refund_payment(public_id: str) -> ResponseReturnValue:
    payment, form = _found(public_id), request.form
    plan = plans.standing(payment.account_id).plan
    try:
        refund = refunds.ask(
            payment,
            _amount(form),
            actor=f"user:{current_user.user_id}",
            pay_to=form.get("pay_to", ""),
            seen_nanos=top_ups.seen(form),
        )
    except Refused as refused:
        if refused.param == refunds.SEEN:
            flash(refused.message, "error")
            return hx.go_to(url_for("account.show_payment", public_id=public_id))
        return _refund_page(payment, errors={refused.param: refused.message}, form=form)
    amount = display_usd(refund.amount_nanos)
    said = {
        refund_rows.DONE: f"{amount} is on its way back to you.",
        refund_rows.FAILED: f"The refund did not go through: {refund.problem}",
    }
    done = said.get(refund.state, f"The refund of {amount} is asked for and will be made.")
    left = plans.standing(payment.account_id).plan
    if left.slug != plan.slug:
        done += f" The plan is “{left.name}” now."
    flash(done, "error" if refund.state == refund_rows.FAILED else "success")
    return hx.go_to(url_for("account.show_payment", public_id=public_id))


def _found(public_id: str) -> Payment:
    return payments.find(public_id, account_id=current_user.account_id)


def _fresh(payment: Payment) -> Payment:
    """The payment after its provider was asked, if it is open and nobody asked a moment ago."""
    is_recent = clock.utcnow() - payment.updated_at < ASK_EVERY
    if not payment.is_open or (is_recent and payment.checks):
        return payment
    try:
        return payments.check(payment)
    except SolRouterError:
        # The page shows what we know; the provider is asked again.
        return payment


def _payment_page(payment: Payment) -> Response:
    terms = refunds.terms_for(payment, header_balance.read())
    given_back = refund_rows.of_payment(payment.id)
    # When the provider was asked, and how often, is nowhere on the page.
    seen = replace(payment, updated_at=payment.created_at, checks=0)
    mark = hx.mark_of(seen, given_back, terms)
    if hx.is_known(mark):
        return hx.unchanged()
    page = hx.page_or_fragment(
        "account/payment.html",
        "account/_payment.html",
        payment=payment,
        mark=mark,
        refunds=given_back,
        refundable=terms,
        state=top_ups.words_of(payment),
        refund_words=top_ups.REFUND_STATES,
        is_trial=payment.provider == trial.PROVIDER,
    )
    return hx.with_oob(page, "_balance.html")


def _refund_page(
    payment: Payment,
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> ResponseReturnValue:
    terms = refunds.terms_for(payment, header_balance.read())
    page = render_template(
        "account/refund.html",
        payment=payment,
        terms=terms,
        most=decimal_usd(terms.amount_nanos),
        errors=errors or {},
        form=form or {},
    )
    return page, 422 if errors else 200


def _amount(form: Mapping[str, str]) -> int | None:
    """What shall be refunded; None for all that can be. Raises Refused."""
    text = form.get("amount", "").strip()
    if not text:
        return None
    try:
        return parse_usd(text)
    except NotMoney:
        raise Refused(
            "Write an amount in US dollars, such as 25 or 2.50.", param="amount"
        ) from None


def _seller() -> dict[str, Any]:
    """What receipts and statements say of who sells."""
    settings = current_app.config
    lines = [line.strip() for line in settings["SOLROUTER_SELLER"].split("|") if line.strip()]
    return {
        "seller": lines,
        "seller_tax_id": settings["SOLROUTER_SELLER_TAX_ID"],
        "tax_note": settings["SOLROUTER_TAX_NOTE"],
        "account_name": current_user.account_name,
        "account_public_id": current_user.account_public_id,
        "buyer": buyers.of_account(current_user.account_id),
    }
