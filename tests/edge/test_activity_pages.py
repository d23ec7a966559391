"""Activity: found by filters, drawn with a table behind, watched live, taken along as a file."""

import csv
import io

import orjson
import pytest
from flask import Flask

from solrouter.services import activity, keys
from solrouter.services.activity import Filters
from tests.browser import Browser
from tests.edge.signed_in import HTMX, ask, browser_of
from tests.edge.test_member_budget_pages import joined
from tests.factories import Person


@pytest.fixture
def here(app: Flask, alice: Person) -> Browser:
    return browser_of(app, alice)


def ids_in(text: str) -> set[str]:
    return {part[:32] for part in text.split("chatcmpl-")[1:]}


def test_requests_are_found_by_model_key_and_outcome(
    app: Flask, here: Browser, alice: Person, offered: str
) -> None:
    echo, other = ask(app, alice), ask(app, alice, offered)
    with app.app_context():
        [key] = keys.list_of(alice.account_id)
    for query, found in (
        ("", {echo, other}),
        ("model=demo/echo", {echo}),
        (f"model={offered}&period=1", {other}),
        (f"key={key.public_id}", {echo, other}),
        ("key=key_unknown", set()),
        ("provider=demo", {echo}),
        ("provider=acme&model=all", {other}),
        ("outcome=finished&model=all&key=all", {echo, other}),
        ("outcome=failed", set()),
        ("period=never&measure=x&group=y&outcome=z", {echo, other}),
    ):
        page = here.get(f"/account/activity?{query}")
        assert ids_in(page.html) == {each.removeprefix("chatcmpl-") for each in found}, query
    assert "Nothing fits" in here.get("/account/activity?outcome=failed").text


def test_a_day_of_the_chart_tells_all_that_it_is_made_of(
    app: Flask, here: Browser, alice: Person, offered: str
) -> None:
    for model in ("demo/echo", "demo/echo", offered):
        ask(app, alice, model)
    page = here.get("/account/activity?measure=requests&group=model")
    [day] = [each for each in page.root.iter() if each.tag.endswith("}g")]
    [told] = [each.text or "" for each in day if each.tag.endswith("}title")]
    whole, *parts = told.split("\n")
    assert whole.endswith(": 3")
    assert parts == ["demo/echo: 2", f"{offered}: 1"]
    # The whole height answers, however low the bars.
    heights = [each.get("height") for each in day if each.get("class") == "chart-day"]
    assert heights == ["180"]


def test_the_chart_has_its_numbers_in_a_table(
    app: Flask, here: Browser, alice: Person, offered: str
) -> None:
    ask(app, alice, offered)
    for measure, group, name in (
        ("requests", "model", offered),
        ("tokens", "key", "First key"),
        ("cost", "provider", "acme"),
    ):
        page = here.get(f"/account/activity?measure={measure}&group={group}")
        [picture] = [each for each in page.root.iter() if each.get("role") == "img"]
        assert "at most" in (picture.get("aria-label") or "")
        headings = ["".join(each.itertext()) for each in page.all("th")]
        assert name in headings


def test_few_that_fit_are_looked_for_in_steps(app: Flask, alice: Person, offered: str) -> None:
    old = ask(app, alice, offered)
    for _ in range(4):
        ask(app, alice)
    found, before, pages = [], None, 0
    with app.app_context():
        while True:
            page = activity.page(
                alice.account_id,
                Filters(model=offered),
                limit=10,
                before=before,
                scanned_max=2,
            )
            found += [each.id for each in page.receipts]
            before, pages = page.older, pages + 1
            if before is None:
                break
    assert (found, pages) == ([old], 3)


def test_live_says_nothing_until_there_is_something(
    app: Flask, here: Browser, alice: Person
) -> None:
    mark = ask(app, alice)
    page = here.get("/account/activity?live=1")
    [poll] = [each for each in page.all("a") if each.get("hx-trigger")]
    assert poll.get("hx-get", "").endswith(f"mark={mark}") or mark in poll.get("hx-get", "")
    path = poll.get("hx-get", "")
    assert here.client.get(path, headers=HTMX).status_code == 204
    newer = ask(app, alice)
    again = here.get(path, headers=HTMX)
    assert newer in again.html and not again.is_whole
    assert "hx-trigger" not in here.get("/account/activity").html


def test_live_waits_for_the_very_first_request(app: Flask, here: Browser, alice: Person) -> None:
    page = here.get("/account/activity?live=1")
    assert "No requests yet" in page.text
    [poll] = [each for each in page.all("a") if each.get("hx-trigger")]
    path = poll.get("hx-get", "")
    assert here.client.get(path, headers=HTMX).status_code == 204
    first = ask(app, alice)
    assert first in here.get(path, headers=HTMX).html


def test_the_same_requests_as_csv_and_json_lines(app: Flask, here: Browser, alice: Person) -> None:
    made = {ask(app, alice), ask(app, alice)}
    answer = here.client.get("/account/activity/export.csv")
    assert answer.mimetype == "text/csv" and "attachment" in answer.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(answer.text)))
    assert {row["id"] for row in rows} == made
    assert {row["key"] for row in rows} == {"First key"}
    lines = here.client.get("/account/activity/export.jsonl?model=demo/echo").text.splitlines()
    told = [orjson.loads(line) for line in lines]
    assert {each["id"] for each in told} == made and "usage" in told[0]
    assert here.client.get("/account/activity/export.csv?outcome=failed").text.count("\n") == 1
    assert here.client.get("/account/activity/export.xls").status_code == 404


def test_a_developer_takes_along_what_is_theirs(app: Flask, alice: Person) -> None:
    ask(app, alice)
    bob, _ = joined(app, alice, "bob@example.com")
    browser = browser_of(app, bob)
    browser.post("/account/switch", {"account": alice.account_public_id})
    assert browser.client.get("/account/activity/export.csv").text.count("\n") == 1


def test_the_overview_says_how_long_the_balance_lasts(
    app: Flask, here: Browser, alice: Person, offered: str
) -> None:
    assert "First steps" in here.get("/account").text
    ask(app, alice, offered)
    page = here.get("/account")
    assert "A day costs" in page.text and "Spent, last 30 days" in page.text
    assert "First steps" not in page.text


def test_older_requests_are_not_watched(app: Flask, here: Browser, alice: Person) -> None:
    ask(app, alice)
    newest = ask(app, alice)
    assert "Watch live" in here.get("/account/activity").text
    older = here.get(f"/account/activity?before={newest}", headers=HTMX)
    assert older.by_id("watch-live").get("hx-swap-oob") == "true"
    assert "Watch live" not in older.text
