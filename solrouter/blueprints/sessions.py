"""The session cookie: read, written, taken back. The session is a row of `services.sessions`.

Flask-Login asks here who is signed in. Flask's own signed cookie holds only what passes: a message
for the next page, a GitHub sign-in on its way. Cookies follow the scheme: `__Host-` and `Secure`
over https, a plain name over http. The API reads and writes neither.
"""

from typing import Any, cast

from flask import Flask, Request, Response, after_this_request, current_app, g, request
from flask.sessions import SecureCookieSession, SecureCookieSessionInterface
from flask_login import current_user

from solrouter.blueprints import half_way
from solrouter.blueprints.mounts import is_api_path
from solrouter.extensions import login_manager
from solrouter.services import second_factors, sessions
from solrouter.services.sessions import SignedIn

COOKIE = "solrouter"
PASSING_COOKIE = "solrouter-passing"
SECURE_PREFIX = "__Host-"
# What a browser forgets when somebody signs out. Not `"cookies"`: that would take those of all
# other sites under the same domain along. Ours is taken back by name.
FORGOTTEN = '"cache", "storage"'


class PassingSessionInterface(SecureCookieSessionInterface):
    """Flask's own session under our cookie rules, and none at all on the API."""

    def open_session(self, app: Flask, request: Request) -> SecureCookieSession | None:
        return None if is_api_path(request.path) else super().open_session(app, request)

    def get_cookie_name(self, app: Flask) -> str:
        return _prefixed(PASSING_COOKIE)

    def get_cookie_secure(self, app: Flask) -> bool:
        return request.is_secure

    def get_cookie_samesite(self, app: Flask) -> str:
        return "Lax"

    def get_cookie_path(self, app: Flask) -> str:
        return "/"

    def get_cookie_domain(self, app: Flask) -> None:
        return None


def init_app(app: Flask) -> None:
    """Makes our session rows the only way to be signed in."""
    app.session_interface = PassingSessionInterface()
    # A cookie of Flask-Login's own, left by another app on this host, must not shadow ours.
    app.config["REMEMBER_COOKIE_NAME"] = "solrouter-unused"
    login_manager.session_protection = None


@login_manager.request_loader  # type: ignore[untyped-decorator]
def load(request: Request) -> SignedIn | None:
    """Who the request's cookie stands for, or None."""
    token = request.cookies.get(_prefixed(COOKIE))
    if not token or g.get("is_stranger") or is_api_path(request.path):
        return None
    idle_s, total_s = _lifetimes()
    return sessions.load_session(token, idle_s=idle_s, total_s=total_s)


def signed_in() -> SignedIn:
    """The current user, in a room whose guard lets nobody else in."""
    assert current_user.is_authenticated, "only for rooms behind a guard"
    return cast(SignedIn, current_user._get_current_object())


def sign_in(user_id: int, mark: str | None) -> bool:
    """Signs the user in, and says whether that is all: with a second factor it is half of it.

    `mark` is that of the password that was given, if one was; raises Refused when it has changed.
    Every way in comes through here, so that none leads past the second step (`second_step`).
    """
    _close_present()
    if second_factors.state_of(user_id).is_on:
        half_way.begin(user_id, mark)
        return False
    enter(user_id, mark)
    return True


def enter(user_id: int, mark: str | None) -> None:
    """Opens a new session and sets its cookie; the one that was there ends.

    Only for who has proven all that the user's sign-in asks for; `mark` as for `sign_in`.
    """
    _close_present()
    half_way.forget()
    idle_s, total_s = _lifetimes()
    token = sessions.open_session(
        user_id,
        user_agent=request.headers.get("User-Agent", ""),
        network=request.remote_addr or "",
        idle_s=idle_s,
        total_s=total_s,
        mark=mark,
    )
    _set_cookie(token)


def prove() -> None:
    """Notes that the person has proven themselves just now; their session gets a new token."""
    _set_cookie(sessions.renew_session(signed_in().session_id))


def sign_out() -> None:
    """Ends the session, takes its cookie back and has the browser forget what it has seen."""
    _close_present()

    @after_this_request
    def delete_cookie(response: Response) -> Response:
        response.delete_cookie(_prefixed(COOKIE), **_cookie_rules())
        response.headers["Clear-Site-Data"] = FORGOTTEN
        return response


def treat_as_stranger() -> None:
    """For the rest of this request nobody is signed in, and the database is not asked who is."""
    g.is_stranger = True
    g.pop("_login_user", None)


def _set_cookie(token: str) -> None:
    max_age_s = int(current_app.config["SOLROUTER_SESSION_TOTAL_S"])

    @after_this_request
    def set_cookie(response: Response) -> Response:
        response.set_cookie(_prefixed(COOKIE), token, max_age=max_age_s, **_cookie_rules())
        return response


def _close_present() -> None:
    token = request.cookies.get(_prefixed(COOKIE))
    if token:
        sessions.close_session(token)
    treat_as_stranger()


def _prefixed(name: str) -> str:
    return f"{SECURE_PREFIX}{name}" if request.is_secure else name


def _cookie_rules() -> dict[str, Any]:
    return {"path": "/", "secure": request.is_secure, "httponly": True, "samesite": "Lax"}


def _lifetimes() -> tuple[float, float]:
    config = current_app.config
    return config["SOLROUTER_SESSION_IDLE_S"], config["SOLROUTER_SESSION_TOTAL_S"]
