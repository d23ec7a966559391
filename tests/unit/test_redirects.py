"""Where a link may lead after signing in: to a page of ours and nowhere else."""

import pytest
from werkzeug.routing import Map, Rule

from solrouter.blueprints import redirects

ROUTES = Map(
    [
        Rule("/", endpoint="pages.show_landing"),
        Rule("/account", endpoint="account.show_overview"),
        Rule("/account/keys", endpoint="account.show_keys"),
        Rule("/account/keys", endpoint="account.create_key", methods=["POST"]),
        Rule("/account/keys/revoke", endpoint="account.revoke_key", methods=["POST"]),
        Rule("/models/<author>/<name>", endpoint="catalogue.show_model"),
        Rule("/evil.example", endpoint="pages.show_evil"),
        Rule("/logout", endpoint="auth.show_logout"),
        Rule("/static/<path:filename>", endpoint="static"),
        Rule("/v1/models", endpoint="api.list_models"),
    ]
)


@pytest.mark.parametrize(
    "target",
    [
        "/",
        "/account",
        "/account/keys?page=2&q=a%20b",
        "/models/openai/gpt-4o",
        "/models/openai/gpt%2D4o?next=//evil.example",
        "/evil.example",
    ],
)
def test_a_page_of_ours_is_kept(target: str) -> None:
    assert redirects.path_of(ROUTES, target) == target


def test_a_fragment_is_dropped() -> None:
    assert redirects.path_of(ROUTES, "/account#keys") == "/account"


@pytest.mark.parametrize(
    "target",
    [
        "",
        "account",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "/\\/evil.example",
        "/account\\..\\x",
        "/%2f%2fevil.example",
        "%2f%2fevil.example",
        "/%5cevil.example",
        "https://evil.example/account",
        "https:evil.example",
        "https:/account",
        "javascript:alert(1)",
        "data:text/html,x",
        " /account",
        "/account ",
        "\t/account",
        "/\t/evil.example",
        "/\n/evil.example",
        "/account\r\nSet-Cookie: a=b",
        "/account\x00",
        "/account?page=\r\nSet-Cookie: a=b",
        "/account?page=\\2",
        "/\u3000/evil.example",
        "/.//evil.example",
        "/account/../..//evil.example",
        "/nowhere",
        "/account/",
        "/account/keys/revoke",
        "/logout",
        "/static/site.css",
        "/v1/models",
        "/ai/models",
        "/account?" + "x" * 2000,
        "@evil.example",
        "?next=/account",
        "#/account",
    ],
)
def test_anything_else_is_dropped(target: str) -> None:
    assert redirects.path_of(ROUTES, target) is None
