"""What operators tell everybody: announcements above each page, incidents on the status page; and
which settings they see.
"""

from collections.abc import Callable
from datetime import timedelta

import pytest
from flask import Flask

from solrouter import clock
from solrouter.services import announcements, housekeeping, incidents, trail
from tests.browser import Browser
from tests.conftest import SECRET_KEY
from tests.edge.signed_in import browser_of
from tests.factories import Person, make_person

TEXT = "A new model is here."
INCIDENT = {"title": "Slow answers", "text": "We look at it.", "kind": "degraded"}


@pytest.fixture
def desk(app: Flask, operator: Person) -> Browser:
    """Olivia's browser."""
    return browser_of(app, operator)


def written(hours: float) -> str:
    """A time from now on, as a browser's field writes it."""
    return (clock.utcnow() + timedelta(hours=hours)).strftime("%Y-%m-%dT%H:%M:%S")


def test_everybody_sees_an_announcement_until_it_is_ended(
    app: Flask, desk: Browser, browser: Browser
) -> None:
    desk.post("/admin/announcements", {"text": TEXT, "tone": "info", "link": "/models"})
    for path in ("/", "/login", "/status", "/no-such-page"):
        page = browser.get(path, status=404 if "no-such" in path else 200)
        assert TEXT in page.text, path
    with app.app_context():
        [told] = announcements.list_of()
    desk.post(f"/admin/announcements/{told.public_id}/end")
    assert TEXT not in browser.get("/").text
    assert "Over" in desk.get("/admin/notices").text
    desk.post(f"/admin/announcements/{told.public_id}/end", status=404)
    with app.app_context():
        acts = [event.action for event in trail.of_all(limit=2)]
    assert acts == ["announcement.ended", "announcement.made"]


def test_it_is_shown_in_its_time_alone(app: Flask, desk: Browser, browser: Browser) -> None:
    later = {"text": "Later", "tone": "warning", "begins": written(1), "ends": written(2)}
    desk.post("/admin/announcements", later)
    desk.post("/admin/announcements", {"text": "Now", "tone": "info", "ends": written(1)})
    assert "Now" in browser.get("/").text and "Later" not in browser.get("/").text
    with app.app_context():
        first, _ = announcements.list_of()
    assert first.is_shown(clock.utcnow() + timedelta(hours=1.5))
    assert not first.is_shown(clock.utcnow() + timedelta(hours=2.5))


@pytest.mark.parametrize(
    ("form", "wrong"),
    [
        ({"text": " ", "tone": "info"}, "announcement-text"),
        ({"text": "x" * 301, "tone": "info"}, "announcement-text"),
        ({"text": TEXT, "tone": "loud"}, "tone"),
        ({"text": TEXT, "tone": "info", "link": "javascript:alert(1)"}, "link"),
        ({"text": TEXT, "tone": "info", "link": "//evil.example"}, "link"),
        ({"text": TEXT, "tone": "info", "ends": "2001-01-01T00:00"}, "announcement-ends"),
        ({"text": TEXT, "tone": "info", "begins": "soon"}, "announcement-begins"),
    ],
)
def test_what_makes_no_sense_is_told_beside_its_field(
    app: Flask, desk: Browser, form: dict[str, str], wrong: str
) -> None:
    page = desk.post("/admin/announcements", form, status=422)
    assert page.by_id(wrong).get("aria-invalid") == "true"
    with app.app_context():
        assert announcements.list_of() == []


def test_another_process_shows_it_within_seconds(make_app: Callable[..., Flask]) -> None:
    here, there = make_app(), make_app()
    with there.app_context():
        assert announcements.shown() == []
    with here.app_context():
        announcements.announce(TEXT, tone="info", actor="test")
    with there.app_context():
        memory = announcements.memory()
        left_s = memory.until_s - announcements.monotonic_s()
        assert 0 < left_s <= announcements.REMEMBERED_FOR_S
        assert announcements.shown() == []
        housekeeping.tick()
        assert [told.text for told in announcements.shown()] == [TEXT]


def test_where_nobody_keeps_house_a_page_looks_by_itself(make_app: Callable[..., Flask]) -> None:
    here, there = make_app(), make_app()
    with there.app_context():
        assert announcements.shown() == []
    with here.app_context():
        announcements.announce(TEXT, tone="info", actor="test")
    with there.app_context():
        announcements.memory().until_s = 0.0
        assert [told.text for told in announcements.shown()] == [TEXT]


def test_an_incident_is_told_of_more_told_and_ended(app: Flask, desk: Browser) -> None:
    desk.post("/admin/incidents", {**INCIDENT, "affects": "demo/echo, openai"})
    with app.app_context():
        [told] = incidents.recent()
    assert told.affects == ("demo/echo", "openai")
    desk.post(f"/admin/incidents/{told.public_id}/tell", {"text": "We have found it."})
    desk.post(f"/admin/incidents/{told.public_id}/tell", {"text": "Mended.", "closes": "1"})
    with app.app_context():
        [told] = incidents.recent()
    assert not told.is_open
    assert [note.text for note in told.notes] == ["Mended.", "We have found it.", "We look at it."]
    assert "We have found it." in desk.get("/status").text


def test_a_refused_word_on_an_incident_stays_typed(app: Flask, desk: Browser) -> None:
    page = desk.post("/admin/incidents", {**INCIDENT, "title": " "}, status=422)
    assert page.by_id("title").get("aria-invalid") == "true"
    assert "We look at it." in "".join(page.by_id("incident-text").itertext())
    with app.app_context():
        public_id = incidents.open_one("Slow", "We look.", kind="outage", actor="test")
    page = desk.post(f"/admin/incidents/{public_id}/tell", {"text": " "}, status=422)
    assert page.by_id(f"tell-{public_id}").get("aria-invalid") == "true"
    desk.post("/admin/incidents/none/tell", {"text": "Hello"}, status=404)


def test_the_settings_say_what_is_set_and_no_secret(make_app: Callable[..., Flask]) -> None:
    key = "sk-of-the-tests-that-nobody-may-see"
    app = make_app(
        OPENAI_API_KEY=key,
        SOLROUTER_TOP_UP_MAX="500",
        SOLROUTER_STRIPE_API_URL="https://me:secret@stripe.example.com",
    )
    person = make_person(app, "olivia@example.com", operator=True)
    page = browser_of(app, person).get("/admin/settings")
    assert "OPENAI_API_KEY" in page.text and "SOLROUTER_TOP_UP_MAX" in page.text
    assert ">500<" in page.html and "https://…@stripe.example.com" in page.html
    for secret in (key, "me:secret", SECRET_KEY, app.config["DATABASE_URL"]):
        assert secret not in page.html
