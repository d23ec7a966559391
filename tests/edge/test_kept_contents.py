"""Prompts and answers that an account wants kept: asked for, collected, shown to who may see them,
taken along, deleted.
"""

import io
import json
import zipfile
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
from flask import Flask
from sqlalchemy import func, select

from solrouter import database
from solrouter.blueprints.account.settings import export
from solrouter.models import KeptContent
from solrouter.services import contents, keys
from tests.browser import Browser
from tests.edge.pages import FormPage
from tests.edge.signed_in import HTMX, ask, browser_of
from tests.edge.test_chat import chunks, newest, post, text_of
from tests.edge.test_recent_proof import let_time_pass
from tests.edge.test_team_pages import joined
from tests.factories import Person, make_offer, make_person
from tests.fakes.upstream import FakeUpstream
from tests.openapi import complaints

PROMPT = "What is the meaning of life?"


@pytest.fixture(autouse=True)
def nothing_waits() -> Iterator[None]:
    contents._waiting.clear()
    yield
    contents._waiting.clear()


@pytest.fixture
def keeper(app: Flask, alice: Person) -> Person:
    """Alice, who wants it."""
    opt_in(app, alice)
    return alice


def opt_in(app: Flask, person: Person, days: int = 30) -> None:
    with app.app_context():
        contents.keep_for(person.account_id, days, actor="test")


def written(app: Flask) -> int:
    """Does what the housekeeping's thread does; says how many are kept now."""
    with app.app_context():
        contents.write_waiting()
        with database.read() as connection:
            return int(
                connection.execute(select(func.count(KeptContent.completion_id))).scalar_one()
            )


def receipt_page(app: Flask, person: Person, identifier: str) -> str:
    return browser_of(app, person).get(f"/account/activity/{identifier}").text


def test_nothing_is_kept_unless_it_is_asked_for(app: Flask, alice: Person) -> None:
    identifier = ask(app, alice)
    assert written(app) == 0
    assert "Prompt and answer" not in receipt_page(app, alice, identifier)


@pytest.mark.parametrize("stream", [False, True], ids=["whole", "streamed"])
@pytest.mark.parametrize("choices", [1, 2])
def test_the_prompt_and_the_answer_stand_beside_the_receipt(
    app: Flask,
    keeper: Person,
    offered: str,
    upstream: FakeUpstream,
    stream: bool,
    choices: int,
) -> None:
    upstream.streams("Forty", "-", "two.", usage=(10, 3))
    asked = [{"role": "system", "content": "Be <b>brief</b>."}, {"role": "user", "content": PROMPT}]
    answer = post(
        app.test_client(),
        keeper,
        offered,
        stream=stream,
        messages=asked,
        n=choices,
        temperature=0.5,
    )
    assert answer.data
    assert written(app) == 1
    text = receipt_page(app, keeper, answer.headers["X-Generation-Id"])
    assert PROMPT in text and "Be <b>brief</b>." in text
    assert text.count("Forty-two.") == choices
    assert '"temperature": 0.5' in text


def test_who_has_it_kept_gets_the_same_stream_as_who_has_not(
    app: Flask, keeper: Person, charlie: Person, offered: str, upstream: FakeUpstream
) -> None:
    said = {}
    for person in (keeper, charlie):
        upstream.streams(*["word "] * 50, usage=(10, 50))
        said[person.email] = text_of(chunks(post(app.test_client(), person, offered, stream=True)))
    assert said[keeper.email] == said[charlie.email] == "word " * 50
    assert newest(app, keeper).charge_nanos == newest(app, charlie).charge_nanos
    assert written(app) == 1


