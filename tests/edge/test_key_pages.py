"""The pages of API keys: made with rules, changed, rotated, stopped, frozen, revoked; with HTMX and
without. Charlie reaches none of it.
"""

from datetime import timedelta
from typing import Any

import pytest
from flask import Flask
from flask.testing import FlaskClient
from sqlalchemy import select, update

from solrouter import database
from solrouter.clock import utcnow
from solrouter.models import AuditEvent, Membership
from solrouter.services import key_switches, keys, rotations
from solrouter.services.key_rules import INFERENCE, MANAGE, READ, Rules
from tests.browser import HTML, Browser, Page
from tests.edge.signed_in import HTMX, QUESTION, ask, browser_of
from tests.factories import Person

RULES = {
    "with_rules": "1",
    "name": "website",
    "limit": "5",
    "resets": "daily",
    "models_allowed": "demo/echo\r\ndemo/*\r\n\r\nfree",
    "networks_allowed": "127.0.0.1, 2001:db8::/32",
    "expires_at": "2099-01-31T00:00",
    "requests_per_minute": "1,000",
    "tokens_per_minute": "100 000",
    "concurrency": "4",
    "scopes": "inference",
}
MEANT = Rules(
    models_allowed=("demo/echo", "demo/*", "free"),
    networks_allowed=("127.0.0.1/32", "2001:db8::/32"),
    requests_per_minute=1000,
    tokens_per_minute=100_000,
    concurrency=4,
)


@pytest.fixture
def browser(app: Flask, alice: Person) -> Browser:
    return browser_of(app, alice)


def first_key(app: Flask, person: Person) -> keys.Key:
    with app.app_context():
        return keys.list_of(person.account_id)[-1]


def address(key: keys.Key, act: str = "") -> str:
    return f"/account/keys/{key.public_id}{act}"


def answers(client: FlaskClient, text: str) -> int:
    body = {"model": "demo/echo", "messages": QUESTION}
    headers = {"Authorization": f"Bearer {text}"}
    return client.post("/v1/chat/completions", json=body, headers=headers).status_code


def actions(page: Page) -> set[str | None]:
    return {form.get("action") for form in page.all("form")}


def told(page: Page, identifier: str) -> str:
    return "".join(page.by_id(identifier).itertext())


def value(page: Page, name: str) -> str:
    field = page.by_id(name)
    return field.get("value") or "".join(field.itertext())


# Making and changing


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_a_key_is_made_with_rules(
    app: Flask, client: FlaskClient, alice: Person, browser: Browser, headers: dict[str, str]
) -> None:
    page = browser.post("/account/keys", RULES, status=200, headers=headers)
    assert page.headers["Cache-Control"] == "no-store"
    text = told(page, "new-key-text")
    assert answers(client, text) == 200
    with app.app_context():
        made = keys.list_of(alice.account_id)[0]
    assert (made.name, made.limit_nanos, made.resets) == ("website", 5 * 10**9, "daily")
    ends = made.rules.expires_at
    assert ends is not None
    assert ends.isoformat() == "2099-01-31T00:00:00+00:00"
    assert made.rules == Rules(**{**rules_of(MEANT), "expires_at": ends})
    assert text not in browser.get(address(made)).html


def rules_of(rules: Rules) -> dict[str, Any]:
    return {name: getattr(rules, name) for name in Rules.__dataclass_fields__}


def test_the_rules_are_folded_away_until_one_is_set(app: Flask, browser: Browser) -> None:
    def is_open(page: Page) -> bool:
        [rules] = [each for form in page.all("form") for each in form.iter(f"{HTML}details")]
        return rules.get("open") is not None

    assert not is_open(browser.get("/account/keys"))
    wrong = {"with_rules": "1", "name": "x", "networks_allowed": "office", "scopes": "inference"}
    assert is_open(browser.post("/account/keys", wrong, status=422))


