"""Payments as operators see them: found, looked at, refunded; and the refunds that wait for their
hand.
"""

from collections.abc import Mapping

from flask import Response, flash, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx, top_ups
from solrouter.blueprints.admin.room import admin, dollars
from solrouter.errors import Refused, SolRouterError, Unavailable
from solrouter.money import decimal_usd, display_usd
from solrouter.services import accounts, billing, payments, trail
from solrouter.services.payments import Payment, refund_rows, refunds, solana
from solrouter.services.payments.solana import progress

PAGE_SIZE = 50


@admin.get("/payments")
def show_payments() -> ResponseReturnValue:
    query, state = request.args.get("q", ""), request.args.get("state", "")
    before = request.args.get("before")
    found = payments.of_all(query, state=state, limit=PAGE_SIZE + 1, before=before)
    return hx.page_or_fragment(
        "admin/payments.html",
        "admin/_payments.html",
        rows=found[:PAGE_SIZE],
        older=found[PAGE_SIZE - 1].public_id if len(found) > PAGE_SIZE else None,
        query=query,
        state=state,
        words=top_ups.STATES,
        states=[("", "Any"), *((name, words[0]) for name, words in top_ups.STATES.items())],
        waiting=refunds.waiting_for_hand(),
    )


@admin.get("/payments/<public_id>")
def show_payment(public_id: str) -> ResponseReturnValue:
    payment = payments.find(public_id)
    if payment.is_open:
        try:
            payment = payments.check(payment)
        except SolRouterError:
            flash("The payment provider did not answer; this is what we know.", "error")
    return _page(payment)


@admin.post("/payments/<public_id>/refund")
def refund_payment(public_id: str) -> ResponseReturnValue:
    payment, form = payments.find(public_id), request.form
    try:
        text = form.get("amount", "").strip()
        refund = refunds.ask(
            payment,
            dollars(text, param="amount") if text else None,
            actor=_actor(),
            pay_to=form.get("pay_to", ""),
            is_operator=True,
            seen_nanos=top_ups.seen(form),
        )
    except Refused as refused:
        if refused.param == refunds.SEEN:
            flash(refused.message, "error")
            return hx.go_to(url_for("admin.show_payment", public_id=public_id))
        return _page(payment, errors={refused.param: refused.message}, form=form)
    if refund.state == refund_rows.FAILED:
        return _page(payments.find(public_id), errors={None: refund.problem})
    flash(f"Refunded {display_usd(refund.amount_nanos)}.", "success")
    return hx.go_to(url_for("admin.show_payment", public_id=public_id))


@admin.post("/payments/<public_id>/accept")
def accept_transaction(public_id: str) -> ResponseReturnValue:
    payment = payments.find(public_id)
    try:
        nanos = solana.accept(payment, request.form.get("signature", ""), actor=_actor())
    except (Refused, Unavailable) as refused:
        return _page(payment, errors={"signature": refused.message}, form=request.form)
    flash(f"Credited {display_usd(nanos)}.", "success")
    return hx.go_to(url_for("admin.show_payment", public_id=public_id))


@admin.post("/refunds/<public_id>/paid")
def finish_refund(public_id: str) -> ResponseReturnValue:
    try:
        refunds.finish_by_hand(public_id, request.form.get("proof", ""), actor=_actor())
    except (Refused, Unavailable) as refused:
        flash(refused.message, "error")
    else:
        flash("The refund is noted as paid.", "success")
    return hx.go_to(url_for("admin.show_payments"))


@admin.post("/refunds/<public_id>/rejected")
def reject_refund(public_id: str) -> ResponseReturnValue:
    try:
        refunds.reject_by_hand(public_id, request.form.get("why", ""), actor=_actor())
    except Refused as refused:
        flash(refused.message, "error")
    else:
        flash("The refund is declined, and its credits are back.", "success")
    return hx.go_to(url_for("admin.show_payments"))


def _is_on_chain(payment: Payment) -> bool:
    return payment.provider == solana.PROVIDER and payment.order_id is not None


def _actor() -> str:
    return f"user:{current_user.user_id}"


def _page(
    payment: Payment,
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> Response:
    balance = billing.balance(payment.account_id)
    terms = refunds.terms_for(payment, balance, is_operator=True)
    made = refund_rows.of_payment(payment.id)
    return hx.page_or_fragment(
        "admin/payment.html",
        "admin/_payment.html",
        status=422 if errors else 200,
        payment=payment,
        account=accounts.account_of(payment.account_id),
        refunds=made,
        actors=trail.names_of(refund.actor for refund in made),
        terms=terms,
        most=decimal_usd(terms.amount_nanos),
        words=top_ups.STATES,
        refund_words=top_ups.REFUND_STATES,
        transactions=progress.transactions_of(payment) if _is_on_chain(payment) else None,
        errors=errors or {},
        form=form or {},
    )
