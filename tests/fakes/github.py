"""GitHub's sign-in as a program: the OAuth authorization code flow, `/user` and `/user/emails`.

It refuses to know anything of SolRouter: it is a third party on a real socket, as strict as GitHub
is and stricter in one point (a `state` is required); see `oauth` for what it is told. Run it alone
with `python -m tests.fakes.github --port 9002`.

| path                                    | what                                                   |
|-----------------------------------------|--------------------------------------------------------|
| `GET /login/oauth/authorize`            | back to the caller with a code; a page if interactive  |
| `POST /login/oauth/authorize`           | that page's answer                                     |
| `POST /login/oauth/access_token`        | code → token; form-encoded unless JSON is accepted     |
| `GET /user`, `/user/emails`             | with a bearer token; also below `/api` and `/api/v3`   |

Mistakes at the token endpoint are answered with 200 and an `error`, as GitHub answers them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from tests.fakes.oauth import (
    CLIENT_ID,
    CLIENT_SECRET,
    FORM_TYPE,
    FakeOAuthSite,
    Json,
    Reply,
    Seen,
    json_reply,
    scopes,
    serve_alone,
)

__all__ = ["CLIENT_ID", "CLIENT_SECRET", "Email", "FakeGitHub", "GitHubPerson"]

DOCS_URL = "https://docs.github.com/rest"


@dataclass(frozen=True)
class Email:
    """One e-mail address of a person."""

    email: str
    primary: bool = False
    verified: bool = True
    visibility: str | None = None


@dataclass(frozen=True)
class GitHubPerson:
    """Who is signed in at GitHub."""

    id: int = 583231
    login: str = "octocat"
    name: str | None = "Octo Cat"
    emails: Sequence[Email] = (Email("octo@example.com", primary=True),)
    public_email: str | None = None


def _refused(status: int, message: str) -> Reply:
    return json_reply(
        status, {"message": message, "documentation_url": DOCS_URL, "status": str(status)}
    )


class FakeGitHub(FakeOAuthSite):
    """GitHub on 127.0.0.1: `url` stands for https://github.com, `/api` for its API."""

    authorize_path = "/login/oauth/authorize"
    person = GitHubPerson()

    def failure(self, status: int) -> Reply:
        """GitHub's words when it is out of order."""
        return _refused(status, "We had issues producing the response.")

    def answer(self, seen: Seen) -> Reply:
        """The token endpoint and the API."""
        api_path = seen.path.removeprefix("/api").removeprefix("/v3")
        match seen.method, seen.path:
            case "POST", "/login/oauth/access_token":
                return self._exchange(seen)
            case "GET", _ if api_path in ("/user", "/user/emails"):
                return self._profile(seen, api_path)
        return _refused(404, "Not Found")

    def problem(self, name: str, state: str | None = None) -> dict[str, str]:
        """An OAuth error in GitHub's words."""
        descriptions = {
            "access_denied": "The user has denied your application access.",
            "bad_verification_code": "The code passed is incorrect or expired.",
            "incorrect_client_credentials": (
                "The client_id and/or client_secret passed are incorrect."
            ),
            "invalid_request": "A code_challenge with the method S256 is required.",
            "redirect_uri_mismatch": "The redirect_uri MUST match the registered callback URL.",
        }
        problem = {"error": name, "error_description": descriptions[name], "error_uri": DOCS_URL}
        return problem if state is None else problem | {"state": state}

    def _exchange(self, seen: Seen) -> Reply:
        problem, grant = self.redeemed(seen)
        if grant is None:
            answer = self.problem(problem)
        else:
            token = self.new_token(grant, "gho_")
            scope = ",".join(scopes(grant.scope))
            answer = {"access_token": token, "scope": scope, "token_type": "bearer"}
        if "application/json" in seen.headers.get("accept", ""):
            return json_reply(200, answer)
        return Reply(200, urlencode(answer), FORM_TYPE)

    def _profile(self, seen: Seen, path: str) -> Reply:
        if "user-agent" not in seen.headers:
            return _refused(403, "Request forbidden by administrative rules.")
        token = self.bearer(seen)
        if token is None:
            return _refused(401, "Bad credentials")
        if path == "/user":
            return json_reply(200, self._user(token.person))
        if not {"user", "user:email"} & set(scopes(token.scope)):
            return _refused(404, "Not Found")
        return json_reply(200, [vars(email) for email in token.person.emails])

    def _user(self, person: GitHubPerson) -> Json:
        return {
            "login": person.login,
            "id": person.id,
            "node_id": f"U_fake_{person.id}",
            "avatar_url": f"{self.url}/u/{person.id}?v=4",
            "html_url": f"{self.url}/{person.login}",
            "type": "User",
            "site_admin": False,
            "name": person.name,
            "company": None,
            "email": person.public_email,
            "bio": None,
            "created_at": "2011-01-25T18:44:36Z",
            "updated_at": "2026-10-22T14:25:30Z",
        }


if __name__ == "__main__":
    serve_alone(FakeGitHub, "GitHub")
