"""The playground: members spend from their account without a key of their own, and nobody else."""

import threading
from collections.abc import Callable
from typing import Any

import orjson
import pytest
from flask import Flask
from sqlalchemy import select
from werkzeug.test import TestResponse

from solrouter import database
from solrouter.errors import Forbidden
from solrouter.models import ApiKey
from solrouter.money import parse_usd
from solrouter.services import activity, billing, key_switches, keys, members, playground
from tests.browser import Browser
from tests.edge.signed_in import QUESTION, browser_of
from tests.edge.test_member_budget_pages import joined
from tests.factories import Person, fund, make_person

PATH = "/playground/completions"


@pytest.fixture
def here(app: Flask, alice: Person, offered: str) -> Browser:
    with app.app_context():
        fund(alice.account_id, "5")
    return browser_of(app, alice)


def send(browser: Browser, model: str, **more: Any) -> TestResponse:
    headers = more.pop("headers", {})
    body = {"model": model, "messages": QUESTION, **more}
    return browser.client.post(PATH, json=body, headers=headers)


def hidden_keys() -> list[Any]:
    query = select(ApiKey.id, ApiKey.digest, ApiKey.public_id).where(ApiKey.purpose == "playground")
    with database.read() as connection:
        return list(connection.execute(query))


def test_an_answer_is_paid_and_has_a_receipt(
    app: Flask, here: Browser, alice: Person, offered: str
) -> None:
    with app.app_context():
        before = billing.balance(alice.account_id).posted_nanos
    answer = send(here, offered)
    assert answer.status_code == 200, answer.text
    charged = parse_usd(answer.json["usage"]["cost_details"]["charge"])
    assert charged > 0
    with app.app_context():
        after = billing.balance(alice.account_id)
        receipt = activity.find(alice.account_id, answer.json["id"])
    assert (after.posted_nanos, after.held_nanos) == (before - charged, 0)
    assert (receipt.key_name, receipt.charge_nanos) == ("Playground", charged)
    assert "Playground" in here.get(f"/account/activity/{answer.json['id']}").text


def test_it_streams_with_usage_at_the_end(here: Browser, offered: str) -> None:
    answer = send(here, offered, stream=True, stream_options={"include_usage": True})
    assert answer.mimetype == "text/event-stream"
    lines = [line for line in answer.text.split("\n\n") if line.startswith("data: {")]
    assert "cost_details" in orjson.loads(lines[-1].removeprefix("data: "))["usage"]
    assert answer.text.endswith("data: [DONE]\n\n")


def test_its_key_is_one_for_each_member_and_nobodys_to_see(
    app: Flask, here: Browser, alice: Person, offered: str
) -> None:
    for _ in range(2):
        send(here, offered)
    with app.app_context():
        [hidden] = hidden_keys()
        assert [key.name for key in keys.list_of(alice.account_id)] == ["First key"]
        _, count = keys.page(alice.account_id, offset=0, limit=10, with_disabled=True)
        assert count == 1
    for path in (f"/account/keys/{hidden.public_id}", f"/account/keys/{hidden.public_id}/revoke"):
        assert here.client.get(path).status_code == 404
    here.post(f"/account/keys/{hidden.public_id}/enable", status=404)
    assert "Playground" not in "".join(here.get("/account/keys").by_id("keys").itertext())
    with app.app_context():
        [member] = members.team_of(alice.account_id).members
    assert member.live_keys == 1


@pytest.mark.parametrize("secret", ["playground", "key"])
def test_nothing_outside_can_speak_for_it(
    app: Flask, here: Browser, offered: str, secret: str
) -> None:
    send(here, offered)
    with app.app_context():
        [hidden] = hidden_keys()
    text = hidden.public_id if secret == "key" else secret
    for bearer in (text, hidden.digest.hex(), f"sr_{hidden.digest.hex()[:44]}"):
        answer = app.test_client().post(
            "/v1/chat/completions",
            json={"model": offered, "messages": QUESTION},
            headers={"Authorization": f"Bearer {bearer}"},
        )
        assert answer.status_code == 401


def test_another_sites_page_cannot_spend(app: Flask, here: Browser, offered: str) -> None:
    for headers in (
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert send(here, offered, headers=headers).status_code == 403
        form = {"model": offered, "message": "Hello"}
        assert here.client.post("/playground", data=form, headers=headers).status_code == 403
    # What a form of another site can send without asking is no JSON.
    body = orjson.dumps({"model": offered, "messages": QUESTION})
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""):
        answer = here.client.post(PATH, data=body, content_type=kind)
        assert answer.status_code == 415, kind
    with app.app_context():
        assert hidden_keys() == []


