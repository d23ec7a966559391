"""The audit log on the pages: each act with its person and network, and only one's own."""

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update
from sqlalchemy.exc import DBAPIError

from solrouter import database
from solrouter.models import AuditEvent
from solrouter.services import accounts, keys, trail
from tests.edge.conftest import visitor_of
from tests.edge.pages import FormPage
from tests.factories import Person

HTMX = {"HX-Request": "true"}
NETWORK = "203.0.113.9"


def signed_in(app: Flask, person: Person) -> FlaskClient:
    client = visitor_of(app)
    client.environ_base["REMOTE_ADDR"] = NETWORK
    person.sign_in(client)
    return client


def newest(app: Flask, person: Person) -> trail.Event:
    with app.app_context():
        return trail.of_account(person.account_id, limit=1)[0]


def test_an_act_says_who_what_and_from_where(app: Flask, alice: Person) -> None:
    here = signed_in(app, alice)
    here.post("/account/keys", data={"name": "laptop", "limit": "2", "resets": "never"})
    event = newest(app, alice)
    assert (event.actor, event.action, event.network) == (alice.email, "key.created", NETWORK)
    assert event.subject.startswith("laptop (sr_")
    page = FormPage(here.get("/account/audit"))
    for words in ("Created a key", "laptop", alice.email, NETWORK, "Limit: $2", "Signed in"):
        assert words in page.text
    with app.app_context(), database.read() as connection:
        rows = select(AuditEvent.request_id).where(AuditEvent.action == "key.created")
        told = connection.execute(rows.order_by(AuditEvent.id.desc())).scalars().all()
    assert told[0].startswith("req_") and told[-1] == ""


def test_a_change_tells_before_and_after(app: Flask, alice: Person) -> None:
    here = signed_in(app, alice)
    with app.app_context():
        (key,) = keys.list_of(alice.account_id)
    here.post(
        f"/account/keys/{key.public_id}",
        data={"name": "First key", "limit": "7", "resets": "never"},
    )
    assert "Limit: none → $7" in FormPage(here.get("/account/audit")).text


def test_what_is_done_without_a_request_comes_from_nowhere(app: Flask, alice: Person) -> None:
    signed_in(app, alice)
    with app.app_context():
        accounts.set_plan(alice.account_id, "unlimited")
    event = newest(app, alice)
    assert (event.action, event.network, event.actor) == ("account.plan", "", trail.COMMAND)
    assert event.details == {"plan": ["pay-as-you-go", "unlimited"]}


def test_nobody_reads_anothers(app: Flask, alice: Person, charlie: Person) -> None:
    signed_in(app, alice).post("/account/keys", data={"name": "alices-secret-plan"})
    page = signed_in(app, charlie).get("/account/audit")
    assert "alices-secret-plan" not in page.text and alice.email not in page.text
    assert signed_in(app, charlie).get("/admin/audit").status_code == 404


def test_an_account_does_not_learn_who_its_operator_is(
    app: Flask, alice: Person, operator: Person
) -> None:
    admin = signed_in(app, operator)
    path = f"/admin/accounts/{alice.account_public_id}/credit"
    admin.post(path, data={"amount": "3", "note": "Sorry"})
    event = newest(app, alice)
    assert (event.action, event.actor, event.network) == ("credit.granted", trail.OPERATOR, "")
    told = FormPage(admin.get("/admin/audit")).text
    assert operator.email in told and "Granted credit" in told and alice.account_public_id in told


def test_an_operators_acts_on_providers_and_prices_are_there(app: Flask, operator: Person) -> None:
    admin = signed_in(app, operator)
    form = {"slug": "acme", "kind": "openai", "base_url": "http://localhost:9/v1"}
    admin.post("/admin/providers", data=form | {"api_key": "canary-55aa"})
    admin.post("/admin/providers", data=form | {"api_key": "canary-66bb"})
    offer = {"model": "acme/tiny", "provider": "acme", "upstream": "tiny-1"}
    admin.post("/admin/models", data=offer | {"input": "1", "output": "2", "context": "8000"})
    page = admin.get("/admin/audit")
    for words in ("Added a provider", "Changed a provider’s key", "Offered a model", "acme/tiny"):
        assert words in FormPage(page).text
    assert "canary" not in page.text


def test_it_is_paged_by_the_last_row_seen(app: Flask, alice: Person) -> None:
    here = signed_in(app, alice)
    with app.app_context():
        for number in range(60):
            slug = "unlimited" if number % 2 else "pay-as-you-go"
            accounts.set_plan(alice.account_id, slug)
    first = FormPage(here.get("/account/audit"))
    (older,) = (a.get("href") or "" for a in first.all("a") if a.get("rel") == "next")
    assert older.startswith("/account/audit?before=")
    rest = FormPage(here.get(older, headers=HTMX))
    assert "Signed up" in rest.text and not rest.is_whole
    assert here.get("/account/audit?before=rubbish").status_code == 404


@pytest.mark.parametrize("path", ["/account/audit", "/admin/audit"])
def test_an_end_says_so(app: Flask, operator: Person, path: str) -> None:
    here = signed_in(app, operator)
    first = "00000000-0000-7000-8000-000000000000"
    assert "Nothing older" in here.get(f"{path}?before={first}").text


def test_it_cannot_be_changed(app: Flask, alice: Person) -> None:
    with app.app_context(), pytest.raises(DBAPIError):
        statement = update(AuditEvent).values(actor="nobody")
        database.transact(lambda connection: connection.execute(statement).rowcount)
