"""The second step of a sign-in: a code from the app, or a recovery code. Opens the session."""

from flask import Response, request, url_for

from solrouter.blueprints import arrivals, half_way, hx, redirects, request_ids, sessions
from solrouter.blueprints.auth import providers
from solrouter.blueprints.auth.room import HOME, UNPROCESSABLE, auth
from solrouter.errors import Refused
from solrouter.services import second_factors


@auth.get("/login/code")
def show_second_step() -> Response:
    if half_way.waiting() is None:
        return _back_to_the_first()
    return _page()


@auth.post("/login/code")
def take_second_step() -> Response:
    waiting = half_way.waiting()
    if waiting is None:
        return _back_to_the_first()
    user_id = waiting.user_id
    try:
        network = request.remote_addr or ""
        with request_ids.noting_refusals():
            second_factors.prove(user_id, request.form.get("code", ""), network=network)
            sessions.enter(user_id, waiting.mark)
    except Refused as refusal:
        return _page(refusal)
    providers.adopt_pending(user_id)
    return arrivals.lead_on(user_id, redirects.safe_next(url_for(HOME)))


def _back_to_the_first() -> Response:
    return hx.go_to(url_for("auth.show_login", next=redirects.safe_next("") or None))


def _page(refusal: Refused | None = None) -> Response:
    return hx.page_or_fragment(
        "auth/code.html",
        "auth/_code_form.html",
        status=200 if refusal is None else UNPROCESSABLE,
        next=redirects.safe_next(""),
        errors={} if refusal is None else {"code": refusal.message},
    )
