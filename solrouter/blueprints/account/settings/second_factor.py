"""The second factor: set up with a QR code, confirmed by the app's first code, turned off; and its
recovery codes, which are shown once, by the very answer that made them.
"""

from typing import Any

from flask import Response, make_response, redirect, render_template, request, url_for

from solrouter.blueprints import confirm, hx, qr_codes, redirects, sessions
from solrouter.blueprints.account.room import account
from solrouter.blueprints.account.settings import page
from solrouter.errors import Refused
from solrouter.services import second_factors

SECTION = "second_factor"


def facts() -> dict[str, Any]:
    state = second_factors.state_of(sessions.signed_in().user_id)
    return {"state": state, "errors": {}, "said": ""}


page.add(SECTION, facts)


@account.get("/settings/second-factor")
def show_second_factor() -> Response:
    return _setup_page()


@account.post("/settings/second-factor")
def begin_second_factor() -> Response:
    second_factors.begin(sessions.signed_in().user_id)
    there = url_for("account.show_second_factor", next=redirects.safe_next("") or None)
    return hx.go_to(there)


@account.post("/settings/second-factor/confirm")
def confirm_second_factor() -> Response:
    user = sessions.signed_in()
    try:
        codes = second_factors.confirm(
            user.user_id,
            request.form.get("code", ""),
            keep_session=user.session_id,
            network=request.remote_addr or "",
        )
    except Refused as refusal:
        return _setup_page(errors={refusal.param: refusal.message})
    sessions.prove()
    return _codes_page(codes, "Two-step sign-in is on")


@account.post("/settings/recovery-codes")
def renew_recovery_codes() -> Response:
    codes = second_factors.renew_codes(sessions.signed_in().user_id)
    return _codes_page(codes, "New recovery codes")


@account.post("/settings/second-factor/off")
def turn_off_second_factor() -> Response:
    user = sessions.signed_in()
    try:
        confirm.prove(request.form)
    except Refused as refusal:
        return page.show(SECTION, errors={refusal.param: refusal.message})
    second_factors.turn_off(user.user_id)
    sessions.prove()
    return page.done(SECTION, "Two-step sign-in is off.")


def _setup_page(errors: dict[str | None, str] | None = None) -> Response:
    user = sessions.signed_in()
    if user.has_second_factor:
        response = redirect(url_for("account.show_settings"), 303)
        assert isinstance(response, Response)
        return response
    enrolment = second_factors.enrolment(user.user_id, name=user.email)
    return hx.page_or_fragment(
        "account/settings/second_factor.html",
        "account/settings/_second_factor_setup.html",
        status=422 if errors else 200,
        enrolment=enrolment,
        qr_code=qr_codes.draw(enrolment.uri) if enrolment else None,
        next=redirects.safe_next(""),
        errors=errors or {},
    )


def _codes_page(codes: list[str], title: str) -> Response:
    """Always a whole page, whatever asked for it: it is seen once and must not be half seen."""
    return make_response(
        render_template(
            "account/settings/recovery_codes.html",
            codes=codes,
            title=title,
            next=redirects.safe_next(url_for("account.show_settings")),
        )
    )
