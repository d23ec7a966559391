"""The blueprint of the ways in, and what they share: how each of them ends, and their forms."""

from flask import Blueprint, Response, request, url_for

from solrouter.blueprints import arrivals, hx, redirects
from solrouter.errors import Refused

auth = Blueprint("auth", __name__)

HOME = "account.show_overview"
UNPROCESSABLE = 422


def let_in(user_id: int, target: str, mark: str | None = None) -> Response:
    """The end of every way in: a new session, or the second step, and on to what was wanted.

    With the mark of the password that was given, if one was. Raises Refused when it has changed.
    """
    return arrivals.arrive(user_id, target, mark)


def login_page(refusal: Refused | None = None) -> Response:
    """The sign-in form with what is wrong."""
    return form("auth/login.html", "auth/_login_form.html", refusal)


def form(
    page: str, fragment: str, refusal: Refused | None, *, status: int | None = None, **more: object
) -> Response:
    """The form with what was typed, the password excepted, and what is wrong with it."""
    return hx.page_or_fragment(
        page,
        fragment,
        status=status or (200 if refusal is None else UNPROCESSABLE),
        email=typed("email").strip(),
        next=redirects.safe_next(""),
        errors={} if refusal is None else {refusal.param or "form": refusal.message},
        **more,
    )


def typed(name: str) -> str:
    """What was typed into this field."""
    return request.form.get(name, "")


def next_page() -> str:
    """The page that was wanted, if it is ours."""
    return redirects.safe_next(url_for(HOME))
