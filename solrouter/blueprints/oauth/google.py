"""Google: OpenID Connect. Who it is stands in a signed token, so nothing else is asked."""

from typing import Any

from authlib.integrations.flask_client import FlaskOAuth2App
from flask import current_app

from solrouter.blueprints.oauth.provider import Provider
from solrouter.services.identities import ProvenIdentity


def _endpoints() -> dict[str, Any]:
    issuer = current_app.config["SOLROUTER_GOOGLE_URL"]
    return {"server_metadata_url": f"{issuer}/.well-known/openid-configuration"}


def _identity(client: FlaskOAuth2App) -> ProvenIdentity:
    # Only what this issuer signed for us and for this journey (`aud`, `nonce`) is believed.
    # Authlib by itself does not ask whom the token is for.
    options = {
        "iss": {"essential": True, "values": [current_app.config["SOLROUTER_GOOGLE_URL"]]},
        "aud": {"essential": True, "values": [client.client_id]},
        "sub": {"essential": True},
    }
    claims = client.authorize_access_token(claims_options=options)["userinfo"]
    email = str(claims.get("email") or "")
    return ProvenIdentity(
        provider=GOOGLE.slug,
        subject=str(claims["sub"]),
        login=email,
        name=str(claims.get("name") or ""),
        email=email if claims.get("email_verified") is True else "",
    )


GOOGLE = Provider(
    slug="google",
    name="Google",
    id_setting="GOOGLE_CLIENT_ID",
    secret_setting="GOOGLE_CLIENT_SECRET",
    url_setting="SOLROUTER_GOOGLE_URL",
    scope="openid email profile",
    token_auth="client_secret_post",
    endpoints=_endpoints,
    identity=_identity,
)
