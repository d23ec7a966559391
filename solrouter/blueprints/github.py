"""Signing in through GitHub: OAuth with state and PKCE by Authlib, up to a ProvenIdentity.

Its base URLs are settings, for GitHub Enterprise and for tests. Who the identity belongs to here is
not known in this file.
"""

from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import FlaskIntegration, FlaskOAuth2App
from flask import current_app, request, session, url_for
from flask.typing import ResponseReturnValue
from werkzeug.exceptions import NotFound

from solrouter.errors import Refused
from solrouter.services.sign_ins import ProvenIdentity

PROVIDER = "github"
SCOPE = "read:user user:email"
DEADLINE_S = 10
USER_AGENT = "SolRouter"
FAILED = "GitHub did not let us finish the sign-in. Please try again."
DENIED = "You did not allow the sign-in at GitHub."


def start(**kept: Any) -> ResponseReturnValue:
    """Sends the person to GitHub. `kept` comes back from `finish`. Raises Refused and NotFound."""
    client = _client()
    # One sign-in at a time, and nothing of an older one left in the cookie.
    session.clear()
    session["kept"] = {name: value for name, value in kept.items() if value is not None}
    try:
        redirect: ResponseReturnValue = client.authorize_redirect(_callback_url())
    except (AuthlibBaseError, OSError, ValueError) as error:
        raise Refused(FAILED) from error
    return redirect


def finish() -> tuple[ProvenIdentity, dict[str, Any]]:
    """Who came back from GitHub, and what was kept. Raises Refused and NotFound."""
    client = _client()
    kept = session.get("kept") or {}
    try:
        client.authorize_access_token()
        person = _fetched(client, "user")
        emails = _fetched(client, "user/emails")
        return _identity(person, emails), kept
    except (AuthlibBaseError, OSError, ValueError, LookupError, TypeError) as error:
        is_denied = getattr(error, "error", None) == "access_denied"
        raise Refused(DENIED if is_denied else FAILED) from error
    finally:
        session.clear()


def is_enabled() -> bool:
    """Whether the operator has set up the OAuth app."""
    config = current_app.config
    return bool(config["GITHUB_CLIENT_ID"] and config["GITHUB_CLIENT_SECRET"])


def _client() -> FlaskOAuth2App:
    """Made anew each time: Authlib's registry belongs to the process, our settings to the app."""
    if not is_enabled():
        raise NotFound
    config = current_app.config
    return FlaskOAuth2App(
        FlaskIntegration(PROVIDER),
        name=PROVIDER,
        client_id=config["GITHUB_CLIENT_ID"],
        client_secret=config["GITHUB_CLIENT_SECRET"],
        authorize_url=f"{config['SOLROUTER_GITHUB_URL']}/login/oauth/authorize",
        access_token_url=f"{config['SOLROUTER_GITHUB_URL']}/login/oauth/access_token",
        api_base_url=f"{config['SOLROUTER_GITHUB_API_URL']}/",
        client_kwargs={
            "scope": SCOPE,
            "code_challenge_method": "S256",
            "token_endpoint_auth_method": "client_secret_post",
            "default_timeout": DEADLINE_S,
        },
        user_agent=USER_AGENT,
    )


def _callback_url() -> str:
    root: str = current_app.config["SOLROUTER_BASE_URL"] or request.url_root
    return root.rstrip("/") + url_for("auth.return_from_github")


def _fetched(client: FlaskOAuth2App, path: str) -> Any:
    answer = client.get(path)
    answer.raise_for_status()
    return answer.json()


def _identity(person: dict[str, Any], emails: list[dict[str, Any]]) -> ProvenIdentity:
    proven = (e["email"] for e in emails if e.get("primary") is True and e.get("verified") is True)
    return ProvenIdentity(
        provider=PROVIDER,
        subject=str(int(person["id"])),
        login=str(person.get("login") or ""),
        name=str(person.get("name") or ""),
        email=next(proven, ""),
    )
