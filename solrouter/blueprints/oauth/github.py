"""GitHub: OAuth, then who it is from its API. Its base URLs are settings, for GitHub Enterprise."""

from typing import Any

from authlib.integrations.flask_client import FlaskOAuth2App
from flask import current_app

from solrouter.blueprints.oauth.provider import Provider
from solrouter.services.identities import ProvenIdentity


def _endpoints() -> dict[str, Any]:
    config = current_app.config
    return {
        "authorize_url": f"{config['SOLROUTER_GITHUB_URL']}/login/oauth/authorize",
        "access_token_url": f"{config['SOLROUTER_GITHUB_URL']}/login/oauth/access_token",
        "api_base_url": f"{config['SOLROUTER_GITHUB_API_URL']}/",
    }


def _identity(client: FlaskOAuth2App) -> ProvenIdentity:
    client.authorize_access_token()
    person, emails = _fetched(client, "user"), _fetched(client, "user/emails")
    proven = (e["email"] for e in emails if e.get("primary") is True and e.get("verified") is True)
    return ProvenIdentity(
        provider=GITHUB.slug,
        # The lasting number: a login can be given up and taken by somebody else.
        subject=str(int(person["id"])),
        login=str(person.get("login") or ""),
        name=str(person.get("name") or ""),
        email=next(proven, ""),
    )


def _fetched(client: FlaskOAuth2App, path: str) -> Any:
    answer = client.get(path)
    answer.raise_for_status()
    return answer.json()


GITHUB = Provider(
    slug="github",
    name="GitHub",
    id_setting="GITHUB_CLIENT_ID",
    secret_setting="GITHUB_CLIENT_SECRET",
    url_setting="SOLROUTER_GITHUB_URL",
    scope="read:user user:email",
    token_auth="client_secret_post",
    endpoints=_endpoints,
    identity=_identity,
)