def test_a_strangers_cookie_or_key_is_not_enough(app: Flask, alice: Person, offered: str) -> None:
    client = app.test_client()
    body = {"model": offered, "messages": QUESTION}
    assert client.post(PATH, json=body).status_code == 303
    assert client.post(PATH, json=body, headers=alice.bearer).status_code == 303


def test_frozen_keys_stop_it_too(app: Flask, here: Browser, alice: Person, offered: str) -> None:
    send(here, offered)
    with app.app_context():
        key_switches.freeze(alice.account_id, actor="test")
    answer = send(here, offered)
    assert answer.status_code == 401 and "frozen" in answer.json["error"]["message"]


def test_it_spends_no_more_than_the_members_budget(
    app: Flask, here: Browser, alice: Person, offered: str
) -> None:
    bob, public_id = joined(app, alice, "bob@example.com")
    with app.app_context():
        members.set_budget(
            alice.account_id, public_id, limit_nanos=1, resets="never", by=alice.user_id
        )
    browser = browser_of(app, bob)
    with app.app_context():
        principal = playground.principal(alice.account_id, bob.user_id, address="")
    assert principal.user_id == bob.user_id
    move(app, browser, alice)
    answer = send(browser, offered)
    assert answer.status_code == 402, answer.text
    assert answer.json["error"]["code"] == "member_limit_reached"


def test_who_leaves_spends_no_more_and_who_returns_does(
    app: Flask, alice: Person, offered: str
) -> None:
    with app.app_context():
        fund(alice.account_id, "5")
    bob, public_id = joined(app, alice, "bob@example.com")
    with app.app_context():
        principal = playground.principal(alice.account_id, bob.user_id, address="")
        members.remove(alice.account_id, public_id, by=alice.user_id)
        assert members.team_of(alice.account_id).left_keys == []
        with pytest.raises(Forbidden):
            playground.principal(alice.account_id, bob.user_id, address="")
        sent = members.invite(alice.account_id, bob.email, "developer", by=alice.user_id)
        assert sent.link is not None
        members.accept(bob.user_id, sent.link.rpartition("/")[2])
        again = playground.principal(alice.account_id, bob.user_id, address="")
    assert again.key_id == principal.key_id


def test_a_body_may_be_as_large_as_the_apis(here: Browser, offered: str) -> None:
    pixel = "data:image/png;base64," + "A" * 400_000
    content = [
        {"type": "text", "text": "What is this?"},
        {"type": "image_url", "image_url": {"url": pixel}},
    ]
    answer = send(here, offered, messages=[{"role": "user", "content": content}])
    assert answer.status_code != 413


def test_without_script_one_question_has_one_whole_answer(here: Browser, offered: str) -> None:
    page = here.get(f"/playground?model={offered}")
    chosen = [each for each in page.all("option") if each.get("selected") is not None]
    assert {each.get("value") for each in chosen} == {offered}
    form = {"model": offered, "message": "Hello", "system": "Be brief", "temperature": "0.5"}
    page = here.post("/playground", form, status=200)
    assert "Hello from the fake upstream" in page.text and "tokens in" in page.text
    assert page.by_id("system").text.strip() == "Be brief"


@pytest.mark.parametrize(
    ("form", "status", "words"),
    [
        ({"message": ""}, 400, "Write what you want to ask"),
        ({"message": "Hello", "temperature": "warm"}, 400, "temperature"),
        ({"message": "Hello", "model": "nobody/knows"}, 400, "nobody/knows"),
    ],
    ids=["empty", "no number", "no model"],
)
def test_without_script_a_mistake_keeps_what_was_typed(
    here: Browser, offered: str, form: dict[str, str], status: int, words: str
) -> None:
    page = here.post("/playground", {"model": offered, "system": "Kept", **form}, status=status)
    assert words in page.text
    assert page.by_id("system").text.strip() == "Kept"


def test_the_balance_in_the_header_can_be_asked_for(here: Browser) -> None:
    page = here.get("/playground/balance", headers={"HX-Request": "true"})
    assert not page.is_whole and "$10.00" in page.text
    here.get("/playground/balance", status=303)


def test_two_first_requests_at_once_make_one_key(
    context_on_both: Flask, make_person_on_both: Callable[[], Person]
) -> None:
    person = make_person_on_both()
    found: list[int] = []

    def ask() -> None:
        with context_on_both.app_context():
            one = playground.principal(person.account_id, person.user_id, address="")
            found.append(one.key_id)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4 and len(set(found)) == 1


@pytest.fixture
def make_person_on_both(context_on_both: Flask) -> Callable[[], Person]:
    return lambda: make_person(context_on_both, "dora@example.com")


def move(app: Flask, browser: Browser, owner: Person) -> None:
    """Moves the browser's session to the owner's account."""
    browser.post("/account/switch", {"account": owner.account_public_id})
