"""What is to be known of a provider before anybody signs in through it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from authlib.integrations.flask_client import FlaskIntegration, FlaskOAuth2App
from flask import current_app

from solrouter.services.identities import ProvenIdentity

DEADLINE_S = 10
USER_AGENT = "SolRouter"


@dataclass(frozen=True, slots=True)
class Provider:
    """One site that proves who people are. `endpoints` is what Authlib wants to know of it.

    `identity` ends the journey with that client. It raises whatever Authlib and the answers raise.
    """

    slug: str
    name: str
    id_setting: str
    secret_setting: str
    url_setting: str
    scope: str
    token_auth: str
    endpoints: Callable[[], dict[str, Any]]
    identity: Callable[[FlaskOAuth2App], ProvenIdentity]

    def is_enabled(self) -> bool:
        """Whether the operator has set up the OAuth app."""
        config = current_app.config
        return bool(config[self.id_setting] and config[self.secret_setting])

    def client(self) -> FlaskOAuth2App:
        """Made anew each time: Authlib's registry belongs to the process, our settings to the app.

        No `cache` is given to it: what belongs to a sign-in stays in that browser's cookie.
        """
        config = current_app.config
        return FlaskOAuth2App(
            FlaskIntegration(self.slug),
            name=self.slug,
            client_id=config[self.id_setting],
            client_secret=config[self.secret_setting],
            client_kwargs={
                "scope": self.scope,
                "code_challenge_method": "S256",
                "token_endpoint_auth_method": self.token_auth,
                "default_timeout": DEADLINE_S,
            },
            user_agent=USER_AGENT,
            **self.endpoints(),
        )


def origin_of(config: dict[str, object], setting: str) -> str:
    """Scheme and host of the provider, as a content security policy names them."""
    parts = urlsplit(str(config[setting]))
    return f"{parts.scheme}://{parts.netloc}"
