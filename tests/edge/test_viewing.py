"""An operator looks at an account as its owner sees it: all of it, and nothing can be done."""

from datetime import timedelta

import pytest
from flask import Flask
from sqlalchemy import update

from solrouter import clock, database
from solrouter.blueprints import guards
from solrouter.models import Session
from solrouter.services import accounts, contents, keys, trail, viewing
from tests.browser import Browser
from tests.edge.signed_in import ask, browser_of
from tests.factories import Person
from tests.house.pages import addresses
from tests.house.permissions import make_place

WHY = "They asked why a request failed"
ROOMS_WITH_COOKIES = ("account", "admin", "auth", "pages", "playground")


@pytest.fixture
def viewer(app: Flask, operator: Person, alice: Person) -> Browser:
    """Olivia's browser, which looks at Alice's account."""
    browser = browser_of(app, operator)
    done = browser.post(f"/admin/accounts/{alice.account_public_id}/view", {"why": WHY})
    assert done.location == "/account"
    return browser


def test_the_accounts_pages_are_shown_as_its_owner_sees_them(
    app: Flask, viewer: Browser, alice: Person, operator: Person
) -> None:
    receipt = ask(app, alice)
    for path in (
        "/account",
        "/account/keys",
        "/account/balance",
        "/account/activity",
        f"/account/activity/{receipt}",
        "/account/plan",
        "/account/team",
        "/account/audit",
        "/account/statements",
    ):
        page = viewer.get(path)
        assert "You look at alice as its owner sees it" in page.text, path
        assert operator.email not in page.text, path
    assert "First key" in viewer.get("/account/keys").text
    assert "$4.99" in "".join(viewer.get("/account").by_id("balance").itertext())


@pytest.mark.parametrize(
    "path",
    ["/account/settings", "/account/activity/export.csv", "/playground", "/account/confirm"],
)
def test_what_is_a_persons_own_or_spends_stays_closed(viewer: Browser, path: str) -> None:
    page = viewer.get(path, status=403)
    assert "Stop looking first" in page.text


def test_nothing_is_offered_that_would_be_refused(app: Flask) -> None:
    place = make_place(app)
    browser = browser_of(app, place.people["operator"])
    browser.post(f"/admin/accounts/{place.objects['account']}/view", {"why": WHY})
    adapter = app.url_map.bind("localhost")
    shown = [a.path for a in addresses(place) if a.endpoint in guards.VIEWER_PAGES]
    assert len(shown) >= 15
    dead: set[str] = set()
    for path in shown:
        if browser.client.get(path).status_code == 303:
            # A part of another page, which leads there.
            continue
        page = browser.get(path)
        posts = [
            form.get("action", "") for form in page.all("form") if form.get("method") == "post"
        ]
        posts += [each.get("hx-post", "") for each in page.root.iter() if each.get("hx-post")]
        for action in posts:
            if adapter.match(action, method="POST")[0] not in guards.VIEWER_ACTS:
                dead.add(f"{path} offers to post to {action}")
        for link in {each.get("href", "").partition("#")[0] for each in page.all("a")}:
            is_ours = link.startswith(("/account", "/playground"))
            if is_ours and browser.client.get(link).status_code == 403:
                dead.add(f"{path} leads to {link}")
    assert not dead, "\n".join(sorted(dead))


def test_what_was_asked_stays_closed(app: Flask, viewer: Browser, alice: Person) -> None:
    with app.app_context():
        contents.keep_for(alice.account_id, 7, actor="test")
    receipt = ask(app, alice)
    with app.app_context():
        contents.write_waiting()
    assert "meaning of life" in browser_of(app, alice).get(f"/account/activity/{receipt}").text
    assert "meaning of life" not in viewer.get(f"/account/activity/{receipt}").text


def test_nothing_can_be_posted(app: Flask, viewer: Browser, alice: Person) -> None:
    acts = [
        rule
        for rule in app.url_map.iter_rules()
        if "POST" in (rule.methods or ()) and rule.endpoint.partition(".")[0] in ROOMS_WITH_COOKIES
    ]
    adapter, tried = app.url_map.bind("localhost"), 0
    for rule in acts:
        if rule.endpoint in guards.VIEWER_ACTS:
            continue
        path = adapter.build(rule.endpoint, dict.fromkeys(rule.arguments, "x"), method="POST")
        answer = viewer.client.post(path)
        assert answer.status_code == 403, path
        assert b"Stop looking first" in answer.data, path
        tried += 1
    assert tried > 80
    assert viewer.client.post("/account/keys", data={"name": "mine"}).status_code == 403
    with app.app_context():
        assert [key.name for key in keys.list_of(alice.account_id)] == ["First key"]


def test_both_logs_tell_of_it(app: Flask, viewer: Browser, alice: Person, operator: Person) -> None:
    assert viewer.post("/admin/stop-viewing").location.endswith(alice.account_public_id)
    with app.app_context():
        theirs = trail.of_account(alice.account_id, limit=2)
        ours = trail.of_all(limit=2)
    for events, who in ((theirs, "Operator"), (ours, operator.email)):
        assert [(e.action, e.actor) for e in events] == [
            ("account.view_ended", who),
            ("account.view_begun", who),
        ]
        assert events[1].details["reason"] == WHY
    page = viewer.get("/account")
    assert "You look at" not in page.text and "alice" not in page.text


def test_it_ends_by_itself(app: Flask, viewer: Browser) -> None:
    with app.app_context():
        past = update(Session).values(views_until=clock.utcnow() - timedelta(seconds=1))
        database.transact(lambda connection: connection.execute(past).rowcount)
    assert "You look at" not in viewer.get("/account").text
    viewer.get("/account/settings")


@pytest.mark.parametrize("how", ["time", "sign-out", "rights"])
def test_an_end_that_nobody_made_is_noted_once(
    app: Flask, viewer: Browser, alice: Person, operator: Person, how: str
) -> None:
    soon = clock.utcnow() + timedelta(minutes=2)
    with app.app_context():
        assert viewing.note_ends(soon) == 0
    if how == "sign-out":
        viewer.post("/logout")
    later = soon + (viewing.LASTS if how == "time" else timedelta())
    with app.app_context():
        if how == "rights":
            accounts.set_operator(operator.user_id, False)
        assert [viewing.note_ends(later) for _ in range(2)] == [1, 0]
        ended = trail.of_account(alice.account_id, limit=1)[0]
    assert (ended.action, ended.details["how"]) == ("account.view_ended", "by itself")


def test_it_ends_with_the_operators_rights(app: Flask, viewer: Browser, operator: Person) -> None:
    with app.app_context():
        accounts.set_operator(operator.user_id, False)
    assert "You look at" not in viewer.get("/account").text


def test_it_takes_a_reason_and_an_account(app: Flask, operator: Person, alice: Person) -> None:
    browser = browser_of(app, operator)
    path = f"/admin/accounts/{alice.account_public_id}/view"
    page = browser.post(path, {"why": " "}, status=422)
    assert page.by_id("view-why").get("aria-invalid") == "true"
    browser.post("/admin/accounts/acct_none/view", {"why": WHY}, status=404)
    assert browser.post("/admin/stop-viewing").location == "/admin/users"
