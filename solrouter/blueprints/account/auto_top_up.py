"""The saved card and what it may be charged for by itself."""

from collections.abc import Mapping

from flask import Response, flash, render_template, request, url_for
from flask.typing import ResponseReturnValue
from flask_login import current_user

from solrouter.blueprints import hx, top_ups
from solrouter.blueprints.account.room import account
from solrouter.errors import NotFound, Refused
from solrouter.money import NotMoney, decimal_usd, parse_usd
from solrouter.services import payments
from solrouter.services.payments import auto, standing
from solrouter.services.payments.auto import Terms


@account.get("/auto-top-up")
def show_auto_top_up() -> ResponseReturnValue:
    return _page()


@account.post("/auto-top-up")
def set_auto_top_up() -> ResponseReturnValue:
    form = request.form
    try:
        if not form.get("consent"):
            raise Refused("Tick the box: your card is charged without asking you each time.",
                          param="consent")  # fmt: skip
        auto.turn_on(
            Terms(
                account_id=current_user.account_id,
                user_id=current_user.user_id,
                threshold_nanos=_dollars(form, "threshold"),
                amount_nanos=_dollars(form, "amount"),
                monthly_cap_nanos=_dollars(form, "cap"),
            )
        )
    except Refused as refused:
        return _page(errors={refused.param: refused.message}, form=form)
    flash("Automatic top-ups are on.", "success")
    return hx.go_to(url_for("account.show_auto_top_up"))


@account.post("/auto-top-up/stop")
def stop_auto_top_up() -> ResponseReturnValue:
    auto.turn_off(current_user.account_id, actor=f"user:{current_user.user_id}")
    flash("Automatic top-ups are off.", "success")
    return hx.go_to(url_for("account.show_auto_top_up"))


@account.post("/auto-top-up/card")
def open_card_portal() -> ResponseReturnValue:
    url = payments.card_portal_url(current_user.account_id)
    if not url:
        raise NotFound("There is no saved card yet.")
    return hx.go_to(url)


def _page(
    *,
    errors: Mapping[str | None, str] | None = None,
    form: Mapping[str, str] | None = None,
) -> ResponseReturnValue:
    order = standing.find(current_user.account_id)
    if form is None and order is not None:
        form = {
            "threshold": decimal_usd(order.threshold_nanos),
            "amount": decimal_usd(order.amount_nanos),
            "cap": decimal_usd(order.monthly_cap_nanos),
        }
    page = render_template(
        "account/auto_top_up.html",
        order=order,
        card=auto.card_of(current_user.account_id),
        limits=top_ups.limits(),
        errors=errors or {},
        form=form or {"threshold": "5", "amount": "25", "cap": "100"},
    )
    return Response(page, 422 if errors else 200)


def _dollars(form: Mapping[str, str], name: str) -> int:
    try:
        return parse_usd(form.get(name, ""))
    except NotMoney:
        raise Refused("Write an amount in US dollars, such as 25 or 2.50.", param=name) from None
