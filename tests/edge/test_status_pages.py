"""The status page, its JSON and its feed; incidents as an operator tells them."""

from datetime import datetime, timedelta
from xml.etree import ElementTree

import pytest
from flask import Flask
from flask.testing import FlaskCliRunner

from solrouter.clock import utcnow
from solrouter.errors import NotFound, Refused
from solrouter.services import catalogue, health, incidents
from solrouter.services.health import FAULT, OK
from tests.browser import Browser
from tests.edge.signed_in import HTMX, browser_of
from tests.factories import Person


def offer_id(model_id: str) -> int:
    return catalogue.find(model_id).offers[0].id


def told(app: Flask, *outcomes: health.Outcome, model: str) -> None:
    """As if requests for the model had gone so."""
    with app.app_context():
        for outcome in outcomes:
            health.note(offer_id(model), outcome)
        health.exchange()


def open_incident(app: Flask, title: str = "Slow answers", **more: object) -> str:
    with app.app_context():
        values = {"kind": "degraded", "actor": "test", **more}
        return incidents.open_one(title, "We look into it.", **values)  # type: ignore[arg-type]


def standing(document: dict[str, list[dict[str, object]]], name: str) -> dict[str, object]:
    [found] = [each for each in document["models"] if each["id"] == name]
    return found


def test_a_quiet_server_says_so_and_shows_no_figures(browser: Browser, offered: str) -> None:
    page = browser.get("/status")
    assert "All models are served" in page.text
    assert offered in page.text
    assert "%" not in page.text
    assert "None. What happens is told here" in page.text


def test_uptime_comes_from_attempts(app: Flask, browser: Browser, offered: str) -> None:
    told(app, OK, OK, OK, FAULT, model=offered)
    document = browser.client.get("/status.json").json
    found = standing(document, offered)
    assert found["status"] == "operational"
    shown = {"attempts": 4, "failures": 1, "uptime_percent": 75.0}
    assert found["windows"] == dict.fromkeys(("5m", "30m", "24h", "90d"), shown)
    [acme] = [each for each in document["providers"] if each["id"] == "acme"]
    assert acme["windows"]["24h"] == shown
    assert "75.00 %" in browser.get("/status").text


def test_a_provider_that_is_let_alone_is_out_of_service(
    app: Flask, browser: Browser, offered: str
) -> None:
    told(app, *[FAULT] * 5, model=offered)
    document = browser.client.get("/status.json").json
    assert standing(document, offered)["status"] == "outage"
    assert document["status"] == "degraded", "the demo's model is well"
    assert "Some models have trouble" in browser.get("/status").text


def test_what_is_not_set_up_is_not_shown(browser: Browser, offered: str) -> None:
    document = browser.client.get("/status.json").json
    assert {each["id"] for each in document["models"]} == {offered, "demo/echo"}


def test_a_server_without_providers_says_what_is_missing(make_app: object) -> None:
    assert callable(make_app)
    page = Browser(make_app(SOLROUTER_ENV="production")).get("/status")
    assert "Nothing is served yet" in page.text


def test_the_page_looks_again_by_itself(browser: Browser) -> None:
    page = browser.get("/status", headers=HTMX)
    assert not page.is_whole
    assert [a for a in page.all("a") if "every 30s" in a.get("hx-trigger", "")]


def test_an_incident_is_told_as_page_json_and_feed(app: Flask, browser: Browser) -> None:
    public_id = open_incident(app, "<b>Slow</b> & steady", affects=["openai", "openai", " "])
    with app.app_context():
        incidents.tell(public_id, "It is their network.", actor="test")
    page = browser.get("/status")
    assert "<b>Slow</b> & steady" in "".join(page.by_id(public_id).itertext())
    assert page.text.index("It is their network.") < page.text.index("We look into it.")
    document = browser.client.get("/status.json").json
    assert document["status"] == "degraded"
    [incident] = document["incidents"]
    assert (incident["id"], incident["affects"], incident["ended_at"]) == (
        public_id,
        ["openai"],
        None,
    )
    [item] = ElementTree.fromstring(browser.client.get("/status.rss").data).iter("item")
    assert item.findtext("title") == "<b>Slow</b> & steady"
    assert item.findtext("link") == f"http://localhost/status#{public_id}"


def test_an_incident_ends_once(app: Flask, browser: Browser) -> None:
    public_id = open_incident(app, kind="outage")
    assert browser.client.get("/status.json").json["status"] == "outage"
    with app.app_context():
        incidents.tell(public_id, "All is well.", closes=True, actor="test")
        with pytest.raises(Refused):
            incidents.tell(public_id, "Again.", closes=True, actor="test")
        with pytest.raises(NotFound):
            incidents.tell("inc_none", "What?", actor="test")
    assert browser.client.get("/status.json").json["status"] == "operational"
    assert "Over" in browser.get("/status").text


def test_planned_work_is_no_trouble_yet(app: Flask, browser: Browser) -> None:
    open_incident(app, "Move", kind="outage", begins_at=utcnow() + timedelta(days=1))
    assert browser.client.get("/status.json").json["status"] == "operational"
    assert "Planned" in browser.get("/status").text


def test_old_incidents_are_left_out_unless_they_last(app: Flask, browser: Browser) -> None:
    long_ago: datetime = utcnow() - timedelta(days=100)
    over = open_incident(app, "Over", begins_at=long_ago)
    open_incident(app, "Still there", begins_at=long_ago)
    with app.app_context():
        incidents.tell(over, "Done.", closes=True, actor="test")
    found = browser.client.get("/status.json").json["incidents"]
    assert [each["title"] for each in found] == ["Still there"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"title": " "},
        {"title": "x" * 201},
        {"kind": "party"},
        {"affects": [str(n) for n in range(51)]},
        {"affects": ["openai", "nope"]},
    ],
    ids=["no title", "long title", "unknown kind", "too many names", "nothing of ours"],
)
def test_what_cannot_be_told_is_refused(app: Flask, wrong: dict[str, object]) -> None:
    with pytest.raises(Refused):
        open_incident(app, **wrong)


def test_the_operators_commands(app: Flask, runner: FlaskCliRunner, browser: Browser) -> None:
    def run(*arguments: str) -> str:
        result = runner.invoke(args=["incidents", *arguments])
        assert result.exit_code == 0, result.output
        return result.stdout.strip()

    public_id = run("open", "Slow answers", "We look.", "--kind", "degraded", "--affects", "openai")
    run("note", public_id, "Their network.")
    assert run("list") == f"{public_id}  open  degraded  Slow answers"
    run("close", public_id, "Well again.")
    assert run("list").split()[1] == "over"
    assert "Their network." in browser.get("/status").text
    assert runner.invoke(args=["incidents", "close", "inc_no", "x"]).exit_code == 1
    unknown = runner.invoke(args=["incidents", "open", "Slow", "We look.", "--affects", "nope"])
    assert unknown.exit_code == 1
    assert "“nope” is no model's id and no provider's slug" in unknown.stderr


def test_the_document_may_be_kept_briefly(app: Flask, browser: Browser, alice: Person) -> None:
    assert browser.client.get("/status.json").headers["Cache-Control"] == "public, max-age=15"
    mine = browser_of(app, alice).client.get("/status.json")
    assert mine.headers["Cache-Control"] == "private, max-age=15"
