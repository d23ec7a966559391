"""A dry run says what a request will cost, and costs nothing itself."""

from decimal import Decimal

from flask import Flask
from flask.testing import FlaskClient

from tests.edge.test_chat import HELLO, balance, post
from tests.factories import Person, make_offer
from tests.fakes.upstream import FakeUpstream


def estimate(client: FlaskClient, person: Person, model: str, **body: object):  # type: ignore[no-untyped-def]
    return client.post(
        "/v1/estimate", json={"model": model, "messages": HELLO, **body}, headers=person.bearer
    )


def test_it_tells_route_cost_and_balance_and_opens_nothing(
    app: Flask, client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    answer = estimate(client, alice, offered, max_tokens=1000).json
    assert answer["route"][0] == {
        "model": offered,
        "provider": "acme",
        "why": answer["route"][0]["why"],
    }
    cost = {name: Decimal(answer["cost"][name]) for name in ("least", "likely", "most")}
    assert 0 < cost["least"] < cost["likely"] < cost["most"]
    # 500 and 1 000 tokens at $2 a million, beside a short prompt at $1.
    assert Decimal("0.001") < cost["likely"] < Decimal("0.0011")
    assert Decimal("0.002") < cost["most"] < Decimal("0.0023")
    assert answer["is_affordable"] is True
    left = Decimal(answer["balance"]["available"]) - cost["most"]
    assert Decimal(answer["balance"]["after_most"]) == left
    assert upstream.requests == 0
    assert balance(app, alice).available_nanos == 5_000_000_000


def test_the_truth_lies_between_least_and_most(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    told = estimate(client, alice, offered, max_tokens=50).json["cost"]
    upstream.answers(text="Hi there", usage=(9, 30))
    spent = post(client, alice, offered, max_tokens=50).json["usage"]["cost_details"]["charge"]
    assert Decimal(told["least"]) <= Decimal(spent) <= Decimal(told["most"])


def test_what_is_likely_follows_the_accounts_own_answers(
    client: FlaskClient, alice: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(text="Hi", usage=(9, 100))
    post(client, alice, offered)
    assert estimate(client, alice, offered).json["completion_tokens"]["likely"] == 100


def test_it_counts_as_a_request_and_needs_a_key(
    client: FlaskClient, alice: Person, offered: str
) -> None:
    first = estimate(client, alice, offered).headers["x-ratelimit-remaining-requests"]
    second = estimate(client, alice, offered).headers["x-ratelimit-remaining-requests"]
    assert int(second) < int(first)
    assert client.post("/v1/estimate", json={}).status_code == 401


def test_it_refuses_what_the_request_would_be_refused_for(
    client: FlaskClient, alice: Person, offered: str
) -> None:
    answer = estimate(client, alice, "acme/none")
    assert (answer.status_code, answer.json["error"]["code"]) == (400, "model_not_found")
    answer = estimate(client, alice, offered, temperature="hot")
    assert (answer.status_code, answer.json["error"]["param"]) == (400, "temperature")


def test_a_poor_account_is_told_so_and_not_refused(
    app: Flask, client: FlaskClient, bob: Person, upstream: FakeUpstream
) -> None:
    offered = make_offer(app, upstream.url)
    answer = estimate(client, bob, offered)
    assert answer.status_code == 200
    assert answer.json["is_affordable"] is False


def test_it_knows_what_a_dialect_cannot_say(
    app: Flask, client: FlaskClient, alice: Person, upstream: FakeUpstream
) -> None:
    offered = make_offer(app, upstream.origin, kind="anthropic")
    told = estimate(client, alice, offered, seed=1).json
    assert [warning.partition(":")[0] for warning in told["warnings"]] == ["seed"]
    refused = estimate(client, alice, offered, seed=1, strict=True)
    assert (refused.status_code, refused.json["error"]["param"]) == (400, "seed")
    functions = [{"name": "look", "parameters": {"type": "object"}}]
    assert estimate(client, alice, offered, functions=functions).status_code == 400
    make_offer(app, upstream.url, provider="other")
    both = estimate(client, alice, offered, functions=functions).json
    assert both["provider"] == "other"
    assert both["skipped"][-1]["why"] == "cannot say functions"