@pytest.mark.parametrize(
    ("field", "typed", "said"),
    [
        ("name", " ", "name"),
        ("limit", "much", "amount in US dollars"),
        ("models_allowed", "gpt-4o", "no model id"),
        ("models_allowed", "demo/ecko", "no model “demo/ecko”"),
        ("networks_allowed", "10.0.0.5/8", "10.0.0.0/8"),
        ("expires_at", "tomorrow", "a time in UTC"),
        ("expires_at", "2020-01-31T00:00", "later time"),
        ("requests_per_minute", "many", "whole number"),
        ("tokens_per_minute", "1" * 5000, "whole number"),
        ("concurrency", "999999999", "100,000"),
    ],
)
@pytest.mark.parametrize("is_new", [True, False], ids=["create", "edit"])
def test_a_wrong_rule_is_told_beside_its_field(
    app: Flask,
    alice: Person,
    browser: Browser,
    field: str,
    typed: str,
    said: str,
    is_new: bool,
) -> None:
    key = first_key(app, alice)
    path = "/account/keys" if is_new else address(key)
    page = browser.post(path, {**RULES, field: typed}, status=422)
    assert page.by_id(field).get("aria-invalid") == "true"
    assert said in told(page, f"{field}-error")
    assert value(page, field).strip() == typed.strip()
    assert value(page, "tokens_per_minute" if field == "concurrency" else "concurrency")
    with app.app_context():
        assert keys.list_of(alice.account_id) == [key]


def test_a_key_without_any_scope_is_refused(app: Flask, alice: Person, browser: Browser) -> None:
    form = {name: typed for name, typed in RULES.items() if name != "scopes"}
    assert "at least one scope" in told(
        browser.post("/account/keys", form, status=422), "scopes-error"
    )


def test_the_form_of_a_key_holds_what_is_set_and_saving_it_changes_nothing(
    app: Flask, alice: Person, browser: Browser
) -> None:
    browser.post("/account/keys", RULES, status=200)
    with app.app_context():
        made = keys.list_of(alice.account_id)[0]
    page = browser.get(address(made))
    names = [name for name in RULES if name not in ("with_rules", "resets", "scopes")]
    form = {**RULES, **{name: value(page, name) for name in names}}
    assert form["networks_allowed"].split() == ["127.0.0.1/32", "2001:db8::/32"]
    assert form["expires_at"] == "2099-01-31T00:00"
    browser.post(address(made), form)
    with app.app_context():
        assert keys.find(alice.account_id, made.public_id) == made


def test_an_emptied_field_takes_its_rule_away(app: Flask, alice: Person, browser: Browser) -> None:
    key = first_key(app, alice)
    browser.post(address(key), RULES)
    assert first_key(app, alice).rules != Rules()
    browser.post(address(key), {"with_rules": "1", "name": "website", "scopes": "inference"})
    assert first_key(app, alice).rules == Rules()


# The page of a key


def test_a_key_shows_what_it_did(app: Flask, alice: Person, browser: Browser) -> None:
    ask(app, alice)
    page = browser.get(address(first_key(app, alice)))
    assert page.text.count("1 request") == 3
    assert "from 127.0.0.1" in page.text
    assert "Active" in page.text
    assert alice.key_text not in page.html


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_a_key_is_rotated_and_the_new_secret_shown_once(
    app: Flask, client: FlaskClient, alice: Person, browser: Browser, headers: dict[str, str]
) -> None:
    key = first_key(app, alice)
    form = {"overlap_s": "3600"}
    page = browser.post(address(key, "/rotate"), form, status=200, headers=headers)
    assert page.headers["Cache-Control"] == "no-store"
    text = told(page, "new-key-text")
    for each in (text, alice.key_text):
        assert answers(client, each) == 200
    again = browser.get(address(key))
    assert text not in again.html
    assert key.hint in again.text
    assert "Works until" in again.text
    assert key.hint in browser.get(address(key, "/end-former")).text
    ended = browser.post(
        address(key, "/end-former"), status=200 if headers else 303, headers=headers
    )
    assert ended.location == ("" if headers else address(key))
    assert [answers(client, each) for each in (text, alice.key_text)] == [200, 401]
    assert "Works until" not in browser.get(address(key)).text
    assert "No old secret works" in browser.get(address(key, "/end-former")).text