def test_of_an_answer_that_broke_off_what_was_said_is_kept(
    app: Flask, keeper: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.streams(*["word "] * 20, usage=(12, 20))
    answer = post(app.test_client(), keeper, offered, stream=True)
    events = iter(answer.response)
    next(events), next(events)
    answer.close()
    assert newest(app, keeper).outcome == "cancelled" and written(app) == 1
    assert "word" in receipt_page(app, keeper, answer.headers["X-Generation-Id"])


def test_a_request_that_failed_keeps_its_prompt(
    app: Flask, keeper: Person, offered: str, upstream: FakeUpstream
) -> None:
    upstream.answers(status=500, times=3)
    answer = post(
        app.test_client(), keeper, offered, messages=[{"role": "user", "content": PROMPT}]
    )
    assert answer.status_code >= 500 and written(app) == 1
    page = receipt_page(app, keeper, newest(app, keeper).id)
    assert PROMPT in page and "No answer was kept." in page


def test_the_calls_of_tools_are_kept(
    app: Flask, keeper: Person, offered: str, upstream: FakeUpstream
) -> None:
    call = {"id": "call_1", "name": "lookup", "arguments": '{"word": "life"}'}
    upstream.answers(tool_calls=[call], usage=(10, 3))
    function = {"name": "lookup", "parameters": {"type": "object", "properties": {}}}
    answer = post(
        app.test_client(),
        keeper,
        offered,
        stream=True,
        tools=[{"type": "function", "function": function}],
    )
    assert answer.data and written(app) == 1
    page = receipt_page(app, keeper, answer.headers["X-Generation-Id"])
    assert "tool_calls" in page and "lookup" in page


def test_it_begins_with_the_next_request_also_of_a_key_that_was_just_used(
    app: Flask, alice: Person
) -> None:
    ask(app, alice)
    opt_in(app, alice)
    ask(app, alice)
    assert written(app) == 1


def test_a_server_that_has_not_heard_yet_that_it_is_off_keeps_nothing(
    make_app: Callable[..., Flask], app: Flask, keeper: Person
) -> None:
    ask(app, keeper)
    assert written(app) == 1
    with make_app().app_context():
        contents.keep_for(keeper.account_id, None, actor="test")
    ask(app, keeper)
    assert len(contents._waiting) == 1, "this server remembers the key for some seconds"
    assert written(app) == 1


def test_a_repeated_request_is_kept_once(app: Flask, keeper: Person) -> None:
    body = {"model": "demo/echo", "messages": [{"role": "user", "content": PROMPT}]}
    headers = {**keeper.bearer, "Idempotency-Key": "once"}
    first, second = (
        app.test_client().post("/v1/chat/completions", json=body, headers=headers) for _ in range(2)
    )
    assert second.headers["Idempotent-Replayed"] == "true"
    assert first.json["id"] == second.json["id"] and written(app) == 1


# Who sees it.


def test_owners_see_all_of_it_and_developers_that_of_their_own_keys(
    app: Flask, keeper: Person, bob: Person, charlie: Person, operator: Person
) -> None:
    here = browser_of(app, keeper)
    dev = joined(app, here, bob)
    bill = joined(app, here, charlie, "billing")
    with app.app_context():
        made = keys.create(keeper.account_id, user_id=bob.user_id, name="Of Bob")
    owners, developers = ask(app, keeper), ask(app, replace(keeper, key_text=made.text))
    assert written(app) == 2
    for identifier in (owners, developers):
        address = f"/account/activity/{identifier}"
        assert PROMPT in here.get(address).text
        assert PROMPT not in bill.get(address).text
        assert PROMPT not in browser_of(app, operator).get("/admin/requests").text
    assert PROMPT in dev.get(f"/account/activity/{developers}").text
    assert dev.client.get(f"/account/activity/{owners}").status_code == 404
    listed = dev.get("/account/activity")
    assert developers in listed.html and owners not in listed.html
    assert "Every request of your keys" in listed.text
    overview = dev.get("/account")
    assert "Spent by your keys today" in overview.text and owners not in overview.html
    assert "1 request" in overview.text
    assert owners in bill.get("/account/activity").html


def test_a_key_reads_back_what_it_has_asked_and_nothing_else(
    app: Flask, keeper: Person, charlie: Person
) -> None:
    identifier, client = ask(app, keeper), app.test_client()
    written(app)
    path = f"/v1/generation/content?id={identifier}"
    answer = client.get(path, headers=keeper.bearer)
    assert complaints("GenerationContent", answer.json, is_closed=True) == []
    data = answer.json["data"]
    assert data["id"] == identifier and data["input"]["messages"][0]["content"] == PROMPT
    assert "42" in data["output"]["completion"] and len(data["output"]["choices"]) == 1
    assert answer.headers["Cache-Control"] == "no-store"
    with app.app_context():
        other = keys.create(keeper.account_id, user_id=keeper.user_id, name="Other")
    neighbours = replace(keeper, key_text=other.text)
    opt_in(app, charlie)
    for person in (neighbours, charlie):
        assert client.get(path, headers=person.bearer).status_code == 404
    for wrong, status in (("", 400), ("x", 404), (f"chatcmpl-{'0' * 32}", 404)):
        answer = client.get(f"/v1/generation/content?id={wrong}", headers=keeper.bearer)
        assert answer.status_code == status


def test_an_outsider_finds_neither(app: Flask, keeper: Person, charlie: Person) -> None:
    identifier = ask(app, keeper)
    written(app)
    answer = browser_of(app, charlie).client.get(f"/account/activity/{identifier}")
    assert answer.status_code == 404


def exported(browser: Browser) -> list[dict[str, object]]:
    answer = browser.client.post("/account/settings/export")
    with zipfile.ZipFile(io.BytesIO(answer.data)) as archive:
        return [json.loads(line) for line in archive.open("contents.jsonl")]


def test_the_export_takes_it_along(app: Flask, keeper: Person, bob: Person) -> None:
    here = browser_of(app, keeper)
    dev = joined(app, here, bob)
    with app.app_context():
        made = keys.create(keeper.account_id, user_id=bob.user_id, name="Of Bob")
    asked = [ask(app, keeper) for _ in range(export.CONTENTS_AT_ONCE)]
    own = ask(app, replace(keeper, key_text=made.text))
    assert written(app) == len(asked) + 1
    rows = exported(here)
    assert [row["id"] for row in rows] == [own, *asked[::-1]]
    assert all(PROMPT in str(row["request"]) and row["answer"] for row in rows)
    assert [row["id"] for row in exported(dev)] == [own]


# Turned on, changed, turned off, deleted: in the settings.


def test_an_owner_turns_it_on_and_off(app: Flask, alice: Person) -> None:
    here = browser_of(app, alice)
    assert "is not kept" in here.get("/account/settings").text
    here.post("/account/settings/content", {"days": "7"})
    page = here.get("/account/settings")
    assert "Kept for 7 days from now on." in page.text and "is kept for 7 days" in page.text
    ask(app, alice)
    assert written(app) == 1
    assert "Kept at present: 1 request." in here.get("/account/settings").text
    off = here.post("/account/settings/content/off", status=200, headers=HTMX)
    assert "Nothing more is kept from now on." in off.text and not off.is_whole
    ask(app, alice)
    assert written(app) == 1
    told = here.get("/account/audit").text
    assert "Changed for how long prompts and answers are kept" in told
    assert "none → 7" in told and "7 → none" in told


@pytest.mark.parametrize("days", ["", "0", "31", "-1", "1.5", "many", "9" * 5000, "٣"])
@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_a_number_that_is_none_is_refused(
    app: Flask, alice: Person, days: str, headers: dict[str, str]
) -> None:
    here = browser_of(app, alice)
    page = here.post("/account/settings/content", {"days": days}, status=422, headers=headers)
    assert "from 1 to 30" in FormPage(page.answer).alerts()[0]
    ask(app, alice)
    assert written(app) == 0


@pytest.mark.parametrize(
    ("path", "what"),
    [
        ("/account/settings/content", "have prompts and answers kept"),
        ("/account/settings/content/delete", "delete prompts and answers"),
    ],
    ids=["keep", "delete"],
)
def test_after_ten_minutes_it_asks_who_is_there(
    app: Flask, keeper: Person, path: str, what: str
) -> None:
    ask(app, keeper)
    here = browser_of(app, keeper)
    let_time_pass(app)
    assert what in here.post(path, {"days": "1"}, status=403).text
    assert written(app) == 1
    with app.app_context():
        assert contents.terms_of(keeper.account_id).days == 30


def test_deleting_asks_with_the_number_and_tells_it(app: Flask, keeper: Person) -> None:
    for _ in range(3):
        identifier = ask(app, keeper)
    written(app)
    here = browser_of(app, keeper)
    assert "Kept at present: 3 requests." in here.get("/account/settings/content/delete").text
    here.post("/account/settings/content/delete")
    assert "of 3 requests" in here.get("/account/settings").text
    assert written(app) == 0
    assert "Prompt and answer" not in here.get(f"/account/activity/{identifier}").text
    audit = here.get("/account/audit").text
    assert "Deleted kept prompts and answers" in audit


def test_members_see_whether_it_is_on_and_change_nothing(
    app: Flask, keeper: Person, bob: Person
) -> None:
    dev = joined(app, browser_of(app, keeper), bob)
    page = dev.get("/account/settings")
    assert "is kept for 30 days" in page.text
    assert "/account/settings/content" not in page.html
    for path in ("content", "content/off", "content/delete"):
        assert dev.client.post(f"/account/settings/{path}").status_code == 403


def test_where_the_operator_forbids_it_there_is_no_form(
    make_app: Callable[..., Flask], upstream: FakeUpstream
) -> None:
    app = make_app(SOLROUTER_CONTENT_DAYS_MAX="0")
    alice = make_person(app, "alice@example.com", credit="5")
    make_offer(app, upstream.url)
    here = browser_of(app, alice)
    page = here.get("/account/settings")
    assert "This server keeps nobody’s." in page.text
    assert 'action="/account/settings/content"' not in page.html
    here.post("/account/settings/content", {"days": "1"}, status=422)
