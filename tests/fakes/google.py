"""Google's sign-in as a program: OpenID Connect with discovery, a signed id token and its keys.

A third party on a real socket; see `oauth` for what it is told. Run it alone with
`python -m tests.fakes.google --port 9003`.

| path                                     | what                                       |
|------------------------------------------|--------------------------------------------|
| `GET /.well-known/openid-configuration`  | where everything is                        |
| `GET /o/oauth2/v2/auth`                  | back to the caller with a code             |
| `POST /token`                            | code → access token and id token           |
| `GET /oauth2/v3/certs`                   | the public key of the id tokens            |

It can be told to lie: `claims` goes over what an id token says, and with `signs_with_another_key`
the signature is somebody else's.
"""

import time
from dataclasses import dataclass
from typing import Any

from joserfc import jwt
from joserfc.jwk import RSAKey

from tests.fakes.oauth import (
    CLIENT_ID,
    CLIENT_SECRET,
    FakeOAuthSite,
    Grant,
    Reply,
    Seen,
    json_reply,
    serve_alone,
)

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "FakeGoogle", "GooglePerson"]

ID_TOKEN_TTL_S = 3600
KEY_BITS = 2048


@dataclass(frozen=True)
class GooglePerson:
    """Who is signed in at Google."""

    sub: str = "110169484474386276334"
    email: str = "gina@example.com"
    email_verified: bool = True
    name: str = "Gina Google"

    @property
    def login(self) -> str:
        return self.email


class FakeGoogle(FakeOAuthSite):
    """Google on 127.0.0.1: `url` stands for https://accounts.google.com."""

    authorize_path = "/o/oauth2/v2/auth"
    person = GooglePerson()

    def __init__(self, **options: Any) -> None:
        self.claims: dict[str, Any] = {}
        self.signs_with_another_key = False
        self._key = RSAKey.generate_key(KEY_BITS, {"kid": "fake"})
        super().__init__(**options)

    def failure(self, status: int) -> Reply:
        """Google's words when it is out of order."""
        return json_reply(status, {"error": "internal_failure"})

    def answer(self, seen: Seen) -> Reply:
        """Discovery, keys and tokens."""
        match seen.method, seen.path:
            case "GET", "/.well-known/openid-configuration":
                return json_reply(200, self._configuration())
            case "GET", "/oauth2/v3/certs":
                return json_reply(200, {"keys": [self._key.as_dict(private=False)]})
            case "POST", "/token":
                return self._exchange(seen)
        return json_reply(404, {"error": "not_found"})

    def problem(self, name: str, state: str | None = None) -> dict[str, str]:
        """An OAuth error; the standard has fewer names than GitHub."""
        standard = {
            "bad_verification_code": "invalid_grant",
            "incorrect_client_credentials": "invalid_client",
            "redirect_uri_mismatch": "invalid_grant",
        }
        problem = {"error": standard.get(name, name)}
        return problem if state is None else problem | {"state": state}

    def _configuration(self) -> dict[str, Any]:
        return {
            "issuer": self.url,
            "authorization_endpoint": f"{self.url}{self.authorize_path}",
            "token_endpoint": f"{self.url}/token",
            "jwks_uri": f"{self.url}/oauth2/v3/certs",
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256"],
            "code_challenge_methods_supported": ["S256"],
        }

    def _exchange(self, seen: Seen) -> Reply:
        problem, grant = self.redeemed(seen)
        if grant is None:
            return json_reply(400, self.problem(problem))
        answer = {
            "access_token": self.new_token(grant, "ya29."),
            "expires_in": 3599,
            "scope": grant.scope,
            "token_type": "Bearer",
            "id_token": self._id_token(grant),
        }
        return json_reply(200, answer)

    def _id_token(self, grant: Grant) -> str:
        now = int(time.time())
        claims = {
            "iss": self.url,
            "aud": self.client_id,
            "azp": self.client_id,
            "sub": grant.person.sub,
            "email": grant.person.email,
            "email_verified": grant.person.email_verified,
            "name": grant.person.name,
            "iat": now,
            "exp": now + ID_TOKEN_TTL_S,
        }
        if grant.nonce is not None:
            claims["nonce"] = grant.nonce
        key = self._key
        if self.signs_with_another_key:
            key = RSAKey.generate_key(KEY_BITS, {"kid": "fake"})
        return jwt.encode({"alg": "RS256", "kid": "fake"}, {**claims, **self.claims}, key)


if __name__ == "__main__":
    serve_alone(FakeGoogle, "Google")