def test_a_rotation_that_cannot_be_says_why(app: Flask, alice: Person, browser: Browser) -> None:
    key = first_key(app, alice)
    for _ in range(rotations.FORMER_SECRETS_MAX):
        browser.post(address(key, "/rotate"), {"overlap_s": "nonsense"}, status=200)
    page = browser.post(address(key, "/rotate"), {"overlap_s": "86400"}, status=422)
    assert "still work" in told(page, "overlap_s-error")
    browser.post(address(key, "/rotate"), {"overlap_s": "0"}, status=200)


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_an_old_form_undoes_nothing(
    app: Flask, alice: Person, browser: Browser, headers: dict[str, str]
) -> None:
    key = first_key(app, alice)
    form = {"name": "laptop", "limit": "", "resets": "never", "version": key.version}
    assert key.version in browser.get(address(key)).html
    with app.app_context():
        keys.change(alice.account_id, key.public_id, actor="test", limit_nanos=3 * 10**9)
    page = browser.post(address(key), form, status=422, headers=headers)
    assert "This key was changed meanwhile" in page.text
    assert value(page, "limit") == "3" and value(page, "name") == key.name
    changed = first_key(app, alice)
    assert (changed.name, changed.limit_nanos) == (key.name, 3 * 10**9)
    assert changed.version in page.html
    browser.post(address(key), {**form, "limit": "3", "version": changed.version})
    changed = first_key(app, alice)
    assert (changed.name, changed.limit_nanos) == ("laptop", 3 * 10**9)


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_a_key_is_disabled_and_enabled(
    app: Flask, client: FlaskClient, alice: Person, browser: Browser, headers: dict[str, str]
) -> None:
    key = first_key(app, alice)
    for act, status in (("/disable", 401), ("/enable", 200)):
        assert address(key, act) in actions(browser.get(address(key)))
        page = browser.post(address(key, act), status=200 if headers else 303, headers=headers)
        page = page if headers else browser.get(address(key))
        assert f"is {act[1:]}d" in page.text
        assert answers(client, alice.key_text) == status


def test_a_revoked_key_keeps_its_page_and_loses_its_acts(
    app: Flask, alice: Person, browser: Browser
) -> None:
    key = first_key(app, alice)
    browser.post(address(key, "/revoke"))
    assert address(key) in {a.get("href") for a in browser.get("/account/keys").all("a")}
    assert "No keys left" in browser.get("/account/keys").text
    page = browser.get(address(key))
    assert not [action for action in actions(page) if key.public_id in (action or "")]
    for act in ("/disable", "/rotate", ""):
        browser.post(address(key, act), RULES, status=422)


# Freezing


@pytest.mark.parametrize("headers", [{}, HTMX], ids=["browser", "htmx"])
def test_all_keys_are_frozen_and_unfrozen_by_one_click_each(
    app: Flask, client: FlaskClient, alice: Person, browser: Browser, headers: dict[str, str]
) -> None:
    key = first_key(app, alice)
    for act, other, status in (("freeze", "unfreeze", 401), ("unfreeze", "freeze", 200)):
        assert f"/account/keys/{act}" in actions(browser.get("/account/keys"))
        sent = browser.post(f"/account/keys/{act}", status=200 if headers else 303, headers=headers)
        assert sent.location == ("" if headers else "/account/keys")
        page = browser.get("/account/keys")
        assert f"/account/keys/{other}" in actions(page)
        assert ("All keys are frozen." in page.text) == (act == "freeze")
        assert answers(client, alice.key_text) == status
        assert ("Unfreeze them" in browser.get(address(key)).text) == (act == "freeze")


