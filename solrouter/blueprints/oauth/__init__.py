"""Signing in through another site: OAuth with state and PKCE by Authlib, up to a ProvenIdentity.

Each provider is one file that says how to reach it and how to read who came; what is the same for
all is here. Who the identity belongs to with us is not known in this package.
"""

from typing import Any

from authlib.common.errors import AuthlibBaseError
from authlib.integrations.flask_client import FlaskOAuth2App
from flask import current_app, request, session, url_for
from flask.typing import ResponseReturnValue
from joserfc.errors import JoseError
from werkzeug.exceptions import NotFound

from solrouter.blueprints.oauth import github, google
from solrouter.blueprints.oauth.provider import Provider
from solrouter.errors import Refused
from solrouter.services.identities import ProvenIdentity

PROVIDERS: dict[str, Provider] = {
    provider.slug: provider for provider in (github.GITHUB, google.GOOGLE)
}
FAILURES = (AuthlibBaseError, JoseError, OSError, ValueError, LookupError, TypeError, RuntimeError)


def enabled() -> list[Provider]:
    """The providers that the operator has set up."""
    return [provider for provider in PROVIDERS.values() if provider.is_enabled()]


def named(slug: str) -> Provider:
    """The provider of this name. Raises NotFound if there is none or it is not set up."""
    provider = PROVIDERS.get(slug)
    if provider is None or not provider.is_enabled():
        raise NotFound
    return provider


def start(provider: Provider, **kept: Any) -> ResponseReturnValue:
    """Sends the person to the provider. `kept` comes back from `finish`. Raises Refused."""
    # One sign-in at a time, and nothing of an older one left in the cookie.
    session.clear()
    session["kept"] = {name: value for name, value in kept.items() if value is not None}
    try:
        redirect: ResponseReturnValue = provider.client().authorize_redirect(
            _callback_url(provider)
        )
    except FAILURES as error:
        raise Refused(_failed(provider)) from error
    return redirect


def finish(provider: Provider) -> tuple[ProvenIdentity, dict[str, Any]]:
    """Who came back from the provider, and what was kept. Raises Refused."""
    kept = session.get("kept") or {}
    try:
        client: FlaskOAuth2App = provider.client()
        return provider.identity(client), kept
    except FAILURES as error:
        if getattr(error, "error", None) == "access_denied":
            raise Refused(f"You did not allow the sign-in at {provider.name}.") from error
        raise Refused(_failed(provider)) from error
    finally:
        session.clear()


def _failed(provider: Provider) -> str:
    return f"{provider.name} did not let us finish the sign-in. Please try again."


def _callback_url(provider: Provider) -> str:
    root: str = current_app.config["SOLROUTER_BASE_URL"] or request.url_root
    return root.rstrip("/") + url_for("auth.return_from_provider", provider=provider.slug)
