"""The pages of webhooks: added, tried, turned off and removed; the secret is shown once."""

from collections.abc import Callable, Iterator

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import update
from standardwebhooks import Webhook

from solrouter import database
from solrouter.models import WebhookEndpoint
from solrouter.services import operator_alerts, webhook_sending
from solrouter.services.webhooks import rules_for
from tests.edge.conftest import visitor_of
from tests.edge.pages import FormPage
from tests.factories import Person, make_person
from tests.fakes.receiver import Receiver

URL = "https://hooks.example.com/solrouter"
SECRET = 'id="webhook-secret">'
ALL_KINDS = ["balance.low", "spend.reached", "key.created", "top_up.failed"]


@pytest.fixture
def visitor(app: Flask, alice: Person) -> FlaskClient:
    """Alice's browser."""
    client = visitor_of(app)
    alice.sign_in(client)
    return client


def add(client: FlaskClient, url: str = URL, room: str = "account") -> tuple[str, str]:
    """The address of the new webhook's page, and its secret."""
    kinds = ALL_KINDS if room == "account" else ["alert.opened", "alert.resolved"]
    answer = client.post(f"/{room}/webhooks", data={"url": url, "kinds": kinds})
    assert answer.status_code == 200, FormPage(answer).alerts()
    FormPage(answer)
    assert answer.headers["Cache-Control"] == "no-store"
    secret = answer.text.split(SECRET)[1].split("<")[0]
    page = answer.text.split(f'action="/{room}/webhooks/')[1].split("/")[0]
    return f"/{room}/webhooks/{page}", secret


def test_the_secret_is_shown_once(visitor: FlaskClient) -> None:
    empty = FormPage(visitor.get("/account/webhooks"))
    assert empty.heading == "Webhooks" and "No webhooks yet" in empty.text
    page, secret = add(visitor)
    assert secret.startswith("whsec_")
    shown = visitor.get(page)
    FormPage(shown)
    assert secret not in shown.text and URL in shown.text
    listed = visitor.get("/account/webhooks")
    assert URL in FormPage(listed).text and secret not in listed.text
    renewed = visitor.post(f"{page}/secret")
    assert renewed.text.split(SECRET)[1].split("<")[0] != secret


@pytest.mark.parametrize(
    ("url", "kinds", "said"),
    [
        ("http://localhost/", ALL_KINDS, "full name"),
        ("https://example.com:6379/", ALL_KINDS, "usual port"),
        ("nonsense", ALL_KINDS, "begin with"),
        (URL, [], "at least one event"),
    ],
)
def test_what_does_not_fit_is_said(
    visitor: FlaskClient, url: str, kinds: list[str], said: str
) -> None:
    answer = visitor.post("/account/webhooks", data={"url": url, "kinds": kinds})
    assert answer.status_code == 422
    page = FormPage(answer)
    assert any(said in alert for alert in page.alerts()) and page.value("url") == url


def test_a_message_that_cannot_be_delivered_is_seen_and_sent_again(
    app: Flask, visitor: FlaskClient
) -> None:
    page, _ = add(visitor, "https://hooks.example.com/")
    with app.app_context():
        # As a name that has come to lead inside.
        inside = update(WebhookEndpoint).values(url="https://127.0.0.1/")
        database.transact(lambda connection: connection.execute(inside))
    assert visitor.post(f"{page}/test").status_code == 303
    waiting = visitor.get(page)
    assert "On its way" in waiting.text and "every 2s" in waiting.text
    with app.app_context():
        webhook_sending.deliver_due()
    failed = visitor.get(page, headers={"HX-Request": "true"})
    assert failed.text.strip().startswith("<section") and "every 2s" not in failed.text
    assert "does not lead to a public server" in failed.text and "Will be tried" in failed.text
    again = failed.text.split(f'action="{page}/messages/')[1].split('"')[0]
    assert visitor.post(f"{page}/messages/{again}").status_code == 303
    assert "Failing" in visitor.get("/account/webhooks").text


def test_off_on_and_gone(visitor: FlaskClient) -> None:
    page, _ = add(visitor)
    visitor.post(f"{page}/off")
    off = FormPage(visitor.get(page))
    assert "Off" in off.text and "Send a test event" not in off.text
    visitor.post(f"{page}/test")
    assert "turned off" in visitor.get(page).text
    visitor.post(f"{page}/on")
    assert "Send a test event" in visitor.get(page).text
    assert FormPage(visitor.get(f"{page}/remove")).heading == "Remove this webhook?"
    visitor.post(f"{page}/remove")
    assert visitor.get(page).status_code == 404
    acts = FormPage(visitor.get("/account/audit")).text
    for said in ("Added a webhook", "Turned a webhook off", "Removed a webhook"):
        assert said in acts


def test_charlie_never_sees_alices(app: Flask, visitor: FlaskClient, charlie: Person) -> None:
    page, _ = add(visitor)
    other = visitor_of(app)
    charlie.sign_in(other)
    assert other.get(page).status_code == 404
    for act in ("test", "secret", "on", "off", "remove"):
        assert other.post(f"{page}/{act}").status_code == 404
    assert URL not in other.get("/account/webhooks").text


@pytest.fixture
def own_network(make_app: Callable[..., Flask]) -> Iterator[Flask]:
    yield make_app(SOLROUTER_WEBHOOK_NETWORKS="127.0.0.1/32")


def test_operators_are_told_of_alerts_in_their_own_network(own_network: Flask) -> None:
    olivia = make_person(own_network, "olivia@example.com", operator=True)
    client = visitor_of(own_network)
    olivia.sign_in(client)
    with Receiver() as receiver, own_network.app_context():
        page, secret = add(client, f"{receiver.url}/alerts", room="admin")
        stuck = operator_alerts.Condition(
            operator_alerts.STUCK_HOLDS, True, title="1 hold is stuck", text="Nobody releases it."
        )
        operator_alerts.settle(stuck)
        assert webhook_sending.deliver_due() == 1
        (taken,) = receiver.taken
        assert Webhook(secret).verify(taken.body, dict(taken.headers))["type"] == "alert.opened"
        assert "Delivered" in FormPage(client.get(page)).text
        assert rules_for(1) != rules_for(None), "a customer's may not go there"


def test_spending_is_set_beside_the_low_balance(visitor: FlaskClient) -> None:
    said = visitor.post("/account/settings/notifications/spend", data={"spend": "25"})
    assert said.status_code == 303
    page = FormPage(visitor.get("/account/settings"))
    assert page.value("spend") == "25"
    wrong = visitor.post("/account/settings/notifications/spend", data={"spend": "much"})
    assert wrong.status_code == 422 and "US dollars" in wrong.text
    visitor.post("/account/settings/notifications/spend", data={"spend": ""})
    assert FormPage(visitor.get("/account/settings")).value("spend") in (None, "")