# Management keys are the owner's


def test_who_does_not_own_the_account_makes_no_management_key(
    app: Flask, alice: Person, browser: Browser
) -> None:
    with app.app_context():
        rules = Rules(scopes=(MANAGE,))
        new = keys.create(alice.account_id, user_id=alice.user_id, name="Manager", rules=rules)
    assert "Manages keys" in browser.get("/account/keys").text
    assert "Manage keys" in browser.get("/account/keys").text
    assert address(new.key) in actions(browser.get(address(new.key)))
    with app.app_context():
        developer = update(Membership).values(role="developer")
        database.transact(lambda connection: connection.execute(developer))
    assert "Manage keys" not in browser.get("/account/keys").text
    page = browser.get(address(new.key))
    assert not [action for action in actions(page) if new.key.public_id in (action or "")]
    form = {**RULES, "scopes": MANAGE}
    browser.post("/account/keys", form, status=403)
    for act in ("", "/rotate", "/disable", "/end-former", "/revoke"):
        browser.post(address(new.key, act), RULES, status=403)
    with app.app_context():
        assert keys.find(alice.account_id, new.key.public_id) == new.key


def test_a_scope_that_a_reader_may_choose(app: Flask, alice: Person, browser: Browser) -> None:
    key = first_key(app, alice)
    browser.client.post(address(key), data={**RULES, "scopes": [READ, INFERENCE]})
    assert first_key(app, alice).rules.scopes == (INFERENCE, READ)


def test_each_act_is_audited_with_who_did_it(app: Flask, alice: Person, browser: Browser) -> None:
    key = first_key(app, alice)
    browser.post(address(key), {"name": "renamed", "limit": "", "resets": "never"})
    for act in ("/rotate", "/end-former", "/disable", "/enable"):
        browser.post(address(key, act), status=200 if act == "/rotate" else 303)
    browser.post("/account/keys/freeze")
    browser.post("/account/keys/unfreeze")
    browser.post(address(key, "/revoke"))
    with app.app_context():
        rows = select(AuditEvent.action).where(AuditEvent.account_id == alice.account_id)
        rows = rows.where(AuditEvent.actor == f"user:{alice.user_id}").order_by(AuditEvent.id)
        with database.read() as connection:
            acts = connection.execute(rows.where(AuditEvent.action.startswith("key"))).scalars()
            assert list(acts) == [
                "key.created",
                "key.changed",
                "key.rotated",
                "key.formers_ended",
                "key.disabled",
                "key.enabled",
                "keys.frozen",
                "keys.unfrozen",
                "key.revoked",
            ]


# Charlie


def test_charlie_reaches_no_page_and_no_act(app: Flask, alice: Person, charlie: Person) -> None:
    key = first_key(app, alice)
    client = browser_of(app, charlie).client
    for act in ("", "/end-former", "/revoke"):
        assert client.get(address(key, act)).status_code == 404
    for act in ("", "/end-former", "/revoke", "/rotate", "/disable", "/enable"):
        answer = client.post(address(key, act), data={**RULES, "overlap_s": "0"})
        assert answer.status_code == 404, act
    client.post("/account/keys/freeze")
    assert first_key(app, alice) == key
    with app.app_context():
        assert keys.authenticate(alice.key_text).key_public_id == key.public_id
        assert key_switches.frozen_at(alice.account_id) is None


def test_an_expired_key_is_shown_as_one(app: Flask, alice: Person, browser: Browser) -> None:
    key = first_key(app, alice)
    with app.app_context():
        past = utcnow() - timedelta(days=1)
        gone = update(keys.ApiKey).values(expires_at=past)
        database.transact(lambda connection: connection.execute(gone))
    assert "Expired" in browser.get("/account/keys").text
    assert "Expired" in browser.get(address(key)).text
